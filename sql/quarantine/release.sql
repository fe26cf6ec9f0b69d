-- Just the rows that were judged: what another session brings meanwhile stays.
DELETE FROM lms_activities_rejected AS held
USING pg_temp.replayed AS again
WHERE held.process_date = %(process_date)s
  AND held.raw_digest = again.raw_digest
  AND held.occurrence = again.occurrence
  AND again.reason IS NULL;
