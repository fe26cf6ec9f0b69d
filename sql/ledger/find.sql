SELECT status, received, loaded, updated, already_present, rejected, defective, missing_at_source
FROM etl_runs
WHERE id = %(run_id)s;
