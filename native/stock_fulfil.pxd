# Orders on their way to the customer: pick, pack, ready for pickup, handed over.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.command cimport Command
from ringup.native.stock_order_commands cimport OrderCommands
from ringup.native.stock_request cimport StockIn
from ringup.native.wire cimport Span, Writer

cdef class FulfilCommands(OrderCommands):
    cdef int pick_order(self, Command* command, Writer* out) noexcept nogil
    cdef int pack_order(self, Command* command, Writer* out) noexcept nogil
    cdef int ready_order(self, Command* command, Writer* out) noexcept nogil
    cdef int hand_over_order(self, Command* command, Writer* out) noexcept nogil
    cdef int get_order(self, Span request, Writer* out) noexcept nogil
    cdef int list_orders(self, Span request, Writer* out) noexcept nogil

    cdef void write_order(self, int64_t order, uint32_t field, Writer* out) noexcept nogil
    cdef int refuse_state(self, int64_t order, Writer* out) noexcept nogil
    cdef void write_to_pick(self, int64_t order, uint32_t field, Writer* out) noexcept nogil
    cdef void plan_short_pick(self, int64_t order, int64_t location) noexcept nogil
    cdef int64_t to_pick(self, int64_t order, int64_t item, int64_t location) noexcept nogil
