SELECT revision, complete, unique_users, runs, submits, successful_submits
FROM etl_revisions
WHERE process_date = %(process_date)s AND mode = %(mode)s
ORDER BY revision DESC
LIMIT 2;
