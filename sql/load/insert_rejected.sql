-- Identical texts are told apart by their occurrence, so that a re-run adds none and loses none.
INSERT INTO lms_activities_rejected (run_id, process_date, reason, raw, received_at, raw_digest, occurrence)
SELECT
    %(run_id)s, %(process_date)s, reason, raw, now(), raw_digest,
    row_number() OVER (PARTITION BY raw_digest ORDER BY seq)
FROM pg_temp.staged_rejected
ON CONFLICT (process_date, raw_digest, occurrence) DO NOTHING;
