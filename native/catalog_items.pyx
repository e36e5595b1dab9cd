"""Items: the handler of PutItems, and the queries GetItem and SearchItems.

The handlers of the catalog read their request twice: once to check everything, once to apply it, so that a
request goes in whole or not at all and nothing is copied in between.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from ringup.native.catalog cimport (
    BASE_UNITS_PPM_DEFAULT,
    ITEM_MEASURED,
    ITEM_NOT_DISCOUNTABLE,
    ITEM_OWN_FLAGS,
    ITEM_RULES,
    ITEM_UNTRACKED,
    SYMBOL_CATEGORY,
    BarcodeRow,
    Catalog,
    ChainRow,
    ItemRow,
    PriceRow,
    SymbolRow,
    ItemRulesRow,
)
from ringup.native.catalog_prices cimport write_terms
from ringup.native.catalog_pages cimport first_row, write_token
from ringup.native.command cimport MALFORMED, Command, check_count, is_code, is_code_or_empty, is_text, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_BARCODE_TAKEN,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_TAX_CLASS_UNKNOWN,
    RESULT_CODE_TOO_MANY,
    GetItemRequest_item_code,
    GetItemResponse_code_price_minor,
    GetItemResponse_code_qty_milli,
    GetItemResponse_item,
    GetItemResponse_price_rows,
    Item_barcodes,
    Item_base_units_ppm,
    Item_categories,
    Item_deposit_minor,
    Item_item_id,
    Item_measured,
    Item_min_price_minor,
    Item_name,
    Item_not_discountable,
    Item_tax_class_id,
    Item_uom,
    Item_untracked,
    PriceRow_item_id,
    PriceRow_location_id,
    PriceRow_price_minor,
    PutItemsRequest_items,
    PutItemsResponse_created,
    SearchItemsRequest_page_size,
    SearchItemsRequest_page_token,
    SearchItemsRequest_text,
    SearchItemsResponse_items,
)
from ringup.native.embedded_codes cimport EmbeddedCodes, ScannedCode
from ringup.native.index cimport hash_bytes, index_add, index_free, index_next, index_start
from ringup.native.limits cimport (
    BARCODES_PER_ITEM_MAX,
    CATEGORIES_PER_ITEM_MAX,
    CODE_BYTES_MAX,
    NAME_BYTES_MAX,
    PRICE_MINOR_MAX,
    QTY_MILLI_MAX,
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
    write_element,
    write_int,
    write_span,
)

cdef enum:
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
        elif reader.field == Item_not_discountable:
            item.flags |= ITEM_NOT_DISCOUNTABLE if read_int(&reader) else 0
        elif reader.field == Item_min_price_minor:
            item.floor_minor = read_int(&reader)
        elif reader.field == Item_deposit_minor:
            item.deposit_minor = read_int(&reader)
        elif reader.field == Item_uom:
            item.uom = read_span(&reader)
        elif reader.field == Item_base_units_ppm:
            item.base_units_ppm = read_int(&reader)
        else:
            skip_field(&reader)
    if item.base_units_ppm == 0:
        item.base_units_ppm = BASE_UNITS_PPM_DEFAULT
    if item.floor_minor or item.deposit_minor or item.uom.size or item.base_units_ppm != BASE_UNITS_PPM_DEFAULT:
        item.flags |= ITEM_RULES
    item.bad = reader.bad
    return item


cdef class ItemCommands:
    """What the catalog does with items."""

    def __cinit__(self, Catalog catalog, EmbeddedCodes codes):
        self.catalog, self.codes = catalog, codes

    def __dealloc__(self):
        index_free(&self.scratch)

    cdef int put_items(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body), inner
        cdef ItemIn item
        cdef ItemRow* row_now
        cdef int64_t row, known = self.catalog.items.count, created = 0, index = 0
        cdef ItemRulesRow rules
        cdef int code = check_count(command.body, PutItemsRequest_items, "items", out)

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
            if row < known and (row_now.flags ^ <uint32_t>item.flags) & ITEM_UNTRACKED:
                self.catalog.sale_changes += 1
            row_now.flags = <uint32_t>(item.flags | (row_now.flags & ~ITEM_OWN_FLAGS))
            self.put_categories(row, &item)
            if item.flags & ITEM_RULES:
                memset(&rules, 0, sizeof(ItemRulesRow))
                rules.floor_minor, rules.deposit_minor = item.floor_minor, item.deposit_minor
                rules.base_units_ppm = item.base_units_ppm
                self.catalog.put_item_rules(row, &rules, item.uom)
            else:
                self.catalog.put_item_rules(row, NULL, item.uom)
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
        cdef int code
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
        if item.flags & ITEM_RULES:
            code = self.check_rules(item, index, out)
            if code != RESULT_CODE_OK:
                return code
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

    cdef int check_rules(self, ItemIn* item, int64_t index, Writer* out) noexcept nogil:
        """Check the floor, the deposit and the unit of an item."""
        if not is_code_or_empty(item.uom):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "items.uom", index, item.code, item.uom.size, CODE_BYTES_MAX)
        if item.base_units_ppm < 0:
            return refuse(out, RESULT_CODE_QTY_INVALID, "items.base_units_ppm", index, item.code, item.base_units_ppm, 1)
        if item.base_units_ppm > QTY_MILLI_MAX:
            return refuse(
                out, RESULT_CODE_QTY_TOO_LARGE, "items.base_units_ppm", index, item.code, item.base_units_ppm, QTY_MILLI_MAX
            )
        if item.floor_minor < 0:
            return refuse(out, RESULT_CODE_AMOUNT_INVALID, "items.min_price_minor", index, item.code, item.floor_minor, 0)
        if item.deposit_minor < 0:
            return refuse(out, RESULT_CODE_AMOUNT_INVALID, "items.deposit_minor", index, item.code, item.deposit_minor, 0)
        if item.floor_minor > PRICE_MINOR_MAX:
            return refuse(
                out, RESULT_CODE_AMOUNT_TOO_LARGE, "items.min_price_minor", index, item.code, item.floor_minor,
                PRICE_MINOR_MAX,
            )
        if item.deposit_minor > PRICE_MINOR_MAX:
            return refuse(
                out, RESULT_CODE_AMOUNT_TOO_LARGE, "items.deposit_minor", index, item.code, item.deposit_minor,
                PRICE_MINOR_MAX,
            )
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

    # Queries

    cdef int get_item(self, Span request, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(request)
        cdef Span code = span_at(NULL, 0)
        cdef ScannedCode found
        cdef int64_t row, chain
        cdef int scanned
        while next_field(&reader):
            if reader.field == GetItemRequest_item_code:
                code = read_span(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        row = self.catalog.find_item(code)
        if row < 0:
            scanned = self.codes.resolve(code, &found)
            if scanned != RESULT_CODE_OK:
                return refuse(out, scanned, "item_code", 0, code, 0, 0)
            row = found.item
            if found.price_minor >= 0:
                write_element(out, GetItemResponse_code_price_minor, found.price_minor)
            else:
                write_element(out, GetItemResponse_code_qty_milli, found.qty_milli)
        self.write_item(row, GetItemResponse_item, out)
        self.write_prices(row, -1, out)
        chain = <int64_t>self.catalog.item(row).first_chain - 1
        while chain >= 0:
            self.write_prices(row, (<ChainRow*>self.catalog.chains.row(chain)).location, out)
            chain = <int64_t>(<ChainRow*>self.catalog.chains.row(chain)).next - 1
        return ok(out)

    cdef void write_item(self, int64_t row, uint32_t field, Writer* out) noexcept nogil:
        cdef ItemRow* item = self.catalog.item(row)
        cdef int64_t mark = begin_message(out, field), at
        cdef BarcodeRow* barcode
        cdef const ItemRulesRow* rules
        cdef uint32_t* symbols
        write_span(out, Item_item_id, self.catalog.item_code(row))
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
        rules = self.catalog.find_item_rules(row)
        if rules != NULL:
            write_int(out, Item_min_price_minor, rules.floor_minor)
        write_int(out, Item_not_discountable, (item.flags & ITEM_NOT_DISCOUNTABLE) != 0)
        if rules != NULL:
            write_int(out, Item_deposit_minor, rules.deposit_minor)
            write_span(out, Item_uom, self.catalog.text(rules.uom))
            if rules.base_units_ppm != BASE_UNITS_PPM_DEFAULT:
                write_int(out, Item_base_units_ppm, rules.base_units_ppm)
        end_message(out, mark)

    cdef void write_prices(self, int64_t item, int64_t location, Writer* out) noexcept nogil:
        cdef int64_t at = self.catalog.first_price(item, location), mark
        cdef PriceRow* price
        while at >= 0:
            price = self.catalog.price(at)
            mark = begin_message(out, GetItemResponse_price_rows)
            write_span(out, PriceRow_item_id, self.catalog.item_code(item))
            if location >= 0:
                write_span(out, PriceRow_location_id, self.catalog.location_code(location))
            write_int(out, PriceRow_price_minor, price.price_minor)
            write_terms(self.catalog, self.catalog.terms_of(price), out)
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
        code = first_row(token, &page_size, &row, out)
        if code != RESULT_CODE_OK:
            return code
        while row < self.catalog.items.count and found < page_size and looked < SEARCH_ROWS_MAX:
            if self.item_matches(row, text):
                self.write_item(row, SearchItemsResponse_items, out)
                found += 1
            row += 1
            looked += 1
        if row < self.catalog.items.count:
            write_token(row, out)
        return ok(out)

    cdef bint item_matches(self, int64_t row, Span text) noexcept nogil:
        cdef ItemRow* item = self.catalog.item(row)
        cdef int64_t at = <int64_t>item.first_barcode - 1
        cdef BarcodeRow* barcode
        if _contains(self.catalog.text(item.name), text) or _contains(self.catalog.item_code(row), text):
            return True
        while at >= 0:
            barcode = <BarcodeRow*>self.catalog.barcodes.row(at)
            if _contains(self.catalog.text(barcode.code), text):
                return True
            at = <int64_t>barcode.next - 1
        return False


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
