-- Who we are to this server, and what holds for the session as a whole.
SELECT
    current_user,
    has_schema_privilege(current_schema(), 'CREATE'),
    has_database_privilege(current_database(), 'TEMPORARY'),
    current_setting('transaction_read_only') = 'on',
    (SELECT setting FROM pg_settings WHERE name = 'data_directory');
