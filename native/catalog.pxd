# What is sold, where, at what price and with which tax: rows, look-ups, no wire format.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from ringup.native.index cimport Index
from ringup.native.limits cimport TAXES_PER_CLASS_MAX
from ringup.native.table cimport Heap, Table
from ringup.native.wire cimport Span, span_at

cdef enum:
    ITEM_MEASURED = 1  # quantities need not be whole
    ITEM_UNTRACKED = 2  # no stock is kept
    ITEM_KIT = 4  # promised as its parts: stock_kits.pyx
    ITEM_IN_KIT = 8  # a kit has named it as a part
    ITEM_NOT_DISCOUNTABLE = 16
    ITEM_RULES = 32  # it has a row of its own rules
    ITEM_OWN_FLAGS = 51  # those that PutItems sets: all but those of kits
    LOCATION_DISABLED = 1
    LOCATION_SHORTFALL_ALLOWED = 2  # a till sale may take the book below zero
    TAX_INCLUSIVE = 1
    BASE_UNITS_PPM_DEFAULT = 1000000  # one base unit in one unit
    ITEM_CODE_HERE = 20  # bytes of an item's code that its row has room for: most have 8 to 14
    EXPECTED_ITEMS = 512  # a power of two, above the lines of a window of commands

cdef enum SymbolKind:
    SYMBOL_CHANNEL = 1
    SYMBOL_CUSTOMER_GROUP = 2
    SYMBOL_CATEGORY = 3
    SYMBOL_TAX = 4
    SYMBOL_CHARGE = 5
    SYMBOL_UOM = 6
    SYMBOL_PRICE_LIST = 7
    SYMBOL_CURRENCY = 8
    SYMBOL_PRICE_KEY = 9
    SYMBOL_PRICE_VALUE = 10
    SYMBOL_FURTHER_TERMS = 11  # its code is no text: FurtherTerms of price_book.pxd

# A string in the heap: offset in units of 8 bytes, so that 32 bits reach 32 GiB.
cdef struct Text:
    uint32_t at8
    uint32_t size

# Links are row + 1, so that zero, what an appended row has, means none.
cdef struct ItemRow:  # one cache line, so that a look-up compares the code without waiting for a second
    char[ITEM_CODE_HERE] code  # zeros where it is longer, see `item_code`
    uint32_t code_size
    uint32_t code_at8  # of a longer code: as in Text
    Text name
    Text categories  # uint32 symbol rows, widest first
    uint32_t first_barcode
    uint32_t first_price  # at all locations
    uint32_t first_chain  # of prices at one location
    uint32_t tax_class
    uint32_t flags

# What few items have, in a table of its own so that the others do not grow by it.
cdef struct ItemRulesRow:
    uint32_t item  # row
    uint32_t padding
    Text uom
    int64_t floor_minor
    int64_t deposit_minor
    int64_t base_units_ppm

cdef struct BarcodeRow:
    Text code
    uint32_t item  # row
    uint32_t next

# The price rows of one item at one location.
cdef struct ChainRow:
    uint32_t item  # row
    uint32_t location  # row
    uint32_t first_price
    uint32_t next  # chain of the same item

cdef struct PriceRow:
    int64_t price_minor
    uint32_t next
    uint32_t terms  # row

# What else a price row says.  A book of a million rows has few different ones, so that they are in the cache.
cdef struct TermsRow:
    int64_t min_qty_milli
    int64_t base_qty_milli
    int64_t from_ns
    int64_t to_ns
    int64_t max_qty_milli  # zero: any
    uint32_t rank  # what counts first among the rows that match: price_book.pyx
    uint32_t further  # symbol row + 1 of what few rows say; 0: nothing
    uint32_t channel  # symbol row + 1
    uint32_t customer_group  # symbol row + 1
    uint32_t uses  # price rows that say it; 0: a free row
    uint32_t next_free

cdef struct LocationRow:
    Text code
    Text name
    uint32_t flags
    uint32_t padding

cdef struct TillRow:
    Text code
    uint32_t location  # row
    uint32_t padding
    uint64_t last_receipt_number
    uint64_t numbers_left_out  # up to there, see Settings.receipts_after

cdef struct TaxRow:
    uint32_t name  # symbol row
    uint32_t flags
    int64_t rate_ppb
    int64_t per_unit_minor
    int64_t from_ns
    int64_t to_ns
    uint32_t base  # bit i: tax i enlarges the base
    uint32_t padding

# A class as it was put.
cdef struct TaxClassRow:
    Text code
    uint32_t first_set  # row + 1
    uint32_t tax_count
    TaxRow taxes[TAXES_PER_CLASS_MAX]

# The taxes of a class over a time in which they do not change, a tax after those that enlarge its base.
# Sets are never changed or taken out: a sale keeps the number of its own, so that a return knows the
# taxes that were paid when the class has been replaced.
cdef struct TaxSetRow:
    uint32_t tax_class  # row
    uint32_t next  # row + 1 of the class's next set
    int64_t from_ns
    int64_t to_ns  # 0: never ends
    int64_t tax_count
    TaxRow taxes[TAXES_PER_CLASS_MAX]

cdef struct SymbolRow:
    Text code
    uint32_t kind
    uint32_t padding

cdef struct CatalogGlobals:
    uint32_t free_barcode  # row + 1 of a list through `next`
    uint32_t free_price
    uint32_t free_terms
    uint32_t padding
    int64_t price_count

