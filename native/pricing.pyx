"""Price a basket.

`price` reads the lines of a request, finds each line's price and discounts, adds taxes and leaves
the priced basket in this object, for `Sell` to book or `PriceBasket` to show: a quote and a sale
of the same basket at the same time give the same total because they are the same function.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memset

from ringup.native.catalog cimport (
    BASE_UNITS_PPM_DEFAULT,
    ITEM_MEASURED,
    ITEM_NOT_DISCOUNTABLE,
    ITEM_RULES,
    SYMBOL_CHANNEL,
    SYMBOL_CUSTOMER_GROUP,
    TAX_INCLUSIVE,
    Catalog,
    TaxRow,
    TaxSetRow,
    ItemRulesRow,
)
from ringup.native.command cimport MALFORMED, is_code, is_code_or_empty, is_text, ok, refuse
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
    RESULT_CODE_TAX_CLASS_UNKNOWN,
    RESULT_CODE_TIME_INVALID,
    RESULT_CODE_TOO_MANY,
    BasketLine_discounts,
    BasketLine_item_id,
    BasketLine_price_override,
    BasketLine_qty_milli,
    Charge_amount_minor,
    Charge_charge_id,
    Charge_tax_class_id,
    ChargePrice_amount_minor,
    ChargePrice_charge_id,
    ChargePrice_discount_minor,
    ChargePrice_tax_added_minor,
    ChargePrice_tax_class_id,
    LineDiscount_amount_minor,
    LineDiscount_rate_ppb,
    LineDiscount_reason,
    PriceBasketRequest_at_ns,
    PriceBasketRequest_channel_id,
    PriceBasketRequest_charges,
    PriceBasketRequest_customer_group_id,
    PriceBasketRequest_completed_orders,
    PriceBasketRequest_coupons,
    PriceBasketRequest_customer_id,
    PriceBasketRequest_explain_all,
    PriceBasketRequest_explain_prices,
    PriceBasketRequest_lines,
    PriceBasketRequest_location_id,
    PriceBasketRequest_price_attributes,
    PriceBasketRequest_promotion_groups,
    PriceBasketRequest_redeem,
    PriceBasketResponse_basket,
    PricedBasket_charges,
    PricedBasket_charges_minor,
    PricedBasket_coupons,
    PricedBasket_deposit_minor,
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
    PricedLine_deposit_minor,
    PricedLine_discounts,
    PricedLine_gross_minor,
    PricedLine_item_id,
    PricedLine_list_price_minor,
    PricedLine_name,
    PricedLine_override_reason,
    PricedLine_price_list_id,
    PricedLine_price_minor,
    PricedLine_price_rows,
    PricedLine_promotion_id,
    PricedLine_qty_milli,
    PricedLine_tax_class_id,
    PricedLine_total_minor,
    PricedLine_uom,
    PriceOverride_base_qty_milli,
    PriceOverride_price_minor,
    PriceOverride_reason,
    SellRequest_channel_id,
    SellRequest_charges,
    SellRequest_completed_orders,
    SellRequest_coupons,
    SellRequest_customer_group_id,
    SellRequest_customer_id,
    SellRequest_lines,
    SellRequest_promotion_groups,
    TaxTotal_amount_minor_per_unit,
    TaxTotal_base_minor,
    TaxTotal_inclusive,
    TaxTotal_name,
    TaxTotal_rate_ppb,
    TaxTotal_tax_minor,
)
from ringup.native.catalog_prices cimport read_attributes as read_price_attributes
from ringup.native.embedded_codes cimport EmbeddedCodes, ScannedCode
from ringup.native.limits cimport (
    CODE_BYTES_MAX,
    DISCOUNTS_PER_LINE_MAX,
    LINES_MAX,
    PERCENT_SCALE,
    PRICE_MINOR_MAX,
    QTY_MILLI_MAX,
    REASON_BYTES_MAX,
    TIME_NS_MAX,
    TOTAL_MINOR_MAX,
)
from ringup.native.loyalty cimport EarningLine, Loyalty
from ringup.native.money cimport HALF_UP, divide, int128, multiply_divide
from ringup.native.price_book cimport (
    PriceAsk,
    PriceFound,
    ask_plain,
    asks_list_price,
    find_list_price,
    find_price,
    found_price,
    found_price_of,
    price_list_of,
)
from ringup.native.price_explain cimport write_price_rows
from ringup.native.pricing_explain cimport write_coupons, write_explained, write_free, write_search
from ringup.native.pricing_kernel cimport price_basket as price_promotions
from ringup.native.pricing_rates cimport (
    Rate,
    TaxClass,
    TaxPlace,
    Taxes,
    add_rate,
    name_rates,
    taxes_clear,
    taxes_free,
    taxes_make_room,
)
from ringup.native.pricing_state cimport add_line as add_input_line
from ringup.native.pricing_state cimport (
    Basket,
    InputCharge,
    InputLine,
    add_charge,
    add_text,
    basket_clear,
    basket_free,
    line_value,
)
from ringup.native.pricing_tax cimport taxes_add, taxes_begin, taxes_finish, taxes_place
from ringup.native.promotion cimport NO_SYMBOL, PLACE_UNIT
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
    span_equal,
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
        self.shares = <int64_t*>malloc(LINES_MAX * sizeof(int64_t))
        if self.lines == NULL or self.discounts == NULL or self.shares == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.lines)
        free(self.discounts)
        free(self.shares)
        basket_free(&self.basket)
        taxes_free(&self.rates)

    cdef void clear(self) noexcept nogil:
        """Begin an empty basket."""
        self.line_count = self.discount_count = self.tax_count = self.charge_count = 0
        self.promoted = False
        self.loyalty.close()
        self.subtotal_minor = self.discount_total_minor = self.charges_minor = self.deposit_minor = 0
        self.tax_added_minor = self.total_minor = 0
        if self.rates_stale:  # the tables were loaded from elsewhere
            taxes_clear(&self.rates)
            self.rates_stale = False

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
        cdef uint32_t charges_field = SellRequest_charges, coupons_field = SellRequest_coupons
        cdef int64_t asked = 0, charges = 0, coupons = 0
        cdef int code
        if lines_field != SellRequest_lines:
            charges_field, coupons_field = PriceBasketRequest_charges, PriceBasketRequest_coupons
        self.clear()
        self.book.see(scope.ask.at_ns)
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
            self.loyalty.add_line(
                line.item, line.qty_milli if line.promotion < 0 else 0, line.total_minor  # what is given earns nothing
            )
        for at in range(self.basket.log_count if self.promoted else 0):
            if self.basket.log[at].promotion == NO_SYMBOL and self.basket.log[at].line >= 0:
                earning[self.basket.log[at].line].redeemed_minor += (
                    self.basket.log[at].amount * self.basket.log[at].count
                )
        return self.loyalty.count(out)

    cdef void read_set(self, int64_t tax_set) noexcept nogil:
        """Take the rates of a tax set of the catalog into `rates`, under the same number."""
        cdef TaxSetRow* row = self.catalog.tax_set(tax_set)
        cdef TaxRow* tax
        cdef TaxClass* at
        cdef int64_t number
        if tax_set >= self.rates.class_count:
            taxes_make_room(&self.rates, self.catalog.tax_sets.count)
        at = &self.rates.classes[tax_set]
        if at.loaded:
            return
        at.loaded = True
        for number in range(row.tax_count):
            tax = &row.taxes[number]
            add_rate(
                at, <int32_t>tax.name, tax.rate_ppb, tax.per_unit_minor, (tax.flags & TAX_INCLUSIVE) != 0,
                <int32_t>tax.base,
            )
        name_rates(&self.rates, at)

    cdef int read_charge(self, Span body, PriceScope* scope, Writer* out) noexcept nogil:
        """Take a charge of the order into the basket."""
        cdef Reader reader = reader_of(body)
        cdef InputCharge* charge
        cdef ChargeLine* line
        cdef Span id = span_at(NULL, 0), tax_class = span_at(NULL, 0)
        cdef int64_t amount = 0, row = -1, at, index = self.charge_count
        while next_field(&reader):
            if reader.field == Charge_charge_id:
                id = read_span(&reader)
            elif reader.field == Charge_amount_minor:
                amount = read_int(&reader)
            elif reader.field == Charge_tax_class_id:
                tax_class = read_span(&reader)
            else:
                skip_field(&reader)
        if reader.bad:
            return MALFORMED
        if index == CHARGES_MAX:
            return refuse(out, RESULT_CODE_TOO_MANY, "charges", 0, id, index + 1, CHARGES_MAX)
        if not is_code(id):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "charges.charge_id", index, id, id.size, CODE_BYTES_MAX)
        for at in range(index):
            if span_equal(self.charges[at].id, id):  # a return names a charge by its id
                return refuse(out, RESULT_CODE_FIELD_INVALID, "charges.charge_id", index, id, at, index)
        if not is_code_or_empty(tax_class):
            return refuse(
                out, RESULT_CODE_FIELD_INVALID, "charges.tax_class_id", index, id, tax_class.size, CODE_BYTES_MAX
            )
        if not -PRICE_MINOR_MAX <= amount <= PRICE_MINOR_MAX:
            return refuse(out, RESULT_CODE_AMOUNT_TOO_LARGE, "charges.amount_minor", index, id, amount, PRICE_MINOR_MAX)
        if tax_class.size:
            row = self.catalog.find_tax_class(tax_class)
            if row < 0:
                return refuse(out, RESULT_CODE_TAX_CLASS_UNKNOWN, "charges.tax_class_id", index, tax_class, 0, 0)
        charge = add_charge(&self.basket)
        charge.id = id
        charge.amount = amount
        if row >= 0:
            charge.tax_class = self.load_set(self.catalog.find_tax_set(row, scope.ask.at_ns))
        line = &self.charges[index]
        self.charge_count += 1
        memset(line, 0, sizeof(ChargeLine))
        line.id = id
        line.tax_class = <uint32_t>(row + 1)
        return RESULT_CODE_OK

    cdef void load_lines(self) noexcept nogil:
        """Give the promotions' basket the lines, whose price and discounts by hand are known."""
        cdef Basket* basket = &self.basket
        cdef InputLine* given
        cdef Line* line
        cdef const ItemRulesRow* rules
        cdef Span categories
        cdef int64_t at, number
        for at in range(self.line_count):
            line = &self.lines[at]
            given = add_input_line(basket)
            given.item_id = self.catalog.item_code(line.item)
            given.qty_milli = line.qty_milli
            given.price, given.base_qty_milli = line.price_minor, line.base_qty_milli
            if line.discount_minor:  # a discount by hand comes first
                given.price, given.base_qty_milli = line.total_minor, line.qty_milli
            given.tax_class = line.tax_set
            given.not_discountable = (self.catalog.item(line.item).flags & ITEM_NOT_DISCOUNTABLE) != 0
            rules = self.catalog.find_item_rules(line.item)
            if rules != NULL:
                given.floor = rules.floor_minor
                given.base_units_ppm = rules.base_units_ppm
            categories = self.catalog.text(self.catalog.item(line.item).categories)
            for number in range(categories.size // <int64_t>sizeof(uint32_t)):
                add_text(basket, self.catalog.symbol((<uint32_t*>categories.data)[number]))
                given.category_count += 1

    cdef int apply_promotions(self, Span request, uint32_t lines_field, PriceScope* scope, Writer* out) noexcept nogil:
        """Lay the promotions' discounts on the lines and charges, and add what they give."""
        cdef Basket* basket = &self.basket
        cdef Reader reader = reader_of(request)
        cdef Line* line
        cdef ChargeLine* charge
        cdef uint32_t charges_field = SellRequest_charges
        cdef int64_t at, total
        cdef int code
        if lines_field != SellRequest_lines:
            charges_field = PriceBasketRequest_charges
        basket_clear(basket)
        if self.promoted:
            self.load_lines()
        code = self.read_shopper(request, lines_field == SellRequest_lines, out)
        if code != RESULT_CODE_OK or not self.promoted:
            return code
        while next_field(&reader):
            if reader.field != charges_field:
                skip_field(&reader)
                continue
            code = self.read_charge(read_span(&reader), scope, out)
            if code != RESULT_CODE_OK:
                return code
        basket.at_ns = scope.ask.at_ns
        basket.utc_offset_s = self.book.offset_s(scope.ask.location, scope.ask.at_ns)
        basket.usage = self.book.usage
        basket.customer_context = <void*>self.book
        basket.customer_uses = customer_uses
        basket.redeem = self.redeem_minor
        price_promotions(basket, self.book.snapshot, &self.rates)  # the amounts were checked with the lines
        for at in range(basket.input_line_count):
            line = &self.lines[at]
            total = line_value(basket, at)
            line.discount_minor += line.total_minor - total
            line.total_minor = total
            line.place = <int32_t>at
        for at in range(self.charge_count):
            charge = &self.charges[at]
            charge.amount_minor = basket.charges[at].amount
            charge.discount_minor = basket.input_charges[at].amount - charge.amount_minor
            charge.place = <int32_t>(basket.input_line_count + at)
            charge.tax_added_minor = self.rates.places[charge.place].added
        return self.add_free_lines(out)

    cdef int add_free_lines(self, Writer* out) noexcept nogil:
        """Add a line at no price for what promotions give and the catalog has: no tax, no deposit."""
        cdef int64_t at, item
        cdef Line* line
        for at in range(self.basket.free_count):
            item = self.catalog.find_item(self.basket.free_units[at].item_id)
            if item < 0 or self.basket.free_units[at].qty <= 0:
                continue
            if self.line_count == LINES_MAX:
                return refuse(
                    out, RESULT_CODE_TOO_MANY, "free_items", at, self.catalog.item_code(item), LINES_MAX + 1, LINES_MAX
                )
            if self.basket.free_units[at].qty > QTY_MILLI_MAX // 1000:
                return refuse(
                    out, RESULT_CODE_QTY_TOO_LARGE, "free_items", at, self.catalog.item_code(item),
                    self.basket.free_units[at].qty, QTY_MILLI_MAX // 1000,
                )
            line = &self.lines[self.line_count]
            self.line_count += 1
            memset(line, 0, sizeof(Line))
            line.item = item
            line.qty_milli = self.basket.free_units[at].qty * 1000
            line.base_qty_milli = 1000
            line.tax_set = line.place = NO_SYMBOL
            line.promotion = self.basket.free_units[at].promotion
        return RESULT_CODE_OK

    cdef int price_line(self, Span body, int64_t index, PriceScope* scope, Writer* out) noexcept nogil:
        cdef LineIn asked = _read_line(body)
        cdef Line* line = &self.lines[self.line_count]
        cdef const ItemRulesRow* rules
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
        line.tax_set = line.place = line.promotion = NO_SYMBOL
        if line.tax_class:
            line.tax_set = self.load_set(self.catalog.find_tax_set(<int64_t>line.tax_class - 1, scope.ask.at_ns))
        if asked.qty_milli % 1000 and not self.catalog.item(at).flags & ITEM_MEASURED:
            return refuse(out, RESULT_CODE_QTY_INVALID, "lines.qty_milli", index, asked.code, asked.qty_milli, 1000)
        if asked.overridden or asked.priced:
            line.price_minor, line.base_qty_milli = asked.price_minor, asked.base_qty_milli
            line.override_reason = asked.override_reason
        else:
            if not self.price_by_book(line, scope):
                return refuse(out, RESULT_CODE_PRICE_MISSING, "lines.item_id", index, asked.code, 0, 0)
            if line.price_minor < 0:  # a unit has very many base units
                return refuse(
                    out, RESULT_CODE_AMOUNT_TOO_LARGE, "lines.item_id", index, asked.code, PRICE_MINOR_MAX + 1,
                    PRICE_MINOR_MAX,
                )
        if self.catalog.item(line.item).flags & ITEM_RULES:
            rules = self.catalog.find_item_rules(line.item)
            gross = <int128>rules.deposit_minor * line.qty_milli / 1000  # a part of a unit has no more than its part
            if gross > TOTAL_MINOR_MAX:
                return refuse(
                    out, RESULT_CODE_AMOUNT_TOO_LARGE, "lines.deposit_minor", index, asked.code, TOTAL_MINOR_MAX + 1,
                    TOTAL_MINOR_MAX,
                )
            line.deposit_minor = <int64_t>gross
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

    cdef bint price_by_book(self, Line* line, PriceScope* scope) noexcept nogil:
        """Give the line the price that the book has for it, -1 where that is beyond the limit; False without a row."""
        cdef PriceAsk* ask = &scope.ask
        cdef PriceFound found
        ask.qty_milli = line.qty_milli
        if self.catalog.item(line.item).flags & ITEM_RULES:
            self.aim(ask, line)
        find_price(self.catalog, line.item, ask, &found)
        if found.row >= 0:
            line.by_book = True
            line.price_minor, line.base_qty_milli = found_price(&found, ask), found.terms.base_qty_milli
            if asks_list_price(self.catalog, &found, ask):
                self.price_by_list(line, &found, ask)
            else:
                line.price_list = price_list_of(self.catalog, &found)
        if self.catalog.item(line.item).flags & ITEM_RULES:
            ask_plain(ask)
        return found.row >= 0

    cdef void aim(self, PriceAsk* ask, const Line* line) noexcept nogil:
        """Ask in the unit that the line's item, which has rules of its own, is sold in."""
        cdef const ItemRulesRow* rules = self.catalog.find_item_rules(line.item)
        ask.uom, ask.base_units_ppm = self.catalog.text(rules.uom), rules.base_units_ppm
        ask.plain = ask.plain and rules.base_units_ppm == BASE_UNITS_PPM_DEFAULT

    cdef void price_by_list(self, Line* line, const PriceFound* found, PriceAsk* ask) noexcept nogil:
        """Note the list that gave the price, and what the base list asks."""
        cdef PriceFound listed
        cdef int64_t price = -1
        find_list_price(self.catalog, line.item, ask, &listed)
        line.price_list = price_list_of(self.catalog, found)
        if listed.row >= 0:
            price = found_price_of(&listed, ask, line.base_qty_milli)
        if price != line.price_minor:
            line.list_price_minor = max(<int64_t>0, price)

    cdef int read_attributes(self, Span request, uint32_t field, PriceScope* scope, Writer* out) noexcept nogil:
        """Take the basket's price attributes from a request that has some."""
        scope.ask.attributes = self.attributes
        return read_price_attributes(
            self.catalog, request, field, self.attributes, &scope.ask.attribute_count, out
        )

    cdef int read_code(
        self, LineIn* asked, int64_t index, PriceScope* scope, int64_t* item, Writer* out
    ) noexcept nogil:
        """Take item, and price or quantity, from a scanned code; an unknown one is left to the caller."""
        cdef ScannedCode found
        cdef Line line
        cdef int64_t packs = asked.qty_milli if asked.qty_milli else 1000
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
                memset(&line, 0, sizeof(Line))
                line.item = found.item
                line.qty_milli = 1000
                if self.price_by_book(&line, scope) and line.price_minor > 0:
                    qty = divide(<int128>found.price_minor * line.base_qty_milli, line.price_minor, HALF_UP)
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
        """Add the lines and charges up, with their taxes."""
        cdef Span none = span_at(NULL, 0)
        cdef int128 subtotal = 0, total = 0, deposits = 0
        cdef int64_t at
        for at in range(self.line_count):
            subtotal += self.lines[at].gross_minor
            total += self.lines[at].total_minor
            deposits += self.lines[at].deposit_minor
        for at in range(self.charge_count):
            self.charges_minor += self.charges[at].amount_minor
        if max(subtotal, total) + deposits + max(self.charges_minor, 0) > TOTAL_MINOR_MAX:
            return refuse(out, RESULT_CODE_AMOUNT_TOO_LARGE, "lines", 0, none, TOTAL_MINOR_MAX + 1, TOTAL_MINOR_MAX)
        if not self.promoted:
            self.tax_lines()
        if self.rates.beyond:
            return refuse(out, RESULT_CODE_AMOUNT_TOO_LARGE, "lines.tax", 0, none, TOTAL_MINOR_MAX + 1, TOTAL_MINOR_MAX)
        if not self.tabulate():
            return refuse(out, RESULT_CODE_TOO_MANY, "lines.tax", 0, none, TAX_TOTALS_MAX + 1, TAX_TOTALS_MAX)
        self.subtotal_minor = <int64_t>subtotal
        self.discount_total_minor = <int64_t>(subtotal - total)
        self.deposit_minor = <int64_t>deposits
        self.tax_added_minor = self.rates.tax_added
        self.total_minor = <int64_t>total + self.charges_minor + self.tax_added_minor + self.deposit_minor
        if self.total_minor < 0:  # charges below zero take more than there is
            return refuse(out, RESULT_CODE_AMOUNT_INVALID, "charges.amount_minor", 0, none, self.total_minor, 0)
        return RESULT_CODE_OK

    # Taxes

    cdef void tax_lines(self) noexcept nogil:
        """The taxes of lines that no promotion touched."""
        cdef int64_t at
        cdef Line* line
        taxes_begin(&self.rates, 0)
        for at in range(self.line_count):
            line = &self.lines[at]
            line.place = <int32_t>at
            taxes_add(&self.rates, &self.book.snapshot.rules, line.tax_set, line.total_minor, line.qty_milli)
        taxes_finish(&self.rates, &self.book.snapshot.rules)

    cdef bint tabulate(self) noexcept nogil:
        """Make the tax table from the taxes of the lines and charges; False where it has too many rows."""
        cdef int64_t at, number
        cdef TaxPlace* place
        cdef TaxTotal* last = NULL
        for at in range(self.rates.place_count):
            place = &self.rates.places[at]
            if place.tax_class == NO_SYMBOL:
                continue
            if last != NULL and last.tax_set == <uint32_t>place.tax_class and (
                self.rates.classes[place.tax_class].rate_count == 1
            ):  # as the line before, as in most baskets
                last.base_minor += place.amount - place.included
                last.tax_minor += self.rates.parts[place.first]
                continue
            last = &self.taxes[self.tax_count]
            for number in range(self.rates.classes[place.tax_class].rate_count):
                if not self.tally(
                    place.tax_class, number, place.amount - place.included, self.rates.parts[place.first + number]
                ):
                    return False
            if last != &self.taxes[self.tax_count - 1]:  # it has shared a row
                last = NULL
        return True

    cdef bint tally(self, int32_t tax_set, int64_t tax, int64_t base_minor, int64_t tax_minor) noexcept nogil:
        """Add to the row of a tax; taxes of several classes that are the same to a customer share one."""
        cdef Rate* rate = &self.rates.classes[tax_set].rates[tax]
        cdef Rate* other
        cdef TaxTotal* entry
        cdef int64_t at
        for at in range(self.tax_count):
            entry = &self.taxes[at]
            other = &self.rates.classes[entry.tax_set].rates[entry.tax]
            if other == rate or (
                other.key == rate.key and other.rate_ppb == rate.rate_ppb and other.per_unit == rate.per_unit
            ):
                entry.base_minor += base_minor
                entry.tax_minor += tax_minor
                return True
        if self.tax_count == TAX_TOTALS_MAX:
            return False
        entry = &self.taxes[self.tax_count]
        self.tax_count += 1
        entry.tax_set = <uint32_t>tax_set
        entry.tax = <uint32_t>tax
        entry.base_minor = base_minor
        entry.tax_minor = tax_minor
        return True

    # Refunds: lines that carry what was paid for them

    cdef void begin_refund(self) noexcept nogil:
        """Begin an empty basket whose lines bring their taxes."""
        self.clear()
        taxes_begin(&self.rates, 0)

    cdef int64_t* begin_place(self, int32_t tax_set, int64_t taxed_minor) noexcept nogil:
        """The taxes of the next line or charge, in the set's order, for the caller to write; all zero."""
        cdef TaxPlace* place
        taxes_place(&self.rates, self.load_set(tax_set))
        place = &self.rates.places[self.rates.place_count - 1]
        place.amount = taxed_minor
        return self.rates.parts + place.first

    cdef void total_refund(self) noexcept nogil:
        """Add up what the lines and charges bring."""
        cdef int64_t at, number
        cdef TaxPlace* place
        cdef TaxClass* rated
        self.subtotal_minor = self.deposit_minor = self.charges_minor = self.tax_added_minor = self.tax_count = 0
        for at in range(self.rates.place_count):
            place = &self.rates.places[at]
            place.included = place.added = 0
            for number in range(self.rates.classes[place.tax_class].rate_count if place.tax_class >= 0 else 0):
                rated = &self.rates.classes[place.tax_class]
                if rated.rates[number].inclusive:
                    place.included += self.rates.parts[place.first + number]
                else:
                    place.added += self.rates.parts[place.first + number]
            self.tax_added_minor += place.added
        for at in range(self.line_count):
            self.subtotal_minor += self.lines[at].gross_minor
            self.deposit_minor += self.lines[at].deposit_minor
        for at in range(self.charge_count):
            self.charges_minor += self.charges[at].amount_minor
            self.charges[at].tax_added_minor = self.rates.places[self.charges[at].place].added
        self.total_minor = self.subtotal_minor + self.charges_minor + self.tax_added_minor + self.deposit_minor
        self.tabulate()  # a part of a sale has no more rows than the sale

    # The answer

    cdef void write_basket(self, Writer* out, uint32_t field, bint reasons) noexcept nogil:
        """Write the priced basket; with `reasons` also for the promotions that gave nothing."""
        cdef int64_t mark = begin_message(out, field), inner, at
        cdef TaxRow* tax
        cdef ChargeLine* charge
        for at in range(self.line_count):
            self.write_line(out, &self.lines[at])
        write_int(out, PricedBasket_subtotal_minor, self.subtotal_minor)
        write_int(out, PricedBasket_discount_minor, self.discount_total_minor)
        for at in range(self.tax_count):
            tax = &self.catalog.tax_set(self.taxes[at].tax_set).taxes[self.taxes[at].tax]
            inner = begin_message(out, PricedBasket_taxes)
            write_span(out, TaxTotal_name, self.catalog.symbol(tax.name))
            write_int(out, TaxTotal_rate_ppb, tax.rate_ppb)
            write_int(out, TaxTotal_inclusive, (tax.flags & TAX_INCLUSIVE) != 0)
            write_int(out, TaxTotal_base_minor, self.taxes[at].base_minor)
            write_int(out, TaxTotal_tax_minor, self.taxes[at].tax_minor)
            write_int(out, TaxTotal_amount_minor_per_unit, tax.per_unit_minor)
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
        for at in range(self.charge_count):
            charge = &self.charges[at]
            inner = begin_message(out, PricedBasket_charges)
            write_span(out, ChargePrice_charge_id, charge.id)
            write_int(out, ChargePrice_amount_minor, charge.amount_minor)
            write_int(out, ChargePrice_discount_minor, charge.discount_minor)
            write_int(out, ChargePrice_tax_added_minor, charge.tax_added_minor)
            if charge.tax_class:
                write_span(
                    out, ChargePrice_tax_class_id, self.catalog.text(self.catalog.tax_class(charge.tax_class - 1).code)
                )
            end_message(out, inner)
        write_int(out, PricedBasket_charges_minor, self.charges_minor)
        write_int(out, PricedBasket_deposit_minor, self.deposit_minor)
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

    cdef void write_prices(self, Writer* out, const Line* line) noexcept nogil:
        """What became of each row of the line's item."""
        cdef PriceAsk ask = self.asked
        cdef PriceFound found, listed
        ask_plain(&ask)
        ask.qty_milli = line.qty_milli
        if self.catalog.item(line.item).flags & ITEM_RULES:
            self.aim(&ask, line)
        find_price(self.catalog, line.item, &ask, &found)
        listed = found
        if asks_list_price(self.catalog, &found, &ask):
            find_list_price(self.catalog, line.item, &ask, &listed)
        write_price_rows(out, PricedLine_price_rows, self.catalog, line.item, -1, &found, &listed, &ask)
        if ask.location >= 0:
            write_price_rows(out, PricedLine_price_rows, self.catalog, line.item, ask.location, &found, &listed, &ask)

    cdef void write_line(self, Writer* out, Line* line) noexcept nogil:
        cdef int64_t mark = begin_message(out, PricedBasket_lines), inner, at
        cdef const ItemRulesRow* rules
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
        if line.price_list:
            write_span(out, PricedLine_price_list_id, self.catalog.symbol(<int64_t>line.price_list - 1))
        if line.list_price_minor:
            write_int(out, PricedLine_list_price_minor, line.list_price_minor)
        if self.explains_prices and line.by_book:
            self.write_prices(out, line)
        if line.deposit_minor:
            write_int(out, PricedLine_deposit_minor, line.deposit_minor)
        if line.promotion >= 0:
            write_span(out, PricedLine_promotion_id, self.book.snapshot.promotions[line.promotion].id)
        if self.catalog.item(line.item).flags & ITEM_RULES:
            rules = self.catalog.find_item_rules(line.item)
            write_span(out, PricedLine_uom, self.catalog.text(rules.uom))
        end_message(out, mark)

    cdef int price_basket(self, Span request, int64_t now_ns, Writer* out) noexcept nogil:
        """The query PriceBasket."""
        cdef bint attributes = False, explains = False
        cdef Reader reader = reader_of(request)
        cdef PriceScope scope
        cdef Span location = span_at(NULL, 0), channel = span_at(NULL, 0), group = span_at(NULL, 0)
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
                out, RESULT_CODE_FIELD_INVALID, "customer_id", 0, span_at(NULL, 0), scope.customer.size, CODE_BYTES_MAX
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
