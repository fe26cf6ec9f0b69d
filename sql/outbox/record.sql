-- One row for each day that the letter tells of, under the key of what it tells.
INSERT INTO etl_outbox (message_id, process_date, mode, state, run_id, changed_at)
SELECT entry.key, entry.day, entry.mode, entry.state, %(run_id)s, now()
FROM unnest(%(keys)s::text[], %(days)s::date[], %(modes)s::text[], %(states)s::text[]) AS entry (key, day, mode, state)
ON CONFLICT (message_id) DO UPDATE
SET state = excluded.state, run_id = excluded.run_id, changed_at = excluded.changed_at;