# An item that is going to be looked up: compared with its row, so that it is right or of no use.
cdef struct ExpectedItem:
    const char* code  # where it stands in memory; NULL: none
    int64_t row

cdef class Catalog:
    cdef readonly list tables
    cdef Heap heap
    cdef Table items, barcodes, chains, prices, terms, locations, tills, tax_classes, tax_sets, item_rules, symbols, globals
    cdef int64_t found_location  # row asked for last
    cdef ExpectedItem[EXPECTED_ITEMS] expected  # by where the code stands in memory
    cdef int64_t sale_changes  # since the start, of places open for sale and of items with stock: sums are made again
    cdef Index item_index, barcode_index, chain_index, terms_index, location_index, till_index, tax_class_index, symbol_index
    cdef Index item_rules_index

    cdef void rebuild(self) noexcept nogil

    cdef inline Span text(self, Text text) noexcept nogil:
        cdef Span span
        span.data = <const char*>self.heap.row(<int64_t>text.at8 * 8) if text.size else NULL
        span.size = text.size
        return span

    cdef Text store(self, Span span) noexcept nogil
    cdef Text restore(self, Text old, Span span) noexcept nogil

    cdef inline ItemRow* item(self, int64_t row) noexcept nogil:
        return <ItemRow*>self.items.row(row)

    cdef inline PriceRow* price(self, int64_t row) noexcept nogil:
        return <PriceRow*>self.prices.row(row)

    cdef inline const TermsRow* terms_of(self, const PriceRow* price) noexcept nogil:
        return <TermsRow*>self.terms.row(price.terms)

    cdef inline LocationRow* location(self, int64_t row) noexcept nogil:
        return <LocationRow*>self.locations.row(row)

    cdef inline TillRow* till(self, int64_t row) noexcept nogil:
        return <TillRow*>self.tills.row(row)

    cdef inline TaxClassRow* tax_class(self, int64_t row) noexcept nogil:
        return <TaxClassRow*>self.tax_classes.row(row)

    cdef inline TaxSetRow* tax_set(self, int64_t row) noexcept nogil:
        return <TaxSetRow*>self.tax_sets.row(row)

    cdef inline Span symbol(self, int64_t row) noexcept nogil:
        return self.text((<SymbolRow*>self.symbols.row(row)).code)

    cdef inline int64_t price_count(self) noexcept nogil:
        return (<CatalogGlobals*>self.globals.row(0)).price_count

    cdef inline Span item_code(self, int64_t row) noexcept nogil:
        cdef const ItemRow* item = self.item(row)
        cdef Text longer
        if item.code_size <= ITEM_CODE_HERE:
            return span_at(item.code, item.code_size)
        longer.at8, longer.size = item.code_at8, item.code_size
        return self.text(longer)

    cdef inline Span location_code(self, int64_t row) noexcept nogil:
        return self.text(self.location(row).code)

    cdef inline void expect_item(self, const char* code, int64_t row) noexcept nogil:
        """`find_item` of a code that stands here is likely to answer `row`."""
        cdef ExpectedItem* expected = &self.expected[(<uint64_t>code >> 4) & (EXPECTED_ITEMS - 1)]
        expected.code, expected.row = code, row

    # Look-ups answer a row, or -1.
    cdef int64_t find_item_code(self, Span code) noexcept nogil
    cdef int64_t find_barcode(self, Span code) noexcept nogil
    cdef int64_t find_item(self, Span code) noexcept nogil
    cdef int64_t find_location(self, Span code) noexcept nogil
    cdef int64_t find_till(self, Span code) noexcept nogil
    cdef int64_t find_tax_class(self, Span code) noexcept nogil
    cdef int64_t find_tax_set(self, int64_t tax_class, int64_t at_ns) noexcept nogil
    cdef const ItemRulesRow* find_item_rules(self, int64_t item) noexcept nogil  # NULL: none
    cdef int64_t item_rules_row(self, int64_t item) noexcept nogil
    cdef int64_t find_symbol(self, int kind, Span code) noexcept nogil
    cdef int64_t find_chain(self, int64_t item, int64_t location) noexcept nogil
    cdef int64_t first_price(self, int64_t item, int64_t location) noexcept nogil
    cdef int64_t find_terms(self, const TermsRow* wanted) noexcept nogil

    # Writers: the caller has checked; they cannot fail.
    cdef int64_t add_item(self, Span code) noexcept nogil
    cdef void add_barcode(self, int64_t item, Span code) noexcept nogil
    cdef void drop_barcodes(self, int64_t item) noexcept nogil
    cdef int64_t add_location(self, Span code) noexcept nogil
    cdef int64_t add_till(self, Span code) noexcept nogil
    cdef int64_t add_tax_class(self, Span code) noexcept nogil
    cdef void put_item_rules(self, int64_t item, ItemRulesRow* rules, Span uom) noexcept nogil
    cdef int64_t intern_symbol(self, int kind, Span code) noexcept nogil
    cdef int64_t take_terms(self, const TermsRow* wanted) noexcept nogil
    cdef void leave_terms(self, int64_t row) noexcept nogil
    cdef void link_price(self, int64_t item, int64_t location, int64_t before, uint32_t price) noexcept nogil
    cdef void put_price(
        self, int64_t item, int64_t location, const TermsRow* wanted, int64_t price_minor, bint removed
    ) noexcept nogil
    cdef int64_t add_price(
        self, int64_t item, int64_t location, const TermsRow* wanted, int64_t price_minor
    ) noexcept nogil
