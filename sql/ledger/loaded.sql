-- Part of the load's transaction: a kill right after the commit leaves "partial", which is the truth.
UPDATE etl_runs
SET status = 'partial',
    received = %(received)s,
    loaded = %(loaded)s,
    updated = %(updated)s,
    already_present = %(already_present)s,
    rejected = %(rejected)s,
    defective = %(defective)s,
    missing_at_source = %(missing_at_source)s
WHERE id = %(run_id)s;
