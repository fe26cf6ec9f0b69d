-- Rows of the window that the source did not send this time.
SELECT count(*)
FROM lms_activities AS held
WHERE held.created_at >= %(start)s
  AND held.created_at < %(end)s
  AND NOT EXISTS (
      SELECT
      FROM pg_temp.unique_events AS sent
      WHERE sent.created_at = held.created_at
        AND sent.user_id = held.user_id
        AND sent.attempt_type = held.attempt_type
        AND sent.lis_result_sourcedid IS NOT DISTINCT FROM held.lis_result_sourcedid
  );
