INSERT INTO etl_revisions (
    process_date, mode, revision, complete, unique_users, runs, submits, successful_submits, run_id, recorded_at
)
VALUES (
    %(process_date)s, %(mode)s, %(revision)s, %(complete)s, %(unique_users)s, %(runs)s, %(submits)s,
    %(successful_submits)s, %(run_id)s, now()
)
ON CONFLICT (process_date, mode, revision) DO UPDATE
SET complete = excluded.complete,
    unique_users = excluded.unique_users,
    runs = excluded.runs,
    submits = excluded.submits,
    successful_submits = excluded.successful_submits,
    run_id = excluded.run_id,
    recorded_at = excluded.recorded_at;
