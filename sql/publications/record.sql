INSERT INTO etl_publications (process_date, mode, target, destination, fingerprint, run_id, published_at)
VALUES (%(process_date)s, %(mode)s, %(target)s, %(destination)s, %(fingerprint)s, %(run_id)s, now())
ON CONFLICT (process_date, mode, target) DO UPDATE
SET destination = excluded.destination,
    fingerprint = excluded.fingerprint,
    run_id = excluded.run_id,
    published_at = excluded.published_at;
