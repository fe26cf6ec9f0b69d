-- The last letter of a day that was recorded to its end, and whether a later one may have told something else.
SELECT
    published.fingerprint,
    published.published_at,
    EXISTS (
        SELECT
        FROM etl_outbox
        WHERE process_date = %(process_date)s
            AND mode = %(mode)s
            AND state IN ('handing over', 'sent')
            AND (published.published_at IS NULL OR changed_at > published.published_at)
    )
FROM (VALUES (1)) AS always (one)
LEFT JOIN etl_publications AS published
    ON process_date = %(process_date)s AND mode = %(mode)s AND target = 'mail';
