SELECT
    attname::text,
    CASE
        WHEN typtype <> 'b' THEN 'other'
        WHEN typcategory = 'S' THEN 'text'
        WHEN typname IN ('int2', 'int4', 'int8') THEN 'integer'
        WHEN typname IN ('numeric', 'float4', 'float8') THEN 'number'
        WHEN typname = 'bool' THEN 'boolean'
        WHEN typname IN ('timestamp', 'timestamptz') THEN 'moment'
        ELSE 'other'
    END,
    format_type(atttypid, atttypmod)
FROM pg_attribute
JOIN pg_type ON pg_type.oid = atttypid
WHERE attrelid = 'lms_activities'::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attnum;
