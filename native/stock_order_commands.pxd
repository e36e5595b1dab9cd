# Handlers of orders.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.command cimport Command
from ringup.native.stock_order_lines cimport OrderLines
from ringup.native.wire cimport Span, Writer

cdef class OrderCommands(OrderLines):
    cdef int place_order(self, Command* command, Writer* out) noexcept nogil
    cdef int cancel_order(self, Command* command, Writer* out) noexcept nogil
    cdef int ship_order(self, Command* command, Writer* out) noexcept nogil
    cdef int unship_order(self, Command* command, Writer* out) noexcept nogil
    cdef int return_order(self, Command* command, Writer* out) noexcept nogil
    cdef int reallocate_order(self, Command* command, Writer* out) noexcept nogil

    cdef int check_paid(self, Span body, int64_t count, int64_t* paid_minor, Writer* out) noexcept nogil
    cdef void add_paid(self, Span body, int64_t order) noexcept nogil
    cdef void write_shipment(self, uint32_t field, Writer* out) noexcept nogil
