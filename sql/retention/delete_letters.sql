DELETE FROM etl_outbox WHERE message_id = ANY (%(ids)s) RETURNING 1;
