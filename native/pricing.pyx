"""Price a basket.

`price` reads the lines of a request, finds each line's price and discounts, adds taxes and leaves
the priced basket in this object, for `Sell` to book or `PriceBasket` to show: a quote and a sale
of the same basket at the same time give the same total because they are the same function.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memset

from ringup.native.catalog cimport (
    ITEM_MEASURED,
    SYMBOL_CHANNEL,
    SYMBOL_CUSTOMER_GROUP,
    TAX_INCLUSIVE,
    Catalog,
    PriceRow,
    SymbolRow,
    TaxClassRow,
    TaxRow,
)
from ringup.native.command cimport MALFORMED, is_code_or_empty, is_text, ok, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_DISCOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_LINES_EMPTY,
    RESULT_CODE_LOCATION_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_PRICE_MISSING,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_REASON_MISSING,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    BasketLine_discounts,
    BasketLine_item_id,
    BasketLine_price_override,
    BasketLine_qty_milli,
    LineDiscount_amount_minor,
    LineDiscount_rate_ppb,
    LineDiscount_reason,
    PriceBasketRequest_at_ns,
    PriceBasketRequest_channel_id,
    PriceBasketRequest_customer_group_id,
    PriceBasketRequest_completed_orders,
    PriceBasketRequest_coupons,
    PriceBasketRequest_customer_id,
    PriceBasketRequest_explain_all,
    PriceBasketRequest_lines,
    PriceBasketRequest_location_id,
    PriceBasketRequest_promotion_groups,
    PriceBasketRequest_redeem,
    PriceBasketResponse_basket,
    PricedBasket_coupons,
    PricedBasket_discount_minor,
    PricedBasket_free_items,
    PricedBasket_lines,
    PricedBasket_points,
    PricedBasket_promotions,
    PricedBasket_search,
    PricedBasket_subtotal_minor,
    PricedBasket_tax_added_minor,
    PricedBasket_taxes,
    PricedBasket_total_minor,
    PricedDiscount_amount_minor,
    PricedDiscount_points,
    PricedDiscount_promotion_id,
    PricedDiscount_reason,
    PricedLine_base_qty_milli,
    PricedLine_discounts,
    PricedLine_gross_minor,
    PricedLine_item_id,
    PricedLine_name,
    PricedLine_override_reason,
    PricedLine_price_minor,
    PricedLine_qty_milli,
    PricedLine_tax_class_id,
    PricedLine_total_minor,
    PriceOverride_base_qty_milli,
    PriceOverride_price_minor,
    PriceOverride_reason,
    SellRequest_channel_id,
    SellRequest_completed_orders,
    SellRequest_coupons,
    SellRequest_customer_group_id,
    SellRequest_customer_id,
    SellRequest_lines,
    SellRequest_promotion_groups,
    TaxTotal_base_minor,
    TaxTotal_inclusive,
    TaxTotal_name,
    TaxTotal_rate_ppb,
    TaxTotal_tax_minor,
)
from ringup.native.embedded_codes cimport EmbeddedCodes, ScannedCode
from ringup.native.limits cimport (
    CODE_BYTES_MAX,
    DISCOUNTS_PER_LINE_MAX,
    LINES_MAX,
    PERCENT_SCALE,
    PRICE_MINOR_MAX,
    QTY_MILLI_MAX,
    REASON_BYTES_MAX,
    TAXES_PER_CLASS_MAX,
    TIME_NS_MAX,
    TOTAL_MINOR_MAX,
)
from ringup.native.loyalty cimport EarningLine, Loyalty
from ringup.native.money cimport HALF_UP, allocate, divide, int128, multiply_divide
from ringup.native.pricing_explain cimport write_coupons, write_explained, write_free, write_search
from ringup.native.pricing_kernel cimport price_basket as price_promotions
from ringup.native.pricing_state cimport add_line as add_input_line
from ringup.native.pricing_state cimport (
    Basket,
    InputLine,
    add_text,
    basket_clear,
    basket_free,
    line_value,
)
from ringup.native.pricing_tax cimport Taxes, add_class, add_rate, taxes_clear, taxes_free
from ringup.native.promotion cimport NO_SYMBOL
from ringup.native.promotion_book cimport PromotionBook, customer_uses
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
)

cdef enum:
    COUPONS_MAX = 64
    GROUPS_MAX = 64


cdef void _read_override(Span body, LineIn* line) noexcept nogil:
    cdef Reader reader = reader_of(body)
    line.overridden = True
    line.price_minor = 0
    while next_field(&reader):
        if reader.field == PriceOverride_price_minor:
            line.price_minor = read_int(&reader)
        elif reader.field == PriceOverride_base_qty_milli:
            line.base_qty_milli = read_int(&reader)
        elif reader.field == PriceOverride_reason:
            line.override_reason = read_span(&reader)
        else:
            skip_field(&reader)
    line.bad = line.bad or reader.bad


cdef LineIn _read_line(Span body) noexcept nogil:
    cdef LineIn line
    cdef Reader reader = reader_of(body)
    memset(&line, 0, sizeof(LineIn))
    line.body = body
    while next_field(&reader):
        if reader.field == BasketLine_item_id:
            line.code = read_span(&reader)
        elif reader.field == BasketLine_qty_milli:
            line.qty_milli = read_int(&reader)
        elif reader.field == BasketLine_price_override:
            _read_override(read_span(&reader), &line)
        elif reader.field == BasketLine_discounts:
            read_span(&reader)
            line.discount_count += 1
        else:
            skip_field(&reader)
    if line.base_qty_milli == 0:
        line.base_qty_milli = 1000
    line.bad = line.bad or reader.bad
    return line


cdef DiscountIn _read_discount(Span body) noexcept nogil:
    cdef DiscountIn discount
    cdef Reader reader = reader_of(body)
    memset(&discount, 0, sizeof(DiscountIn))
    while next_field(&reader):
        if reader.field == LineDiscount_amount_minor:
            discount.amount_minor = read_int(&reader)
        elif reader.field == LineDiscount_rate_ppb:
            discount.rate_ppb = read_int(&reader)
        elif reader.field == LineDiscount_reason:
            discount.reason = read_span(&reader)
        else:
            skip_field(&reader)
    discount.bad = reader.bad
    return discount


cdef class Pricing:
    """The pricing function and the basket it priced last."""

    def __cinit__(self, Catalog catalog, PromotionBook book, Loyalty loyalty, EmbeddedCodes codes):
        self.catalog, self.book, self.loyalty, self.codes = catalog, book, loyalty, codes
        memset(&self.basket, 0, sizeof(Basket))
        memset(&self.rates, 0, sizeof(Taxes))
        self.rates_stale = True
        self.lines = <Line*>malloc(LINES_MAX * sizeof(Line))
        self.discounts = <Discount*>malloc(LINES_MAX * DISCOUNTS_PER_LINE_MAX * sizeof(Discount))
        self.weights = <int64_t*>malloc(LINES_MAX * sizeof(int64_t))
        self.shares = <int64_t*>malloc(LINES_MAX * sizeof(int64_t))
        if self.lines == NULL or self.discounts == NULL or self.weights == NULL or self.shares == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.lines)
        free(self.discounts)
        free(self.weights)
        free(self.shares)
        basket_free(&self.basket)
        taxes_free(&self.rates)

    cdef void clear(self) noexcept nogil:
        """Begin an empty basket."""
        self.line_count = self.discount_count = self.tax_count = 0
        self.promoted = False
        self.loyalty.close()
        self.subtotal_minor = self.discount_total_minor = self.tax_added_minor = self.total_minor = 0

    cdef void add_line(self, Line* line) noexcept nogil:
        """Take a line whose price and discounts are known (a return)."""
        if self.line_count >= LINES_MAX:
            abort()
        self.lines[self.line_count] = line[0]
        self.line_count += 1

    cdef int price(self, Span request, uint32_t lines_field, PriceScope* scope, Writer* out) noexcept nogil:
        """Price the lines that stand in field `lines_field` of `request`; on a refusal `out` has it."""
        cdef Reader reader = reader_of(request)
        cdef Span none = span_at(NULL, 0), body
        cdef int64_t asked = 0
        cdef int code
        self.clear()
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
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if asked == 0:
            return refuse(out, RESULT_CODE_LINES_EMPTY, "lines", 0, none, 0, 1)
        if asked > LINES_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "lines", 0, none, asked, LINES_MAX)
        code = self.apply_promotions(request, lines_field, scope, out)
        if code != RESULT_CODE_OK:
            return code
        if self.loyalty.opened:
            code = self.count_points(out)
            if code != RESULT_CODE_OK:
                return code
        return self.total(out)

    # Promotions

    cdef int read_shopper(self, Span request, bint selling, Writer* out) noexcept nogil:
        """Take coupons, channel and what is known of the customer from a SellRequest or PriceBasketRequest."""
        cdef Reader reader = reader_of(request)
        cdef Basket* basket = &self.basket
        cdef Span text
        cdef int64_t coupons = 0
        self.book.customer = span_at(NULL, 0)
        basket.groups = <int>basket.text_count
        while next_field(&reader):
            if reader.field == (SellRequest_coupons if selling else PriceBasketRequest_coupons):
                text = read_span(&reader)
                coupons += 1
                if not is_code_or_empty(text):
                    return refuse(
                        out, RESULT_CODE_FIELD_INVALID, "coupons", coupons - 1, span_at(NULL, 0), text.size, CODE_BYTES_MAX
                    )
                if coupons > COUPONS_MAX:
                    return refuse(out, RESULT_CODE_TOO_MANY, "coupons", 0, span_at(NULL, 0), coupons, COUPONS_MAX)
                if text.size:
                    self.book.add_coupon_code(basket, text)
            elif reader.field == (SellRequest_customer_id if selling else PriceBasketRequest_customer_id):
                self.book.customer = read_span(&reader)
                if not is_code_or_empty(self.book.customer):
                    return refuse(
                        out, RESULT_CODE_FIELD_INVALID, "customer_id", 0, span_at(NULL, 0), self.book.customer.size,
                        CODE_BYTES_MAX,
                    )
                basket.has_customer = self.book.customer.size > 0
            elif reader.field == (SellRequest_channel_id if selling else PriceBasketRequest_channel_id):
                basket.channel = read_span(&reader)
            elif reader.field == (SellRequest_completed_orders if selling else PriceBasketRequest_completed_orders):
                basket.completed_orders = read_int(&reader)
            elif reader.field == (
                SellRequest_customer_group_id if selling else PriceBasketRequest_customer_group_id
            ) or reader.field == (SellRequest_promotion_groups if selling else PriceBasketRequest_promotion_groups):
                text = read_span(&reader)
                if not is_code_or_empty(text) or basket.group_count == GROUPS_MAX:
                    return refuse(
                        out, RESULT_CODE_FIELD_INVALID, "promotion_groups", basket.group_count, span_at(NULL, 0), text.size,
                        CODE_BYTES_MAX,
                    )
                add_text(basket, text)
                basket.group_count += 1
            elif not selling and reader.field == PriceBasketRequest_explain_all:
                basket.explain_all = read_int(&reader) != 0
            else:
                skip_field(&reader)
        return MALFORMED if reader.bad else RESULT_CODE_OK

    cdef int count_points(self, Writer* out) noexcept nogil:
        """What the priced lines earn, and what the points that were redeemed took off them."""
        cdef int64_t at
        cdef Line* line
        cdef EarningLine* earning = self.loyalty.lines
        for at in range(self.line_count):
            line = &self.lines[at]
            self.loyalty.add_line(line.item, line.qty_milli, line.total_minor)
        for at in range(self.basket.log_count if self.promoted else 0):
            if self.basket.log[at].promotion == NO_SYMBOL and self.basket.log[at].line >= 0:
                earning[self.basket.log[at].line].redeemed_minor += (
                    self.basket.log[at].amount * self.basket.log[at].count
                )
        return self.loyalty.count(out)

    cdef void load_rates(self) noexcept nogil:
        """The catalog's tax classes, row by row, as the promotions' conditions see them."""
        cdef int64_t row, number
        cdef TaxClassRow* tax_class
        self.rates_stale = False
        taxes_clear(&self.rates)
        for row in range(self.catalog.tax_classes.count):
            tax_class = self.catalog.tax_class(row)
            add_class(&self.rates, self.catalog.text(tax_class.code))
            for number in range(tax_class.tax_count):
                add_rate(
                    &self.rates, self.catalog.text(tax_class.taxes[number].name), tax_class.taxes[number].rate_ppb,
                    (tax_class.taxes[number].flags & TAX_INCLUSIVE) != 0,
                )

    cdef int apply_promotions(self, Span request, uint32_t lines_field, PriceScope* scope, Writer* out) noexcept nogil:
        """Lay the promotions' discounts on the lines, whose price and discounts by hand are known."""
        cdef Basket* basket = &self.basket
        cdef InputLine* given
        cdef Line* line
        cdef Span categories
        cdef int64_t at, number, total
        cdef int32_t segment
        cdef int code
        cdef bint redeems = self.loyalty.open(scope.customer, scope.redeem)
        self.book.see(scope.at_ns)
        basket_clear(basket)
        for at in range(self.line_count if self.book.snapshot.promotion_count or redeems else 0):
            line = &self.lines[at]
            given = add_input_line(basket)
            given.item_id = self.catalog.item_code(line.item)
            given.qty_milli = line.qty_milli
            given.price, given.base_qty_milli = line.price_minor, line.base_qty_milli
            if line.discount_minor:  # a discount by hand comes first
                given.price, given.base_qty_milli = line.total_minor, line.qty_milli
            given.tax_class = <int32_t>line.tax_class - 1
            categories = self.catalog.text(self.catalog.item(line.item).categories)
            for number in range(categories.size // <int64_t>sizeof(uint32_t)):
                add_text(
                    basket,
                    self.catalog.text(
                        (<SymbolRow*>self.catalog.symbols.row((<uint32_t*>categories.data)[number])).code
                    ),
                )
                given.category_count += 1
        code = self.read_shopper(request, lines_field == SellRequest_lines, out)
        if code != RESULT_CODE_OK or (
            self.book.snapshot.promotion_count == 0 and basket.coupon_count == 0 and not redeems
        ):
            return code
        if self.rates_stale:
            self.load_rates()
        basket.at_ns = scope.at_ns
        basket.utc_offset_s = self.book.offset_s(scope.location, scope.at_ns)
        basket.usage = self.book.usage
        basket.customer_context = <void*>self.book
        basket.customer_uses = customer_uses
        basket.untaxed = True
        basket.redeem = self.loyalty.offer_minor
        price_promotions(basket, self.book.snapshot, &self.rates)  # the amounts were checked with the lines
        self.promoted = True
        for at in range(basket.input_line_count):
            line = &self.lines[at]
            total = line_value(basket, at)
            line.discount_minor += line.total_minor - total
            line.total_minor = total
            line.vendor_minor = 0
            segment = <int32_t>at
            while segment >= 0:
                line.vendor_minor += basket.segments[segment].vendor * basket.segments[segment].count
                segment = basket.segments[segment].next
        return RESULT_CODE_OK

    cdef int price_line(self, Span body, int64_t index, PriceScope* scope, Writer* out) noexcept nogil:
        cdef LineIn asked = _read_line(body)
        cdef Line* line = &self.lines[self.line_count]
        cdef PriceRow* row
        cdef int64_t at
        cdef int128 gross
        cdef int code
        if asked.bad:
            return MALFORMED
        if asked.discount_count > DISCOUNTS_PER_LINE_MAX:
            return refuse(
                out, RESULT_CODE_TOO_MANY, "lines.discounts", index, asked.code, asked.discount_count, DISCOUNTS_PER_LINE_MAX
            )
        if asked.qty_milli < 0 or (asked.qty_milli == 0 and self.codes.count == 0):  # a code may have it
            return refuse(out, RESULT_CODE_QTY_INVALID, "lines.qty_milli", index, asked.code, asked.qty_milli, 1)
        if asked.qty_milli > QTY_MILLI_MAX:
            return refuse(out, RESULT_CODE_QTY_TOO_LARGE, "lines.qty_milli", index, asked.code, asked.qty_milli, QTY_MILLI_MAX)
        if asked.overridden:
            code = self.check_override(&asked, index, out)
            if code != RESULT_CODE_OK:
                return code
        at = self.catalog.find_item(asked.code)
        if at < 0 and self.codes.count:
            code = self.read_code(&asked, index, scope, &at, out)
            if code != RESULT_CODE_OK:
                return code
        if at < 0:
            return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "lines.item_id", index, asked.code, 0, 0)
        if asked.qty_milli == 0:
            return refuse(out, RESULT_CODE_QTY_INVALID, "lines.qty_milli", index, asked.code, 0, 1)
        memset(line, 0, sizeof(Line))
        line.item = at
        line.qty_milli = asked.qty_milli
        line.tax_class = self.catalog.item(at).tax_class
        if asked.qty_milli % 1000 and not self.catalog.item(at).flags & ITEM_MEASURED:
            return refuse(out, RESULT_CODE_QTY_INVALID, "lines.qty_milli", index, asked.code, asked.qty_milli, 1000)
        if asked.overridden or asked.priced:
            line.price_minor, line.base_qty_milli = asked.price_minor, asked.base_qty_milli
            line.override_reason = asked.override_reason
        else:
            at = self.catalog.find_price(
                line.item, scope.location, scope.channel, scope.customer_group, line.qty_milli, scope.at_ns
            )
            if at < 0:
                return refuse(out, RESULT_CODE_PRICE_MISSING, "lines.item_id", index, asked.code, 0, 0)
            row = self.catalog.price(at)
            line.price_minor, line.base_qty_milli = row.price_minor, self.catalog.terms_of(row).base_qty_milli
        gross = divide(<int128>line.qty_milli * line.price_minor, line.base_qty_milli, HALF_UP)
        if gross > TOTAL_MINOR_MAX:
            return refuse(out, RESULT_CODE_AMOUNT_TOO_LARGE, "lines", index, asked.code, TOTAL_MINOR_MAX + 1, TOTAL_MINOR_MAX)
        line.gross_minor = line.total_minor = <int64_t>gross
        line.first_discount = <int>self.discount_count
        if asked.discount_count:
            code = self.take_discounts(&asked, line, index, out)
            if code != RESULT_CODE_OK:
                return code
        self.line_count += 1
        return RESULT_CODE_OK

    cdef int read_code(
        self, LineIn* asked, int64_t index, PriceScope* scope, int64_t* item, Writer* out
    ) noexcept nogil:
        """Take item, and price or quantity, from a scanned code; an unknown one is left to the caller."""
        cdef ScannedCode found
        cdef PriceRow* row
        cdef int64_t at, packs = asked.qty_milli if asked.qty_milli else 1000
        cdef int128 qty
        cdef int code = self.codes.resolve(asked.code, &found)
        if code == RESULT_CODE_ITEM_UNKNOWN:
            return RESULT_CODE_OK
        if code != RESULT_CODE_OK:
            return refuse(out, code, "lines.item_id", index, asked.code, 0, 0)
        item[0] = found.item
        if packs % 1000:
            return refuse(out, RESULT_CODE_QTY_INVALID, "lines.qty_milli", index, asked.code, packs, 1000)
        if found.price_minor >= 0:
            found.qty_milli = 1000
            if self.catalog.item(found.item).flags & ITEM_MEASURED:  # what the price says that it weighs
                at = self.catalog.find_price(
                    found.item, scope.location, scope.channel, scope.customer_group, 1000, scope.at_ns
                )
                row = <PriceRow*>self.catalog.prices.row(at) if at >= 0 else NULL
                if row != NULL and row.price_minor > 0:
                    qty = divide(<int128>found.price_minor * self.catalog.terms_of(row).base_qty_milli, row.price_minor, HALF_UP)
                    found.qty_milli = <int64_t>max(<int128>1, min(qty, <int128>QTY_MILLI_MAX))
            if not asked.overridden:
                asked.priced = True
                asked.price_minor, asked.base_qty_milli = found.price_minor, found.qty_milli
        qty = <int128>found.qty_milli * (packs // 1000)
        if qty > QTY_MILLI_MAX:
            return refuse(out, RESULT_CODE_QTY_TOO_LARGE, "lines.qty_milli", index, asked.code, packs, QTY_MILLI_MAX)
        asked.qty_milli = <int64_t>qty
        return RESULT_CODE_OK

    cdef int check_override(self, LineIn* asked, int64_t index, Writer* out) noexcept nogil:
        if not is_text(asked.override_reason, REASON_BYTES_MAX):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "lines.price_override.reason", index, asked.code, asked.override_reason.size,
                REASON_BYTES_MAX,
            )
        if not 0 < asked.base_qty_milli <= QTY_MILLI_MAX:
            return refuse(
                out, RESULT_CODE_QTY_INVALID, "lines.price_override.base_qty_milli", index, asked.code, asked.base_qty_milli,
                QTY_MILLI_MAX,
            )
        if asked.price_minor < 0:
            return refuse(
                out, RESULT_CODE_AMOUNT_INVALID, "lines.price_override.price_minor", index, asked.code, asked.price_minor, 0
            )
        if asked.price_minor > PRICE_MINOR_MAX:
            return refuse(
                out, RESULT_CODE_AMOUNT_TOO_LARGE, "lines.price_override.price_minor", index, asked.code, asked.price_minor,
                PRICE_MINOR_MAX,
            )
        if asked.override_reason.size == 0:
            return refuse(out, RESULT_CODE_REASON_MISSING, "lines.price_override.reason", index, asked.code, 0, 1)
        return RESULT_CODE_OK

    cdef int take_discounts(self, LineIn* asked, Line* line, int64_t index, Writer* out) noexcept nogil:
        """Take the discounts by hand in order, each off what the ones before left."""
        cdef Reader reader = reader_of(asked.body)
        cdef DiscountIn given
        cdef int64_t amount
        while next_field(&reader):
            if reader.field != BasketLine_discounts:
                skip_field(&reader)
                continue
            given = _read_discount(read_span(&reader))
            if given.bad:
                return MALFORMED
            if not is_text(given.reason, REASON_BYTES_MAX):
                return refuse(
                    out, RESULT_CODE_FIELD_INVALID, "lines.discounts.reason", index, asked.code, given.reason.size,
                    REASON_BYTES_MAX,
                )
            if given.amount_minor < 0 or not 0 <= given.rate_ppb <= PERCENT_SCALE:
                return refuse(
                    out, RESULT_CODE_AMOUNT_INVALID, "lines.discounts", index, asked.code,
                    given.amount_minor if given.amount_minor < 0 else given.rate_ppb, PERCENT_SCALE,
                )
            if given.reason.size == 0:
                return refuse(out, RESULT_CODE_REASON_MISSING, "lines.discounts.reason", index, asked.code, 0, 1)
            amount = given.amount_minor
            if amount == 0:
                amount = multiply_divide(line.total_minor, given.rate_ppb, PERCENT_SCALE, HALF_UP)
            if amount > line.total_minor:
                return refuse(
                    out, RESULT_CODE_DISCOUNT_TOO_LARGE, "lines.discounts.amount_minor", index, asked.code, amount,
                    line.total_minor,
                )
            self.discounts[self.discount_count].reason = given.reason
            self.discounts[self.discount_count].amount_minor = amount
            self.discount_count += 1
            line.discount_count += 1
            line.discount_minor += amount
            line.total_minor -= amount
        return RESULT_CODE_OK

    cdef int total(self, Writer* out) noexcept nogil:
        """Add the lines up and compute the tax table."""
        cdef Span none = span_at(NULL, 0)
        cdef int128 subtotal = 0, total = 0
        cdef int64_t at
        for at in range(self.line_count):
            subtotal += self.lines[at].gross_minor
            total += self.lines[at].total_minor
        if subtotal > TOTAL_MINOR_MAX:
            return refuse(out, RESULT_CODE_AMOUNT_TOO_LARGE, "lines", 0, none, TOTAL_MINOR_MAX + 1, TOTAL_MINOR_MAX)
        self.subtotal_minor = <int64_t>subtotal
        self.total_minor = <int64_t>total
        self.discount_total_minor = self.subtotal_minor - self.total_minor
        for at in range(self.line_count):
            if self.lines[at].tax_class and not self.has_tax(self.lines[at].tax_class - 1):
                if not self.tax_lines(self.lines[at].tax_class - 1):
                    return refuse(out, RESULT_CODE_TOO_MANY, "lines.tax", at, none, TAX_TOTALS_MAX + 1, TAX_TOTALS_MAX)
        self.total_minor += self.tax_added_minor
        return RESULT_CODE_OK

    cdef bint has_tax(self, uint32_t tax_class) noexcept nogil:
        cdef int64_t at
        for at in range(self.tax_count):
            if self.taxes[at].tax_class == tax_class:
                return True
        return False

    cdef bint tax_lines(self, uint32_t tax_class) noexcept nogil:
        """Compute the taxes of all lines of a class, each tax rounded half up once, shared out over the lines.

        With the inclusive rates summing to r, net = amount / (1 + r); every tax of the class is on that net.
        """
        cdef TaxClassRow* row = self.catalog.tax_class(tax_class)
        cdef TaxRow* tax
        cdef int64_t amount = 0, inclusive_ppb = 0, at, number
        cdef int128 scaled
        cdef TaxTotal* entry
        if self.tax_count + row.tax_count > TAX_TOTALS_MAX:
            return False
        for at in range(self.line_count):
            self.weights[at] = (
                self.lines[at].total_minor + self.lines[at].vendor_minor
                if self.lines[at].tax_class == tax_class + 1 else 0
            )
            amount += self.weights[at]
        for number in range(row.tax_count):
            inclusive_ppb += row.taxes[number].rate_ppb if row.taxes[number].flags & TAX_INCLUSIVE else 0
        scaled = <int128>amount * PERCENT_SCALE  # net = scaled / (PERCENT_SCALE + inclusive_ppb)
        for number in range(row.tax_count):
            tax = &row.taxes[number]
            entry = &self.taxes[self.tax_count]
            self.tax_count += 1
            entry.tax_class = tax_class
            entry.tax = <uint32_t>number
            entry.base_minor = <int64_t>divide(scaled, PERCENT_SCALE + inclusive_ppb, HALF_UP)
            entry.tax_minor = <int64_t>divide(<int128>amount * tax.rate_ppb, PERCENT_SCALE + inclusive_ppb, HALF_UP)
            allocate(entry.tax_minor, self.weights, self.shares, self.line_count)
            for at in range(self.line_count):
                if self.weights[at]:
                    self.lines[at].tax_minor += self.shares[at]
                    if not tax.flags & TAX_INCLUSIVE:
                        self.lines[at].tax_added_minor += self.shares[at]
            if not tax.flags & TAX_INCLUSIVE:
                self.tax_added_minor += entry.tax_minor
        return True

    cdef void total_refund(self) noexcept nogil:
        """Add up lines that carry their own shares of tax (a return); a class's taxes share by their rates."""
        cdef int64_t[TAXES_PER_CLASS_MAX] rates
        cdef int64_t[TAXES_PER_CLASS_MAX] taxes
        cdef int64_t at, other, tax_minor, base_minor
        cdef uint32_t tax_class
        cdef TaxClassRow* row
        cdef TaxTotal* entry
        for at in range(self.line_count):
            self.subtotal_minor += self.lines[at].gross_minor
            self.tax_added_minor += self.lines[at].tax_added_minor
        self.total_minor = self.subtotal_minor + self.tax_added_minor
        for at in range(self.line_count):
            if not self.lines[at].tax_class or self.has_tax(self.lines[at].tax_class - 1):
                continue
            tax_class = self.lines[at].tax_class - 1
            row = self.catalog.tax_class(tax_class)
            tax_minor = base_minor = 0
            for other in range(self.line_count):
                if self.lines[other].tax_class == tax_class + 1:
                    tax_minor += self.lines[other].tax_minor
                    base_minor += self.lines[other].total_minor - (
                        self.lines[other].tax_minor - self.lines[other].tax_added_minor
                    )
            for other in range(row.tax_count):
                rates[other] = row.taxes[other].rate_ppb
            allocate(tax_minor, rates, taxes, row.tax_count)
            for other in range(row.tax_count):
                if self.tax_count == TAX_TOTALS_MAX:
                    return
                entry = &self.taxes[self.tax_count]
                self.tax_count += 1
                entry.tax_class = tax_class
                entry.tax = <uint32_t>other
                entry.base_minor = base_minor
                entry.tax_minor = taxes[other]

    # The answer

    cdef void write_basket(self, Writer* out, uint32_t field, bint reasons) noexcept nogil:
        """Write the priced basket; with `reasons` also for the promotions that gave nothing."""
        cdef int64_t mark = begin_message(out, field), inner, at
        cdef TaxRow* tax
        for at in range(self.line_count):
            self.write_line(out, &self.lines[at])
        write_int(out, PricedBasket_subtotal_minor, self.subtotal_minor)
        write_int(out, PricedBasket_discount_minor, self.discount_total_minor)
        for at in range(self.tax_count):
            tax = &self.catalog.tax_class(self.taxes[at].tax_class).taxes[self.taxes[at].tax]
            inner = begin_message(out, PricedBasket_taxes)
            write_span(out, TaxTotal_name, self.catalog.text(tax.name))
            write_int(out, TaxTotal_rate_ppb, tax.rate_ppb)
            write_int(out, TaxTotal_inclusive, (tax.flags & TAX_INCLUSIVE) != 0)
            write_int(out, TaxTotal_base_minor, self.taxes[at].base_minor)
            write_int(out, TaxTotal_tax_minor, self.taxes[at].tax_minor)
            end_message(out, inner)
        write_int(out, PricedBasket_tax_added_minor, self.tax_added_minor)
        write_int(out, PricedBasket_total_minor, self.total_minor)
        if self.promoted:
            write_explained(out, PricedBasket_promotions, &self.basket, self.book.snapshot, reasons)
            write_coupons(out, PricedBasket_coupons, &self.basket, self.book.snapshot)
            write_free(out, PricedBasket_free_items, &self.basket, self.book.snapshot)
            write_search(out, PricedBasket_search, &self.basket)
        if self.loyalty.opened:
            self.loyalty.write_reward(out, PricedBasket_free_items)
            self.loyalty.write(out, PricedBasket_points)
        end_message(out, mark)

    cdef void write_promoted(self, Writer* out, int64_t line) noexcept nogil:
        """The discounts of promotions on a line, one for each promotion."""
        cdef int64_t at, i, amount, mark
        cdef int32_t promotion
        cdef Span name
        for at in range(self.basket.verdict_count):
            promotion = self.basket.verdicts[at].promotion
            amount = 0
            for i in range(self.basket.log_count if self.basket.verdicts[at].discount else 0):
                if self.basket.log[i].line == line and self.basket.log[i].promotion == promotion:
                    amount += self.basket.log[i].amount * self.basket.log[i].count
            if amount == 0:
                continue
            name = self.book.snapshot.promotions[promotion].name
            mark = begin_message(out, PricedLine_discounts)
            write_span(out, PricedDiscount_reason, name if name.size else self.book.snapshot.promotions[promotion].id)
            write_int(out, PricedDiscount_amount_minor, amount)
            write_span(out, PricedDiscount_promotion_id, self.book.snapshot.promotions[promotion].id)
            end_message(out, mark)

        if self.loyalty.opened and self.loyalty.lines[line].redeemed_minor:
            mark = begin_message(out, PricedLine_discounts)
            write_span(out, PricedDiscount_reason, span_at(b"points", 6))
            write_int(out, PricedDiscount_amount_minor, self.loyalty.lines[line].redeemed_minor)
            write_int(out, PricedDiscount_points, True)
            end_message(out, mark)

    cdef void write_line(self, Writer* out, Line* line) noexcept nogil:
        cdef int64_t mark = begin_message(out, PricedBasket_lines), inner, at
        write_span(out, PricedLine_item_id, self.catalog.item_code(line.item))
        write_span(out, PricedLine_name, self.catalog.text(self.catalog.item(line.item).name))
        write_int(out, PricedLine_qty_milli, line.qty_milli)
        write_int(out, PricedLine_price_minor, line.price_minor)
        write_int(out, PricedLine_base_qty_milli, line.base_qty_milli)
        write_int(out, PricedLine_gross_minor, line.gross_minor)
        for at in range(line.first_discount, line.first_discount + line.discount_count):
            inner = begin_message(out, PricedLine_discounts)
            write_span(out, PricedDiscount_reason, self.discounts[at].reason)
            write_int(out, PricedDiscount_amount_minor, self.discounts[at].amount_minor)
            end_message(out, inner)
        if self.promoted:
            self.write_promoted(out, line - self.lines)
        write_int(out, PricedLine_total_minor, line.total_minor)
        if line.tax_class:
            write_span(out, PricedLine_tax_class_id, self.catalog.text(self.catalog.tax_class(line.tax_class - 1).code))
        write_span(out, PricedLine_override_reason, line.override_reason)
        end_message(out, mark)

    cdef int price_basket(self, Span request, int64_t now_ns, Writer* out) noexcept nogil:
        """The query PriceBasket."""
        cdef Reader reader = reader_of(request)
        cdef PriceScope scope
        cdef Span location = span_at(NULL, 0), channel = span_at(NULL, 0), group = span_at(NULL, 0)
        cdef int code
        scope.at_ns = 0
        scope.customer = span_at(NULL, 0)
        scope.redeem = False
        while next_field(&reader):
            if reader.field == PriceBasketRequest_location_id:
                location = read_span(&reader)
            elif reader.field == PriceBasketRequest_channel_id:
                channel = read_span(&reader)
            elif reader.field == PriceBasketRequest_customer_group_id:
                group = read_span(&reader)
            elif reader.field == PriceBasketRequest_at_ns:
                scope.at_ns = read_int(&reader)
            elif reader.field == PriceBasketRequest_customer_id:
                scope.customer = read_span(&reader)
            elif reader.field == PriceBasketRequest_redeem:
                scope.redeem = read_int(&reader) != 0
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
                out, RESULT_CODE_FIELD_INVALID, "customer_id", 0, span_at(NULL, 0), scope.customer.size, CODE_BYTES_MAX
            )
        if scope.redeem and scope.customer.size == 0:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "redeem", 0, scope.customer, 0, 1)
        if not 0 <= scope.at_ns <= TIME_NS_MAX:
            return refuse(out, RESULT_CODE_TIME_INVALID, "at_ns", 0, location, scope.at_ns, TIME_NS_MAX)
        scope.location = self.catalog.find_location(location)
        if scope.location < 0:
            return refuse(out, RESULT_CODE_LOCATION_UNKNOWN, "location_id", 0, location, 0, 0)
        scope.channel = self.catalog.find_symbol(SYMBOL_CHANNEL, channel) if channel.size else -1
        scope.customer_group = self.catalog.find_symbol(SYMBOL_CUSTOMER_GROUP, group) if group.size else -1
        if scope.at_ns == 0:
            scope.at_ns = now_ns
        code = self.price(request, PriceBasketRequest_lines, &scope, out)
        if code != RESULT_CODE_OK:
            return code
        self.write_basket(out, PriceBasketResponse_basket, True)
        return ok(out)
