SELECT count(*) FROM lms_activities_rejected WHERE process_date = %(process_date)s;
