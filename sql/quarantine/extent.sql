SELECT count(*), min(process_date), max(process_date) FROM lms_activities_rejected;
