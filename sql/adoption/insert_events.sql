-- Of several rows with one key the one that lies last in the old table counts.
INSERT INTO lms_activities (
    user_id, created_at, oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url, is_correct, attempt_type,
    defects, run_id, loaded_at
)
SELECT DISTINCT ON (created_at, user_id, attempt_type, lis_result_sourcedid)
    user_id, created_at, oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url, is_correct, attempt_type,
    defects, %(run_id)s, now()
FROM pg_temp.old_rows
WHERE reason IS NULL
ORDER BY created_at, user_id, attempt_type, lis_result_sourcedid, place DESC;
