-- In the order in which the events came, as far as it is known. Held against whoever else would delete them.
SELECT raw_digest, occurrence, reason, raw, received_at
FROM lms_activities_rejected
WHERE process_date = %(process_date)s
ORDER BY received_at, run_id, raw_digest, occurrence
FOR UPDATE;
