-- Two large sets are compared as a whole: what the planner would do row by row, for want of statistics, takes longer.
SET LOCAL enable_nestloop = off;
SET LOCAL enable_indexscan = off;
SET LOCAL jit = off;
SET LOCAL work_mem = '64MB';
