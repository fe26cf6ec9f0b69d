RESET enable_indexscan;
RESET enable_seqscan;
RESET work_mem;
RESET jit;
