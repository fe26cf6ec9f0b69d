RESET enable_indexscan;
RESET work_mem;
RESET jit;
