"""Handlers and queries of the catalog.

Each handler reads its request twice: once to check everything, once to apply it, so that a
request goes in whole or not at all and nothing is copied in between.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from ringup.native.catalog cimport (
    ITEM_MEASURED,
    ITEM_UNTRACKED,
    LOCATION_DISABLED,
    LOCATION_SHORTFALL_ALLOWED,
    SYMBOL_CATEGORY,
    SYMBOL_CHANNEL,
    SYMBOL_CUSTOMER_GROUP,
    TAX_INCLUSIVE,
    BarcodeRow,
    Catalog,
    ChainRow,
    ItemRow,
    LocationRow,
    PriceRow,
    SymbolRow,
    TaxClassRow,
    TillRow,
)
from ringup.native.command cimport MALFORMED, Command, is_code, is_code_or_empty, is_text, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_BARCODE_TAKEN,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_LINES_EMPTY,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_TAX_CLASS_UNKNOWN,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    GetItemRequest_item_code,
    GetItemResponse_item,
    GetItemResponse_price_rows,
    Item_barcodes,
    Item_categories,
    Item_item_id,
    Item_measured,
    Item_name,
    Item_tax_class_id,
    Item_untracked,
    ListLocationsRequest_page_size,
    ListLocationsRequest_page_token,
    ListLocationsResponse_locations,
    ListTaxClassesResponse_tax_classes,
    Location_disabled,
    Location_location_id,
    Location_name,
    Location_till_shortfall_allowed,
    PriceRow_base_qty_milli,
    PriceRow_channel_id,
    PriceRow_customer_group_id,
    PriceRow_from_ns,
    PriceRow_item_id,
    PriceRow_location_id,
    PriceRow_min_qty_milli,
    PriceRow_price_minor,
    PriceRow_removed,
    PriceRow_to_ns,
    PutItemsRequest_items,
    PutItemsResponse_created,
    PutLocationsRequest_locations,
    PutPricesRequest_rows,
    PutTaxClassesRequest_tax_classes,
    PutTillsRequest_tills,
    SearchItemsRequest_page_size,
    SearchItemsRequest_page_token,
    SearchItemsRequest_text,
    SearchItemsResponse_items,
    SearchItemsResponse_next_page_token,
    Tax_inclusive,
    Tax_name,
    Tax_rate_ppb,
    TaxClass_tax_class_id,
    TaxClass_taxes,
    Till_location_id,
    Till_till_id,
)
from ringup.native.index cimport hash_bytes, index_add, index_free, index_next, index_start
from ringup.native.limits cimport (
    BARCODES_PER_ITEM_MAX,
    CATEGORIES_PER_ITEM_MAX,
    CODE_BYTES_MAX,
    NAME_BYTES_MAX,
    PAGE_SIZE_MAX,
    PERCENT_SCALE,
    PRICE_MINOR_MAX,
    PUT_ROWS_MAX,
    QTY_MILLI_MAX,
    TAXES_PER_CLASS_MAX,
    TIME_NS_MAX,
)
from ringup.native.wire cimport (
    WIRE_BYTES,
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
    span_at,
    span_equal,
    write_int,
    write_span,
)

cdef enum:
    PAGE_SIZE_DEFAULT = 50
    SEARCH_ROWS_MAX = 50000  # items looked at for one page of a search

cdef ItemIn _read_item(Span body) noexcept nogil:
    cdef ItemIn item
    cdef Reader reader = reader_of(body)
    memset(&item, 0, sizeof(ItemIn))
    item.body = body
    while next_field(&reader):
        if reader.field == Item_item_id:
            item.code = read_span(&reader)
        elif reader.field == Item_name:
            item.name = read_span(&reader)
        elif reader.field == Item_tax_class_id:
            item.tax_class = read_span(&reader)
        elif reader.field == Item_barcodes:
            read_span(&reader)
            item.barcode_count += 1
        elif reader.field == Item_categories:
            read_span(&reader)
            item.category_count += 1
        elif reader.field == Item_measured:
            item.flags |= ITEM_MEASURED if read_int(&reader) else 0
        elif reader.field == Item_untracked:
            item.flags |= ITEM_UNTRACKED if read_int(&reader) else 0
        else:
            skip_field(&reader)
    item.bad = reader.bad
    return item


cdef PriceIn _read_price(Span body) noexcept nogil:
    cdef PriceIn price
    cdef Reader reader = reader_of(body)
    memset(&price, 0, sizeof(PriceIn))
    while next_field(&reader):
        if reader.field == PriceRow_item_id:
            price.item = read_span(&reader)
        elif reader.field == PriceRow_location_id:
            price.location = read_span(&reader)
        elif reader.field == PriceRow_channel_id:
            price.channel = read_span(&reader)
        elif reader.field == PriceRow_customer_group_id:
            price.group = read_span(&reader)
        elif reader.field == PriceRow_min_qty_milli:
            price.min_qty_milli = read_int(&reader)
        elif reader.field == PriceRow_price_minor:
            price.price_minor = read_int(&reader)
        elif reader.field == PriceRow_base_qty_milli:
            price.base_qty_milli = read_int(&reader)
        elif reader.field == PriceRow_from_ns:
            price.from_ns = read_int(&reader)
        elif reader.field == PriceRow_to_ns:
            price.to_ns = read_int(&reader)
        elif reader.field == PriceRow_removed:
            price.removed = read_int(&reader) != 0
        else:
            skip_field(&reader)
    if price.base_qty_milli == 0:
        price.base_qty_milli = 1000
    price.bad = reader.bad
    return price


cdef NamedIn _read_location(Span body) noexcept nogil:
    cdef NamedIn location
    cdef Reader reader = reader_of(body)
    memset(&location, 0, sizeof(NamedIn))
    while next_field(&reader):
        if reader.field == Location_location_id:
            location.code = read_span(&reader)
        elif reader.field == Location_name:
            location.second = read_span(&reader)
        elif reader.field == Location_till_shortfall_allowed:
            location.flags |= LOCATION_SHORTFALL_ALLOWED if read_int(&reader) else 0
        elif reader.field == Location_disabled:
            location.flags |= LOCATION_DISABLED if read_int(&reader) else 0
        else:
            skip_field(&reader)
    location.bad = reader.bad
    return location


cdef NamedIn _read_till(Span body) noexcept nogil:
    cdef NamedIn till
    cdef Reader reader = reader_of(body)
    memset(&till, 0, sizeof(NamedIn))
    while next_field(&reader):
        if reader.field == Till_till_id:
            till.code = read_span(&reader)
        elif reader.field == Till_location_id:
            till.second = read_span(&reader)
        else:
            skip_field(&reader)
    till.bad = reader.bad
    return till


cdef NamedIn _read_tax_class(Span body) noexcept nogil:
    cdef NamedIn tax_class
    cdef Reader reader = reader_of(body)
    memset(&tax_class, 0, sizeof(NamedIn))
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


cdef struct TaxIn:
    Span name
    int64_t rate_ppb, flags
    bint bad


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


cdef int64_t count_field(Span body, uint32_t field) noexcept nogil:
    """How often a message field stands in `body`, or -1 where the bytes are malformed."""
    cdef Reader reader = reader_of(body)
    cdef int64_t count = 0
    while next_field(&reader):
        if reader.field == field:
            read_span(&reader)
            count += 1
        else:
            skip_field(&reader)
    return -1 if reader.bad else count


cdef int _check_count(Span body, uint32_t field, const char* name, Writer* out) noexcept nogil:
    """Check that a put command carries between one and PUT_ROWS_MAX rows."""
    cdef int64_t count = count_field(body, field)
    cdef Span none = span_at(NULL, 0)
    if count < 0:
        return MALFORMED
    if count == 0:
        return refuse(out, RESULT_CODE_LINES_EMPTY, name, 0, none, 0, 1)
    if count > PUT_ROWS_MAX:
        return refuse(out, RESULT_CODE_TOO_MANY, name, 0, none, count, PUT_ROWS_MAX)
    return RESULT_CODE_OK


cdef class CatalogCommands:
    """What the catalog does with commands and queries."""

    def __cinit__(self, Catalog catalog):
        self.catalog = catalog

    def __dealloc__(self):
        index_free(&self.scratch)

    # Items

    cdef int put_items(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body), inner
        cdef ItemIn item
        cdef ItemRow* row_now
        cdef int64_t row, created = 0, index = 0
        cdef int code = _check_count(command.body, PutItemsRequest_items, "items", out)

        # Check.
        if code != RESULT_CODE_OK:
            return code
        index_free(&self.scratch)
        while next_field(&reader):
            if reader.field != PutItemsRequest_items:
                skip_field(&reader)
                continue
            item = _read_item(read_span(&reader))
            code = self.check_item(&item, index, command.body, out)
            if code != RESULT_CODE_OK:
                return code
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_field(&reader):
            if reader.field != PutItemsRequest_items:
                skip_field(&reader)
                continue
            item = _read_item(read_span(&reader))
            row = self.catalog.find_item_code(item.code)
            if row < 0:
                row = self.catalog.add_item(item.code)
                created += 1
            row_now = <ItemRow*>self.catalog.items.edit(row)
            row_now.name = self.catalog.restore(row_now.name, item.name)
            row_now.tax_class = <uint32_t>(self.catalog.find_tax_class(item.tax_class) + 1) if item.tax_class.size else 0
            row_now.flags = <uint32_t>item.flags
            self.put_categories(row, &item)
            if not self.same_barcodes(row, &item):
                self.catalog.drop_barcodes(row)
                inner = reader_of(item.body)
                while next_field(&inner):
                    if inner.field == Item_barcodes:
                        self.catalog.add_barcode(row, read_span(&inner))
                    else:
                        skip_field(&inner)
        write_int(out, PutItemsResponse_created, created)
        return ok(out)

    cdef int check_item(self, ItemIn* item, int64_t index, Span request, Writer* out) noexcept nogil:
        cdef Reader reader
        cdef Span span
        cdef int64_t barcode, owner, at
        if item.bad:
            return MALFORMED
        if not is_code(item.code):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "items.item_id", index, item.code, item.code.size, CODE_BYTES_MAX)
        if item.name.size == 0 or not is_text(item.name, NAME_BYTES_MAX):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "items.name", index, item.code, item.name.size, NAME_BYTES_MAX)
        if item.barcode_count > BARCODES_PER_ITEM_MAX:
            return refuse(
                out, RESULT_CODE_TOO_MANY, "items.barcodes", index, item.code, item.barcode_count, BARCODES_PER_ITEM_MAX
            )
        if item.category_count > CATEGORIES_PER_ITEM_MAX:
            return refuse(
                out, RESULT_CODE_TOO_MANY, "items.categories", index, item.code, item.category_count, CATEGORIES_PER_ITEM_MAX
            )
        if not is_code_or_empty(item.tax_class):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "items.tax_class_id", index, item.code, item.tax_class.size, CODE_BYTES_MAX
            )
        if item.tax_class.size and self.catalog.find_tax_class(item.tax_class) < 0:
            return refuse(out, RESULT_CODE_TAX_CLASS_UNKNOWN, "items.tax_class_id", index, item.tax_class, 0, 0)
        reader = reader_of(item.body)
        while next_field(&reader):
            if reader.field == Item_categories:
                span = read_span(&reader)
                if not is_code(span):
                    return refuse(
                        out, RESULT_CODE_FIELD_INVALID, "items.categories", index, item.code, span.size, CODE_BYTES_MAX
                    )
            elif reader.field == Item_barcodes:
                at = <const char*>reader.at - request.data
                span = read_span(&reader)
                if not is_code(span):
                    return refuse(
                        out, RESULT_CODE_FIELD_INVALID, "items.barcodes", index, item.code, span.size, CODE_BYTES_MAX
                    )
                barcode = self.catalog.find_barcode(span)
                if barcode >= 0:
                    owner = (<BarcodeRow*>self.catalog.barcodes.row(barcode)).item
                    if not span_equal(self.catalog.item_code(owner), item.code):
                        return refuse(out, RESULT_CODE_BARCODE_TAKEN, "items.barcodes", index, span, 0, 0)
                if not self.claim_barcode(span, at, request):
                    return refuse(out, RESULT_CODE_BARCODE_TAKEN, "items.barcodes", index, span, 0, 0)
            else:
                skip_field(&reader)
        return RESULT_CODE_OK

    cdef bint claim_barcode(self, Span barcode, int64_t at, Span request) noexcept nogil:
        """Note that this request names `barcode`; False where it did so before.

        `at` is where the barcode's length stands in the request.  The scratch index holds such places, so a
        barcode is read again from there, however its length was written, and compared without a copy.
        """
        cdef uint64_t hash = hash_bytes(barcode.data, barcode.size)
        cdef int64_t cursor = index_start(&self.scratch, hash)
        cdef int64_t other = index_next(&self.scratch, hash, &cursor)
        cdef Reader reader
        while other >= 0:
            reader = reader_of(span_at(request.data + other, request.size - other))
            reader.wire_type = WIRE_BYTES
            if span_equal(read_span(&reader), barcode):
                return False
            other = index_next(&self.scratch, hash, &cursor)
        index_add(&self.scratch, hash, at)
        return True

    cdef bint same_barcodes(self, int64_t row, ItemIn* item) noexcept nogil:
        cdef Reader reader = reader_of(item.body)
        cdef int64_t at = <int64_t>self.catalog.item(row).first_barcode - 1
        cdef BarcodeRow* barcode
        while next_field(&reader):
            if reader.field != Item_barcodes:
                skip_field(&reader)
                continue
            if at < 0:
                return False
            barcode = <BarcodeRow*>self.catalog.barcodes.row(at)
            if not span_equal(self.catalog.text(barcode.code), read_span(&reader)):
                return False
            at = <int64_t>barcode.next - 1
        return at < 0

    cdef void put_categories(self, int64_t row, ItemIn* item) noexcept nogil:
        cdef uint32_t[CATEGORIES_PER_ITEM_MAX] symbols
        cdef int64_t count = 0
        cdef Reader reader = reader_of(item.body)
        cdef ItemRow* row_now
        while next_field(&reader):
            if reader.field == Item_categories:
                symbols[count] = <uint32_t>self.catalog.intern_symbol(SYMBOL_CATEGORY, read_span(&reader))
                count += 1
            else:
                skip_field(&reader)
        row_now = <ItemRow*>self.catalog.items.edit(row)
        row_now.categories = self.catalog.restore(row_now.categories, span_at(&symbols[0], count * sizeof(uint32_t)))

    # Prices

    cdef int put_prices(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef PriceIn price
        cdef int64_t index = 0
        cdef int code = _check_count(command.body, PutPricesRequest_rows, "rows", out)

        # Check.
        if code != RESULT_CODE_OK:
            return code
        while next_field(&reader):
            if reader.field != PutPricesRequest_rows:
                skip_field(&reader)
                continue
            price = _read_price(read_span(&reader))
            code = self.check_price(&price, index, out)
            if code != RESULT_CODE_OK:
                return code
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_field(&reader):
            if reader.field != PutPricesRequest_rows:
                skip_field(&reader)
                continue
            price = _read_price(read_span(&reader))
            self.catalog.put_price(
                self.catalog.find_item_code(price.item),
                self.catalog.find_location(price.location) if price.location.size else -1,
                self.catalog.intern_symbol(SYMBOL_CHANNEL, price.channel) if price.channel.size else -1,
                self.catalog.intern_symbol(SYMBOL_CUSTOMER_GROUP, price.group) if price.group.size else -1,
                price.min_qty_milli, price.price_minor, price.base_qty_milli, price.from_ns, price.to_ns, price.removed,
            )
        return ok(out)

    cdef int check_price(self, PriceIn* price, int64_t index, Writer* out) noexcept nogil:
        if price.bad:
            return MALFORMED
        if not is_code(price.item):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "rows.item_id", index, price.item, price.item.size, CODE_BYTES_MAX)
        if not is_code_or_empty(price.location):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "rows.location_id", index, price.item, price.location.size, CODE_BYTES_MAX
            )
        if not is_code_or_empty(price.channel):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "rows.channel_id", index, price.item, price.channel.size, CODE_BYTES_MAX
            )
        if not is_code_or_empty(price.group):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "rows.customer_group_id", index, price.item, price.group.size, CODE_BYTES_MAX
            )
        if price.min_qty_milli < 0:
            return refuse(out, RESULT_CODE_QTY_INVALID, "rows.min_qty_milli", index, price.item, price.min_qty_milli, 0)
        if price.base_qty_milli < 0:
            return refuse(out, RESULT_CODE_QTY_INVALID, "rows.base_qty_milli", index, price.item, price.base_qty_milli, 1)
        if price.min_qty_milli > QTY_MILLI_MAX or price.base_qty_milli > QTY_MILLI_MAX:
            return refuse(
                out, RESULT_CODE_QTY_TOO_LARGE, "rows.min_qty_milli", index, price.item,
                max(price.min_qty_milli, price.base_qty_milli), QTY_MILLI_MAX,
            )
        if price.price_minor < 0:
            return refuse(out, RESULT_CODE_AMOUNT_INVALID, "rows.price_minor", index, price.item, price.price_minor, 0)
        if price.price_minor > PRICE_MINOR_MAX:
            return refuse(
                out, RESULT_CODE_AMOUNT_TOO_LARGE, "rows.price_minor", index, price.item, price.price_minor, PRICE_MINOR_MAX
            )
        if not 0 <= price.from_ns <= TIME_NS_MAX:
            return refuse(out, RESULT_CODE_TIME_INVALID, "rows.from_ns", index, price.item, price.from_ns, TIME_NS_MAX)
        if price.to_ns != 0 and not price.from_ns < price.to_ns <= TIME_NS_MAX:
            return refuse(out, RESULT_CODE_TIME_INVALID, "rows.to_ns", index, price.item, price.to_ns, price.from_ns)
        if self.catalog.find_item_code(price.item) < 0:
            return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "rows.item_id", index, price.item, 0, 0)
        if price.location.size and self.catalog.find_location(price.location) < 0:
            return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "rows.location_id", index, price.location, 0, 0)
        return RESULT_CODE_OK

    # Tax classes

    cdef int put_tax_classes(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body), inner
        cdef NamedIn tax_class
        cdef TaxIn tax
        cdef TaxClassRow* row_now
        cdef int64_t row, index = 0, at
        cdef int code = _check_count(command.body, PutTaxClassesRequest_tax_classes, "tax_classes", out)

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

    cdef int check_tax_class(self, NamedIn* tax_class, int64_t index, Writer* out) noexcept nogil:
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

    # Locations and tills

    cdef int put_locations(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef NamedIn location
        cdef LocationRow* row_now
        cdef int64_t row, index = 0
        cdef int code = _check_count(command.body, PutLocationsRequest_locations, "locations", out)

        # Check.
        if code != RESULT_CODE_OK:
            return code
        while next_field(&reader):
            if reader.field != PutLocationsRequest_locations:
                skip_field(&reader)
                continue
            location = _read_location(read_span(&reader))
            if location.bad:
                return MALFORMED
            if not is_code(location.code):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "locations.location_id", index, location.code, location.code.size,
                    CODE_BYTES_MAX,
                )
            if not is_text(location.second, NAME_BYTES_MAX):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "locations.name", index, location.code, location.second.size,
                    NAME_BYTES_MAX,
                )
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_field(&reader):
            if reader.field != PutLocationsRequest_locations:
                skip_field(&reader)
                continue
            location = _read_location(read_span(&reader))
            row = self.catalog.find_location(location.code)
            if row < 0:
                row = self.catalog.add_location(location.code)
            row_now = <LocationRow*>self.catalog.locations.edit(row)
            row_now.name = self.catalog.restore(row_now.name, location.second)
            row_now.flags = <uint32_t>location.flags
        self.catalog.location_changes += 1
        return ok(out)

    cdef int put_tills(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef NamedIn till
        cdef int64_t row, location, index = 0
        cdef int code = _check_count(command.body, PutTillsRequest_tills, "tills", out)

        # Check.
        if code != RESULT_CODE_OK:
            return code
        while next_field(&reader):
            if reader.field != PutTillsRequest_tills:
                skip_field(&reader)
                continue
            till = _read_till(read_span(&reader))
            if till.bad:
                return MALFORMED
            if not is_code(till.code):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "tills.till_id", index, till.code, till.code.size, CODE_BYTES_MAX
                )
            location = self.catalog.find_location(till.second)
            if location < 0:
                return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "tills.location_id", index, till.second, 0, 0)
            row = self.catalog.find_till(till.code)
            if row >= 0 and self.catalog.till(row).last_receipt_number and self.catalog.till(row).location != location:
                return refuse(out, RESULT_CODE_FIELD_INVALID, "tills.location_id", index, till.code, 0, 0)
            index += 1

        # Apply.
        reader = reader_of(command.body)
        while next_field(&reader):
            if reader.field != PutTillsRequest_tills:
                skip_field(&reader)
                continue
            till = _read_till(read_span(&reader))
            row = self.catalog.find_till(till.code)
            if row < 0:
                row = self.catalog.add_till(till.code)
            (<TillRow*>self.catalog.tills.edit(row)).location = <uint32_t>self.catalog.find_location(till.second)
        return ok(out)

    # Queries

    cdef int get_item(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef Span code = span_at(NULL, 0)
        cdef int64_t row, chain
        while next_field(&reader):
            if reader.field == GetItemRequest_item_code:
                code = read_span(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        row = self.catalog.find_item(code)
        if row < 0:
            return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "item_code", 0, code, 0, 0)
        self.write_item(row, GetItemResponse_item, out)
        chain = <int64_t>self.catalog.item(row).first_chain - 1
        while chain >= 0:
            self.write_chain(row, chain, out)
            chain = <int64_t>(<ChainRow*>self.catalog.chains.row(chain)).next - 1
        return ok(out)

    cdef void write_item(self, int64_t row, uint32_t field, Writer* out) noexcept nogil:
        cdef ItemRow* item = self.catalog.item(row)
        cdef int64_t mark = begin_message(out, field), at
        cdef BarcodeRow* barcode
        cdef uint32_t* symbols
        write_span(out, Item_item_id, self.catalog.text(item.code))
        write_span(out, Item_name, self.catalog.text(item.name))
        at = <int64_t>item.first_barcode - 1
        while at >= 0:
            barcode = <BarcodeRow*>self.catalog.barcodes.row(at)
            write_span(out, Item_barcodes, self.catalog.text(barcode.code))
            at = <int64_t>barcode.next - 1
        symbols = <uint32_t*>self.catalog.text(item.categories).data
        for at in range(item.categories.size // sizeof(uint32_t)):
            write_span(out, Item_categories, self.catalog.text((<SymbolRow*>self.catalog.symbols.row(symbols[at])).code))
        if item.tax_class:
            write_span(out, Item_tax_class_id, self.catalog.text(self.catalog.tax_class(item.tax_class - 1).code))
        write_int(out, Item_measured, (item.flags & ITEM_MEASURED) != 0)
        write_int(out, Item_untracked, (item.flags & ITEM_UNTRACKED) != 0)
        end_message(out, mark)

    cdef void write_chain(self, int64_t item, int64_t chain_row, Writer* out) noexcept nogil:
        cdef ChainRow* chain = <ChainRow*>self.catalog.chains.row(chain_row)
        cdef int64_t at = <int64_t>chain.first_price - 1, mark
        cdef PriceRow* price
        while at >= 0:
            price = <PriceRow*>self.catalog.prices.row(at)
            mark = begin_message(out, GetItemResponse_price_rows)
            write_span(out, PriceRow_item_id, self.catalog.item_code(item))
            if chain.location:
                write_span(out, PriceRow_location_id, self.catalog.location_code(chain.location - 1))
            if price.channel:
                write_span(
                    out, PriceRow_channel_id,
                    self.catalog.text((<SymbolRow*>self.catalog.symbols.row(price.channel - 1)).code),
                )
            if price.customer_group:
                write_span(
                    out, PriceRow_customer_group_id,
                    self.catalog.text((<SymbolRow*>self.catalog.symbols.row(price.customer_group - 1)).code),
                )
            write_int(out, PriceRow_min_qty_milli, price.min_qty_milli)
            write_int(out, PriceRow_price_minor, price.price_minor)
            write_int(out, PriceRow_base_qty_milli, price.base_qty_milli)
            write_int(out, PriceRow_from_ns, price.from_ns)
            write_int(out, PriceRow_to_ns, price.to_ns)
            end_message(out, mark)
            at = <int64_t>price.next - 1

    cdef int search_items(self, Span request, Writer* out) noexcept nogil:
        """One page of items; a page looks at SEARCH_ROWS_MAX items at most, so that it is always quick."""
        cdef Reader reader = reader_of(request)
        cdef Span text = span_at(NULL, 0), token = span_at(NULL, 0)
        cdef int64_t page_size = 0, row = 0, found = 0, looked = 0
        cdef int code
        while next_field(&reader):
            if reader.field == SearchItemsRequest_text:
                text = read_span(&reader)
            elif reader.field == SearchItemsRequest_page_token:
                token = read_span(&reader)
            elif reader.field == SearchItemsRequest_page_size:
                page_size = read_int(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if not is_text(text, NAME_BYTES_MAX):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "text", 0, text, text.size, NAME_BYTES_MAX)
        code = _first_row(token, &page_size, &row, out)
        if code != RESULT_CODE_OK:
            return code
        while row < self.catalog.items.count and found < page_size and looked < SEARCH_ROWS_MAX:
            if self.item_matches(row, text):
                self.write_item(row, SearchItemsResponse_items, out)
                found += 1
            row += 1
            looked += 1
        if row < self.catalog.items.count:
            _write_token(row, out)
        return ok(out)

    cdef int list_locations(self, Span request, Writer* out) noexcept nogil:
        cdef int64_t page_size = 0, row = 0, end, mark
        cdef LocationRow* location
        cdef int code = _read_page(request, &page_size, &row, out)
        if code != RESULT_CODE_OK:
            return code
        end = min(row + page_size, self.catalog.locations.count)
        while row < end:
            location = self.catalog.location(row)
            mark = begin_message(out, ListLocationsResponse_locations)
            write_span(out, Location_location_id, self.catalog.text(location.code))
            write_span(out, Location_name, self.catalog.text(location.name))
            write_int(out, Location_till_shortfall_allowed, (location.flags & LOCATION_SHORTFALL_ALLOWED) != 0)
            write_int(out, Location_disabled, (location.flags & LOCATION_DISABLED) != 0)
            end_message(out, mark)
            row += 1
        if row < self.catalog.locations.count:
            _write_token(row, out)
        return ok(out)

    cdef int list_tax_classes(self, Span request, Writer* out) noexcept nogil:
        cdef int64_t page_size = 0, row = 0, end, mark, inner, at
        cdef TaxClassRow* tax_class
        cdef int code = _read_page(request, &page_size, &row, out)
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
            _write_token(row, out)
        return ok(out)

    cdef bint item_matches(self, int64_t row, Span text) noexcept nogil:
        cdef ItemRow* item = self.catalog.item(row)
        cdef int64_t at = <int64_t>item.first_barcode - 1
        cdef BarcodeRow* barcode
        if _contains(self.catalog.text(item.name), text) or _contains(self.catalog.text(item.code), text):
            return True
        while at >= 0:
            barcode = <BarcodeRow*>self.catalog.barcodes.row(at)
            if _contains(self.catalog.text(barcode.code), text):
                return True
            at = <int64_t>barcode.next - 1
        return False


# Pages: a token is the row to go on with; rows of the catalog are never taken out.
cdef int _first_row(Span token, int64_t* page_size, int64_t* row, Writer* out) noexcept nogil:
    cdef int64_t at
    if not 0 <= page_size[0] <= PAGE_SIZE_MAX:
        return refuse(out, RESULT_CODE_TOO_MANY, "page_size", 0, span_at(NULL, 0), page_size[0], PAGE_SIZE_MAX)
    if token.size > 12:
        return refuse(out, RESULT_CODE_FIELD_INVALID, "page_token", 0, token, token.size, 12)
    row[0] = 0
    for at in range(token.size):
        if not 48 <= token.data[at] <= 57:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "page_token", 0, token, 0, 0)
        row[0] = row[0] * 10 + token.data[at] - 48
    page_size[0] = page_size[0] if page_size[0] else PAGE_SIZE_DEFAULT
    return RESULT_CODE_OK


cdef int _read_page(Span request, int64_t* page_size, int64_t* row, Writer* out) noexcept nogil:
    """Read a ListLocationsRequest; the numbers are those of ListTaxClassesRequest, a test proves it."""
    cdef Reader reader = reader_of(request)
    cdef Span token = span_at(NULL, 0)
    while next_field(&reader):
        if reader.field == ListLocationsRequest_page_size:
            page_size[0] = read_int(&reader)
        elif reader.field == ListLocationsRequest_page_token:
            token = read_span(&reader)
        else:
            skip_field(&reader)
    if reader.bad:
        return MALFORMED
    return _first_row(token, page_size, row, out)


cdef void _write_token(int64_t row, Writer* out) noexcept nogil:
    """Write next_page_token, the same number in all answers with pages; a test proves it."""
    cdef char[24] digits
    cdef int64_t at = 24
    while row > 0:
        at -= 1
        digits[at] = <char>(48 + row % 10)
        row //= 10
    write_span(out, SearchItemsResponse_next_page_token, span_at(&digits[at], 24 - at))


cdef inline char _lower(char letter) noexcept nogil:
    return letter + 32 if 65 <= letter <= 90 else letter


cdef bint _contains(Span whole, Span part) noexcept nogil:
    """Whether `part` stands in `whole`, ASCII letters compared without case."""
    cdef int64_t start, at
    for start in range(whole.size - part.size + 1):
        at = 0
        while at < part.size and _lower(whole.data[start + at]) == _lower(part.data[at]):
            at += 1
        if at == part.size:
            return True
    return False
