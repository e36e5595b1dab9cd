# Price a basket.  Sale and quote are this one function.
#
# The classes build on each other, one idea each: the basket with its taxes, its lines, promotions on them, the answer.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.pricing_answer cimport PricedAnswer
from ringup.native.pricing_basket cimport PriceScope
from ringup.native.wire cimport Span, Writer

cdef class Pricing(PricedAnswer):
    cdef int price(self, Span request, uint32_t lines_field, PriceScope* scope, Writer* out) noexcept nogil
    cdef int price_basket(self, Span request, int64_t now_ns, Writer* out) noexcept nogil
