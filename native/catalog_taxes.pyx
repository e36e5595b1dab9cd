"""Tax classes: the handler of PutTaxClasses and the query ListTaxClasses.

A class's taxes may be due at different times and be on each other.  When a class is put, its time is cut
into periods in which its taxes do not change, and each period becomes a set of taxes in which a tax stands
after those that enlarge its base; pricing works with sets alone.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp, memset

from ringup.native.catalog cimport SYMBOL_TAX, TAX_INCLUSIVE, Catalog, TaxClassRow, TaxRow, TaxSetRow
from ringup.native.catalog_pages cimport read_page, write_token
from ringup.native.command cimport MALFORMED, Command, check_count, is_code, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_OK,
    RESULT_CODE_TAX_CYCLIC,
    RESULT_CODE_TAX_UNKNOWN,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    ListTaxClassesResponse_tax_classes,
    PutTaxClassesRequest_tax_classes,
    Tax_amount_minor_per_unit,
    Tax_from_ns,
    Tax_inclusive,
    Tax_name,
    Tax_on,
    Tax_rate_ppb,
    Tax_to_ns,
    TaxClass_tax_class_id,
    TaxClass_taxes,
)
from ringup.native.limits cimport CODE_BYTES_MAX, PERCENT_SCALE, PRICE_MINOR_MAX, TAXES_PER_CLASS_MAX, TIME_NS_MAX
from ringup.native.pricing_rates cimport TaxClass, add_rate, form_rates
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    next_of,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_equal,
    write_int,
    write_span,
)


cdef TaxIn _read_tax(Span body) noexcept nogil:
    cdef TaxIn tax
    cdef Reader reader = reader_of(body)
    memset(&tax, 0, sizeof(TaxIn))
    tax.body = body
    while next_field(&reader):
        if reader.field == Tax_name:
            tax.name = read_span(&reader)
        elif reader.field == Tax_rate_ppb:
            tax.rate_ppb = read_int(&reader)
        elif reader.field == Tax_inclusive:
            tax.flags |= TAX_INCLUSIVE if read_int(&reader) else 0
        elif reader.field == Tax_amount_minor_per_unit:
            tax.per_unit_minor = read_int(&reader)
        elif reader.field == Tax_from_ns:
            tax.from_ns = read_int(&reader)
        elif reader.field == Tax_to_ns:
            tax.to_ns = read_int(&reader)
        else:
            skip_field(&reader)
    tax.bad = reader.bad
    return tax


cdef inline bint _is_due(const TaxIn* tax, int64_t at_ns) noexcept nogil:
    return tax.from_ns <= at_ns and (tax.to_ns == 0 or at_ns < tax.to_ns)


cdef class TaxCommands:
    """What the catalog does with tax classes."""

    def __cinit__(self, Catalog catalog):
        self.catalog = catalog

    cdef int put_tax_classes(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef int64_t index = 0
        cdef int code = check_count(command.body, PutTaxClassesRequest_tax_classes, "tax_classes", out)

        # Check.
        if code != RESULT_CODE_OK:
            return code
        while next_of(&reader, PutTaxClassesRequest_tax_classes):
            self.read_class(read_span(&reader))
            code = self.check_class(index, out)
            if code != RESULT_CODE_OK:
                return code
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_of(&reader, PutTaxClassesRequest_tax_classes):
            self.read_class(read_span(&reader))
            self.check_bases(0, NULL)  # finds the order again
            self.check_periods(0, NULL)
            self.put_class()
        return ok(out)

    cdef void read_class(self, Span body) noexcept nogil:
        cdef TaxClassIn* asked = &self.asked
        cdef Reader reader = reader_of(body)
        memset(asked, 0, sizeof(TaxClassIn))
        asked.body = body
        while next_field(&reader):
            if reader.field == TaxClass_tax_class_id:
                asked.code = read_span(&reader)
            elif reader.field == TaxClass_taxes:
                body = read_span(&reader)
                if asked.count < TAXES_PER_CLASS_MAX:
                    asked.taxes[asked.count] = _read_tax(body)
                    asked.bad = asked.bad or asked.taxes[asked.count].bad
                asked.count += 1
            else:
                skip_field(&reader)
        asked.bad = asked.bad or reader.bad

    cdef int check_class(self, int64_t index, Writer* out) noexcept nogil:
        cdef TaxClassIn* asked = &self.asked
        cdef int64_t at
        cdef int code
        if asked.bad:
            return MALFORMED
        if not is_code(asked.code):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "tax_classes.tax_class_id", index, asked.code, asked.code.size,
                CODE_BYTES_MAX,
            )
        if asked.count > TAXES_PER_CLASS_MAX:
            return refuse(
                out, RESULT_CODE_TOO_MANY, "tax_classes.taxes", index, asked.code, asked.count, TAXES_PER_CLASS_MAX
            )
        for at in range(asked.count):
            code = self.check_tax(&asked.taxes[at], index, out)
            if code != RESULT_CODE_OK:
                return code
        code = self.check_bases(index, out)
        if code != RESULT_CODE_OK:
            return code
        return self.check_periods(index, out)

    cdef int check_tax(self, TaxIn* tax, int64_t index, Writer* out) noexcept nogil:
        """Check a tax by itself."""
        if not is_code(tax.name):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "tax_classes.taxes.name", index, self.asked.code, tax.name.size,
                CODE_BYTES_MAX,
            )
        if not 0 <= tax.rate_ppb <= PERCENT_SCALE:
            return refuse(
                out, RESULT_CODE_AMOUNT_INVALID, "tax_classes.taxes.rate_ppb", index, tax.name, tax.rate_ppb, PERCENT_SCALE
            )
        if tax.per_unit_minor < 0 or (tax.per_unit_minor and tax.rate_ppb):  # by quantity or by value, not both
            return refuse(
                out, RESULT_CODE_AMOUNT_INVALID, "tax_classes.taxes.amount_minor_per_unit", index, tax.name,
                tax.per_unit_minor, 0,
            )
        if tax.per_unit_minor > PRICE_MINOR_MAX:
            return refuse(
                out, RESULT_CODE_AMOUNT_TOO_LARGE, "tax_classes.taxes.amount_minor_per_unit", index, tax.name,
                tax.per_unit_minor, PRICE_MINOR_MAX,
            )
        if not 0 <= tax.from_ns <= TIME_NS_MAX:
            return refuse(
                out, RESULT_CODE_TIME_INVALID, "tax_classes.taxes.from_ns", index, tax.name, tax.from_ns, TIME_NS_MAX
            )
        if tax.to_ns != 0 and not tax.from_ns < tax.to_ns <= TIME_NS_MAX:
            return refuse(
                out, RESULT_CODE_TIME_INVALID, "tax_classes.taxes.to_ns", index, tax.name, tax.to_ns, tax.from_ns
            )
        return RESULT_CODE_OK

    cdef int check_bases(self, int64_t index, Writer* out) noexcept nogil:
        """Find each tax's base and an order in which every tax stands after those that enlarge its own."""
        cdef TaxClassIn* asked = &self.asked
        cdef Reader reader
        cdef Span named
        cdef int64_t at, other, placed = 0
        cdef uint32_t done = 0, found
        for at in range(asked.count):
            reader = reader_of(asked.taxes[at].body)
            while next_of(&reader, Tax_on):
                named = read_span(&reader)
                found = 0
                for other in range(asked.count):
                    if span_equal(asked.taxes[other].name, named):
                        found |= <uint32_t>1 << other
                if found == 0:
                    return refuse(out, RESULT_CODE_TAX_UNKNOWN, "tax_classes.taxes.on", index, named, 0, 0)
                asked.taxes[at].base |= found
            if asked.taxes[at].per_unit_minor and asked.taxes[at].base:  # a tax by quantity has no base
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "tax_classes.taxes.on", index, asked.taxes[at].name, 0, 0
                )
        while placed < asked.count:
            for at in range(asked.count):
                if not done >> at & 1 and asked.taxes[at].base & ~done == 0:
                    break
            else:
                at = 0
                while done >> at & 1:
                    at += 1
                return refuse(out, RESULT_CODE_TAX_CYCLIC, "tax_classes.taxes.on", index, asked.taxes[at].name, 0, 0)
            asked.order[placed] = at
            done |= <uint32_t>1 << at
            placed += 1
        return RESULT_CODE_OK

    cdef int check_periods(self, int64_t index, Writer* out) noexcept nogil:
        """Cut the time where a tax begins or ends; taxes of one name must not overlap."""
        cdef TaxClassIn* asked = &self.asked
        cdef TaxClass trial
        cdef TaxIn* tax
        cdef int64_t at, other, start, next_start = 0
        cdef uint32_t live
        for at in range(asked.count):
            tax = &asked.taxes[at]
            for other in range(at):
                if span_equal(tax.name, asked.taxes[other].name) and (
                    _is_due(tax, asked.taxes[other].from_ns) or _is_due(&asked.taxes[other], tax.from_ns)
                ):
                    return refuse(
                        out, RESULT_CODE_TIME_INVALID, "tax_classes.taxes.from_ns", index, tax.name, tax.from_ns,
                        asked.taxes[other].to_ns,
                    )
        asked.period_count = 0
        start = -1
        while next_start != start:
            start = next_start
            live = 0
            memset(&trial, 0, sizeof(TaxClass))
            for at in range(asked.count):
                tax = &asked.taxes[asked.order[at]]
                if _is_due(tax, start):
                    live |= <uint32_t>1 << asked.order[at]
                    add_rate(
                        &trial, 0, tax.rate_ppb, tax.per_unit_minor, (tax.flags & TAX_INCLUSIVE) != 0,
                        self.base_in_order(tax.base, live),
                    )
                # The next instant at which something changes.
                if tax.from_ns > start and (next_start == start or tax.from_ns < next_start):
                    next_start = tax.from_ns
                if tax.to_ns > start and (next_start == start or tax.to_ns < next_start):
                    next_start = tax.to_ns
            form_rates(&trial, 0)
            if trial.unfit:  # more digits together than can be computed with exactly
                return refuse(
                    out, RESULT_CODE_AMOUNT_TOO_LARGE, "tax_classes.taxes.rate_ppb", index, asked.code, 0, 0
                )
            if asked.period_count == 0 or asked.live[asked.period_count - 1] != live:
                asked.starts[asked.period_count] = start
                asked.live[asked.period_count] = live
                asked.period_count += 1
        return RESULT_CODE_OK

    cdef int base_in_order(self, uint32_t base, uint32_t live) noexcept nogil:
        """The bits of `base` as places among the live taxes in order."""
        cdef int found = 0, place = 0
        cdef int64_t at
        for at in range(self.asked.count):
            if not live >> self.asked.order[at] & 1:
                continue
            if base >> self.asked.order[at] & 1:
                found |= 1 << place
            place += 1
        return found

    cdef TaxRow tax_row(self, int64_t number) noexcept nogil:
        cdef TaxIn* tax = &self.asked.taxes[number]
        cdef TaxRow row
        memset(&row, 0, sizeof(TaxRow))
        row.name = <uint32_t>self.catalog.intern_symbol(SYMBOL_TAX, tax.name)
        row.flags = tax.flags
        row.rate_ppb = tax.rate_ppb
        row.per_unit_minor = tax.per_unit_minor
        row.from_ns, row.to_ns = tax.from_ns, tax.to_ns
        row.base = tax.base
        return row

    cdef void put_class(self) noexcept nogil:
        cdef TaxClassIn* asked = &self.asked
        cdef TaxRow[TAXES_PER_CLASS_MAX] taxes
        cdef TaxClassRow* row_now
        cdef int64_t row = self.catalog.find_tax_class(asked.code), at
        memset(&taxes[0], 0, sizeof(taxes))
        for at in range(asked.count):
            taxes[at] = self.tax_row(at)
        if row < 0:
            row = self.catalog.add_tax_class(asked.code)
        elif (
            self.catalog.tax_class(row).tax_count == asked.count
            and memcmp(&taxes[0], &self.catalog.tax_class(row).taxes[0], sizeof(taxes)) == 0
        ):
            return  # what it has: its sets stay
        row_now = <TaxClassRow*>self.catalog.tax_classes.edit(row)
        row_now.tax_count = <uint32_t>asked.count
        row_now.taxes = taxes
        row_now.first_set = 0
        self.put_sets(row)

    cdef void put_sets(self, int64_t row) noexcept nogil:
        """Append the sets of the class's periods; the latest comes first, as most sales are of it."""
        cdef TaxClassIn* asked = &self.asked
        cdef TaxSetRow* tax_set
        cdef TaxRow* tax
        cdef int64_t period, at, set_row
        for period in range(asked.period_count):
            if asked.live[period] == 0:
                continue
            set_row = self.catalog.tax_sets.append()
            tax_set = <TaxSetRow*>self.catalog.tax_sets.edit(set_row)
            tax_set.tax_class = <uint32_t>row
            tax_set.from_ns = asked.starts[period]
            tax_set.to_ns = asked.starts[period + 1] if period + 1 < asked.period_count else 0
            for at in range(asked.count):
                if asked.live[period] >> asked.order[at] & 1:
                    tax = &tax_set.taxes[tax_set.tax_count]
                    tax[0] = self.tax_row(asked.order[at])
                    tax.from_ns = tax.to_ns = 0
                    tax.base = <uint32_t>self.base_in_order(tax.base, asked.live[period])
                    tax_set.tax_count += 1
            tax_set.next = self.catalog.tax_class(row).first_set
            (<TaxClassRow*>self.catalog.tax_classes.edit(row)).first_set = <uint32_t>(set_row + 1)

    # The query

    cdef int list_tax_classes(self, Span request, Writer* out) noexcept nogil:
        cdef int64_t page_size = 0, row = 0, end, mark, at
        cdef TaxClassRow* tax_class
        cdef int code = read_page(request, &page_size, &row, out)
        if code != RESULT_CODE_OK:
            return code
        end = min(row + page_size, self.catalog.tax_classes.count)
        while row < end:
            tax_class = self.catalog.tax_class(row)
            mark = begin_message(out, ListTaxClassesResponse_tax_classes)
            write_span(out, TaxClass_tax_class_id, self.catalog.text(tax_class.code))
            for at in range(tax_class.tax_count):
                self.write_tax(&tax_class.taxes[0], tax_class.tax_count, at, out)
            end_message(out, mark)
            row += 1
        if row < self.catalog.tax_classes.count:
            write_token(row, out)
        return ok(out)

    cdef void write_tax(self, const TaxRow* taxes, int64_t count, int64_t number, Writer* out) noexcept nogil:
        cdef int64_t mark = begin_message(out, TaxClass_taxes), at, other
        cdef const TaxRow* tax = &taxes[number]
        write_span(out, Tax_name, self.catalog.symbol(tax.name))
        write_int(out, Tax_rate_ppb, tax.rate_ppb)
        write_int(out, Tax_inclusive, (tax.flags & TAX_INCLUSIVE) != 0)
        write_int(out, Tax_amount_minor_per_unit, tax.per_unit_minor)
        for at in range(count):
            if not tax.base >> at & 1:
                continue
            for other in range(at):  # a name once, though several times may have it
                if tax.base >> other & 1 and taxes[other].name == taxes[at].name:
                    break
            else:
                write_span(out, Tax_on, self.catalog.symbol(taxes[at].name))
        write_int(out, Tax_from_ns, tax.from_ns)
        write_int(out, Tax_to_ns, tax.to_ns)
        end_message(out, mark)
