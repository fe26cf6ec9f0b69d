-- How many events the source sends, how many the table holds, how many the last full run found missing at the source
-- (null where there was none), and how many rejected events are not in quarantine.
SELECT
    (SELECT count(*) FROM pg_temp.audited_events),
    (SELECT count(*) FROM lms_activities WHERE created_at >= %(start)s AND created_at < %(end)s),
    (
        SELECT missing_at_source
        FROM etl_runs
        WHERE process_date = %(process_date)s AND mode = 'full' AND status IN ('ok', 'partial')
        ORDER BY id DESC
        LIMIT 1
    ),
    (
        SELECT coalesce(sum(greatest(sent.number - coalesce(held.number, 0), 0)), 0)::bigint
        FROM (SELECT raw_digest, count(*) AS number FROM pg_temp.audited_rejected GROUP BY raw_digest) AS sent
        LEFT JOIN (
            SELECT raw_digest, count(*) AS number
            FROM lms_activities_rejected
            WHERE process_date = %(process_date)s
            GROUP BY raw_digest
        ) AS held USING (raw_digest)
    );
