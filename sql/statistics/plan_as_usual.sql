RESET enable_indexscan;
RESET enable_seqscan;
RESET enable_nestloop;
RESET enable_sort;
RESET enable_incremental_sort;
RESET work_mem;
RESET jit;
