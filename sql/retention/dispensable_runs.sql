-- Runs that nothing refers to and no figure comes from: they brought no event that is still in table or quarantine, they
-- are not the day's last full one (loaded, or ended in whatever way), and no revision was published with them.
SELECT id
FROM etl_runs AS run
WHERE process_date < %(before)s
  AND finished_at IS NOT NULL
  AND coalesce(loaded, 0) + coalesce(updated, 0) = 0
  AND mode <> 'adoption'
  AND id IS DISTINCT FROM (
      SELECT max(id)
      FROM etl_runs
      WHERE process_date = run.process_date AND mode = 'full' AND status IN ('ok', 'partial')
  )
  AND id IS DISTINCT FROM (
      SELECT max(id)
      FROM etl_runs
      WHERE process_date = run.process_date AND mode = 'full' AND status <> 'running'
  )
  AND NOT EXISTS (SELECT FROM etl_revisions WHERE process_date = run.process_date AND run_id = run.id)
  AND NOT EXISTS (SELECT FROM lms_activities_rejected WHERE process_date = run.process_date AND run_id = run.id)
ORDER BY id;
