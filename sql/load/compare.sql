-- How the table's rows of a window stand to what was sent: how many there are, how many were not sent, and how many
-- were sent with other values. Asked part by part before the merge, and of the whole after it, so that its work is
-- counted twice.
SELECT
    count(*) AS held,
    count(*) FILTER (WHERE sent.user_id IS NULL) AS missing,
    count(*) FILTER (
        WHERE sent.user_id IS NOT NULL
          AND (held.oauth_consumer_key, held.lis_outcome_service_url, held.is_correct, held.defects)
              IS DISTINCT FROM
              (sent.oauth_consumer_key, sent.lis_outcome_service_url, sent.is_correct, sent.defects)
    ) AS differing
FROM lms_activities AS held
LEFT JOIN pg_temp.staged_events AS sent
    ON sent.created_at = held.created_at
   AND sent.user_id = held.user_id
   AND sent.attempt_type = held.attempt_type
   AND sent.lis_result_sourcedid IS NOT DISTINCT FROM held.lis_result_sourcedid
   AND sent.created_at >= %(start)s
   AND sent.created_at < %(end)s
WHERE held.created_at >= %(start)s
  AND held.created_at < %(end)s;
