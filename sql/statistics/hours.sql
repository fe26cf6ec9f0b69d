-- Counted in hours since the day's first moment, so that days of 23 and 25 hours come out right.
SELECT
    date_bin('1 hour', created_at, %(start)s) AS hour,
    count(*) - count(*) FILTER (WHERE attempt_type = 'submit') AS runs,
    count(*) FILTER (WHERE attempt_type = 'submit') AS submits,
    count(*) FILTER (WHERE attempt_type = 'submit' AND is_correct) AS successful_submits
FROM lms_activities
WHERE created_at >= %(start)s AND created_at < %(end)s
GROUP BY 1;
