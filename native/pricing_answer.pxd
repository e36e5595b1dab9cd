# A priced basket as receipts and quotes show it.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.pricing_basket cimport Line
from ringup.native.pricing_promoted cimport PromotedBasket
from ringup.native.wire cimport Writer

cdef class PricedAnswer(PromotedBasket):
    cdef void write_basket(self, Writer* out, uint32_t field, bint reasons) noexcept nogil
    cdef void write_line(self, Writer* out, Line* line) noexcept nogil
    cdef void write_promoted(self, Writer* out, int64_t line) noexcept nogil
    cdef void write_prices(self, Writer* out, const Line* line) noexcept nogil
