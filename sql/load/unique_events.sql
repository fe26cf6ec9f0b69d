-- Of several events with one key the last one counts (nulls are equal here, as in the key).
CREATE TEMPORARY TABLE unique_events ON COMMIT DROP AS
SELECT DISTINCT ON (created_at, user_id, attempt_type, lis_result_sourcedid) *
FROM pg_temp.staged_events
ORDER BY created_at, user_id, attempt_type, lis_result_sourcedid, seq DESC;

-- Without statistics the planner takes the table for empty and joins row by row.
ANALYZE pg_temp.unique_events;
