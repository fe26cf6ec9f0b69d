-- How many of the rejected events lie in the quarantine of their day.
SELECT count(*)
FROM pg_temp.unique_rejected
JOIN lms_activities_rejected AS held USING (raw_digest, occurrence)
WHERE held.process_date = %(process_date)s;
