-- Called with the day's lock in hand: whoever wrote these rows is gone.
UPDATE etl_runs
SET status = 'interrupted', finished_at = now(), error = %(error)s, error_parts = %(error_parts)s
WHERE status = 'running' AND process_date = %(process_date)s;
