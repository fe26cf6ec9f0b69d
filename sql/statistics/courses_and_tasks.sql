-- Courses, tasks and the whole day in one scan: first a row per student and task, then the sums of those.
-- lis_result_sourcedid is context:resource link:user id, split from the right; context and link may be percent-encoded.
-- Only keys of Open edX's grammar leave this query; everything else counts as unknown (null). A day has few tasks, so
-- the regular expressions look at each task once, not at each event.
WITH attempts AS MATERIALIZED (
    SELECT
        user_id,
        CASE
            WHEN right(lis_result_sourcedid, length(user_id) + 1) = ':' || user_id
                THEN left(lis_result_sourcedid, -length(user_id) - 1)
            ELSE substring(lis_result_sourcedid FROM '^(.*):[^:]*$')
        END AS place,
        count(*) FILTER (WHERE attempt_type = 'run') AS runs,
        count(*) FILTER (WHERE attempt_type = 'submit') AS submits,
        count(*) FILTER (WHERE attempt_type = 'submit' AND is_correct) AS successful,
        min(created_at) FILTER (WHERE attempt_type = 'submit') AS first_at,
        (array_agg(is_correct ORDER BY created_at) FILTER (WHERE attempt_type = 'submit'))[1] AS first_successful
    FROM lms_activities
    WHERE created_at >= %(start)s AND created_at < %(end)s
    GROUP BY 1, 2
),
places AS MATERIALIZED (
    SELECT
        place,
        replace(replace(replace(replace(replace(replace(
            place, '%%3A', ':'), '%%3a', ':'), '%%2B', '+'), '%%2b', '+'), '%%2F', '/'), '%%2f', '/') AS plain
    FROM (SELECT DISTINCT place FROM attempts) AS found
),
keys AS MATERIALIZED (
    SELECT
        place,
        substring(
            plain FROM
            '^(course-v1:[A-Za-z0-9._~-]+\+[A-Za-z0-9._~-]+\+[A-Za-z0-9._~-]+'
            '|[A-Za-z0-9._~-]+/[A-Za-z0-9._~-]+/[A-Za-z0-9._~-]+):'
        ) AS course,
        substring(plain FROM ':[^/]*-([A-Za-z0-9_]+)$') AS task
    FROM places
),
pairs AS (
    SELECT
        attempts.user_id,
        keys.course,
        CASE WHEN keys.course IS NOT NULL THEN keys.task END AS task,
        sum(attempts.runs) AS runs,
        sum(attempts.submits) AS submits,
        sum(attempts.successful) AS successful,
        (array_agg(attempts.first_successful ORDER BY attempts.first_at) FILTER (WHERE attempts.first_at IS NOT NULL))[1]
            AS first_successful
    FROM attempts
    LEFT JOIN keys ON keys.place = attempts.place
    GROUP BY 1, 2, 3
)
SELECT
    grouping(course, task) AS level,
    course,
    task,
    count(DISTINCT user_id) AS students,
    sum(runs)::bigint AS runs,
    sum(submits)::bigint AS submits,
    sum(successful)::bigint AS successful_submits,
    count(*) FILTER (WHERE submits > 0) AS first_submits,
    count(*) FILTER (WHERE first_successful) AS successful_first_submits,
    count(DISTINCT user_id) FILTER (WHERE successful = 0 AND submits >= %(stuck_after)s AND task IS NOT NULL)
        AS stuck_students
FROM pairs
GROUP BY GROUPING SETS ((course), (course, task), ())
ORDER BY level, course, task;
