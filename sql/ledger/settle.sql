-- The days of a range end one by one, their sheet is drawn at the end of all.
UPDATE etl_runs
SET status = %(status)s, sheet = %(sheet)s, error = %(error)s, error_parts = %(error_parts)s
WHERE id = %(run_id)s;
