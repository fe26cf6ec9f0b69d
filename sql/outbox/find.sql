SELECT state FROM etl_outbox WHERE message_id = %(message_id)s;
