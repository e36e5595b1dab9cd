# Handlers of holds.
from ringup.native.command cimport Command
from ringup.native.stock_hold_plain cimport PlainHolds
from ringup.native.stock_request cimport StockIn
from ringup.native.wire cimport Span, Writer
from libc.stdint cimport int64_t, uint32_t

cdef class HoldCommands(PlainHolds):
    cdef int hold_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int resize_hold(self, Command* command, Writer* out) noexcept nogil
    cdef int extend_hold(self, Command* command, Writer* out) noexcept nogil
    cdef int pay_hold(self, Command* command, Writer* out) noexcept nogil
    cdef int release_hold(self, Command* command, Writer* out) noexcept nogil
    cdef int commit_hold(self, Command* command, Writer* out) noexcept nogil
    cdef int get_hold(self, Span request, Writer* out) noexcept nogil

    cdef StockIn read_hold(self, Span body, uint32_t id_field, uint32_t ttl_field, uint32_t qty_field) noexcept nogil
    cdef int check_ending(self, StockIn* request, int64_t* hold, int64_t now_ns, Writer* out) noexcept nogil
    cdef int check_part(self, StockIn* request, int64_t hold, Writer* out) noexcept nogil
    cdef int check_part_rest(self, StockIn* request, int64_t hold, int64_t now_ns, Writer* out) noexcept nogil
