-- The newest day that was loaded whole, and the moment at which it was over.
SELECT process_date, window_end
FROM etl_runs
WHERE mode = 'full' AND complete AND status IN ('ok', 'partial')
ORDER BY window_end DESC, id DESC
LIMIT 1;
