"""What comes back refunds exactly what was paid: shares of each line, its deposit and its taxes."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from ringup.native.catalog cimport TAX_INCLUSIVE, TaxSetRow
from ringup.native.limits cimport LINES_MAX, TAXES_PER_CLASS_MAX
from ringup.native.money cimport HALF_UP, allocate, multiply_divide, share_until
from ringup.native.pricing_basket cimport ChargeLine, Line
from ringup.native.pricing_rates cimport TaxPlace
from ringup.native.sale_book cimport SaleChargeRow, SaleExtraRow, SaleLineRow
from ringup.native.sale_request cimport SaleRequests


cdef void _shares(
    const int64_t* amounts, int64_t* shares, int64_t count, int64_t part_milli, int64_t whole_milli
) noexcept nogil:
    """Share what several amounts are together, and that over the amounts, so that the customer sees equal parts."""
    cdef int64_t i, sum_ = 0
    for i in range(count):
        if amounts[i] < 0:
            break
        sum_ += amounts[i]
    else:
        allocate(share_until(sum_, part_milli, whole_milli), amounts, shares, count)
        return
    for i in range(count):
        shares[i] = share_until(amounts[i], part_milli, whole_milli)


cdef class SaleRefunds(SaleRequests):
    """The refund at hand, laid in the basket of pricing."""

    def __cinit__(self):
        self.weights = <int64_t*>malloc(LINES_MAX * sizeof(int64_t))
        if self.weights == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.weights)

    cdef void refund_line(self, SaleLineRow* sold, int64_t before_milli, int64_t qty_milli) noexcept nogil:
        """Add what `qty_milli` more of a sold line refunds: the parts of a line sum to what was paid.

        Its value, its deposit and the taxes on top are shared out together; taxes inside the value each alone.
        """
        cdef Line line
        cdef int64_t after_milli = before_milli + qty_milli, whole = sold.qty_milli, count, at, untaken = 0
        cdef int64_t[TAXES_PER_CLASS_MAX] taxes
        cdef int64_t[TAXES_PER_CLASS_MAX + 2] amounts
        cdef int64_t[TAXES_PER_CLASS_MAX + 2] before
        cdef int64_t[TAXES_PER_CLASS_MAX + 2] after
        cdef int64_t added = 2
        cdef int64_t* parts
        cdef TaxSetRow* tax_set = NULL
        memset(&line, 0, sizeof(Line))
        line.item = sold.item
        line.promotion = -1
        line.tax_set = <int32_t>sold.tax_set - 1
        if sold.tax_set:
            tax_set = self.catalog.tax_set(line.tax_set)
            line.tax_class = tax_set.tax_class + 1
        line.qty_milli = qty_milli
        line.price_minor, line.base_qty_milli = sold.total_minor, whole  # the price paid for the whole line
        amounts[0] = sold.total_minor
        amounts[1] = 0
        if sold.extra:
            amounts[1] = (<SaleExtraRow*>self.extras.row(sold.extra - 1)).deposit_minor
            untaken = (<SaleExtraRow*>self.extras.row(sold.extra - 1)).untaken_minor
        count = self.taxes_of(sold.tax_set, sold.first_tax, sold.tax_minor, taxes)
        for at in range(count):
            if not tax_set.taxes[at].flags & TAX_INCLUSIVE:
                amounts[added] = taxes[at]
                added += 1
        _shares(amounts, before, added, before_milli, whole)
        _shares(amounts, after, added, after_milli, whole)
        line.total_minor = line.gross_minor = after[0] - before[0]
        line.deposit_minor = after[1] - before[1]
        untaken = share_until(untaken, after_milli, whole) - share_until(untaken, before_milli, whole)
        line.place = <int32_t>self.pricing.rates.place_count
        parts = self.pricing.begin_place(line.tax_set, line.total_minor + untaken)
        added = 2
        for at in range(count):
            if tax_set.taxes[at].flags & TAX_INCLUSIVE:
                parts[at] = share_until(taxes[at], after_milli, whole) - share_until(taxes[at], before_milli, whole)
            else:
                parts[at] = after[added] - before[added]
                added += 1
        self.pricing.add_line(&line)

    cdef void refund_charge(self, SaleChargeRow* sold) noexcept nogil:
        """Add a charge of the sale as it was paid."""
        cdef ChargeLine* charge = &self.pricing.charges[self.pricing.charge_count]
        cdef int64_t[TAXES_PER_CLASS_MAX] taxes
        cdef int64_t count = self.taxes_of(sold.tax_set, sold.first_tax, sold.tax_minor, taxes), at
        cdef int64_t* parts
        memset(charge, 0, sizeof(ChargeLine))
        charge.id = self.catalog.symbol(sold.charge)
        charge.amount_minor = sold.amount_minor
        if sold.tax_set:
            charge.tax_class = self.catalog.tax_set(sold.tax_set - 1).tax_class + 1
        charge.place = <int32_t>self.pricing.rates.place_count
        parts = self.pricing.begin_place(<int32_t>sold.tax_set - 1, sold.taxed_minor)
        for at in range(count):
            parts[at] = taxes[at]
        self.pricing.charge_count += 1

    cdef int64_t taxes_of(self, uint32_t tax_set, uint32_t first_tax, int64_t tax_minor, int64_t* taxes) noexcept nogil:
        """The taxes of a sold line or charge one by one, in its set's order; returns how many."""
        cdef int64_t count, at
        if tax_set == 0:
            return 0
        count = self.catalog.tax_set(tax_set - 1).tax_count
        if first_tax == 0:
            taxes[0] = tax_minor
        for at in range(count if first_tax else 0):
            taxes[at] = (<int64_t*>self.taxes.row(<int64_t>first_tax - 1 + at))[0]
        return count

    cdef int64_t charges_paid(self, int64_t original, bint returned) noexcept nogil:
        """What a sale's charges cost with their taxes: those that were paid back, or those that were not."""
        cdef int64_t row = self.first_charge(original), at, count, total = 0
        cdef int64_t[TAXES_PER_CLASS_MAX] taxes
        cdef SaleChargeRow* charge
        while row < self.charges.count and (<SaleChargeRow*>self.charges.row(row)).sale == original:
            charge = <SaleChargeRow*>self.charges.row(row)
            row += 1
            if (charge.returned != 0) != returned:
                continue
            total += charge.amount_minor
            count = self.taxes_of(charge.tax_set, charge.first_tax, charge.tax_minor, taxes)
            for at in range(count):
                if not self.catalog.tax_set(charge.tax_set - 1).taxes[at].flags & TAX_INCLUSIVE:
                    total += taxes[at]
        return total

    cdef void scale_refund(self, int64_t refund_minor) noexcept nogil:
        """Make a return refund `refund_minor` in all, its lines in proportion to what was paid for them.

        A line's deposit and taxes follow it; charges are as they were paid.
        """
        cdef int64_t at, number, paid, share, added
        cdef Line* line
        cdef TaxPlace* place
        cdef int64_t* part
        for at in range(self.pricing.charge_count):
            refund_minor -= self.pricing.charges[at].amount_minor + self.pricing.charges[at].tax_added_minor
        for at in range(self.pricing.line_count):
            line = &self.pricing.lines[at]
            self.weights[at] = max(
                <int64_t>0, line.total_minor + line.deposit_minor + self.pricing.rates.places[line.place].added
            )
        allocate(max(<int64_t>0, refund_minor), self.weights, self.pricing.shares, self.pricing.line_count)
        for at in range(self.pricing.line_count):
            line = &self.pricing.lines[at]
            place = &self.pricing.rates.places[line.place]
            paid, share, added = self.weights[at], self.pricing.shares[at], 0
            if paid == 0:
                line.total_minor = line.gross_minor = share
                continue
            place.amount = multiply_divide(place.amount, share, paid, HALF_UP)
            line.deposit_minor = multiply_divide(line.deposit_minor, share, paid, HALF_UP)
            for number in range(self.pricing.rates.classes[place.tax_class].rate_count if place.tax_class >= 0 else 0):
                part = self.pricing.rates.parts + place.first + number
                part[0] = multiply_divide(part[0], share, paid, HALF_UP)
                if not self.pricing.rates.classes[place.tax_class].rates[number].inclusive:
                    added += part[0]
            line.total_minor = line.gross_minor = share - line.deposit_minor - added
        self.pricing.total_refund()
