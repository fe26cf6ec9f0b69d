INSERT INTO etl_runs (process_date, mode, status, complete, window_start, window_end, started_at)
VALUES (%(process_date)s, %(mode)s, 'running', %(complete)s, %(start)s, %(end)s, now())
RETURNING id;
