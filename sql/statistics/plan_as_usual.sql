RESET enable_indexscan;
RESET enable_seqscan;
RESET enable_nestloop;
RESET work_mem;
RESET jit;
