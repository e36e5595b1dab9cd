# Which units of an order a request is about.
from libc.stdint cimport int32_t, int64_t, uint32_t

from ringup.native.stock_hold_commands cimport HoldCommands
from ringup.native.stock_lines cimport Chain
from ringup.native.stock_request cimport StockIn
from ringup.native.wire cimport Span, Writer

cdef class OrderLines(HoldCommands):
    cdef StockIn read_order(self, Span body, uint32_t id_field, uint32_t lines_field) noexcept nogil
    cdef int check_order_lines(self, StockIn* request, Writer* out) noexcept nogil
    cdef int check_asked(self, StockIn* request, int64_t* order, int done_code, Writer* out) noexcept nogil
    cdef void add_want(self, int64_t item, int64_t location, int64_t qty_milli, int64_t line, int32_t kit) noexcept nogil
    cdef int64_t wanted_milli(self, int64_t item, int32_t kit) noexcept nogil
    cdef int check_within(self, StockIn* request, int64_t order, Writer* out) noexcept nogil
    cdef int check_units(
        self, const Chain* chain, int64_t item, int64_t location, int64_t qty_milli, int64_t line, const char* field,
        Span code, Writer* out
    ) noexcept nogil
    cdef void kits_first(self) noexcept nogil
    cdef void add_units_at(
        self, const Chain* chain, int64_t item, int64_t source, int64_t target, int64_t qty_milli
    ) noexcept nogil
    cdef void add_kits_at(
        self, const Chain* chain, int64_t source, int64_t target, int64_t qty_milli
    ) noexcept nogil
    cdef int64_t kit_part_milli(self, int64_t kit, int64_t item) noexcept nogil

cdef int refuse_order(Writer* out, int code, Span order_id) noexcept nogil
cdef int refuse_order_id(Writer* out, Span order_id) noexcept nogil
