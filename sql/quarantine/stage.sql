INSERT INTO pg_temp.replayed (
    seq, raw_digest, occurrence, received_at, reason, user_id, created_at, oauth_consumer_key, lis_result_sourcedid,
    lis_outcome_service_url, is_correct, attempt_type, defects
)
VALUES %s
