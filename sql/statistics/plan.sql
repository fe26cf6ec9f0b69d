-- A day lies in few pages, one beside the other, which the planner does not know: it would go back and forth between
-- index and table, or read all of a large table. Compiling a query takes longer than running it.
SET enable_indexscan = off;
SET enable_seqscan = off;
-- Where it expects next to no events, it would look at every task for each of them.
SET enable_nestloop = off;
-- Nor does it know how often students try one task, and would sort what is cheaper to hash.
SET enable_sort = off;
SET enable_incremental_sort = off;
SET work_mem = '64MB';
SET jit = off;
