-- Views that read the table: they follow it to its new name.
SELECT DISTINCT view.oid::regclass::text
FROM pg_depend
JOIN pg_rewrite ON pg_rewrite.oid = objid
JOIN pg_class AS view ON view.oid = ev_class
WHERE classid = 'pg_rewrite'::regclass
  AND refclassid = 'pg_class'::regclass
  AND refobjid = 'lms_activities_before_adoption'::regclass
  AND view.relpersistence <> 't'  -- our own, which judges the rows, is one, too
ORDER BY 1;
