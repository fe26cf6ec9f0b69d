-- A row follows the quarantined event only where that came later: otherwise the source has corrected it meanwhile.
UPDATE lms_activities AS held
SET oauth_consumer_key = sent.oauth_consumer_key,
    lis_outcome_service_url = sent.lis_outcome_service_url,
    is_correct = sent.is_correct,
    defects = sent.defects,
    run_id = %(run_id)s,
    loaded_at = now()
FROM pg_temp.replayed_events AS sent
WHERE held.created_at = sent.created_at
  AND held.user_id = sent.user_id
  AND held.attempt_type = sent.attempt_type
  AND held.lis_result_sourcedid IS NOT DISTINCT FROM sent.lis_result_sourcedid
  AND held.loaded_at < sent.received_at
  AND (held.oauth_consumer_key, held.lis_outcome_service_url, held.is_correct, held.defects)
      IS DISTINCT FROM
      (sent.oauth_consumer_key, sent.lis_outcome_service_url, sent.is_correct, sent.defects);
