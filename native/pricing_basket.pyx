"""The basket that was priced last: its lines and charges, their taxes, and what they sum to.

A refund is such a basket too, of lines that bring what was paid for them.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memset

from ringup.native.catalog cimport TAX_INCLUSIVE, Catalog, TaxRow, TaxSetRow
from ringup.native.command cimport refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_OK,
    RESULT_CODE_TOO_MANY,
)
from ringup.native.embedded_codes cimport EmbeddedCodes
from ringup.native.limits cimport DISCOUNTS_PER_LINE_MAX, LINES_MAX, TOTAL_MINOR_MAX
from ringup.native.loyalty cimport Loyalty
from ringup.native.money cimport int128
from ringup.native.pricing_rates cimport (
    Rate,
    TaxClass,
    Taxes,
    TaxPlace,
    add_rate,
    name_rates,
    taxes_clear,
    taxes_free,
    taxes_make_room,
)
from ringup.native.pricing_state cimport Basket, basket_free
from ringup.native.pricing_tax cimport taxes_add, taxes_begin, taxes_finish, taxes_place
from ringup.native.promotion cimport NO_SYMBOL
from ringup.native.promotion_book cimport PromotionBook
from ringup.native.wire cimport Span, Writer, no_span


cdef class PricedBasket:
    """A basket with its taxes and totals."""

    def __cinit__(self, Catalog catalog, PromotionBook book, Loyalty loyalty, EmbeddedCodes codes):
        self.catalog, self.book, self.loyalty, self.codes = catalog, book, loyalty, codes
        memset(&self.basket, 0, sizeof(Basket))
        memset(&self.rates, 0, sizeof(Taxes))
        self.rates_stale = True
        self.lines = <Line*>malloc(LINES_MAX * sizeof(Line))
        self.discounts = <Discount*>malloc(LINES_MAX * DISCOUNTS_PER_LINE_MAX * sizeof(Discount))
        self.shares = <int64_t*>malloc(LINES_MAX * sizeof(int64_t))
        if self.lines == NULL or self.discounts == NULL or self.shares == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.lines)
        free(self.discounts)
        free(self.shares)
        basket_free(&self.basket)
        taxes_free(&self.rates)

    cdef void clear(self) noexcept nogil:
        """Begin an empty basket."""
        self.line_count = self.discount_count = self.tax_count = self.charge_count = 0
        self.promoted = False
        self.currency = 0
        self.loyalty.close()
        self.subtotal_minor = self.discount_total_minor = self.charges_minor = self.deposit_minor = 0
        self.tax_added_minor = self.total_minor = 0
        if self.rates_stale:  # the tables were loaded from elsewhere
            taxes_clear(&self.rates)
            self.rates_stale = False

    cdef void add_line(self, Line* line) noexcept nogil:
        """Take a line whose price and discounts are known (a return)."""
        if self.line_count >= LINES_MAX:
            abort()
        self.lines[self.line_count] = line[0]
        self.line_count += 1

    cdef void read_set(self, int64_t tax_set) noexcept nogil:
        """Take the rates of a tax set of the catalog into `rates`, under the same number."""
        cdef TaxSetRow* row = self.catalog.tax_set(tax_set)
        cdef TaxRow* tax
        cdef TaxClass* at
        cdef int64_t number
        if tax_set >= self.rates.class_count:
            taxes_make_room(&self.rates, self.catalog.tax_sets.count)
        at = &self.rates.classes[tax_set]
        if at.loaded:
            return
        at.loaded = True
        for number in range(row.tax_count):
            tax = &row.taxes[number]
            add_rate(
                at, <int32_t>tax.name, tax.rate_ppb, tax.per_unit_minor, (tax.flags & TAX_INCLUSIVE) != 0,
                <int32_t>tax.base,
            )
        name_rates(&self.rates, at)

    cdef int total(self, Writer* out) noexcept nogil:
        """Add the lines and charges up, with their taxes."""
        cdef Span none = no_span()
        cdef int128 subtotal = 0, total = 0, deposits = 0
        cdef int64_t at
        for at in range(self.line_count):
            subtotal += self.lines[at].gross_minor
            total += self.lines[at].total_minor
            deposits += self.lines[at].deposit_minor
        for at in range(self.charge_count):
            self.charges_minor += self.charges[at].amount_minor
        if max(subtotal, total) + deposits + max(self.charges_minor, 0) > TOTAL_MINOR_MAX:
            return refuse(out, RESULT_CODE_AMOUNT_TOO_LARGE, "lines", 0, none, TOTAL_MINOR_MAX + 1, TOTAL_MINOR_MAX)
        if not self.promoted:
            self.tax_lines()
        if self.rates.beyond:
            return refuse(out, RESULT_CODE_AMOUNT_TOO_LARGE, "lines.tax", 0, none, TOTAL_MINOR_MAX + 1, TOTAL_MINOR_MAX)
        if not self.tabulate():
            return refuse(out, RESULT_CODE_TOO_MANY, "lines.tax", 0, none, TAX_TOTALS_MAX + 1, TAX_TOTALS_MAX)
        self.subtotal_minor = <int64_t>subtotal
        self.discount_total_minor = <int64_t>(subtotal - total)
        self.deposit_minor = <int64_t>deposits
        self.tax_added_minor = self.rates.tax_added
        self.total_minor = <int64_t>total + self.charges_minor + self.tax_added_minor + self.deposit_minor
        if self.total_minor < 0:  # charges below zero take more than there is
            return refuse(out, RESULT_CODE_AMOUNT_INVALID, "charges.amount_minor", 0, none, self.total_minor, 0)
        return RESULT_CODE_OK

    cdef void tax_lines(self) noexcept nogil:
        """The taxes of lines that no promotion touched."""
        cdef int64_t at
        cdef Line* line
        taxes_begin(&self.rates, 0)
        for at in range(self.line_count):
            line = &self.lines[at]
            line.place = <int32_t>at
            taxes_add(&self.rates, &self.book.snapshot.rules, line.tax_set, line.total_minor, line.qty_milli)
        taxes_finish(&self.rates, &self.book.snapshot.rules)

    cdef bint tabulate(self) noexcept nogil:
        """Make the tax table from the taxes of the lines and charges; False where it has too many rows."""
        cdef int64_t at, number
        cdef TaxPlace* place
        cdef TaxTotal* last = NULL
        for at in range(self.rates.place_count):
            place = &self.rates.places[at]
            if place.tax_class == NO_SYMBOL:
                continue
            if last != NULL and last.tax_set == <uint32_t>place.tax_class and (
                self.rates.classes[place.tax_class].rate_count == 1
            ):  # as the line before, as in most baskets
                last.base_minor += place.amount - place.included
                last.tax_minor += self.rates.parts[place.first]
                continue
            last = &self.taxes[self.tax_count]
            for number in range(self.rates.classes[place.tax_class].rate_count):
                if not self.tally(
                    place.tax_class, number, place.amount - place.included, self.rates.parts[place.first + number]
                ):
                    return False
            if last != &self.taxes[self.tax_count - 1]:  # it has shared a row
                last = NULL
        return True

    cdef bint tally(self, int32_t tax_set, int64_t tax, int64_t base_minor, int64_t tax_minor) noexcept nogil:
        """Add to the row of a tax; taxes of several classes that are the same to a customer share one."""
        cdef Rate* rate = &self.rates.classes[tax_set].rates[tax]
        cdef Rate* other
        cdef TaxTotal* entry
        cdef int64_t at
        for at in range(self.tax_count):
            entry = &self.taxes[at]
            other = &self.rates.classes[entry.tax_set].rates[entry.tax]
            if other == rate or (
                other.key == rate.key and other.rate_ppb == rate.rate_ppb and other.per_unit == rate.per_unit
            ):
                entry.base_minor += base_minor
                entry.tax_minor += tax_minor
                return True
        if self.tax_count == TAX_TOTALS_MAX:
            return False
        entry = &self.taxes[self.tax_count]
        self.tax_count += 1
        entry.tax_set = <uint32_t>tax_set
        entry.tax = <uint32_t>tax
        entry.base_minor = base_minor
        entry.tax_minor = tax_minor
        return True

    cdef void begin_refund(self) noexcept nogil:
        """Begin an empty basket whose lines bring their taxes."""
        self.clear()
        taxes_begin(&self.rates, 0)

    cdef int64_t* begin_place(self, int32_t tax_set, int64_t taxed_minor) noexcept nogil:
        """The taxes of the next line or charge, in the set's order, for the caller to write; all zero."""
        cdef TaxPlace* place
        taxes_place(&self.rates, self.load_set(tax_set))
        place = &self.rates.places[self.rates.place_count - 1]
        place.amount = taxed_minor
        return self.rates.parts + place.first

    cdef void total_refund(self) noexcept nogil:
        """Add up what the lines and charges bring."""
        cdef int64_t at, number
        cdef TaxPlace* place
        cdef TaxClass* rated
        self.subtotal_minor = self.deposit_minor = self.charges_minor = self.tax_added_minor = self.tax_count = 0
        for at in range(self.rates.place_count):
            place = &self.rates.places[at]
            place.included = place.added = 0
            for number in range(self.rates.classes[place.tax_class].rate_count if place.tax_class >= 0 else 0):
                rated = &self.rates.classes[place.tax_class]
                if rated.rates[number].inclusive:
                    place.included += self.rates.parts[place.first + number]
                else:
                    place.added += self.rates.parts[place.first + number]
            self.tax_added_minor += place.added
        for at in range(self.line_count):
            self.subtotal_minor += self.lines[at].gross_minor
            self.deposit_minor += self.lines[at].deposit_minor
        for at in range(self.charge_count):
            self.charges_minor += self.charges[at].amount_minor
            self.charges[at].tax_added_minor = self.rates.places[self.charges[at].place].added
        self.total_minor = self.subtotal_minor + self.charges_minor + self.tax_added_minor + self.deposit_minor
        self.tabulate()  # a part of a sale has no more rows than the sale
