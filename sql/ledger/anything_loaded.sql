SELECT EXISTS (SELECT FROM etl_runs WHERE status IN ('ok', 'partial')) OR EXISTS (SELECT FROM lms_activities);
