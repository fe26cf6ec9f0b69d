SELECT count(*) FROM pg_temp.unique_events;
