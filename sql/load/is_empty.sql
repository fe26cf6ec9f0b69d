-- Whether the table holds nothing of the window, so that its events can be copied straight into it.
SELECT NOT EXISTS (SELECT FROM lms_activities WHERE created_at >= %(start)s AND created_at < %(end)s);
