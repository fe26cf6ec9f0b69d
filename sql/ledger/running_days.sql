SELECT DISTINCT process_date FROM etl_runs WHERE status = 'running' ORDER BY process_date;
