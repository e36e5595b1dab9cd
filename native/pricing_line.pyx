"""A line asked for becomes a priced one: item or scanned code, price book or override, discounts by hand."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memset

from ringup.native.catalog cimport BASE_UNITS_PPM_DEFAULT, ITEM_MEASURED, ITEM_RULES, ItemRulesRow
from ringup.native.catalog_prices cimport find_currency
from ringup.native.catalog_prices cimport read_attributes as read_price_attributes
from ringup.native.currency cimport is_currency
from ringup.native.command cimport MALFORMED, is_text, refuse
from ringup.native.contract cimport (
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_CURRENCY_DIFFERS,
    RESULT_CODE_DISCOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_PRICE_MISSING,
    RESULT_CODE_QTY_INVALID,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_REASON_MISSING,
    RESULT_CODE_TOO_MANY,
    BasketLine_discounts,
    BasketLine_item_id,
    BasketLine_price_override,
    BasketLine_qty_milli,
    LineDiscount_amount_minor,
    LineDiscount_rate_ppb,
    LineDiscount_reason,
    PriceOverride_base_qty_milli,
    PriceOverride_price_minor,
    PriceOverride_reason,
)
from ringup.native.embedded_codes cimport ScannedCode
from ringup.native.limits cimport (
    DISCOUNTS_PER_LINE_MAX,
    PERCENT_SCALE,
    PRICE_MINOR_MAX,
    QTY_MILLI_MAX,
    REASON_BYTES_MAX,
    TOTAL_MINOR_MAX,
)
from ringup.native.money cimport HALF_UP, divide, int128, multiply_divide
from ringup.native.price_book cimport (
    CURRENCY_UNKNOWN,
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
from ringup.native.pricing_basket cimport Line, PricedBasket, PriceScope
from ringup.native.promotion cimport NO_SYMBOL
from ringup.native.wire cimport Reader, Span, Writer, next_field, next_of, read_int, read_span, reader_of, skip_field


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


cdef class PricedLines(PricedBasket):
    """Prices the lines of a basket."""

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

    cdef int take_currency(self, Span currency, PriceScope* scope, Writer* out) noexcept nogil:
        """Price in a currency; empty is the engine's."""
        if currency.size and not is_currency(currency):
            return refuse(out, RESULT_CODE_FIELD_INVALID, "currency", 0, currency, currency.size, 3)
        scope.ask.currency = find_currency(self.catalog, currency, self.codes.settings.currency())
        if scope.ask.currency == CURRENCY_UNKNOWN:  # no row ever was in it
            return refuse(out, RESULT_CODE_PRICE_MISSING, "currency", 0, currency, 0, 0)
        return RESULT_CODE_OK

    cdef int check_currency(self, PriceScope* scope, Writer* out) noexcept nogil:
        """Refuse lines of a basket in another currency that have an amount in the engine's."""
        cdef const ItemRulesRow* rules
        cdef Line* line
        cdef int64_t at
        if scope.redeem:
            return refuse(out, RESULT_CODE_CURRENCY_DIFFERS, "redeem", 0, scope.customer, 0, 0)
        for at in range(self.line_count):
            line = &self.lines[at]
            rules = self.catalog.find_item_rules(line.item)
            if rules != NULL and (rules.floor_minor or rules.deposit_minor):
                return refuse(
                    out, RESULT_CODE_CURRENCY_DIFFERS, "lines.item_id", at, self.catalog.item_code(line.item),
                    max(rules.floor_minor, rules.deposit_minor), 0,
                )
            if self.taxed_by_quantity(line.tax_set):
                return refuse(
                    out, RESULT_CODE_CURRENCY_DIFFERS, "lines.tax_class_id", at, self.catalog.item_code(line.item), 0, 0
                )
        return RESULT_CODE_OK

    cdef bint taxed_by_quantity(self, int32_t tax_set) noexcept nogil:
        cdef int64_t at
        if tax_set < 0:
            return False
        for at in range(self.rates.classes[tax_set].rate_count):
            if self.rates.classes[tax_set].rates[at].per_unit:
                return True
        return False

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
            if scope.ask.currency:  # the price in a code is in the engine's
                return refuse(out, RESULT_CODE_CURRENCY_DIFFERS, "lines.item_id", index, asked.code, found.price_minor, 0)
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
        while next_of(&reader, BasketLine_discounts):
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
