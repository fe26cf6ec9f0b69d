SELECT fingerprint
FROM etl_publications
WHERE process_date = %(process_date)s AND mode = %(mode)s AND target = %(target)s AND destination = %(destination)s;
