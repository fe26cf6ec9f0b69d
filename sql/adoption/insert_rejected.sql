-- What today's rules refuse, written as the source writes events, so that it can be replayed like any rejected event.
-- A row without a readable time goes to the day of the adoption.

-- A Python literal of a text, or None.
CREATE FUNCTION pg_temp.literal(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(
        '''' || replace(replace(replace(replace(value, '\', '\\'), '''', '\'''), E'\n', '\n'), E'\r', '\r') || '''',
        'None'
    )
$$;

-- JSON in ASCII.
CREATE FUNCTION pg_temp.ascii_only(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(
        CASE
            WHEN ascii(letter) < 128 THEN letter
            WHEN ascii(letter) < 65536 THEN '\u' || lpad(to_hex(ascii(letter)), 4, '0')
            ELSE '\u' || to_hex(55296 + (ascii(letter) - 65536) / 1024)
                || '\u' || to_hex(56320 + (ascii(letter) - 65536) %% 1024)
        END,
        '' ORDER BY number
    )
    FROM string_to_table(value, NULL) WITH ORDINALITY AS letters (letter, number)
$$;

INSERT INTO lms_activities_rejected (run_id, process_date, reason, raw, received_at, raw_digest, occurrence)
SELECT
    %(run_id)s,
    process_date,
    reason,
    raw,
    now(),
    sha256(convert_to(raw, 'UTF8')),
    row_number() OVER (PARTITION BY process_date, raw ORDER BY place)
FROM (
    SELECT
        place,
        reason,
        CASE
            WHEN created_at >= '0001-01-02' AND created_at < '9999-12-31' THEN (created_at AT TIME ZONE %(zone)s)::date
            ELSE %(today)s
        END AS process_date,
        CASE WHEN octet_length(spelled) = length(spelled) THEN spelled ELSE pg_temp.ascii_only(spelled) END AS raw
    FROM (
        SELECT
            old_rows.*,
            '{"lti_user_id": ' || coalesce(to_json(user_id)::text, 'null')
            || ', "passback_params": ' || CASE
                WHEN bare THEN 'null'
                ELSE to_json(
                    '{''oauth_consumer_key'': ' || pg_temp.literal(oauth_consumer_key)
                    || ', ''lis_result_sourcedid'': ' || pg_temp.literal(lis_result_sourcedid)
                    || ', ''lis_outcome_service_url'': ' || pg_temp.literal(lis_outcome_service_url) || '}'
                )::text
            END
            || ', "is_correct": ' || CASE
                WHEN correctness IS NULL THEN 'null'
                WHEN is_correct IS NOT NULL THEN is_correct::integer::text
                WHEN correctness ~ '^(0|-?[1-9][0-9]*)$' THEN correctness
                ELSE to_json(correctness)::text
            END
            || ', "attempt_type": ' || coalesce(to_json(attempt_type)::text, 'null')
            || ', "created_at": ' || coalesce(
                to_json(CASE
                    WHEN NOT isfinite(created_at) OR created_at < '0001-01-02' OR created_at >= '9999-12-31' THEN created_at::text
                    ELSE to_char(created_at, 'YYYY-MM-DD HH24:MI:SS.US')
                END)::text,
                'null'
            )
            || '}' AS spelled
        FROM pg_temp.old_rows
        WHERE reason IS NOT NULL
    ) AS spelled_out
) AS dated;
