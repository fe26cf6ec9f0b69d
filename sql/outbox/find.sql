SELECT message_id, state FROM etl_outbox WHERE message_id = ANY (%(keys)s::text[]);
