-- Events that source and table do not agree on: how many of each kind, and the first few of each.
SELECT kind, total, created_at, user_id, attempt_type, changed, held_correct, sent_correct
FROM (
    SELECT
        compared.*,
        count(*) OVER (PARTITION BY kind) AS total,
        row_number() OVER (PARTITION BY kind ORDER BY created_at, user_id, attempt_type) AS place
    FROM (
        SELECT
            CASE WHEN held.user_id IS NULL THEN 'new' WHEN sent.user_id IS NULL THEN 'vanished' ELSE 'changed' END AS kind,
            coalesce(sent.created_at, held.created_at) AS created_at,
            coalesce(sent.user_id, held.user_id) AS user_id,
            coalesce(sent.attempt_type, held.attempt_type) AS attempt_type,
            array_remove(
                ARRAY[
                    CASE WHEN sent.is_correct IS DISTINCT FROM held.is_correct THEN 'is_correct' END,
                    CASE WHEN sent.oauth_consumer_key IS DISTINCT FROM held.oauth_consumer_key THEN 'oauth_consumer_key' END,
                    CASE
                        WHEN sent.lis_outcome_service_url IS DISTINCT FROM held.lis_outcome_service_url
                            THEN 'lis_outcome_service_url'
                    END,
                    CASE WHEN sent.defects IS DISTINCT FROM held.defects THEN 'defects' END
                ],
                NULL
            ) AS changed,
            held.is_correct AS held_correct,
            sent.is_correct AS sent_correct
        FROM pg_temp.audited_events AS sent
        FULL JOIN (
            SELECT * FROM lms_activities WHERE created_at >= %(start)s AND created_at < %(end)s
        ) AS held
            ON sent.created_at = held.created_at
           AND sent.user_id = held.user_id
           AND sent.attempt_type = held.attempt_type
           AND coalesce('x' || sent.lis_result_sourcedid, '') = coalesce('x' || held.lis_result_sourcedid, '')  -- null is null
    ) AS compared
    WHERE changed <> '{}'
) AS numbered
WHERE place <= %(most)s
ORDER BY kind, place;
