INSERT INTO etl_runs (process_date, mode, status, complete, window_start, window_end, started_at)
VALUES (%(today)s, 'adoption', 'running', false, now(), now(), now())
RETURNING id;
