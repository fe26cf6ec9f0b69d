-- Without statistics the planner takes the table for empty and joins row by row.
ANALYZE pg_temp.audited_events;
