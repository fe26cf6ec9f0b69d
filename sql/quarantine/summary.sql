-- What lies in quarantine, by day and reason, each with one event as an example: the one whose digest is the smallest,
-- which is as good as a random one and always the same.
SELECT
    process_date,
    reason,
    events,
    first_received_at,
    last_received_at,
    (
        SELECT raw
        FROM lms_activities_rejected AS event
        WHERE event.process_date = found.process_date AND event.raw_digest = found.raw_digest
        LIMIT 1
    ) AS example
FROM (
    SELECT
        process_date,
        reason,
        count(*) AS events,
        min(received_at) AS first_received_at,
        max(received_at) AS last_received_at,
        (array_agg(DISTINCT raw_digest))[1] AS raw_digest
    FROM lms_activities_rejected
    WHERE process_date BETWEEN %(first)s AND %(last)s
    GROUP BY process_date, reason
) AS found
ORDER BY process_date, events DESC, reason;
