SELECT
    id, process_date, mode, status, complete, received, loaded, updated, already_present, rejected, defective,
    missing_at_source, sheet, mail, started_at, finished_at, error,
    error_parts
FROM etl_runs
WHERE process_date >= %(first)s AND process_date < %(end)s
ORDER BY id DESC;
