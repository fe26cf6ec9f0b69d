-- A day lies in few pages, one beside the other, which the planner does not know: it would go back and forth between
-- index and table, or read all of a large table. Compiling a query takes longer than running it.
SET enable_indexscan = off;
SET enable_seqscan = off;
SET work_mem = '64MB';
SET jit = off;
