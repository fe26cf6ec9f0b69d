SELECT process_date, count(*)
FROM lms_activities_rejected
WHERE process_date < %(before)s
GROUP BY process_date
ORDER BY process_date;
