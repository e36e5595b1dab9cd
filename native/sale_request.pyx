"""What a sale says: its request read and checked, and the receipt that answers it."""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from ringup.native.catalog cimport SYMBOL_CHANNEL, SYMBOL_CUSTOMER_GROUP, TillRow
from ringup.native.command cimport Command, is_code_or_empty, refuse
from ringup.native.contract cimport (
    RESULT_CODE_CURRENCY_DIFFERS,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_HOLD_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    Receipt_basket,
    Receipt_booked_at_ns,
    Receipt_cash_rounding_minor,
    Receipt_change_minor,
    Receipt_customer_id,
    Receipt_location_id,
    Receipt_number,
    Receipt_original_sale_id,
    Receipt_sale_id,
    Receipt_sold_at_ns,
    Receipt_tenders,
    Receipt_till_id,
    SellRequest_channel_id,
    SellRequest_currency,
    SellRequest_customer_group_id,
    SellRequest_customer_id,
    SellRequest_expected_total_minor,
    SellRequest_hold_ids,
    SellRequest_price_attributes,
    SellRequest_redeem,
    SellRequest_sold_at_ns,
    SellRequest_tenders,
    SellRequest_till_id,
    SellResponse_receipt,
    TENDER_METHOD_GIFT_CARD,
    Tender_amount_minor,
    Tender_method,
    Tender_reference,
)
from ringup.native.limits cimport CODE_BYTES_MAX, ID_BYTES, TENDERS_MAX
from ringup.native.pricing_basket cimport PriceScope
from ringup.native.sale_stock cimport HOLDS_PER_SALE_MAX, SaleStock
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_int,
    write_span,
)


