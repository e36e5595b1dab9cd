# What a sale says, and the receipt that answers it.
from libc.stdint cimport int64_t

from ringup.native.command cimport Command
from ringup.native.pricing_basket cimport PriceScope
from ringup.native.sale_stock cimport SaleStock
from ringup.native.wire cimport Span, Writer

cdef extern from *:
    """
    #define SOLD_AHEAD_NS_MAX 300000000000LL  /* clocks of tills differ: 5 minutes */
    """
    const int64_t SOLD_AHEAD_NS_MAX

# What a SellRequest says, read in place.
cdef struct SellIn:
    Span till, channel, customer, customer_group, currency
    int64_t expected_total_minor, sold_at_ns, hold_count, tender_count
    bint bad, hold_bad, redeem, has_attributes

cdef class SaleRequests(SaleStock):
    cdef SellIn read_sell(self, Span body) noexcept nogil
    cdef int check_sell(self, SellIn* asked, int64_t now_ns, Writer* out) noexcept nogil
    cdef int price_terms(self, SellIn* asked, Span request, PriceScope* scope, Writer* out) noexcept nogil
    cdef PriceScope scope_of(self, SellIn* asked, int64_t location, int64_t now_ns) noexcept nogil
    cdef void write_receipt(
        self, Writer* out, Command* command, int64_t till, Span customer, int64_t sold_at_ns, Span original
    ) noexcept nogil
