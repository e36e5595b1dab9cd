"""What promotions, charges and points make of a basket whose lines are priced."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memset

from ringup.native.catalog cimport ITEM_NOT_DISCOUNTABLE, ItemRulesRow
from ringup.native.command cimport MALFORMED, is_code, is_code_or_empty, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_CURRENCY_DIFFERS,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_OK,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_TAX_CLASS_UNKNOWN,
    RESULT_CODE_TOO_MANY,
    Charge_amount_minor,
    Charge_charge_id,
    Charge_tax_class_id,
    PriceBasketRequest_channel_id,
    PriceBasketRequest_charges,
    PriceBasketRequest_completed_orders,
    PriceBasketRequest_coupons,
    PriceBasketRequest_customer_group_id,
    PriceBasketRequest_customer_id,
    PriceBasketRequest_explain_all,
    PriceBasketRequest_promotion_groups,
    SellRequest_channel_id,
    SellRequest_charges,
    SellRequest_completed_orders,
    SellRequest_coupons,
    SellRequest_customer_group_id,
    SellRequest_customer_id,
    SellRequest_lines,
    SellRequest_promotion_groups,
)
from ringup.native.limits cimport CODE_BYTES_MAX, LINES_MAX, PRICE_MINOR_MAX, QTY_MILLI_MAX
from ringup.native.loyalty cimport EarningLine
from ringup.native.pricing_basket cimport BOUGHT_WITH_POINTS, CHARGES_MAX, ChargeLine, Line, PriceScope
from ringup.native.pricing_kernel cimport price_basket as price_promotions
from ringup.native.pricing_line cimport PricedLines
from ringup.native.pricing_state cimport Basket, InputCharge, InputLine, add_charge, add_text, basket_clear, line_value
from ringup.native.pricing_state cimport add_line as add_input_line
from ringup.native.promotion cimport NO_SYMBOL
from ringup.native.promotion_book cimport customer_uses
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    next_field,
    next_of,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_equal,
)


cdef enum:
    COUPONS_MAX = 64
    GROUPS_MAX = 64


cdef class PromotedBasket(PricedLines):
    """Lays promotions on the priced lines."""

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
        while next_of(&reader, charges_field):
            code = self.read_charge(read_span(&reader), scope, out)
            if code != RESULT_CODE_OK:
                return code
        basket.at_ns = scope.ask.at_ns
        basket.utc_offset_s = self.book.offset_s(scope.ask.location, scope.ask.at_ns)
        basket.usage = self.book.usage
        basket.customer_context = <void*>self.book
        basket.customer_uses = customer_uses
        basket.redeem = self.redeem_minor
        basket.foreign = self.currency != 0
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

    cdef int read_shopper(self, Span request, bint selling, Writer* out) noexcept nogil:
        """Take coupons, channel and what is known of the customer from a SellRequest or PriceBasketRequest."""
        cdef Reader reader = reader_of(request)
        cdef Basket* basket = &self.basket
        cdef Span text
        cdef int64_t coupons = 0
        self.book.customer = no_span()
        basket.groups = <int>basket.text_count
        while next_field(&reader):
            if reader.field == (SellRequest_coupons if selling else PriceBasketRequest_coupons):
                text = read_span(&reader)
                coupons += 1
                if not is_code_or_empty(text):
                    return refuse(
                        out, RESULT_CODE_FIELD_INVALID, "coupons", coupons - 1, no_span(), text.size, CODE_BYTES_MAX
                    )
                if coupons > COUPONS_MAX:
                    return refuse(out, RESULT_CODE_TOO_MANY, "coupons", 0, no_span(), coupons, COUPONS_MAX)
                if text.size:
                    self.book.add_coupon_code(basket, text)
            elif reader.field == (SellRequest_customer_id if selling else PriceBasketRequest_customer_id):
                self.book.customer = read_span(&reader)
                if not is_code_or_empty(self.book.customer):
                    return refuse(
                        out, RESULT_CODE_FIELD_INVALID, "customer_id", 0, no_span(), self.book.customer.size,
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
                        out, RESULT_CODE_FIELD_INVALID, "promotion_groups", basket.group_count, no_span(), text.size,
                        CODE_BYTES_MAX,
                    )
                add_text(basket, text)
                basket.group_count += 1
            elif not selling and reader.field == PriceBasketRequest_explain_all:
                basket.explain_all = read_int(&reader) != 0
            else:
                skip_field(&reader)
        return MALFORMED if reader.bad else RESULT_CODE_OK

    cdef int read_charge(self, Span body, PriceScope* scope, Writer* out) noexcept nogil:
        """Take a charge of the order into the basket."""
        cdef Reader reader = reader_of(body)
        cdef InputCharge* charge
        cdef ChargeLine* line
        cdef Span id = no_span(), tax_class = no_span()
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
            if self.currency and self.taxed_by_quantity(charge.tax_class):
                return refuse(out, RESULT_CODE_CURRENCY_DIFFERS, "charges.tax_class_id", index, tax_class, 0, 0)
        line = &self.charges[index]
        self.charge_count += 1
        memset(line, 0, sizeof(ChargeLine))
        line.id = id
        line.tax_class = <uint32_t>(row + 1)
        return RESULT_CODE_OK

    cdef int add_free_lines(self, Writer* out) noexcept nogil:
        """Add a line for each thing that promotions give."""
        cdef int64_t at
        cdef int code
        for at in range(self.basket.free_count):
            code = self.add_gift(
                self.basket.free_units[at].item_id, self.basket.free_units[at].qty,
                self.basket.free_units[at].promotion, at, out,
            )
            if code != RESULT_CODE_OK:
                return code
        return RESULT_CODE_OK

    cdef int add_reward(self, Writer* out) noexcept nogil:
        """Add a line for what points buy: the goods leave the shop as a promotion's do."""
        if not self.loyalty.offer_reward:
            return RESULT_CODE_OK
        return self.add_gift(
            self.loyalty.program.reward_item, self.loyalty.program.reward_qty, BOUGHT_WITH_POINTS,
            self.basket.free_count, out,
        )

    cdef int add_gift(self, Span item_id, int64_t qty, int32_t giver, int64_t index, Writer* out) noexcept nogil:
        """Add a line at no price for goods that the catalog has: no tax, no deposit."""
        cdef int64_t item = self.catalog.find_item(item_id)
        cdef Line* line
        if item < 0 or qty <= 0:
            return RESULT_CODE_OK
        if self.line_count == LINES_MAX:
            return refuse(
                out, RESULT_CODE_TOO_MANY, "free_items", index, self.catalog.item_code(item), LINES_MAX + 1, LINES_MAX
            )
        if qty > QTY_MILLI_MAX // 1000:
            return refuse(
                out, RESULT_CODE_QTY_TOO_LARGE, "free_items", index, self.catalog.item_code(item), qty,
                QTY_MILLI_MAX // 1000,
            )
        line = &self.lines[self.line_count]
        self.line_count += 1
        memset(line, 0, sizeof(Line))
        line.item = item
        line.qty_milli = qty * 1000
        line.base_qty_milli = 1000
        line.tax_set = line.place = NO_SYMBOL
        line.promotion = giver
        return RESULT_CODE_OK

    cdef int count_points(self, Writer* out) noexcept nogil:
        """What the priced lines earn, and what the points that were redeemed took off them."""
        cdef int64_t at
        cdef int code
        cdef Line* line
        cdef EarningLine* earning = self.loyalty.lines
        for at in range(self.line_count):
            line = &self.lines[at]
            self.loyalty.add_line(
                # What is given earns nothing.
                line.item, line.qty_milli if line.promotion == NO_SYMBOL else 0, line.total_minor
            )
        for at in range(self.basket.log_count if self.promoted else 0):
            if self.basket.log[at].promotion == NO_SYMBOL and self.basket.log[at].line >= 0:
                earning[self.basket.log[at].line].redeemed_minor += (
                    self.basket.log[at].amount * self.basket.log[at].count
                )
        code = self.loyalty.count(out)
        for at in range(self.line_count):
            if self.lines[at].promotion == BOUGHT_WITH_POINTS:  # its points come back when it does
                earning[at].burned_micro = self.loyalty.tally.burned_micro
        return code