cdef class SaleRequests(SaleStock):
    """Sales as they are asked for, and their receipts."""

    cdef SellIn read_sell(self, Span body) noexcept nogil:
        cdef SellIn asked
        cdef Reader reader = reader_of(body)
        cdef Span id
        cdef int64_t hold
        memset(&asked, 0, sizeof(SellIn))
        self.tender_count = 0
        while next_field(&reader):
            if reader.field == SellRequest_till_id:
                asked.till = read_span(&reader)
            elif reader.field == SellRequest_channel_id:
                asked.channel = read_span(&reader)
            elif reader.field == SellRequest_customer_id:
                asked.customer = read_span(&reader)
            elif reader.field == SellRequest_customer_group_id:
                asked.customer_group = read_span(&reader)
            elif reader.field == SellRequest_expected_total_minor:
                asked.expected_total_minor = read_int(&reader)
            elif reader.field == SellRequest_sold_at_ns:
                asked.sold_at_ns = read_int(&reader)
            elif reader.field == SellRequest_redeem:
                asked.redeem = read_int(&reader) != 0
            elif reader.field == SellRequest_currency:
                asked.currency = read_span(&reader)
            elif reader.field == SellRequest_price_attributes:
                read_span(&reader)
                asked.has_attributes = True
            elif reader.field == SellRequest_tenders:
                asked.bad = not self.read_tender(read_span(&reader)) or asked.bad
                asked.tender_count += 1
            elif reader.field == SellRequest_hold_ids:
                id = read_span(&reader)
                hold = self.stock.find_hold(<const uint8_t*>id.data) if id.size == ID_BYTES else -1
                asked.hold_bad = asked.hold_bad or hold < 0
                if asked.hold_count < HOLDS_PER_SALE_MAX:
                    self.holds[asked.hold_count] = hold
                asked.hold_count += 1
            else:
                skip_field(&reader)
        asked.bad = asked.bad or reader.bad
        return asked

    cdef int check_sell(self, SellIn* asked, int64_t now_ns, Writer* out) noexcept nogil:
        """Check the shape of a sale apart from its lines."""
        cdef Span none = no_span()
        cdef int code
        if not is_code_or_empty(asked.channel):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "channel_id", 0, none, asked.channel.size, CODE_BYTES_MAX)
        if not is_code_or_empty(asked.customer):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "customer_id", 0, none, asked.customer.size, CODE_BYTES_MAX)
        if not is_code_or_empty(asked.customer_group):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "customer_group_id", 0, none, asked.customer_group.size, CODE_BYTES_MAX
            )
        if asked.redeem and asked.customer.size == 0:  # whose points?
            return refuse(out, RESULT_CODE_FIELD_INVALID, "redeem", 0, none, 0, 1)
        if asked.tender_count > TENDERS_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "tenders", 0, none, asked.tender_count, TENDERS_MAX)
        if asked.hold_count > HOLDS_PER_SALE_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "hold_ids", 0, none, asked.hold_count, HOLDS_PER_SALE_MAX)
        code = self.check_tenders(out)
        if code != RESULT_CODE_OK:
            return code
        if not 0 <= asked.sold_at_ns <= now_ns + SOLD_AHEAD_NS_MAX:
            return refuse(
                out, RESULT_CODE_TIME_INVALID, "sold_at_ns", 0, none, asked.sold_at_ns, now_ns + SOLD_AHEAD_NS_MAX
            )
        if asked.hold_bad:
            return refuse(out, RESULT_CODE_HOLD_UNKNOWN, "hold_ids", 0, none, 0, 0)
        return RESULT_CODE_OK

    cdef PriceScope scope_of(self, SellIn* asked, int64_t location, int64_t now_ns) noexcept nogil:
        """Where, how and when a sale is priced; whose points it redeems is another matter."""
        cdef PriceScope scope
        memset(&scope, 0, sizeof(PriceScope))
        scope.ask.location = location
        scope.ask.at_ns = asked.sold_at_ns if asked.sold_at_ns else now_ns
        scope.ask.channel = self.catalog.find_symbol(SYMBOL_CHANNEL, asked.channel) if asked.channel.size else -1
        scope.ask.customer_group = (
            self.catalog.find_symbol(SYMBOL_CUSTOMER_GROUP, asked.customer_group) if asked.customer_group.size else -1
        )
        return scope

    cdef int price_terms(self, SellIn* asked, Span request, PriceScope* scope, Writer* out) noexcept nogil:
        """What few sales say of their prices: another currency, attributes."""
        cdef int64_t at
        cdef int code = RESULT_CODE_OK
        if asked.currency.size:
            code = self.pricing.take_currency(asked.currency, scope, out)
        if code == RESULT_CODE_OK and asked.has_attributes:
            code = self.pricing.read_attributes(request, SellRequest_price_attributes, scope, out)
        if code == RESULT_CODE_OK and scope.ask.currency:
            for at in range(self.tender_count):
                if self.tenders[at].method == TENDER_METHOD_GIFT_CARD:
                    return refuse(
                        out, RESULT_CODE_CURRENCY_DIFFERS, "tenders.method", at, self.tenders[at].reference, 0, 0
                    )
        return code

    cdef void write_receipt(
        self, Writer* out, Command* command, int64_t till, Span customer, int64_t sold_at_ns, Span original
    ) noexcept nogil:
        cdef int64_t mark = begin_message(out, SellResponse_receipt), inner, at
        cdef TillRow* till_row = self.catalog.till(till)
        write_span(out, Receipt_sale_id, span_at(command.id, ID_BYTES))
        write_span(out, Receipt_till_id, self.catalog.text(till_row.code))
        write_int(out, Receipt_number, <int64_t>till_row.last_receipt_number)
        write_span(out, Receipt_location_id, self.catalog.location_code(till_row.location))
        write_int(out, Receipt_booked_at_ns, command.now_ns)
        self.pricing.write_basket(out, Receipt_basket, False)
        for at in range(self.tender_count):
            inner = begin_message(out, Receipt_tenders)
            write_int(out, Tender_method, self.tenders[at].method)
            write_int(out, Tender_amount_minor, self.tenders[at].amount_minor)
            write_span(out, Tender_reference, self.tenders[at].reference)
            end_message(out, inner)
        write_int(out, Receipt_cash_rounding_minor, self.cash_rounding_minor)
        write_int(out, Receipt_change_minor, self.change_minor)
        write_span(out, Receipt_original_sale_id, original)
        write_span(out, Receipt_customer_id, customer)
        write_int(out, Receipt_sold_at_ns, sold_at_ns)
        end_message(out, mark)
