COPY pg_temp.staged_events (
    run_id, user_id, created_at, oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url, is_correct,
    attempt_type, defects
) FROM STDIN (FORMAT binary)
