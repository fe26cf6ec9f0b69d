-- Letters of which a later record tells that the readers know the day's figures: what makes a letter news is that record,
-- so none of these can ever be asked for again.
SELECT message_id
FROM etl_outbox
JOIN etl_publications USING (process_date, mode)
WHERE process_date < %(before)s AND target = 'mail' AND changed_at <= published_at
ORDER BY message_id;
