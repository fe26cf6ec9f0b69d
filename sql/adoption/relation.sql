-- What stands where the events table is to be: its kind, and whether it is tied to others by partitions or inheritance.
SELECT
    relkind::text,
    relispartition OR EXISTS (SELECT FROM pg_inherits WHERE inhrelid = oid OR inhparent = oid),
    to_regclass('lms_activities_before_adoption') IS NOT NULL
FROM pg_class
WHERE oid = to_regclass('lms_activities');
