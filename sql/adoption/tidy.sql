DROP VIEW pg_temp.old_rows;
DROP FUNCTION pg_temp.unquoted(text), pg_temp.literal(text), pg_temp.ascii_only(text);

COMMENT ON TABLE lms_activities_before_adoption IS
    'The events table of an earlier script, as it was when this program adopted it. Nothing here reads it any more.';

ANALYZE lms_activities;
