-- One scan of the key's range; students are grouped first, because count(DISTINCT) sorts.
SELECT
    count(*) AS unique_users,
    coalesce(sum(runs), 0)::bigint AS runs,
    coalesce(sum(submits), 0)::bigint AS submits,
    coalesce(sum(successful_submits), 0)::bigint AS successful_submits
FROM (
    SELECT
        count(*) - count(*) FILTER (WHERE attempt_type = 'submit') AS runs,
        count(*) FILTER (WHERE attempt_type = 'submit') AS submits,
        count(*) FILTER (WHERE attempt_type = 'submit' AND is_correct) AS successful_submits
    FROM lms_activities
    WHERE created_at >= %(start)s AND created_at < %(end)s
    GROUP BY user_id
) AS student;
