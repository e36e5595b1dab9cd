"""The catalog: items, barcodes, price-book rows, tax classes, locations, tills.

Rows refer to each other by row number; codes are found through indexes.  Nothing here knows the
wire format (catalog_items.pyx and its like do) or decides whether a command is allowed.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ringup.native.index cimport (
    hash_bytes,
    hash_int,
    index_add,
    index_free,
    index_next,
    index_remove,
    index_reserve,
    index_start,
)
from ringup.native.table cimport Heap, Table
from ringup.native.wire cimport Span, span_equal


cdef inline uint64_t _hash(Span code) noexcept nogil:
    return hash_bytes(code.data, code.size)


cdef inline uint64_t _hash_symbol(int kind, Span code) noexcept nogil:
    return hash_int(_hash(code) + <uint64_t>kind)


cdef inline uint64_t _hash_chain(int64_t item, int64_t location) noexcept nogil:
    return hash_int((<uint64_t>item << 32) | <uint64_t>location)


cdef inline uint64_t _hash_terms(const TermsRow* terms) noexcept nogil:
    return hash_bytes(terms, 5 * sizeof(int64_t) + 4 * sizeof(uint32_t))  # what stands before `uses`


cdef class Catalog:
    """Tables of the catalog and the indexes over them."""

    def __cinit__(self):
        self.heap = Heap("catalog_text", 1)
        self.items = Table("items", sizeof(ItemRow))
        self.barcodes = Table("barcodes", sizeof(BarcodeRow))
        self.chains = Table("price_chains", sizeof(ChainRow))
        self.prices = Table("price_rows", sizeof(PriceRow))
        self.terms = Table("price_terms", sizeof(TermsRow))
        self.locations = Table("locations", sizeof(LocationRow))
        self.tills = Table("tills", sizeof(TillRow))
        self.tax_classes = Table("tax_classes", sizeof(TaxClassRow))
        self.tax_sets = Table("tax_sets", sizeof(TaxSetRow))
        self.item_rules = Table("item_rules", sizeof(ItemRulesRow))
        self.symbols = Table("symbols", sizeof(SymbolRow))
        self.globals = Table("catalog_globals", sizeof(CatalogGlobals))
        self.globals.append()
        self.tables = [
            self.heap, self.items, self.barcodes, self.chains, self.prices, self.terms, self.locations,
            self.tills, self.tax_classes, self.tax_sets, self.item_rules, self.symbols, self.globals,
        ]

    def __dealloc__(self):
        index_free(&self.item_index)
        index_free(&self.barcode_index)
        index_free(&self.chain_index)
        index_free(&self.terms_index)
        index_free(&self.location_index)
        index_free(&self.till_index)
        index_free(&self.tax_class_index)
        index_free(&self.symbol_index)
        index_free(&self.item_rules_index)

    cdef void rebuild(self) noexcept nogil:
        """Make the indexes from the rows (after a checkpoint was loaded)."""
        cdef int64_t row
        cdef BarcodeRow* barcode
        cdef ChainRow* chain
        cdef TermsRow* terms
        cdef SymbolRow* symbol
        index_reserve(&self.item_index, self.items.count)
        for row in range(self.items.count):
            index_add(&self.item_index, _hash(self.item_code(row)), row)
        index_reserve(&self.barcode_index, self.barcodes.count)
        for row in range(self.barcodes.count):
            barcode = <BarcodeRow*>self.barcodes.row(row)
            if barcode.code.size:  # a free row has no code
                index_add(&self.barcode_index, _hash(self.text(barcode.code)), row)
        index_reserve(&self.chain_index, self.chains.count)
        for row in range(self.chains.count):
            chain = <ChainRow*>self.chains.row(row)
            index_add(&self.chain_index, _hash_chain(chain.item, chain.location), row)
        for row in range(self.terms.count):
            terms = <TermsRow*>self.terms.row(row)
            if terms.uses:
                index_add(&self.terms_index, _hash_terms(terms), row)
        for row in range(self.locations.count):
            index_add(&self.location_index, _hash(self.location_code(row)), row)
        for row in range(self.tills.count):
            index_add(&self.till_index, _hash(self.text(self.till(row).code)), row)
        for row in range(self.tax_classes.count):
            index_add(&self.tax_class_index, _hash(self.text(self.tax_class(row).code)), row)
        index_reserve(&self.item_rules_index, self.item_rules.count)
        for row in range(self.item_rules.count):
            index_add(&self.item_rules_index, hash_int((<ItemRulesRow*>self.item_rules.row(row)).item), row)
        for row in range(self.symbols.count):
            symbol = <SymbolRow*>self.symbols.row(row)
            index_add(&self.symbol_index, _hash_symbol(symbol.kind, self.text(symbol.code)), row)

    # Text

    cdef Text store(self, Span span) noexcept nogil:
        """Keep a string of at most a page."""
        cdef Text text
        cdef int64_t rest = self.heap.count & 7
        text.at8 = 0
        text.size = <uint32_t>span.size
        if span.size:
            if rest:
                self.heap.append_many(8 - rest)
            text.at8 = <uint32_t>(self.heap.put(span.data, span.size) >> 3)
        return text

    cdef Text restore(self, Text old, Span span) noexcept nogil:
        """Keep `span` in place of `old`, whose bytes serve again where they are equal."""
        return old if span_equal(self.text(old), span) else self.store(span)

    # Look-ups

    cdef int64_t find_item_code(self, Span code) noexcept nogil:
        cdef uint64_t hash = _hash(code)
        cdef int64_t cursor = index_start(&self.item_index, hash)
        cdef int64_t row = index_next(&self.item_index, hash, &cursor)
        while row >= 0 and not span_equal(self.item_code(row), code):
            row = index_next(&self.item_index, hash, &cursor)
        return row

    cdef int64_t find_barcode(self, Span code) noexcept nogil:
        cdef uint64_t hash = _hash(code)
        cdef int64_t cursor = index_start(&self.barcode_index, hash)
        cdef int64_t row = index_next(&self.barcode_index, hash, &cursor)
        while row >= 0 and not span_equal(self.text((<BarcodeRow*>self.barcodes.row(row)).code), code):
            row = index_next(&self.barcode_index, hash, &cursor)
        return row

    cdef int64_t find_item(self, Span code) noexcept nogil:
        """The item with this code or, failing that, this barcode."""
        cdef const ExpectedItem* expected = &self.expected[(<uint64_t>code.data >> 4) & (EXPECTED_ITEMS - 1)]
        cdef int64_t row
        if expected.code == code.data and code.size and span_equal(self.item_code(expected.row), code):
            return expected.row  # items stay, and so do their codes
        row = self.find_item_code(code)
        if row >= 0:
            return row
        row = self.find_barcode(code)
        return -1 if row < 0 else <int64_t>(<BarcodeRow*>self.barcodes.row(row)).item

    cdef int64_t find_location(self, Span code) noexcept nogil:
        cdef uint64_t hash
        cdef int64_t cursor, row = self.found_location
        if row < self.locations.count and span_equal(self.location_code(row), code):
            return row  # the one asked for last: codes never change
        hash = _hash(code)
        cursor = index_start(&self.location_index, hash)
        row = index_next(&self.location_index, hash, &cursor)
        while row >= 0 and not span_equal(self.location_code(row), code):
            row = index_next(&self.location_index, hash, &cursor)
        if row >= 0:
            self.found_location = row
        return row

    cdef int64_t find_till(self, Span code) noexcept nogil:
        cdef uint64_t hash = _hash(code)
        cdef int64_t cursor = index_start(&self.till_index, hash)
        cdef int64_t row = index_next(&self.till_index, hash, &cursor)
        while row >= 0 and not span_equal(self.text(self.till(row).code), code):
            row = index_next(&self.till_index, hash, &cursor)
        return row

    cdef int64_t find_tax_class(self, Span code) noexcept nogil:
        cdef uint64_t hash = _hash(code)
        cdef int64_t cursor = index_start(&self.tax_class_index, hash)
        cdef int64_t row = index_next(&self.tax_class_index, hash, &cursor)
        while row >= 0 and not span_equal(self.text(self.tax_class(row).code), code):
            row = index_next(&self.tax_class_index, hash, &cursor)
        return row

    cdef int64_t find_tax_set(self, int64_t tax_class, int64_t at_ns) noexcept nogil:
        """The taxes of a class at an instant; -1 where none is due then."""
        cdef int64_t row = <int64_t>self.tax_class(tax_class).first_set - 1
        cdef TaxSetRow* found
        while row >= 0:
            found = self.tax_set(row)
            if found.from_ns <= at_ns and (found.to_ns == 0 or at_ns < found.to_ns):
                return row
            row = <int64_t>found.next - 1
        return -1

    cdef const ItemRulesRow* find_item_rules(self, int64_t item) noexcept nogil:
        cdef int64_t row
        if not self.item(item).flags & ITEM_RULES:
            return NULL
        row = self.item_rules_row(item)
        return <ItemRulesRow*>self.item_rules.row(row)

    cdef int64_t item_rules_row(self, int64_t item) noexcept nogil:
        # The row that the item has or once had.
        cdef uint64_t hash = hash_int(<uint64_t>item)
        cdef int64_t cursor = index_start(&self.item_rules_index, hash)
        cdef int64_t row = index_next(&self.item_rules_index, hash, &cursor)
        while row >= 0 and (<ItemRulesRow*>self.item_rules.row(row)).item != item:
            row = index_next(&self.item_rules_index, hash, &cursor)
        return row

    cdef int64_t find_symbol(self, int kind, Span code) noexcept nogil:
        cdef uint64_t hash = _hash_symbol(kind, code)
        cdef int64_t cursor = index_start(&self.symbol_index, hash)
        cdef int64_t row = index_next(&self.symbol_index, hash, &cursor)
        cdef SymbolRow* symbol
        while row >= 0:
            symbol = <SymbolRow*>self.symbols.row(row)
            if symbol.kind == <uint32_t>kind and span_equal(self.text(symbol.code), code):
                break
            row = index_next(&self.symbol_index, hash, &cursor)
        return row

    cdef int64_t find_chain(self, int64_t item, int64_t location) noexcept nogil:
        """The chain of the price rows of `item` at one location, or -1."""
        cdef uint64_t hash = _hash_chain(item, location)
        cdef int64_t cursor = index_start(&self.chain_index, hash)
        cdef int64_t row = index_next(&self.chain_index, hash, &cursor)
        cdef ChainRow* chain
        while row >= 0:
            chain = <ChainRow*>self.chains.row(row)
            if chain.item == item and chain.location == location:
                break
            row = index_next(&self.chain_index, hash, &cursor)
        return row

    cdef int64_t first_price(self, int64_t item, int64_t location) noexcept nogil:
        """The first price row of `item` at `location` (-1 = all locations), or -1; go on by `next`."""
        cdef int64_t chain
        if location < 0:
            return <int64_t>self.item(item).first_price - 1
        if not self.item(item).first_chain:  # nearly always: no look-up
            return -1
        chain = self.find_chain(item, location)
        return -1 if chain < 0 else <int64_t>(<ChainRow*>self.chains.row(chain)).first_price - 1

    cdef int64_t find_terms(self, const TermsRow* wanted) noexcept nogil:
        """The row with these terms, or -1."""
        cdef uint64_t hash = _hash_terms(wanted)
        cdef int64_t cursor = index_start(&self.terms_index, hash)
        cdef int64_t row = index_next(&self.terms_index, hash, &cursor)
        cdef TermsRow* terms
        while row >= 0:
            terms = <TermsRow*>self.terms.row(row)
            if (
                terms.min_qty_milli == wanted.min_qty_milli
                and terms.base_qty_milli == wanted.base_qty_milli
                and terms.from_ns == wanted.from_ns
                and terms.to_ns == wanted.to_ns
                and terms.max_qty_milli == wanted.max_qty_milli
                and terms.rank == wanted.rank
                and terms.further == wanted.further
                and terms.channel == wanted.channel
                and terms.customer_group == wanted.customer_group
            ):
                break
            row = index_next(&self.terms_index, hash, &cursor)
        return row

    # Writers

    cdef int64_t add_item(self, Span code) noexcept nogil:
        cdef int64_t row = self.items.append()
        cdef ItemRow* item = <ItemRow*>self.items.edit(row)
        item.code_size = <uint32_t>code.size
        if code.size <= ITEM_CODE_HERE:
            memcpy(item.code, code.data, code.size)
        else:
            item.code_at8 = self.store(code).at8
        index_add(&self.item_index, _hash(code), row)
        return row

    cdef void add_barcode(self, int64_t item, Span code) noexcept nogil:
        """Give the item a barcode that no item has; it becomes the last of its list."""
        cdef CatalogGlobals* state = <CatalogGlobals*>self.globals.edit(0)
        cdef int64_t row = <int64_t>state.free_barcode - 1
        cdef int64_t last
        cdef BarcodeRow* barcode
        if row >= 0:
            state.free_barcode = (<BarcodeRow*>self.barcodes.row(row)).next
        else:
            row = self.barcodes.append()
        barcode = <BarcodeRow*>self.barcodes.edit(row)
        barcode.code = self.store(code)
        barcode.item = <uint32_t>item
        barcode.next = 0
        index_add(&self.barcode_index, _hash(code), row)
        last = <int64_t>self.item(item).first_barcode - 1
        if last < 0:
            (<ItemRow*>self.items.edit(item)).first_barcode = <uint32_t>(row + 1)
            return
        while (<BarcodeRow*>self.barcodes.row(last)).next:
            last = <int64_t>(<BarcodeRow*>self.barcodes.row(last)).next - 1
        (<BarcodeRow*>self.barcodes.edit(last)).next = <uint32_t>(row + 1)

    cdef void drop_barcodes(self, int64_t item) noexcept nogil:
        cdef CatalogGlobals* state = <CatalogGlobals*>self.globals.edit(0)
        cdef ItemRow* row = <ItemRow*>self.items.edit(item)
        cdef int64_t at = <int64_t>row.first_barcode - 1, next_row
        cdef BarcodeRow* barcode
        row.first_barcode = 0
        while at >= 0:
            barcode = <BarcodeRow*>self.barcodes.edit(at)
            next_row = <int64_t>barcode.next - 1
            index_remove(&self.barcode_index, _hash(self.text(barcode.code)), at)
            memset(barcode, 0, sizeof(BarcodeRow))
            barcode.next = state.free_barcode
            state.free_barcode = <uint32_t>(at + 1)
            at = next_row

    cdef int64_t add_location(self, Span code) noexcept nogil:
        cdef int64_t row = self.locations.append()
        (<LocationRow*>self.locations.edit(row)).code = self.store(code)
        index_add(&self.location_index, _hash(code), row)
        return row

    cdef int64_t add_till(self, Span code) noexcept nogil:
        cdef int64_t row = self.tills.append()
        (<TillRow*>self.tills.edit(row)).code = self.store(code)
        index_add(&self.till_index, _hash(code), row)
        return row

    cdef int64_t add_tax_class(self, Span code) noexcept nogil:
        cdef int64_t row = self.tax_classes.append()
        (<TaxClassRow*>self.tax_classes.edit(row)).code = self.store(code)
        index_add(&self.tax_class_index, _hash(code), row)
        return row

    cdef void put_item_rules(self, int64_t item, ItemRulesRow* rules, Span uom) noexcept nogil:
        """Keep the rules of an item, or forget them (NULL); the caller sets the item's flag."""
        cdef int64_t row = self.item_rules_row(item)
        cdef ItemRulesRow* kept
        if row < 0:
            if rules == NULL:
                return
            row = self.item_rules.append()
            index_add(&self.item_rules_index, hash_int(<uint64_t>item), row)
        kept = <ItemRulesRow*>self.item_rules.edit(row)
        if rules == NULL:
            memset(kept, 0, sizeof(ItemRulesRow))
        else:
            rules.uom = self.restore(kept.uom, uom)
            kept[0] = rules[0]
        kept.item = <uint32_t>item

    cdef int64_t intern_symbol(self, int kind, Span code) noexcept nogil:
        """The row of a channel, group or category code, made if it is new."""
        cdef int64_t row = self.find_symbol(kind, code)
        cdef SymbolRow* symbol
        if row < 0:
            row = self.symbols.append()
            symbol = <SymbolRow*>self.symbols.edit(row)
            symbol.code = self.store(code)
            symbol.kind = <uint32_t>kind
            index_add(&self.symbol_index, _hash_symbol(kind, code), row)
        return row

    cdef int64_t take_terms(self, const TermsRow* wanted) noexcept nogil:
        """The row of these terms, for one more price row; made when there is none."""
        cdef CatalogGlobals* state
        cdef TermsRow* terms
        cdef int64_t row = self.find_terms(wanted)
        if row < 0:
            state = <CatalogGlobals*>self.globals.edit(0)
            row = <int64_t>state.free_terms - 1
            if row >= 0:
                state.free_terms = (<TermsRow*>self.terms.row(row)).next_free
            else:
                row = self.terms.append()
            terms = <TermsRow*>self.terms.edit(row)
            terms[0] = wanted[0]
            terms.uses = terms.next_free = 0
            index_add(&self.terms_index, _hash_terms(terms), row)
        (<TermsRow*>self.terms.edit(row)).uses += 1
        return row

    cdef void leave_terms(self, int64_t row) noexcept nogil:
        """A price row does not say these terms any more; who is last takes them along."""
        cdef TermsRow* terms = <TermsRow*>self.terms.edit(row)
        cdef CatalogGlobals* state
        terms.uses -= 1
        if terms.uses == 0:
            state = <CatalogGlobals*>self.globals.edit(0)
            index_remove(&self.terms_index, _hash_terms(terms), row)
            memset(terms, 0, sizeof(TermsRow))
            terms.next_free = state.free_terms
            state.free_terms = <uint32_t>(row + 1)

    cdef void link_price(self, int64_t item, int64_t location, int64_t before, uint32_t price) noexcept nogil:
        """Let the list of an item at a location (-1 = all) go on with `price` (row + 1) after row `before`."""
        cdef int64_t chain
        cdef ChainRow* head
        if before >= 0:
            (<PriceRow*>self.prices.edit(before)).next = price
        elif location < 0:
            (<ItemRow*>self.items.edit(item)).first_price = price
        else:
            chain = self.find_chain(item, location)
            if chain < 0:
                chain = self.chains.append()
                head = <ChainRow*>self.chains.edit(chain)
                head.item = <uint32_t>item
                head.location = <uint32_t>location
                head.next = self.item(item).first_chain
                (<ItemRow*>self.items.edit(item)).first_chain = <uint32_t>(chain + 1)
                index_add(&self.chain_index, _hash_chain(item, location), chain)
            (<ChainRow*>self.chains.edit(chain)).first_price = price

    cdef void put_price(
        self, int64_t item, int64_t location, const TermsRow* wanted, int64_t price_minor, bint removed
    ) noexcept nogil:
        """Create, replace or remove the row of this item and location (-1 = all) with this break, start and terms.

        The end of its time, the end of its quantities and the base quantity are what a row may change.
        """
        cdef CatalogGlobals* state
        cdef int64_t row = self.first_price(item, location), before = -1, old_terms
        cdef PriceRow* price = NULL
        cdef const TermsRow* terms
        while row >= 0:
            price = self.price(row)
            terms = self.terms_of(price)
            if (
                terms.channel == wanted.channel
                and terms.customer_group == wanted.customer_group
                and terms.min_qty_milli == wanted.min_qty_milli
                and terms.from_ns == wanted.from_ns
                and terms.rank == wanted.rank
                and terms.further == wanted.further
            ):
                break
            before = row
            row = <int64_t>price.next - 1
        if removed:
            if row >= 0:
                state = <CatalogGlobals*>self.globals.edit(0)
                self.link_price(item, location, before, price.next)
                self.leave_terms(price.terms)
                price = <PriceRow*>self.prices.edit(row)
                memset(price, 0, sizeof(PriceRow))
                price.next = state.free_price
                state.free_price = <uint32_t>(row + 1)
                state.price_count -= 1
            return
        if row < 0:
            self.add_price(item, location, wanted, price_minor)
            return
        old_terms = price.terms
        price = <PriceRow*>self.prices.edit(row)
        price.price_minor = price_minor
        price.terms = <uint32_t>self.take_terms(wanted)
        self.leave_terms(old_terms)

    cdef int64_t add_price(
        self, int64_t item, int64_t location, const TermsRow* wanted, int64_t price_minor
    ) noexcept nogil:
        """Add a row that the book of this item and location (-1 = all) does not have."""
        cdef CatalogGlobals* state = <CatalogGlobals*>self.globals.edit(0)
        cdef int64_t row = <int64_t>state.free_price - 1
        cdef PriceRow* price
        if row >= 0:
            state.free_price = self.price(row).next
        else:
            row = self.prices.append()
        price = <PriceRow*>self.prices.edit(row)
        price.next = <uint32_t>(self.first_price(item, location) + 1)
        self.link_price(item, location, -1, <uint32_t>(row + 1))
        state.price_count += 1
        price = <PriceRow*>self.prices.edit(row)
        price.price_minor = price_minor
        price.terms = <uint32_t>self.take_terms(wanted)
        return row
