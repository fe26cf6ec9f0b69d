SELECT process_date, fingerprint
FROM etl_publications
WHERE process_date >= %(first)s AND process_date < %(end)s
    AND mode = 'full' AND target = %(target)s AND destination = %(destination)s;
