"""Price a basket.

`price` reads the lines of a request, finds each line's price and discounts, adds taxes and leaves
the priced basket in this object, for `Sell` to book or `PriceBasket` to show: a quote and a sale
of the same basket at the same time give the same total because they are the same function.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from ringup.native.catalog cimport SYMBOL_CHANNEL, SYMBOL_CUSTOMER_GROUP
from ringup.native.command cimport MALFORMED, is_code_or_empty, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_LINES_EMPTY,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    PriceBasketRequest_at_ns,
    PriceBasketRequest_channel_id,
    PriceBasketRequest_charges,
    PriceBasketRequest_coupons,
    PriceBasketRequest_currency,
    PriceBasketRequest_customer_group_id,
    PriceBasketRequest_customer_id,
    PriceBasketRequest_explain_prices,
    PriceBasketRequest_lines,
    PriceBasketRequest_location_id,
    PriceBasketRequest_price_attributes,
    PriceBasketRequest_redeem,
    PriceBasketResponse_basket,
    SellRequest_charges,
    SellRequest_coupons,
    SellRequest_lines,
)
from ringup.native.limits cimport CODE_BYTES_MAX, LINES_MAX, TIME_NS_MAX
from ringup.native.price_book cimport ask_plain
from ringup.native.pricing_answer cimport PricedAnswer
from ringup.native.pricing_basket cimport PriceScope
from ringup.native.promotion cimport PLACE_UNIT
from ringup.native.wire cimport Reader, Span, Writer, next_field, no_span, read_int, read_span, reader_of, skip_field


cdef class Pricing(PricedAnswer):
    """The pricing function and the basket it priced last."""

    cdef int price(self, Span request, uint32_t lines_field, PriceScope* scope, Writer* out) noexcept nogil:
        """Price the lines that stand in field `lines_field` of `request`; on a refusal `out` has it."""
        cdef Reader reader = reader_of(request)
        cdef Span none = no_span(), body
        cdef uint32_t charges_field = SellRequest_charges, coupons_field = SellRequest_coupons
        cdef int64_t asked = 0, charges = 0, coupons = 0
        cdef int code
        if lines_field != SellRequest_lines:
            charges_field, coupons_field = PriceBasketRequest_charges, PriceBasketRequest_coupons
        self.clear()
        self.book.see(scope.ask.at_ns)
        self.currency = scope.ask.currency
        scope.ask.selection = self.book.snapshot.rules.price_selection
        ask_plain(&scope.ask)
        while next_field(&reader):
            if reader.field == lines_field:
                body = read_span(&reader)
                asked += 1
                if asked > LINES_MAX:
                    continue
                code = self.price_line(body, asked - 1, scope, out)
                if code != RESULT_CODE_OK:
                    return code
            else:
                charges += reader.field == charges_field
                coupons += reader.field == coupons_field
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if asked == 0:
            return refuse(out, RESULT_CODE_LINES_EMPTY, "lines", 0, none, 0, 1)
        if asked > LINES_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "lines", 0, none, asked, LINES_MAX)
        if self.currency:
            code = self.check_currency(scope, out)
            if code != RESULT_CODE_OK:
                return code
            self.redeem_minor = 0
        else:
            self.redeem_minor = (
                self.loyalty.offer_minor if self.loyalty.open(scope.customer, scope.redeem) else scope.redeem_minor
            )
        # Most baskets without promotions need no units: their taxes follow from the lines.
        self.promoted = (
            self.book.snapshot.promotion_count > 0 or charges > 0 or coupons > 0 or self.redeem_minor > 0
            or self.book.snapshot.rules.tax_round_at == PLACE_UNIT
        )
        code = self.apply_promotions(request, lines_field, scope, out)
        if code != RESULT_CODE_OK:
            return code
        if self.loyalty.opened:
            code = self.add_reward(out)
            if code != RESULT_CODE_OK:
                return code
            code = self.count_points(out)
            if code != RESULT_CODE_OK:
                return code
        return self.total(out)

    cdef int price_basket(self, Span request, int64_t now_ns, Writer* out) noexcept nogil:
        """The query PriceBasket."""
        cdef bint attributes = False, explains = False
        cdef Reader reader = reader_of(request)
        cdef PriceScope scope
        cdef Span location = no_span(), channel = no_span(), group = no_span(), currency = no_span()
        cdef int code
        memset(&scope, 0, sizeof(PriceScope))
        while next_field(&reader):
            if reader.field == PriceBasketRequest_location_id:
                location = read_span(&reader)
            elif reader.field == PriceBasketRequest_channel_id:
                channel = read_span(&reader)
            elif reader.field == PriceBasketRequest_customer_group_id:
                group = read_span(&reader)
            elif reader.field == PriceBasketRequest_at_ns:
                scope.ask.at_ns = read_int(&reader)
            elif reader.field == PriceBasketRequest_customer_id:
                scope.customer = read_span(&reader)
            elif reader.field == PriceBasketRequest_redeem:
                scope.redeem = read_int(&reader) != 0
            elif reader.field == PriceBasketRequest_price_attributes:
                read_span(&reader)
                attributes = True
            elif reader.field == PriceBasketRequest_currency:
                currency = read_span(&reader)
            elif reader.field == PriceBasketRequest_explain_prices:
                explains = read_int(&reader) != 0
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if not is_code_or_empty(channel):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "channel_id", 0, channel, channel.size, CODE_BYTES_MAX)
        if not is_code_or_empty(group):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "customer_group_id", 0, group, group.size, CODE_BYTES_MAX)
        if not is_code_or_empty(scope.customer):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "customer_id", 0, no_span(), scope.customer.size, CODE_BYTES_MAX
            )
        if scope.redeem and scope.customer.size == 0:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "redeem", 0, scope.customer, 0, 1)
        if not 0 <= scope.ask.at_ns <= TIME_NS_MAX:
            return refuse(out, RESULT_CODE_TIME_INVALID, "at_ns", 0, location, scope.ask.at_ns, TIME_NS_MAX)
        scope.ask.location = self.catalog.find_location(location)
        if scope.ask.location < 0:
            return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "location_id", 0, location, 0, 0)
        scope.ask.channel = self.catalog.find_symbol(SYMBOL_CHANNEL, channel) if channel.size else -1
        scope.ask.customer_group = self.catalog.find_symbol(SYMBOL_CUSTOMER_GROUP, group) if group.size else -1
        if scope.ask.at_ns == 0:
            scope.ask.at_ns = now_ns
        if currency.size:
            code = self.take_currency(currency, &scope, out)
            if code != RESULT_CODE_OK:
                return code
        if attributes:
            code = self.read_attributes(request, PriceBasketRequest_price_attributes, &scope, out)
            if code != RESULT_CODE_OK:
                return code
        code = self.price(request, PriceBasketRequest_lines, &scope, out)
        if code != RESULT_CODE_OK:
            return code
        self.asked, self.explains_prices = scope.ask, explains
        self.write_basket(out, PriceBasketResponse_basket, True)
        self.explains_prices = False
        return ok(out)
