SELECT process_date, reason, raw, received_at, run_id
FROM lms_activities_rejected
WHERE process_date BETWEEN %(first)s AND %(last)s
ORDER BY process_date, received_at, run_id, raw_digest, occurrence;
