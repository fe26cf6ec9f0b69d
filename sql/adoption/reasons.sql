SELECT reason, count(*) FROM lms_activities_rejected WHERE run_id = %(run_id)s GROUP BY reason ORDER BY reason;
