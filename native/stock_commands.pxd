# All commands and queries of stock: the handlers by theme are in the classes below, this one dispatches.
from libc.stdint cimport int64_t

from ringup.native.command cimport Command
from ringup.native.stock_fulfil cimport FulfilCommands
from ringup.native.wire cimport Span, Writer

cdef class StockCommands(FulfilCommands):
    cdef int handle(self, int kind, Command* command, Writer* out) noexcept nogil
    cdef int get_availability(self, Span request, Writer* out) noexcept nogil
    cdef int get_promise(self, Span request, Writer* out) noexcept nogil
    cdef int check_stock(self, Span request, Writer* out) noexcept nogil
    cdef void write_promise(self, int64_t item, int64_t by_ns, int64_t channel, Writer* out) noexcept nogil
    cdef void plan_arrivals(self, int64_t item, int64_t by_ns) noexcept nogil
