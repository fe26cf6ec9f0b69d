-- The last full run whose events were committed.
SELECT id, complete, window_end, received, loaded, updated, already_present, rejected, defective, missing_at_source
FROM etl_runs
WHERE process_date = %(process_date)s AND mode = 'full' AND status IN ('ok', 'partial')
ORDER BY id DESC
LIMIT 1;
