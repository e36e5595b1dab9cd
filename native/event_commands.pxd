# Cursors of readers of events, and what can be promised of an item on a channel.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport Catalog, Text
from ringup.native.command cimport Command
from ringup.native.stock cimport Stock
from ringup.native.table cimport Table
from ringup.native.wire cimport Span, Writer

cdef enum:
    CURSOR_LIVE = 1
    CURSOR_PARKED = 2
    CURSORS_MAX = 1000

cdef struct CursorRow:
    Text code
    Text note
    int64_t sequence  # of the last event done with
    int64_t put_ns
    uint32_t flags
    uint32_t spare

cdef class EventCommands:
    cdef readonly list tables
    cdef Catalog catalog
    cdef Stock stock
    cdef Table cursors

    cdef int64_t find(self, Span code) noexcept nogil
    cdef int put_cursor(self, Command* command, Span engine_id, int64_t last_event, Writer* out) noexcept nogil
    cdef int delete_cursor(self, Command* command, Writer* out) noexcept nogil
    cdef int list_cursors(self, Span request, Writer* out) noexcept nogil
    cdef void write_cursor(self, const CursorRow* cursor, uint32_t field, Writer* out) noexcept nogil
    cdef int read_availability(self, Span request, Writer* out) noexcept nogil
