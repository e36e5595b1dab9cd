# Paged tables of fixed-size rows: where all state of the core lives.
#
# A page is the unit of a checkpoint.  `row` reads, `edit` is the only way to write: it marks the
# page dirty and, while a checkpoint is being written from it, works on a copy (copy on write), so
# a checkpoint never makes a command wait.
from libc.stdint cimport int32_t, int64_t, uint8_t

cdef enum:
    PAGE_BYTES = 16384
    SMALL_TABLE_PAGES = 64  # up to here pages are allocated one by one
    CLEAN = 0
    DIRTY = 1
    FROZEN = 2
    PAGES_TO_LET_GO = 4096  # who has read so many pages in a row takes those that are spilled out of memory again

cdef extern from *:
    """
    #define ROWS_MAX 2147483646LL  /* links are row + 1 in an int32 */
    #define HEAP_BYTES_MAX 34359738368LL  /* a string is found by 32 bits in units of 8 bytes */
    """
    const int64_t ROWS_MAX
    const int64_t HEAP_BYTES_MAX

cdef class Table:
    cdef readonly str name
    cdef readonly int64_t count  # rows in use, from 0
    cdef readonly int32_t row_bytes
    cdef readonly int64_t page_rows  # a power of two
    cdef readonly int64_t page_count
    cdef int64_t page_capacity
    cdef int32_t shift
    cdef int64_t mask
    cdef char** pages
    cdef uint8_t* marks
    # Pages come one by one while a table is small, then from blocks; pages given up are used again.
    cdef char** blocks
    cdef int64_t block_count
    cdef char* block_at
    cdef int64_t block_left
    cdef char* free_pages  # linked through their first bytes

    cdef char* new_page(self) noexcept nogil
    cdef void give_up_page(self, char* page) noexcept nogil

    cdef inline void* row(self, int64_t index) noexcept nogil:
        return self.pages[index >> self.shift] + (index & self.mask) * self.row_bytes

    cdef inline void* edit(self, int64_t index) noexcept nogil:
        cdef int64_t page = index >> self.shift
        if self.marks[page] != DIRTY:
            self.touch(page)
        return self.pages[page] + (index & self.mask) * self.row_bytes

    cdef void touch(self, int64_t page) noexcept nogil
    cdef inline int64_t append(self) noexcept nogil:
        """Add a zeroed row and return its index."""
        cdef int64_t row = self.count
        if row & self.mask == 0 or self.marks[row >> self.shift] != DIRTY:
            return self.append_many(1)
        self.count = row + 1
        return row

    cdef int64_t append_many(self, int64_t rows) noexcept nogil
    cdef void truncate(self, int64_t count) noexcept nogil

cdef class Heap(Table):
    # A table of single bytes: strings never straddle a page, so a reference is (offset, size).
    cdef int64_t put(self, const char* data, int64_t size) noexcept nogil

cdef class Checkpoint:
    cdef list tables
    cdef readonly int64_t page_total
    cdef int32_t* table_of
    cdef int64_t* page_of
    cdef char** data_of
    cdef bint closed
    cdef void close(self, bint written)
