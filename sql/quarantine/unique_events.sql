-- Of several events with one key the last one counts (nulls are equal here, as in the key).
CREATE TEMPORARY TABLE replayed_events ON COMMIT DROP AS
SELECT DISTINCT ON (created_at, user_id, attempt_type, lis_result_sourcedid) *
FROM pg_temp.replayed
WHERE reason IS NULL
ORDER BY created_at, user_id, attempt_type, lis_result_sourcedid, seq DESC;

ANALYZE pg_temp.replayed_events;
