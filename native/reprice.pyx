"""Refund by repricing: the sale as it would have been without what comes back.

The request of the sale is written again with the quantities that the customer keeps.  All that
prices stays: channel, groups, coupons, charges, overrides and discounts by hand (an amount off a line in
proportion to what is kept of it).  Tenders, holds and the expected total go.
"""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from ringup.native.catalog cimport Catalog
from ringup.native.contract cimport (
    RESULT_CODE_OK,
    BasketLine_discounts,
    BasketLine_item_id,
    BasketLine_price_override,
    BasketLine_qty_milli,
    LineDiscount_amount_minor,
    PriceOverride_base_qty_milli,
    PriceOverride_price_minor,
    PriceOverride_reason,
    SellRequest_expected_total_minor,
    SellRequest_hold_ids,
    SellRequest_lines,
    SellRequest_redeem,
    SellRequest_tenders,
)
from ringup.native.embedded_codes cimport EmbeddedCodes, ScannedCode
from ringup.native.money cimport HALF_UP, multiply_divide
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
    span_at,
    write_int,
    write_span,
    writer_room,
)


cdef inline void _copy(Writer* out, const uint8_t* start, const uint8_t* end) noexcept nogil:
    """A field as it came, tag and all."""
    writer_room(out, end - start)
    memcpy(out.data + out.size, start, end - start)
    out.size += end - start


cdef void _write_discount(Writer* out, Span body, int64_t kept_milli, int64_t sold_milli) noexcept nogil:
    cdef Reader reader = reader_of(body)
    cdef int64_t mark = begin_message(out, BasketLine_discounts)
    cdef const uint8_t* start = reader.at
    while next_field(&reader):
        if reader.field == LineDiscount_amount_minor:
            write_int(
                out, LineDiscount_amount_minor, multiply_divide(read_int(&reader), kept_milli, sold_milli, HALF_UP)
            )
        else:
            skip_field(&reader)
            _copy(out, start, reader.at)
        start = reader.at
    end_message(out, mark)


cdef void _write_line(
    Writer* out, Span body, int64_t kept_milli, int64_t sold_milli, Catalog catalog, EmbeddedCodes codes
) noexcept nogil:
    cdef Reader reader = reader_of(body)
    cdef int64_t mark = begin_message(out, SellRequest_lines), inner, packs = 1
    cdef const uint8_t* start = reader.at
    cdef bint overridden = False
    cdef Span code
    cdef ScannedCode found
    found.price_minor = -1
    found.qty_milli = 1000
    while next_field(&reader):
        if reader.field == BasketLine_qty_milli:
            packs = read_int(&reader) // 1000
        elif reader.field == BasketLine_discounts:
            _write_discount(out, read_span(&reader), kept_milli, sold_milli)
        elif reader.field == BasketLine_item_id:
            code = read_span(&reader)
            # A code that carried a value said how much was sold; what is kept of it has the item's name.
            if catalog.find_item(code) < 0 and codes.resolve(code, &found) == RESULT_CODE_OK:
                code = catalog.item_code(found.item)
            write_span(out, BasketLine_item_id, code)
        else:
            overridden = overridden or reader.field == BasketLine_price_override
            skip_field(&reader)
            _copy(out, start, reader.at)
        start = reader.at
    write_int(out, BasketLine_qty_milli, kept_milli)
    if found.price_minor >= 0 and not overridden:
        inner = begin_message(out, BasketLine_price_override)
        write_int(out, PriceOverride_price_minor, found.price_minor)
        # The packs were equal, so one pack's price is that of its share of what was sold.
        write_int(out, PriceOverride_base_qty_milli, sold_milli // max(<int64_t>1, packs))
        write_span(out, PriceOverride_reason, span_at(b"code", 4))
        end_message(out, inner)
    end_message(out, mark)


cdef int64_t write_kept(
    Writer* out, Span sale, const int64_t* sold_milli, const int64_t* kept_milli, Catalog catalog, EmbeddedCodes codes
) noexcept nogil:
    """Write the SellRequest `sale` with `kept_milli` of each of its lines; returns how many there are.

    Lines of which nothing is kept go; what promotions gave stands behind the lines asked for, and is given anew.
    """
    cdef Reader reader = reader_of(sale)
    cdef const uint8_t* start = reader.at
    cdef int64_t line = 0, count = 0
    cdef Span body
    while next_field(&reader):
        if reader.field == SellRequest_lines:
            body = read_span(&reader)
            count += kept_milli[line] > 0
            if kept_milli[line] == sold_milli[line]:
                _copy(out, start, reader.at)
            elif kept_milli[line] > 0:
                _write_line(out, body, kept_milli[line], sold_milli[line], catalog, codes)
            line += 1
        else:
            skip_field(&reader)
            if reader.field != SellRequest_tenders and reader.field != SellRequest_hold_ids and (
                reader.field != SellRequest_expected_total_minor and reader.field != SellRequest_redeem
            ):
                _copy(out, start, reader.at)
        start = reader.at
    return count
