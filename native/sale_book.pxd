# Rows of sales and returns: one a document, one a line.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport Command
from ringup.native.embedded_codes cimport EmbeddedCodes
from ringup.native.gift_cards cimport GiftCards
from ringup.native.index cimport Index
from ringup.native.pricing cimport Pricing
from ringup.native.pricing_rates cimport TaxPlace
from ringup.native.settings cimport SettingsTable
from ringup.native.stock cimport Stock
from ringup.native.table cimport Table
from ringup.native.wire cimport Span, Writer

cdef enum:
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
    uint32_t currency  # symbol row + 1; 0: the engine's

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

cdef class SaleBook:
    cdef readonly list tables
    cdef Catalog catalog
    cdef Stock stock
    cdef Pricing pricing
    cdef SettingsTable settings
    cdef GiftCards gift_cards
    cdef EmbeddedCodes codes
    cdef Table sales, lines, taxes, extras, charges, sale_kits
    cdef Index id_index, receipt_index

    cdef void rebuild(self) noexcept nogil
    cdef inline const SaleRow* sale(self, int64_t row) noexcept nogil:
        return <SaleRow*>self.sales.row(row)
    cdef void index_sale(self, int64_t row) noexcept nogil
    cdef int64_t find(self, const uint8_t* id, uint64_t hash) noexcept nogil
    cdef int64_t find_receipt(self, int64_t till, int64_t number) noexcept nogil
    cdef int get_receipt(self, Span request, Writer* out, int64_t* row) noexcept nogil
    cdef int64_t book(
        self, Command* command, uint64_t body_hash, int64_t till, int64_t original, uint32_t flags
    ) noexcept nogil
    cdef uint32_t keep_taxes(self, const TaxPlace* taxed) noexcept nogil
    cdef void keep_charges(self, int64_t sale) noexcept nogil
    cdef int64_t first_charge(self, int64_t sale) noexcept nogil
    cdef int64_t find_charge(self, int64_t sale, Span id) noexcept nogil
    cdef int64_t kit_of_line(self, int64_t line) noexcept nogil
