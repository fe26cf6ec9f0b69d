-- Whoever still writes into the old table is waited for; then it is nobody's any more.
ALTER TABLE lms_activities RENAME TO lms_activities_before_adoption;
