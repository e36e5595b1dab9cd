# Sales and returns: one row a document, one a line.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport Command
from ringup.native.embedded_codes cimport EmbeddedCodes
from ringup.native.gift_cards cimport GiftCards
from ringup.native.index cimport Index
from ringup.native.limits cimport TENDERS_MAX
from ringup.native.pricing cimport Line, Pricing, PriceScope
from ringup.native.pricing_rates cimport TaxPlace
from ringup.native.settings cimport SettingsTable
from ringup.native.stock cimport Demand, Stock
from ringup.native.table cimport Table
from ringup.native.tender cimport CashRule
from ringup.native.wire cimport Span, Writer

cdef extern from *:
    """
    #define SOLD_AHEAD_NS_MAX 300000000000LL  /* clocks of tills differ: 5 minutes */
    """
    const int64_t SOLD_AHEAD_NS_MAX

cdef enum:
    HOLDS_PER_SALE_MAX = 16
    ROWS_TO_LET_GO = 1 << 19  # who has read so many sales in a row takes those that are spilled out of memory again
    SALE_IS_RETURN = 1
    SALE_HAS_KITS = 2  # some lines are in sale_kits

cdef struct SaleRow:
    uint8_t[16] id
    uint64_t body_hash
    uint64_t reply_at  # where its answer, and so its receipt, stands in the journal
    uint64_t receipt_number
    int64_t booked_at_ns
    int64_t total_minor
    int64_t refunded_minor  # of total_minor, by its returns
    uint32_t till  # row
    uint32_t location  # row
    uint32_t first_line  # row
    uint32_t line_count
    uint32_t original  # row + 1 of the sale that a return takes back
    uint32_t flags
    uint32_t first_promotion  # row of what it used of promotions
    uint32_t promotion_count
    uint32_t points  # row + 1 of what it earned and burned
    uint32_t padding

# What a line keeps so that a return gives back what was paid, whatever became of the item and its taxes.
cdef struct SaleLineRow:
    uint32_t item  # row
    uint32_t tax_set  # row + 1
    int64_t qty_milli
    int64_t returned_milli
    int64_t total_minor  # after discounts, before added tax
    int64_t tax_minor  # its share of all taxes
    uint32_t first_tax  # row + 1 of its taxes one by one, where its set has several
    uint32_t extra  # row + 1 of what few lines have

cdef struct SaleExtraRow:
    int64_t deposit_minor
    int64_t untaken_minor  # what its taxes are computed on beyond total_minor (a discount that a vendor pays)

cdef struct SaleChargeRow:
    uint32_t sale  # row; they ascend
    uint32_t charge  # symbol row
    uint32_t tax_set  # row + 1
    uint32_t first_tax  # row + 1, as of a line
    int64_t amount_minor  # after discounts, before added tax
    int64_t taxed_minor
    int64_t tax_minor
    int64_t returned

cdef struct SaleKitRow:  # a sold line of a kit; the rows are in the order of lines
    int64_t line  # row of sale_lines
    int64_t kit  # row of the version whose parts were sold

cdef struct TenderIn:
    int64_t method
    int64_t amount_minor
    Span reference
    int64_t gift_card  # row, for that method

# What a SellRequest says, read in place.
cdef struct SellIn:
    Span till, channel, customer, customer_group
    int64_t expected_total_minor, sold_at_ns, hold_count, tender_count
    bint bad, hold_bad, redeem, has_attributes

# What a ReturnLinesRequest says.
cdef struct ReturnIn:
    Span body, till, sale_id, receipt_till, reason, refund_reference, original_sale
    int64_t receipt_number, refund_method, refund_policy, line_count, charge_count
    bint bad

cdef struct ReturnLineIn:
    int64_t line, qty_milli
    bint scrapped, bad

