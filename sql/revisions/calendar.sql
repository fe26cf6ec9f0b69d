-- Every day that a finished full run or a revision is known of: what its last load covered and whether that brought
-- nothing, how its last run ended and whether it came to its end at all, and its figures as last published.
SELECT
    day.process_date,
    loaded.complete,
    coalesce(
        loaded.received = 0
        AND NOT EXISTS (
            SELECT FROM lms_activities WHERE created_at >= loaded.window_start AND created_at < loaded.window_end
        ),
        false
    ) AS empty,
    ended.status, ended.finished,
    figures.revision, figures.unique_users, figures.runs, figures.submits, figures.successful_submits
FROM (
    SELECT process_date FROM etl_runs WHERE mode = 'full' AND status <> 'running'
    UNION
    SELECT process_date FROM etl_revisions WHERE mode = 'full'
) AS day
LEFT JOIN LATERAL (
    SELECT complete, received, window_start, window_end
    FROM etl_runs
    WHERE process_date = day.process_date AND mode = 'full' AND status IN ('ok', 'partial')
    ORDER BY id DESC
    LIMIT 1
) AS loaded ON true
LEFT JOIN LATERAL (
    SELECT status, finished_at IS NOT NULL AS finished
    FROM etl_runs
    WHERE process_date = day.process_date AND mode = 'full' AND status <> 'running'
    ORDER BY id DESC
    LIMIT 1
) AS ended ON true
LEFT JOIN LATERAL (
    SELECT revision, unique_users, runs, submits, successful_submits
    FROM etl_revisions
    WHERE process_date = day.process_date AND mode = 'full'
    ORDER BY revision DESC
    LIMIT 1
) AS figures ON true
WHERE day.process_date >= %(first)s AND day.process_date < %(end)s
ORDER BY day.process_date;
