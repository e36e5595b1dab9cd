# What a sale takes from stock and a return brings in.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.pricing_basket cimport Line
from ringup.native.sale_book cimport SaleRow
from ringup.native.sale_tenders cimport SaleTenders
from ringup.native.stock cimport Demand
from ringup.native.wire cimport Writer

cdef enum:
    HOLDS_PER_SALE_MAX = 16

cdef class SaleStock(SaleTenders):
    cdef Demand* demands
    cdef int64_t demand_capacity
    cdef int64_t* holds  # rows, of the sale at hand

    cdef int64_t demand_of_basket(self) noexcept nogil
    cdef int64_t demand_of_kit(self, const Line* line, int64_t count) noexcept nogil
    cdef int check_kits(self, Writer* out) noexcept nogil
    cdef void book_kits(self, SaleRow* sale, Writer* out) noexcept nogil
    cdef void write_kit_part(
        self, uint32_t field, int64_t kit, int64_t part, int64_t kits, Writer* out
    ) noexcept nogil
    cdef void put_kits_back(self, int64_t line, int64_t location, int64_t qty_milli, Writer* out) noexcept nogil
    cdef int refuse_stock(self, int code, int64_t failed, int64_t found, Writer* out) noexcept nogil
    cdef bint line_takes(self, int64_t line, int64_t item) noexcept nogil
    cdef void write_shortfalls(self, Writer* out, int64_t location, int64_t demand_count) noexcept nogil
    cdef void write_takes(self, Writer* out) noexcept nogil
