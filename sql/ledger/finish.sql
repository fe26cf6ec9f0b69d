UPDATE etl_runs
SET status = %(status)s,
    error = %(error)s,
    error_parts = %(error_parts)s,
    sheet = %(sheet)s,
    mail = %(mail)s,
    finished_at = now()
WHERE id = %(run_id)s;
