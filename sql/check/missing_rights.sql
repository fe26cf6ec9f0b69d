-- The rights on our tables that a run needs and this role has not, one row each. Rows are deleted by a reset of the
-- events, by a replay of the quarantine, and by the retention.
SELECT ours.relname, needed.privilege
FROM pg_class AS ours
JOIN pg_namespace AS place ON place.oid = ours.relnamespace
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS needed (privilege)
WHERE place.nspname = current_schema()
    AND ours.relkind IN ('r', 'p')
    AND (ours.relname IN ('lms_activities', 'lms_activities_rejected') OR starts_with(ours.relname, 'etl_'))
    AND (needed.privilege = 'SELECT' OR ours.relname <> 'etl_schema_migrations')
    AND (needed.privilege <> 'DELETE' OR ours.relname = ANY (%(emptied)s))
    AND NOT has_table_privilege(ours.oid, needed.privilege)
ORDER BY ours.relname, needed.privilege;
