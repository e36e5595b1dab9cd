# What promotions, charges and points make of a basket whose lines are priced.
from libc.stdint cimport int32_t, int64_t, uint32_t

from ringup.native.pricing_basket cimport PriceScope
from ringup.native.pricing_line cimport PricedLines
from ringup.native.wire cimport Span, Writer

cdef class PromotedBasket(PricedLines):
    cdef int apply_promotions(self, Span request, uint32_t lines_field, PriceScope* scope, Writer* out) noexcept nogil
    cdef void load_lines(self) noexcept nogil
    cdef int read_shopper(self, Span request, bint selling, Writer* out) noexcept nogil
    cdef int read_charge(self, Span body, PriceScope* scope, Writer* out) noexcept nogil
    cdef int add_free_lines(self, Writer* out) noexcept nogil
    cdef int add_reward(self, Writer* out) noexcept nogil
    cdef int add_gift(self, Span item_id, int64_t qty, int32_t giver, int64_t index, Writer* out) noexcept nogil
    cdef int count_points(self, Writer* out) noexcept nogil
