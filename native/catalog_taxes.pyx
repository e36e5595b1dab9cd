"""Tax classes: the handler of PutTaxClasses and the query ListTaxClasses."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ringup.native.catalog cimport TAX_INCLUSIVE, Catalog, TaxClassRow
from ringup.native.catalog_pages cimport check_count, read_page, write_token
from ringup.native.command cimport MALFORMED, Command, is_code, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_OK,
    RESULT_CODE_TOO_MANY,
    ListTaxClassesResponse_tax_classes,
    PutTaxClassesRequest_tax_classes,
    Tax_inclusive,
    Tax_name,
    Tax_rate_ppb,
    TaxClass_tax_class_id,
    TaxClass_taxes,
)
from ringup.native.limits cimport CODE_BYTES_MAX, PERCENT_SCALE, TAXES_PER_CLASS_MAX
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    read_int,
    read_span,
    reader_of,
    skip_field,
    write_int,
    write_span,
)

cdef TaxClassIn _read_tax_class(Span body) noexcept nogil:
    cdef TaxClassIn tax_class
    cdef Reader reader = reader_of(body)
    memset(&tax_class, 0, sizeof(TaxClassIn))
    tax_class.body = body
    while next_field(&reader):
        if reader.field == TaxClass_tax_class_id:
            tax_class.code = read_span(&reader)
        elif reader.field == TaxClass_taxes:
            read_span(&reader)
            tax_class.count += 1
        else:
            skip_field(&reader)
    tax_class.bad = reader.bad
    return tax_class


cdef TaxIn _read_tax(Span body) noexcept nogil:
    cdef TaxIn tax
    cdef Reader reader = reader_of(body)
    memset(&tax, 0, sizeof(TaxIn))
    while next_field(&reader):
        if reader.field == Tax_name:
            tax.name = read_span(&reader)
        elif reader.field == Tax_rate_ppb:
            tax.rate_ppb = read_int(&reader)
        elif reader.field == Tax_inclusive:
            tax.flags |= TAX_INCLUSIVE if read_int(&reader) else 0
        else:
            skip_field(&reader)
    tax.bad = reader.bad
    return tax


cdef class TaxCommands:
    """What the catalog does with tax classes."""

    def __cinit__(self, Catalog catalog):
        self.catalog = catalog

    cdef int put_tax_classes(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body), inner
        cdef TaxClassIn tax_class
        cdef TaxIn tax
        cdef TaxClassRow* row_now
        cdef int64_t row, index = 0, at
        cdef int code = check_count(command.body, PutTaxClassesRequest_tax_classes, "tax_classes", out)

        # Check.
        if code != RESULT_CODE_OK:
            return code
        while next_field(&reader):
            if reader.field != PutTaxClassesRequest_tax_classes:
                skip_field(&reader)
                continue
            tax_class = _read_tax_class(read_span(&reader))
            code = self.check_tax_class(&tax_class, index, out)
            if code != RESULT_CODE_OK:
                return code
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_field(&reader):
            if reader.field != PutTaxClassesRequest_tax_classes:
                skip_field(&reader)
                continue
            tax_class = _read_tax_class(read_span(&reader))
            row = self.catalog.find_tax_class(tax_class.code)
            if row < 0:
                row = self.catalog.add_tax_class(tax_class.code)
            row_now = <TaxClassRow*>self.catalog.tax_classes.edit(row)
            memset(&row_now.taxes[0], 0, sizeof(row_now.taxes))
            row_now.tax_count = tax_class.count
            inner = reader_of(tax_class.body)
            at = 0
            while next_field(&inner):
                if inner.field != TaxClass_taxes:
                    skip_field(&inner)
                    continue
                tax = _read_tax(read_span(&inner))
                row_now.taxes[at].name = self.catalog.store(tax.name)
                row_now.taxes[at].rate_ppb = tax.rate_ppb
                row_now.taxes[at].flags = tax.flags
                at += 1
        return ok(out)

    cdef int check_tax_class(self, TaxClassIn* tax_class, int64_t index, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(tax_class.body)
        cdef TaxIn tax
        if tax_class.bad:
            return MALFORMED
        if not is_code(tax_class.code):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "tax_classes.tax_class_id", index, tax_class.code, tax_class.code.size,
                CODE_BYTES_MAX,
            )
        if tax_class.count > TAXES_PER_CLASS_MAX:
            return refuse(
                out, RESULT_CODE_TOO_MANY, "tax_classes.taxes", index, tax_class.code, tax_class.count, TAXES_PER_CLASS_MAX
            )
        while next_field(&reader):
            if reader.field != TaxClass_taxes:
                skip_field(&reader)
                continue
            tax = _read_tax(read_span(&reader))
            if tax.bad:
                return MALFORMED
            if not is_code(tax.name):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "tax_classes.taxes.name", index, tax_class.code, tax.name.size,
                    CODE_BYTES_MAX,
                )
            if not 0 <= tax.rate_ppb <= PERCENT_SCALE:
                return refuse(
                    out, RESULT_CODE_AMOUNT_INVALID, "tax_classes.taxes.rate_ppb", index, tax_class.code, tax.rate_ppb,
                    PERCENT_SCALE,
                )
        return RESULT_CODE_OK

    cdef int list_tax_classes(self, Span request, Writer* out) noexcept nogil:
        cdef int64_t page_size = 0, row = 0, end, mark, inner, at
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
                inner = begin_message(out, TaxClass_taxes)
                write_span(out, Tax_name, self.catalog.text(tax_class.taxes[at].name))
                write_int(out, Tax_rate_ppb, tax_class.taxes[at].rate_ppb)
                write_int(out, Tax_inclusive, (tax_class.taxes[at].flags & TAX_INCLUSIVE) != 0)
                end_message(out, inner)
            end_message(out, mark)
            row += 1
        if row < self.catalog.tax_classes.count:
            write_token(row, out)
        return ok(out)
