UPDATE lms_activities_rejected AS held
SET reason = again.reason
FROM pg_temp.replayed AS again
WHERE held.process_date = %(process_date)s
  AND held.raw_digest = again.raw_digest
  AND held.occurrence = again.occurrence
  AND held.reason <> again.reason;
