INSERT INTO etl_outbox (message_id, process_date, mode, state, run_id, changed_at)
VALUES (%(message_id)s, %(process_date)s, %(mode)s, %(state)s, %(run_id)s, now())
ON CONFLICT (message_id) DO UPDATE
SET state = excluded.state, run_id = excluded.run_id, changed_at = excluded.changed_at;
