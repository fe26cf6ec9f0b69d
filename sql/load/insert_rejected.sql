INSERT INTO lms_activities_rejected (run_id, process_date, reason, raw, received_at, raw_digest, occurrence)
SELECT %(run_id)s, %(process_date)s, reason, raw, now(), raw_digest, occurrence
FROM pg_temp.unique_rejected
ON CONFLICT (process_date, raw_digest, occurrence) DO NOTHING;
