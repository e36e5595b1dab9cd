# The basket that was priced last: lines, charges, taxes and totals.
from libc.stdint cimport int32_t, int64_t, uint32_t

from ringup.native.catalog cimport Catalog
from ringup.native.embedded_codes cimport EmbeddedCodes
from ringup.native.loyalty cimport Loyalty
from ringup.native.price_book cimport PRICE_ATTRIBUTES_MAX, PriceAsk
from ringup.native.pricing_state cimport Basket
from ringup.native.pricing_rates cimport Taxes
from ringup.native.promotion_book cimport PromotionBook
from ringup.native.wire cimport Span, Writer

cdef enum:
    TAX_TOTALS_MAX = 64  # rows of one basket's tax table
    CHARGES_MAX = 64  # of one basket

# Where, when, how and to whom it is sold.
cdef struct PriceScope:
    PriceAsk ask  # of the line at hand
    Span customer
    bint redeem  # the customer's points
    int64_t redeem_minor  # an amount off at the end, where points are not asked

cdef struct Discount:
    Span reason
    int64_t amount_minor

cdef enum:
    BOUGHT_WITH_POINTS = -2  # in place of the promotion that gives a line

cdef struct Line:
    int64_t item  # row
    int64_t qty_milli
    int64_t price_minor
    int64_t base_qty_milli
    int64_t gross_minor
    int64_t discount_minor
    int64_t total_minor  # gross less discounts
    int64_t deposit_minor  # beside the total
    int64_t list_price_minor  # 0: price_minor
    Span override_reason
    int32_t first_discount
    int32_t discount_count
    uint32_t tax_class  # row + 1
    int32_t tax_set  # row, -1: untaxed
    int32_t place  # of its taxes in `rates`, -1: none
    int32_t promotion  # that gives the line at no price; -1: it was asked for; BOUGHT_WITH_POINTS
    uint32_t price_list  # symbol row + 1; 0: the base list, or no row
    bint by_book  # a row of the price book gave the price

cdef struct TaxTotal:
    uint32_t tax_set  # row
    uint32_t tax  # of the set
    int64_t base_minor
    int64_t tax_minor

# A charge of the order as it came out.
cdef struct ChargeLine:
    Span id
    int64_t amount_minor  # after discounts
    int64_t discount_minor
    int64_t tax_added_minor
    uint32_t tax_class  # row + 1
    int32_t place  # of its taxes in `rates`

cdef class PricedBasket:
    # The basket priced last; the next call writes over it.
    cdef Catalog catalog
    cdef PromotionBook book
    cdef Loyalty loyalty
    cdef EmbeddedCodes codes
    cdef int64_t redeem_minor  # off the basket at hand, by points
    cdef Basket basket  # of the promotions
    cdef Taxes rates  # the catalog's tax sets, by row, and the taxes of this basket by line, then charge
    cdef bint rates_stale  # no set may be taken as loaded
    cdef bint explains_prices
    cdef uint32_t currency  # of the basket, symbol row + 1; 0: the engine's
    cdef PriceAsk asked  # what the price book was asked for the basket, with explains_prices
    cdef bint promoted  # the basket holds promotions, coupons or charges
    cdef Line* lines
    cdef Discount* discounts
    cdef int64_t* shares  # for callers: a number for each line
    cdef uint32_t[2 * PRICE_ATTRIBUTES_MAX] attributes  # of the basket at hand, as symbols
    cdef TaxTotal[TAX_TOTALS_MAX] taxes
    cdef ChargeLine[CHARGES_MAX] charges
    cdef int64_t line_count, discount_count, tax_count, charge_count
    cdef int64_t subtotal_minor, discount_total_minor, charges_minor, deposit_minor, tax_added_minor, total_minor

    cdef inline int32_t load_set(self, int64_t tax_set) noexcept nogil:
        # Have the rates of a tax set of the catalog (a row, or -1), which never changes; its number in `rates`.
        if tax_set >= 0 and (tax_set >= self.rates.class_count or not self.rates.classes[tax_set].loaded):
            self.read_set(tax_set)
        return <int32_t>tax_set

    cdef void clear(self) noexcept nogil
    cdef void add_line(self, Line* line) noexcept nogil
    cdef void read_set(self, int64_t tax_set) noexcept nogil
    cdef int total(self, Writer* out) noexcept nogil
    cdef void tax_lines(self) noexcept nogil
    cdef bint tabulate(self) noexcept nogil
    cdef bint tally(self, int32_t tax_set, int64_t tax, int64_t base_minor, int64_t tax_minor) noexcept nogil
    cdef void begin_refund(self) noexcept nogil
    cdef int64_t* begin_place(self, int32_t tax_set, int64_t taxed_minor) noexcept nogil
    cdef void total_refund(self) noexcept nogil
