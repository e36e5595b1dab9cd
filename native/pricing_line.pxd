# A line asked for becomes a priced one.
from libc.stdint cimport int32_t, int64_t, uint32_t

from ringup.native.price_book cimport PriceAsk, PriceFound
from ringup.native.pricing_basket cimport Line, PricedBasket, PriceScope
from ringup.native.wire cimport Span, Writer

# What one line asks for; price_minor is -1 where the price book decides.
cdef struct LineIn:
    Span body, code, override_reason
    int64_t qty_milli, price_minor, base_qty_milli, discount_count
    bint overridden, priced, bad  # priced: by its code

cdef struct DiscountIn:
    Span reason
    int64_t amount_minor, rate_ppb
    bint bad

cdef class PricedLines(PricedBasket):
    cdef int price_line(self, Span body, int64_t index, PriceScope* scope, Writer* out) noexcept nogil
    cdef bint price_by_book(self, Line* line, PriceScope* scope) noexcept nogil
    cdef void aim(self, PriceAsk* ask, const Line* line) noexcept nogil
    cdef void price_by_list(self, Line* line, const PriceFound* found, PriceAsk* ask) noexcept nogil
    cdef int check_currency(self, PriceScope* scope, Writer* out) noexcept nogil
    cdef bint taxed_by_quantity(self, int32_t tax_set) noexcept nogil
    cdef int take_currency(self, Span currency, PriceScope* scope, Writer* out) noexcept nogil
    cdef int read_attributes(self, Span request, uint32_t field, PriceScope* scope, Writer* out) noexcept nogil
    cdef int read_code(
        self, LineIn* asked, int64_t index, PriceScope* scope, int64_t* item, Writer* out
    ) noexcept nogil
    cdef int check_override(self, LineIn* asked, int64_t index, Writer* out) noexcept nogil
    cdef int take_discounts(self, LineIn* asked, Line* line, int64_t index, Writer* out) noexcept nogil
