-- The load copies straight into the table; the moment is that of its transaction.
ALTER TABLE lms_activities ALTER COLUMN loaded_at SET DEFAULT now();