cdef class Sales:
    cdef readonly list tables
    cdef Catalog catalog
    cdef Stock stock
    cdef Pricing pricing
    cdef SettingsTable settings
    cdef GiftCards gift_cards
    cdef EmbeddedCodes codes
    cdef int64_t* sold_milli  # by line of the sale that a return is of
    cdef int64_t* kept_milli
    cdef Writer kept
    cdef Table sales, lines, taxes, extras, charges
    cdef Index id_index, receipt_index
    cdef Table sale_kits
    cdef Demand* demands
    cdef int64_t demand_capacity
    cdef int64_t* holds
    cdef TenderIn[TENDERS_MAX] tenders
    cdef int64_t tender_count, cash_rounding_minor, change_minor

    cdef void rebuild(self) noexcept nogil
    cdef int64_t find(self, const uint8_t* id) noexcept nogil
    cdef int64_t find_receipt(self, int64_t till, int64_t number) noexcept nogil
    cdef inline const SaleRow* sale(self, int64_t row) noexcept nogil:
        return <SaleRow*>self.sales.row(row)

    cdef int sell(self, Command* command, uint64_t body_hash, Writer* out) noexcept nogil
    cdef int return_lines(self, Command* command, uint64_t body_hash, Writer* out) noexcept nogil
    cdef int get_receipt(self, Span request, Writer* out, int64_t* row) noexcept nogil

    cdef void index_sale(self, int64_t row) noexcept nogil
    cdef SellIn read_sell(self, Span body) noexcept nogil
    cdef bint read_tender(self, Span body) noexcept nogil
    cdef int64_t demand_of_basket(self) noexcept nogil
    cdef int64_t demand_of_kit(self, const Line* line, int64_t count) noexcept nogil
    cdef int check_kits(self, Writer* out) noexcept nogil
    cdef void book_kits(self, SaleRow* sale, Writer* out) noexcept nogil
    cdef void write_kit_part(
        self, uint32_t field, int64_t kit, int64_t part, int64_t kits, Writer* out
    ) noexcept nogil
    cdef void put_kits_back(self, int64_t line, int64_t location, int64_t qty_milli, Writer* out) noexcept nogil
    cdef bint line_takes(self, int64_t line, int64_t item) noexcept nogil
    cdef int64_t kit_of_line(self, int64_t line) noexcept nogil
    cdef int refuse_stock(self, int code, int64_t failed, int64_t found, Writer* out) noexcept nogil
    cdef CashRule cash_rule(self) noexcept nogil
    cdef int settle(self, Writer* out) noexcept nogil
    cdef int check_gift_cards(self, Writer* out) noexcept nogil
    cdef int check_balances(self, Writer* out) noexcept nogil
    cdef void spend_gift_cards(self) noexcept nogil
    cdef int64_t book(
        self, Command* command, uint64_t body_hash, int64_t till, int64_t original, uint32_t flags
    ) noexcept nogil
    cdef uint32_t keep_taxes(self, const TaxPlace* taxed) noexcept nogil
    cdef void keep_charges(self, int64_t sale) noexcept nogil
    cdef void write_shortfalls(self, Writer* out, int64_t location, int64_t demand_count) noexcept nogil
    cdef void write_takes(self, Writer* out) noexcept nogil
    cdef ReturnIn read_return(self, Span body) noexcept nogil
    cdef ReturnLineIn read_return_line(self, Span body) noexcept nogil
    cdef int check_return(self, ReturnIn* asked, Writer* out) noexcept nogil
    cdef int64_t find_original(self, ReturnIn* asked) noexcept nogil
    cdef int check_return_line(
        self, ReturnLineIn* line, int64_t index, int64_t original, Writer* out
    ) noexcept nogil
    cdef int check_return_charge(self, Span id, int64_t index, int64_t original, Writer* out) noexcept nogil
    cdef int64_t first_charge(self, int64_t sale) noexcept nogil
    cdef int64_t find_charge(self, int64_t sale, Span id) noexcept nogil
    cdef int64_t taxes_of(self, uint32_t tax_set, uint32_t first_tax, int64_t tax_minor, int64_t* taxes) noexcept nogil
    cdef PriceScope scope_of(self, SellIn* asked, int64_t location, int64_t now_ns) noexcept nogil
    cdef int price_kept(self, ReturnIn* asked, int64_t original, int64_t* total_minor, Writer* out) noexcept nogil
    cdef int64_t charges_paid(self, int64_t original, bint returned) noexcept nogil
    cdef void scale_refund(self, int64_t refund_minor) noexcept nogil
    cdef void refund_line(self, SaleLineRow* sold, int64_t before_milli, int64_t qty_milli) noexcept nogil
    cdef void refund_charge(self, SaleChargeRow* sold) noexcept nogil
    cdef void give_back_promotions(self, int64_t original, int64_t now_ns) noexcept nogil
    cdef void refund_tender(self, ReturnIn* asked, int64_t gift_card) noexcept nogil

    cdef int check_sell(self, SellIn* asked, int64_t now_ns, Writer* out) noexcept nogil
    cdef void write_receipt(
        self, Writer* out, Command* command, int64_t till, Span customer, int64_t sold_at_ns, Span original
    ) noexcept nogil
