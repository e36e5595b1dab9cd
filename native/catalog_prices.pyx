"""Price-book rows: the handler of PutPrices."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ringup.native.catalog cimport SYMBOL_CHANNEL, SYMBOL_CUSTOMER_GROUP, Catalog
from ringup.native.catalog_pages cimport check_count
from ringup.native.command cimport MALFORMED, Command, is_code, is_code_or_empty, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_TIME_INVALID,
    PriceRow_base_qty_milli,
    PriceRow_channel_id,
    PriceRow_customer_group_id,
    PriceRow_from_ns,
    PriceRow_item_id,
    PriceRow_location_id,
    PriceRow_max_qty_milli,
    PriceRow_min_qty_milli,
    PriceRow_overrides_base,
    PriceRow_price_minor,
    PriceRow_removed,
    PriceRow_to_ns,
    PutPricesRequest_rows,
)
from ringup.native.limits cimport CODE_BYTES_MAX, PRICE_MINOR_MAX, QTY_MILLI_MAX, TIME_NS_MAX
from ringup.native.wire cimport Reader, Span, Writer, next_field, read_int, read_span, reader_of, skip_field

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
        elif reader.field == PriceRow_max_qty_milli:
            price.max_qty_milli = read_int(&reader)
        elif reader.field == PriceRow_overrides_base:
            price.overrides_base = read_int(&reader) != 0
        elif reader.field == PriceRow_removed:
            price.removed = read_int(&reader) != 0
        else:
            skip_field(&reader)
    if price.base_qty_milli == 0:
        price.base_qty_milli = 1000
    price.bad = reader.bad
    return price


cdef class PriceCommands:
    """What the catalog does with price-book rows."""

    def __cinit__(self, Catalog catalog):
        self.catalog = catalog

    cdef int put_prices(self, Command* command, Writer* out) noexcept nogil:
        cdef Reader reader = reader_of(command.body)
        cdef PriceIn price
        cdef int64_t index = 0
        cdef int code = check_count(command.body, PutPricesRequest_rows, "rows", out)

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
                price.min_qty_milli, price.price_minor, price.base_qty_milli, price.from_ns, price.to_ns,
                price.max_qty_milli, price.overrides_base, price.removed,
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
        if price.max_qty_milli != 0 and not price.min_qty_milli <= price.max_qty_milli <= QTY_MILLI_MAX:
            return refuse(
                out, RESULT_CODE_QTY_INVALID, "rows.max_qty_milli", index, price.item, price.max_qty_milli,
                price.min_qty_milli,
            )
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
