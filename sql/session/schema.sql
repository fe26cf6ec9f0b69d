-- The encoding, and the schema to work in: where our tables are, if the search path leads to them, else its first.
-- So a schema that is put before ours later does not hide them.
SELECT
    current_setting('server_encoding'),
    coalesce(
        (
            SELECT place.nspname
            FROM pg_class AS ours
            JOIN pg_namespace AS place ON place.oid = ours.relnamespace
            WHERE ours.oid = to_regclass('etl_schema_migrations')
        ),
        current_schema()
    );
