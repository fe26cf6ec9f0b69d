INSERT INTO lms_activities (
    user_id, created_at, oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url, is_correct, attempt_type,
    defects, run_id, loaded_at
)
SELECT
    user_id, created_at, oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url, is_correct, attempt_type,
    defects, %(run_id)s, now()
FROM pg_temp.replayed_events
ON CONFLICT (created_at, user_id, attempt_type, lis_result_sourcedid) DO NOTHING;
