-- How many rows there are, how many of them are rejected, how many of the others are different, and how many events
-- they make. Nulls are equal here, as in the key.
SELECT
    (SELECT count(*) FROM pg_temp.old_rows),
    (SELECT count(*) FROM pg_temp.old_rows WHERE reason IS NOT NULL),
    count(*),
    count(*) FILTER (WHERE is_first)
FROM (
    SELECT
        row_number() OVER (PARTITION BY created_at, user_id, attempt_type, lis_result_sourcedid) = 1 AS is_first
    FROM (
        SELECT DISTINCT
            created_at, user_id, attempt_type, lis_result_sourcedid, oauth_consumer_key, lis_outcome_service_url, is_correct
        FROM pg_temp.old_rows
        WHERE reason IS NULL
    ) AS different
) AS numbered;
