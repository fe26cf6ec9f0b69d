-- The day, its hours, courses and tasks in one scan of the key's range: a row for each, told apart by their level. Hours
-- are counted from the day's first moment, so that days of 23 and 25 hours come out right.
--
-- lis_result_sourcedid is context:resource link:user id, split from the right; context and link may be percent-encoded.
-- Only keys of Open edX's grammar leave this query; everything else counts as unknown (null). Students try a task several
-- times in a row, so the first step makes one row of each such visit: there are far fewer visits than events whose texts
-- have to be taken apart, which is expensive. A day has few tasks, so the regular expressions look at each place once,
-- and behind them courses and tasks are numbers.
-- A first submit was a success when a success came at its moment: an aggregate that sorts would cost more than all the
-- rest. No figure depends on more than one student, so the students may be divided and what is counted of each part
-- added up.
WITH visits AS (
    SELECT
        user_id,
        lis_result_sourcedid AS sourcedid,
        date_bin('1 hour', created_at, %(start)s) AS hour,
        count(*) FILTER (WHERE attempt_type = 'run')::integer AS runs,
        count(*) FILTER (WHERE attempt_type = 'submit')::integer AS submits,
        count(*) FILTER (WHERE attempt_type = 'submit' AND is_correct)::integer AS successful,
        min(created_at) FILTER (WHERE attempt_type = 'submit') AS first_submit,
        min(created_at) FILTER (WHERE attempt_type = 'submit' AND is_correct) AS first_success
    FROM lms_activities
    WHERE created_at >= %(start)s AND created_at < %(end)s
        AND (%(parts)s = 1 OR abs(hashtext(user_id) %% %(parts)s) = %(part)s)
    GROUP BY 1, 2, 3
),
placed AS MATERIALIZED (
    SELECT
        user_id,
        CASE
            WHEN octet_length(cut) = octet_length(sourcedid) - octet_length(user_id) - 1 THEN cut
            WHEN right(sourcedid, length(user_id) + 1) = ':' || user_id
                THEN left(sourcedid, -length(user_id) - 1)
            ELSE coalesce(substring(sourcedid FROM '^(.*):[^:]*$'), '')
        END AS place,
        hour,
        runs,
        submits,
        successful,
        first_submit,
        first_success
    FROM (
        -- Where this takes away no more than the student, they stand at the end: cheaper than counting characters.
        SELECT *, split_part(sourcedid, ':' || user_id, 1) AS cut
        FROM visits
        OFFSET 0  -- keeps the planner from working it out several times
    ) AS visit
),
places AS MATERIALIZED (
    SELECT
        place,
        replace(replace(replace(replace(replace(replace(
            place, '%%3A', ':'), '%%3a', ':'), '%%2B', '+'), '%%2b', '+'), '%%2F', '/'), '%%2f', '/') AS plain
    FROM (SELECT DISTINCT place FROM placed) AS found
),
parsed AS MATERIALIZED (
    SELECT
        place,
        substring(
            plain FROM
            '^(course-v1:[A-Za-z0-9._~-]+\+[A-Za-z0-9._~-]+\+[A-Za-z0-9._~-]+'
            '|[A-Za-z0-9._~-]+/[A-Za-z0-9._~-]+/[A-Za-z0-9._~-]+):'
        ) AS course,
        substring(plain FROM ':[^/]*-([A-Za-z0-9_]+)$') AS block
    FROM places
),
keys AS MATERIALIZED (
    SELECT
        place,
        course,
        CASE WHEN course IS NOT NULL THEN block END AS task,
        dense_rank() OVER (ORDER BY course)::integer AS course_number,
        dense_rank() OVER (ORDER BY course, CASE WHEN course IS NOT NULL THEN block END)::integer AS task_number
    FROM parsed
),
pairs AS MATERIALIZED (
    -- A row per student and task.
    SELECT
        placed.user_id,
        keys.course_number,
        keys.task_number,
        sum(runs)::integer AS runs,
        sum(submits)::integer AS submits,
        sum(successful)::integer AS successful,
        min(first_success) = min(first_submit) AS first_successful
    FROM placed
    JOIN keys ON keys.place = placed.place
    GROUP BY 1, 2, 3
),
tasks AS MATERIALIZED (
    SELECT
        course_number,
        task_number,
        count(*) AS students,
        sum(runs) AS runs,
        sum(submits) AS submits,
        sum(successful) AS successful,
        count(*) FILTER (WHERE submits > 0) AS first_submits,
        count(*) FILTER (WHERE first_successful) AS successful_first_submits,
        count(*) FILTER (WHERE successful = 0 AND submits >= %(stuck_after)s) AS stuck
    FROM pairs
    GROUP BY 1, 2
),
stuck AS MATERIALIZED (
    SELECT DISTINCT pairs.user_id
    FROM pairs
    JOIN keys ON keys.task_number = pairs.task_number AND keys.task IS NOT NULL
    WHERE pairs.successful = 0 AND pairs.submits >= %(stuck_after)s
),
students AS MATERIALIZED (
    SELECT DISTINCT course_number, user_id FROM pairs
),
course_students AS (
    SELECT course_number, count(*) AS students FROM students GROUP BY 1
)
SELECT
    'task' AS level, named.course, named.task, NULL::timestamptz AS hour, students, runs, submits, successful,
    first_submits, successful_first_submits, stuck
FROM tasks
JOIN (SELECT DISTINCT task_number, course, task FROM keys WHERE task IS NOT NULL) AS named USING (task_number)
UNION ALL
SELECT
    'course', named.course, NULL, NULL, course_students.students, of_course.runs, of_course.submits,
    of_course.successful, of_course.first_submits, of_course.successful_first_submits, 0
FROM (
    SELECT
        course_number, sum(runs)::bigint AS runs, sum(submits)::bigint AS submits, sum(successful)::bigint AS successful,
        sum(first_submits)::bigint AS first_submits, sum(successful_first_submits)::bigint AS successful_first_submits
    FROM tasks
    GROUP BY 1
) AS of_course
JOIN course_students USING (course_number)
JOIN (SELECT DISTINCT course_number, course FROM keys) AS named USING (course_number)
UNION ALL
SELECT
    'hour', NULL, NULL, hour, 0, sum(runs), sum(submits), sum(successful), 0, 0, 0
FROM placed
GROUP BY 4
UNION ALL
SELECT
    'day', NULL, NULL, NULL, (SELECT count(*) FROM (SELECT DISTINCT user_id FROM students) AS student),
    coalesce(sum(runs), 0)::bigint, coalesce(sum(submits), 0)::bigint, coalesce(sum(successful), 0)::bigint, 0, 0,
    (SELECT count(*) FROM stuck)
FROM tasks
ORDER BY level, course, task, hour;
