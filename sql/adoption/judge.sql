-- The rows of the old table as today's rules see them (those of source/validation.py): with the reason for which one is
-- rejected, or with its defects. A view, so that a table of any size is neither copied nor carried through Python.

-- What urllib.parse.unquote makes of a text, as far as that can be a user id.
CREATE FUNCTION pg_temp.unquoted(quoted text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(
        CASE
            WHEN length(part[1]) = 1 THEN part[1]
            WHEN part[1] ~ '^%%[2-7]' THEN chr(('x' || right(part[1], 2))::bit(8)::integer)
            ELSE '?'
        END,
        '' ORDER BY number
    )
    FROM regexp_matches(quoted, '(%%[0-9A-Fa-f]{2}|.)', 'g') WITH ORDINALITY AS found (part, number)
$$;

CREATE TEMPORARY VIEW old_rows AS
SELECT
    told.*,
    CASE
        WHEN user_id IS NULL THEN 'user_id_missing'
        WHEN length(user_id) <> %(user_id_length)s THEN 'user_id_length'
        WHEN user_id !~ '^[0-9A-Za-z._-]+$' THEN 'user_id_characters'
        WHEN created_at IS NULL THEN 'created_at_unreadable'
        WHEN created_at < '0001-01-01 00:00:00+00' OR created_at >= '10000-01-01 00:00:00+00' THEN 'created_at_unreadable'
        WHEN attempt_type IS NULL OR attempt_type NOT IN ('run', 'submit') THEN 'attempt_type_unknown'
        WHEN correctness IS NOT NULL AND is_correct IS NULL THEN 'is_correct_unknown'
        WHEN octet_length(oauth_consumer_key) > %(most_bytes)s
            OR octet_length(lis_result_sourcedid) > %(most_bytes)s
            OR octet_length(lis_outcome_service_url) > %(most_bytes)s
            THEN 'field_too_long'
    END AS reason,
    array_remove(
        ARRAY[
            CASE WHEN bare THEN 'passback_missing' END,
            CASE WHEN NOT bare AND oauth_consumer_key IS NULL THEN 'oauth_consumer_key_missing' END,
            CASE WHEN NOT bare AND lis_result_sourcedid IS NULL THEN 'lis_result_sourcedid_missing' END,
            CASE WHEN NOT bare AND lis_outcome_service_url IS NULL THEN 'lis_outcome_service_url_missing' END,
            CASE
                WHEN right(lis_result_sourcedid, length(user_id) + 1) = ':' || user_id THEN NULL
                WHEN position(':' IN lis_result_sourcedid) = 0 THEN NULL
                WHEN split_part(lis_result_sourcedid, ':', -1) = user_id THEN NULL
                WHEN pg_temp.unquoted(split_part(lis_result_sourcedid, ':', -1)) = user_id THEN NULL
                WHEN lis_result_sourcedid IS NOT NULL THEN 'user_id_mismatch'
            END,
            CASE WHEN (is_correct IS NULL) <> (attempt_type = 'run') THEN 'correctness_mismatch' END
        ],
        NULL
    ) AS defects
FROM (
    SELECT
        ctid AS place,
        user_id::text COLLATE "C" AS user_id,
        created_at::timestamptz AS created_at,  -- one without a zone is UTC, as is the session
        oauth_consumer_key::text COLLATE "C" AS oauth_consumer_key,
        lis_result_sourcedid::text COLLATE "C" AS lis_result_sourcedid,
        lis_outcome_service_url::text COLLATE "C" AS lis_outcome_service_url,
        nullif(lower(is_correct::text), 'nan') AS correctness,  -- as some libraries of Python spell null
        CASE
            WHEN lower(is_correct::text) ~ '^(1(\.0+)?|true)$' THEN true
            WHEN lower(is_correct::text) ~ '^(0(\.0+)?|false)$' THEN false
        END AS is_correct,
        attempt_type::text COLLATE "C" AS attempt_type,
        (oauth_consumer_key IS NULL AND lis_result_sourcedid IS NULL AND lis_outcome_service_url IS NULL) AS bare
    FROM lms_activities_before_adoption
) AS told;
