-- How many events were judged, how many of them are good, how many of those have defects, how many are different, and
-- how many of the different ones the table holds.
SELECT
    (SELECT count(*) FROM pg_temp.replayed),
    (SELECT count(*) FROM pg_temp.replayed WHERE reason IS NULL),
    (SELECT count(*) FROM pg_temp.replayed WHERE defects <> '{}'),
    (SELECT count(*) FROM pg_temp.replayed_events),
    (
        SELECT count(*)
        FROM pg_temp.replayed_events AS sent
        JOIN lms_activities AS held
            ON held.created_at = sent.created_at
           AND held.user_id = sent.user_id
           AND held.attempt_type = sent.attempt_type
           AND held.lis_result_sourcedid IS NOT DISTINCT FROM sent.lis_result_sourcedid
    );
