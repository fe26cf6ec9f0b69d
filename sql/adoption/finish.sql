UPDATE etl_runs
SET status = 'ok',
    window_start = coalesce(bounds.first, now()),
    window_end = coalesce(bounds.last, now()),
    received = %(rows)s,
    loaded = %(loaded)s,
    updated = 0,
    already_present = %(already_present)s,
    rejected = %(rejected)s,
    defective = bounds.defective,
    missing_at_source = 0,
    finished_at = clock_timestamp()
FROM (
    SELECT min(created_at) AS first, max(created_at) AS last, count(*) FILTER (WHERE defects <> '{}') AS defective
    FROM lms_activities
) AS bounds
WHERE id = %(run_id)s;
