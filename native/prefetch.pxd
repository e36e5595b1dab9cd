# Read a window of commands, and have the rows that they will touch on their way to the cache before they execute.
from libc.stdint cimport int32_t, int64_t, uint64_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport Command, PlainHold
from ringup.native.replies cimport Replies
from ringup.native.sale cimport Sales
from ringup.native.stock cimport Stock
from ringup.native.wire cimport Reader, Span

cdef enum:
    WINDOW_COMMANDS = 64
    WINDOW_LINES = 256  # lines of a window; those beyond are fetched when they execute
    WINDOW_LINES_ENOUGH = 160  # a window ends with the command that reaches it: more would be thrown out again

# One line ahead of its execution, within a cache line.
cdef struct Ahead:
    Span code  # where the request has it
    PlainHold* hold  # of a command that is nothing else, or NULL
    uint64_t hash  # of the code
    bint is_priced  # its price and name will be asked for
    int32_t location  # row, or -1
    int32_t item  # the likely row, or -1
    int32_t barcode  # the likely row of the barcode, or -1
    int32_t position  # the likely row, or -1

cdef class Prefetcher:
    cdef Catalog catalog
    cdef Stock stock
    cdef Replies replies
    cdef Sales sales
    cdef Command[WINDOW_COMMANDS] commands
    cdef Ahead[WINDOW_LINES] lines
    cdef int64_t count

    cdef int64_t fetch(self, Reader* commands) noexcept nogil
    cdef void fetch_quote(self, Span request) noexcept nogil

    cdef bint read_plain_hold(self, Command* command) noexcept nogil
    cdef void read_command(self, Span span, Command* command) noexcept nogil
    cdef void fetch_id(self, Command* command) noexcept nogil
    cdef void fetch_line(self, Span line, bint is_priced) noexcept nogil
    cdef void fetch_lines(self) noexcept nogil
    cdef int64_t place_of(self, Span code, bint is_till) noexcept nogil
    cdef void fetch_items(self) noexcept nogil
    cdef void fetch_places(self) noexcept nogil
    cdef void find_places(self) noexcept nogil
