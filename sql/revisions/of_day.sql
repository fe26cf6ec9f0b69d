SELECT revision, complete, recorded_at, unique_users, runs, submits, successful_submits
FROM etl_revisions
WHERE process_date = %(process_date)s AND mode = 'full'
ORDER BY revision;
