-- Some of a day's events at a time: nobody waits long for a lock, and a kill undoes little.
DELETE FROM lms_activities_rejected
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM lms_activities_rejected WHERE process_date = %(process_date)s LIMIT %(most)s
))
RETURNING 1;
