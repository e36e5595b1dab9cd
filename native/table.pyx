"""Paged tables of fixed-size rows, and the checkpoint of a set of them.

All state of the core is rows of C structs in such tables; indexes are derived and rebuilt at a
start.  That one decision gives cheap checkpoints (copy dirty pages), a fast start (load pages),
and a state digest (hash pages): padding is zero and rows are written field by field, so equal
states are equal bytes.
"""

import hashlib
import sys
from collections.abc import Iterator

from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport abort, free, malloc, realloc
from libc.string cimport memcpy, memset

from ringup.native.memory cimport BLOCK_BYTES, lines_alloc
from ringup.native.spill cimport table_block_free, table_block_take, table_blocks_let_go

cdef extern from "Python.h":
    int PyBUF_READ


cdef class Table:
    """Rows of `row_bytes` bytes, zeroed when appended, in pages of a power of two of rows."""

    def __cinit__(self, str name, int row_bytes):
        assert 0 < row_bytes <= PAGE_BYTES, f"{name}: a row of {row_bytes} bytes does not fit a page of {PAGE_BYTES}"
        self.name = name
        self.row_bytes = row_bytes
        self.shift = 0
        while (2 << self.shift) * row_bytes <= PAGE_BYTES:
            self.shift += 1
        self.page_rows = 1 << self.shift
        self.mask = self.page_rows - 1

    def __dealloc__(self):
        cdef int64_t at
        for at in range(self.block_count):
            table_block_free(self.blocks[at])
        free(self.blocks)
        free(self.pages)
        free(self.marks)

    cdef char* new_page(self) noexcept nogil:
        """Memory for a page: zeroed, or the content of a page that was given up."""
        cdef int64_t size = self.page_rows * self.row_bytes
        cdef char* page = self.free_pages
        if page != NULL:
            memcpy(&self.free_pages, page, sizeof(char*))
            return page
        if self.block_left < size:
            if self.block_count % 64 == 0:
                self.blocks = <char**>realloc(self.blocks, (self.block_count + 64) * sizeof(char*))
            self.block_left = size if self.page_count < SMALL_TABLE_PAGES else BLOCK_BYTES
            self.block_at = <char*>lines_alloc(size) if self.page_count < SMALL_TABLE_PAGES else table_block_take()
            if self.blocks == NULL or self.block_at == NULL:
                abort()  # out of memory in the middle of a command: stop, the journal is the truth
            self.blocks[self.block_count] = self.block_at
            self.block_count += 1
        page = self.block_at
        self.block_at += size
        self.block_left -= size
        return page

    cdef void give_up_page(self, char* page) noexcept nogil:
        memcpy(page, &self.free_pages, sizeof(char*))
        self.free_pages = page

    cdef void touch(self, int64_t page) noexcept nogil:
        # A frozen page belongs to the checkpoint being written: leave it the old bytes.
        cdef char* copy
        cdef int64_t size = self.page_rows * self.row_bytes
        if self.marks[page] == FROZEN:
            copy = self.new_page()
            memcpy(copy, self.pages[page], size)
            self.pages[page] = copy
        self.marks[page] = DIRTY

    cdef int64_t append_many(self, int64_t rows) noexcept nogil:
        """Add `rows` zeroed rows and return the index of the first."""
        cdef int64_t first = self.count
        cdef int64_t page, pages = (first + rows + self.page_rows - 1) >> self.shift
        cdef bint is_zeroed
        if first + rows > (HEAP_BYTES_MAX if self.row_bytes == 1 else ROWS_MAX):
            with gil:  # rows refer to each other with 32 bits: stop before one is mistaken for another
                print(f"ringup: table {self.name} is full at {first} rows; keep the data directory, report this",
                      file=sys.stderr, flush=True)
            abort()
        if pages > self.page_capacity:
            self.page_capacity = max(pages, self.page_capacity * 2, 8)
            self.pages = <char**>realloc(self.pages, self.page_capacity * sizeof(char*))
            self.marks = <uint8_t*>realloc(self.marks, self.page_capacity)
            if self.pages == NULL or self.marks == NULL:
                abort()
        while self.page_count < pages:
            is_zeroed = self.free_pages == NULL
            self.pages[self.page_count] = self.new_page()
            if not is_zeroed:
                memset(self.pages[self.page_count], 0, self.page_rows * self.row_bytes)
            self.marks[self.page_count] = DIRTY
            self.page_count += 1
        if rows > 0:
            for page in range(first >> self.shift, pages):
                if self.marks[page] != DIRTY:
                    self.touch(page)
        self.count = first + rows
        return first

    cdef void truncate(self, int64_t count) noexcept nogil:
        """Forget the rows from `count` on; they are zeroed, as appended rows must be."""
        cdef int64_t row
        for row in range(count, self.count):
            memset(self.edit(row), 0, self.row_bytes)
        self.count = count

    def load_page(self, int64_t page, const uint8_t[::1] data, int64_t count) -> None:
        """Take `data` as page number `page` of a table of `count` rows (a checkpoint's start)."""
        cdef int64_t size = self.page_rows * self.row_bytes
        if data.shape[0] != size:
            raise ValueError(f"{self.name}: page {page} has {data.shape[0]} bytes, expected {size}")
        if self.count < count:
            self.append_many(count - self.count)
        if page >= self.page_count and not any(data):
            return  # of rows that were given up again: written once, zero since
        if not 0 <= page < self.page_count:
            raise ValueError(f"{self.name}: page {page} is beyond a table of {count} rows")
        memcpy(self.pages[page], &data[0], size)
        self.marks[page] = CLEAN
        if page % PAGES_TO_LET_GO == PAGES_TO_LET_GO - 1:
            table_blocks_let_go()

    # What the core does in place, checked, for tools and tests

    def resize(self, int64_t count) -> None:
        """Append zeroed rows or give up the last ones, until there are `count`."""
        if count < 0:
            raise ValueError(f"{self.name}: expected a number of rows, found {count}")
        if count < self.count:
            self.truncate(count)
        elif count > self.count:
            self.append_many(count - self.count)

    def get_row(self, int64_t index) -> bytes:
        """The bytes of a row.  Raises IndexError."""
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name}: row {index} of {self.count}")
        return (<char*>self.row(index))[:self.row_bytes]

    def set_row(self, int64_t index, const uint8_t[::1] data) -> None:
        """Replace the bytes of a row.  Raises IndexError, and ValueError for another size."""
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name}: row {index} of {self.count}")
        if data.shape[0] != self.row_bytes:
            raise ValueError(f"{self.name}: expected {self.row_bytes} bytes, found {data.shape[0]}")
        memcpy(self.edit(index), &data[0], self.row_bytes)

    def digest(self) -> bytes:
        """SHA-256 over the row count and the bytes of all rows."""
        cdef int64_t page, left = self.count * self.row_bytes, size
        hasher = hashlib.sha256(f"{self.name}:{self.count}:".encode())
        for page in range(self.page_count):
            size = min(left, self.page_rows * self.row_bytes)
            if size <= 0:
                break
            hasher.update(PyMemoryView_FromMemory(self.pages[page], size, PyBUF_READ))
            if page % PAGES_TO_LET_GO == PAGES_TO_LET_GO - 1:
                table_blocks_let_go()
            left -= size
        return hasher.digest()

    @property
    def memory_bytes(self) -> int:
        """Bytes held by the pages."""
        return self.page_count * self.page_rows * self.row_bytes


