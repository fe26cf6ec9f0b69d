SELECT count(*) FROM lms_activities WHERE created_at >= %(start)s AND created_at < %(end)s;
