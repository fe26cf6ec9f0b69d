-- The last revision of each day before a date, with the counts of the day's last full run.
SELECT DISTINCT ON (day.process_date)
    day.process_date, day.revision, day.complete, day.unique_users, day.runs, day.submits, day.successful_submits,
    run.received, run.loaded, run.updated, run.already_present, run.rejected, run.defective, run.missing_at_source
FROM etl_revisions AS day
LEFT JOIN LATERAL (
    SELECT *
    FROM etl_runs
    WHERE etl_runs.process_date = day.process_date AND etl_runs.mode = 'full' AND etl_runs.received IS NOT NULL
    ORDER BY etl_runs.id DESC
    LIMIT 1
) AS run ON true
WHERE day.mode = 'full' AND day.process_date >= %(first)s AND day.process_date < %(end)s
ORDER BY day.process_date, day.revision DESC;