cdef class Heap(Table):
    """Bytes of variable length, appended and never moved."""

    def __cinit__(self, str name, int row_bytes=1):
        assert row_bytes == 1

    cdef int64_t put(self, const char* data, int64_t size) noexcept nogil:
        """Store `size` bytes (at most a page) and return their offset."""
        cdef int64_t room = self.page_rows - (self.count & self.mask)
        cdef int64_t offset
        if size > self.page_rows:
            abort()  # the limits of what callers may store are far below a page
        if size > room:
            self.append_many(room)
        offset = self.append_many(size)
        if size > 0:
            memcpy(self.edit(offset), data, size)
        return offset


cdef class Checkpoint:
    """The dirty pages of `tables` as they are now, to be written elsewhere at leisure.

    Make it between commands, iterate it from any one thread, then call `done` or `failed` from the
    thread that runs the core.
    """

    def __cinit__(self, list tables):
        cdef Table table
        cdef int64_t page, at = 0
        cdef int32_t number
        self.tables = tables
        for table in tables:
            for page in range(table.page_count):
                self.page_total += table.marks[page] == DIRTY
        self.table_of = <int32_t*>malloc(max(self.page_total, 1) * sizeof(int32_t))
        self.page_of = <int64_t*>malloc(max(self.page_total, 1) * sizeof(int64_t))
        self.data_of = <char**>malloc(max(self.page_total, 1) * sizeof(char*))
        if self.table_of == NULL or self.page_of == NULL or self.data_of == NULL:
            raise MemoryError
        for number, table in enumerate(tables):
            for page in range(table.page_count):
                assert table.marks[page] != FROZEN, "one checkpoint at a time"
                if table.marks[page] == DIRTY:
                    self.table_of[at], self.page_of[at], self.data_of[at] = number, page, table.pages[page]
                    table.marks[page] = FROZEN
                    at += 1

    def __len__(self) -> int:
        return self.page_total

    def __iter__(self) -> Iterator[tuple[int, int, memoryview]]:
        """Yield (table number, page number, bytes); the views end with this object."""
        cdef int64_t at
        cdef Table table
        for at in range(self.page_total):
            table = self.tables[self.table_of[at]]
            view = PyMemoryView_FromMemory(self.data_of[at], table.page_rows * table.row_bytes, PyBUF_READ)
            yield self.table_of[at], self.page_of[at], view

    cdef void close(self, bint written):
        cdef int64_t at
        cdef Table table
        if self.closed:
            return
        self.closed = True
        for at in range(self.page_total):
            table = self.tables[self.table_of[at]]
            if self.page_of[at] < table.page_count and table.pages[self.page_of[at]] == self.data_of[at]:
                table.marks[self.page_of[at]] = CLEAN if written else DIRTY
            else:
                table.give_up_page(self.data_of[at])  # the table went on with a copy, which is dirty

    def done(self) -> None:
        """Everything was written: pages untouched since are clean."""
        self.close(True)

    def failed(self) -> None:
        """Nothing counts as written: the pages are dirty again."""
        self.close(False)

    def __dealloc__(self):
        self.close(False)
        free(self.table_of)
        free(self.page_of)
        free(self.data_of)
