# Blocks of BLOCK_BYTES for tables: memory, or parts of a file where the process folds more than its memory holds.
cdef char* table_block_take() noexcept nogil
cdef void table_block_free(char* block) noexcept nogil
cdef void table_blocks_let_go() noexcept nogil
