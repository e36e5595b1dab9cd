"""Simulate: price a basket whose items, promotions and taxes come with the request, or with an earlier one.

The request is a SimulateRequest and the answer a SimulateResponse, both as bytes.  The promotions,
rules and taxes of a published request stay compiled for the requests that follow it.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memset

from ringup.native.arrays cimport room_for
from ringup.native.catalog cimport SYMBOL_CHANNEL, Catalog, TermsRow
from ringup.native.catalog_prices cimport (
    IN_PRICE_ROWS,
    PriceIn,
    check_terms,
    find_currency,
    read_attributes,
    read_price,
    terms_of_price,
)
from ringup.native.command cimport MALFORMED, is_code_or_empty, refuse
from ringup.native.contract cimport (
    BookPrice_found,
    BookPrice_line,
    BookPrice_list_price_minor,
    BookPrice_price_minor,
    BookPrice_row,
    BookPrice_rows,
    Charge_amount_minor,
    Charge_charge_id,
    Charge_tax_class_id,
    FreeItem_item_id,
    FreeItem_qty,
    Points_balance_micro,
    Points_burned_micro,
    Points_earned_micro,
    Points_redeemed_minor,
    PromotionUsage_budget_spent_minor,
    PromotionUsage_cancelled_uses,
    PromotionUsage_customer_used,
    PromotionUsage_used,
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_OK,
    RESULT_CODE_PRICE_MISSING,
    RESULT_CODE_QTY_TOO_LARGE,
    RESULT_CODE_TAX_CLASS_UNKNOWN,
    RESULT_CODE_TOO_MANY,
    SimulatedLine_base_units_ppm,
    SimulatedLine_categories,
    SimulatedLine_deposit_minor,
    SimulatedLine_floor_minor,
    SimulatedLine_from_book,
    SimulatedLine_item_id,
    SimulatedLine_not_discountable,
    SimulatedLine_price_minor,
    SimulatedLine_qty_milli,
    SimulatedLine_tax_class_id,
    SimulatedLine_uom,
    SimulatedLinePrice_deposit_minor,
    SimulatedLinePrice_gross_minor,
    SimulatedLinePrice_tax_added_minor,
    SimulatedLinePrice_tax_included_minor,
    SimulatedLinePrice_total_minor,
    SimulatedLinePrice_units,
    SimulateRequest_at_ns,
    SimulateRequest_channel_id,
    SimulateRequest_charges,
    SimulateRequest_completed_orders,
    SimulateRequest_coupons,
    SimulateRequest_customer_groups,
    SimulateRequest_customer_id,
    SimulateRequest_explain_all,
    SimulateRequest_explain_prices,
    SimulateRequest_currency,
    SimulateRequest_lines,
    SimulateRequest_loyalty,
    SimulateRequest_opening_points_micro,
    SimulateRequest_price_attributes,
    SimulateRequest_price_rows,
    SimulateRequest_promotions,
    SimulateRequest_redeem,
    SimulateRequest_redeem_minor,
    SimulateRequest_rules,
    SimulateRequest_taxes,
    SimulateRequest_usage,
    SimulateRequest_utc_offset_s,
    SimulateResponse_book_prices,
    SimulateResponse_charges,
    SimulateResponse_charges_minor,
    SimulateResponse_code,
    SimulateResponse_coupons,
    SimulateResponse_deposit_minor,
    SimulateResponse_discount_minor,
    SimulateResponse_free_items,
    SimulateResponse_lines,
    SimulateResponse_points,
    SimulateResponse_promotions,
    SimulateResponse_redeemed_minor,
    SimulateResponse_search,
    SimulateResponse_subtotal_minor,
    SimulateResponse_tax_added_minor,
    SimulateResponse_tax_minor,
    SimulateResponse_taxes,
    SimulateResponse_total_minor,
    UnitPrice_count,
    UnitPrice_discount_minor,
    UnitPrice_price_minor,
)
from ringup.native.currency cimport currency_exponent
from ringup.native.limits cimport (
    CODE_BYTES_MAX,
    LINES_MAX,
    PRICE_MINOR_MAX,
    PUT_ROWS_MAX,
    QTY_MILLI_MAX,
    TIME_NS_MAX,
    TOTAL_MINOR_MAX,
)
from ringup.native.loyalty_program cimport (
    POINT_MICRO,
    POINTS_MICRO_MAX,
    Defect,
    Program,
    Tally,
    burned_micro,
    earned_micro,
    offer_minor,
    program_free,
    program_read,
    program_takes,
    rewards,
)
from ringup.native.money cimport int128
from ringup.native.price_book cimport (
    PRICE_ATTRIBUTES_MAX,
    PriceAsk,
    PriceFound,
    ask_plain,
    asks_list_price,
    find_price,
    found_price,
    found_price_of,
    list_price_ask,
    scan_prices,
)
from ringup.native.price_explain cimport write_price_rows
from ringup.native.pricing_explain cimport (
    write_charges,
    write_coupons,
    write_explained,
    write_free,
    write_search,
    write_taxes,
)
from ringup.native.pricing_kernel cimport price_basket
from ringup.native.pricing_state cimport (
    Basket,
    InputCharge,
    InputCoupon,
    InputLine,
    Segment,
    add_charge,
    add_coupon,
    add_line,
    add_text,
    basket_clear,
    basket_free,
    line_value,
)
from ringup.native.pricing_rates cimport Taxes, tax_class_row, taxes_clear, taxes_free, taxes_read
from ringup.native.promotion cimport NO_SYMBOL, Snapshot, Usage
from ringup.native.promotion_compile cimport compile_promotions
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    is_utf8,
    next_field,
    next_of,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_int,
    write_span,
    writer_free,
)


cdef enum:
    ANY_ITEM = 0  # the item in a price book's catalog whose rows are for all items

cdef struct BookLine:  # a line that asks for its price
    int64_t line
    Span uom


cdef class Pricer:
    """Prices baskets under promotions that it was given; holds no other state.  Not for two threads at once."""

    cdef Snapshot snapshot
    cdef Basket basket
    cdef Taxes taxes
    cdef Usage* usage
    cdef int64_t usage_capacity
    cdef Writer out
    cdef bytes published
    cdef Program program
    cdef bint has_program
    cdef int64_t opening_micro
    cdef bint redeems
    cdef Span currency
    cdef Catalog catalog  # of the price rows of the request at hand
    cdef BookLine* book_lines
    cdef int64_t book_line_count, book_line_capacity
    cdef bint explains_prices

    def __cinit__(self):
        memset(&self.basket, 0, sizeof(Basket))
        memset(&self.taxes, 0, sizeof(Taxes))
        memset(&self.out, 0, sizeof(Writer))
        memset(&self.program, 0, sizeof(Program))

    def __dealloc__(self):
        basket_free(&self.basket)
        taxes_free(&self.taxes)
        writer_free(&self.out)
        program_free(&self.program)
        free(self.usage)
        free(self.book_lines)

    def publish(self, request: bytes) -> bytes:
        """Compile the promotions, rules and taxes of a SimulateRequest for the requests to `price`.

        The answer is a SimulateResponse with code and problem only; after a refusal the earlier set stays.
        """
        cdef Snapshot snapshot = Snapshot()
        cdef Span body = span_at(<const char*>request, len(request))
        self.out.size = 0
        snapshot.definition = request
        if not compile_promotions(snapshot, body, SimulateRequest_promotions, SimulateRequest_rules):
            refuse(
                &self.out, snapshot.defect.code, snapshot.defect.field, snapshot.defect.index, snapshot.defect.subject,
                snapshot.defect.found, snapshot.defect.limit,
            )
            return self.answer()
        if not self.read_taxes(body):
            refuse(&self.out, RESULT_CODE_FIELD_INVALID, "taxes", 0, no_span(), 0, 0)
            return self.answer()
        self.snapshot = snapshot
        self.published = request
        self.read_usage(body)
        write_int(&self.out, SimulateResponse_code, RESULT_CODE_OK)
        return self.answer()

    def price(self, request: bytes) -> bytes:
        """Price the basket of a SimulateRequest under what was published; its promotions and taxes are not read."""
        cdef Span body = span_at(<const char*>request, len(request))
        if self.snapshot is None:
            self.publish(b"")
        self.out.size = 0
        with nogil:
            self.run(body)
        return self.answer()

    def simulate(self, request: bytes) -> bytes:
        """`publish` and `price` in one."""
        cdef bytes refused = self.publish(request)
        if self.snapshot is None or self.published is not request:
            return refused
        return self.price(request)

    def repeat(self, request: bytes, int64_t times) -> int:
        """Price the same basket `times` times and return the last total; for measurements."""
        cdef Span body = span_at(<const char*>request, len(request))
        while times > 0:
            times -= 1
            self.out.size = 0
            with nogil:
                self.run(body)
        return self.total()

    cdef bytes answer(self):
        return (<char*>self.out.data)[:self.out.size] if self.out.size else b""

    cdef bint read_taxes(self, Span body) noexcept nogil:
        cdef Reader reader = reader_of(body)
        taxes_clear(&self.taxes)
        while next_of(&reader, SimulateRequest_taxes):
            if not taxes_read(&self.taxes, read_span(&reader)):
                return False
        return not reader.bad

    cdef void read_usage(self, Span body) noexcept nogil:
        """The usages stand in the order of the request; the snapshot has its own order."""
        cdef Reader reader = reader_of(body), inner
        cdef int64_t at = 0
        cdef Usage* usage
        self.usage = <Usage*>room_for(
            self.usage, &self.usage_capacity, self.snapshot.promotion_count + 1, sizeof(Usage)
        )
        memset(self.usage, 0, self.usage_capacity * sizeof(Usage))
        while next_of(&reader, SimulateRequest_usage):
            inner = reader_of(read_span(&reader))
            if at >= self.snapshot.promotion_count:
                continue
            usage = &self.usage[self.snapshot.order[at]]
            at += 1
            while next_field(&inner):
                if inner.field == PromotionUsage_used:
                    usage.used = read_int(&inner)
                elif inner.field == PromotionUsage_cancelled_uses:
                    usage.cancelled = read_int(&inner)
                elif inner.field == PromotionUsage_customer_used:
                    usage.customer_used = read_int(&inner)
                elif inner.field == PromotionUsage_budget_spent_minor:
                    usage.spent = read_int(&inner)
                else:
                    skip_field(&inner)

    cdef int refused(
        self, int code, const char* field, int64_t index, Span subject, int64_t found, int64_t limit
    ) noexcept nogil:
        return refuse(&self.out, code, field, index, subject, found, limit)

    cdef int read_line(self, Span body, int64_t index) noexcept nogil:
        cdef Reader reader = reader_of(body)
        cdef InputLine* line = add_line(&self.basket)
        cdef Span tax_class, uom = no_span()
        cdef bint from_book = False
        tax_class.data = NULL
        tax_class.size = 0
        while next_field(&reader):
            if reader.field == SimulatedLine_item_id:
                line.item_id = read_span(&reader)
            elif reader.field == SimulatedLine_categories:
                add_text(&self.basket, read_span(&reader))
                line.category_count += 1
            elif reader.field == SimulatedLine_qty_milli:
                line.qty_milli = read_int(&reader)
            elif reader.field == SimulatedLine_price_minor:
                line.price = read_int(&reader)
            elif reader.field == SimulatedLine_tax_class_id:
                tax_class = read_span(&reader)
            elif reader.field == SimulatedLine_floor_minor:
                line.floor = read_int(&reader)
            elif reader.field == SimulatedLine_not_discountable:
                line.not_discountable = read_int(&reader) != 0
            elif reader.field == SimulatedLine_deposit_minor:
                line.deposit = read_int(&reader)
            elif reader.field == SimulatedLine_base_units_ppm:
                line.base_units_ppm = read_int(&reader)
            elif reader.field == SimulatedLine_uom:
                uom = read_span(&reader)
            elif reader.field == SimulatedLine_from_book:
                from_book = read_int(&reader) != 0
            else:
                skip_field(&reader)
        if line.base_units_ppm == 0:
            line.base_units_ppm = 1000000
        if reader.bad or line.item_id.size == 0:
            return self.refused(RESULT_CODE_FIELD_INVALID, "lines.item_id", index, line.item_id, 0, 1)
        if not -QTY_MILLI_MAX <= line.qty_milli <= QTY_MILLI_MAX:
            return self.refused(
                RESULT_CODE_QTY_TOO_LARGE, "lines.qty_milli", index, line.item_id, line.qty_milli, QTY_MILLI_MAX
            )
        if not 0 < line.base_units_ppm <= QTY_MILLI_MAX:
            return self.refused(
                RESULT_CODE_FIELD_INVALID, "lines.base_units_ppm", index, line.item_id, line.base_units_ppm,
                QTY_MILLI_MAX,
            )
        if not -PRICE_MINOR_MAX <= line.price <= PRICE_MINOR_MAX:
            return self.refused(
                RESULT_CODE_AMOUNT_TOO_LARGE, "lines.price_minor", index, line.item_id, line.price, PRICE_MINOR_MAX
            )
        if not 0 <= line.floor <= PRICE_MINOR_MAX or not 0 <= line.deposit <= PRICE_MINOR_MAX:
            return self.refused(
                RESULT_CODE_AMOUNT_INVALID, "lines.floor_minor", index, line.item_id, line.floor, PRICE_MINOR_MAX
            )
        if tax_class.size > 0:
            line.tax_class = tax_class_row(&self.taxes, tax_class)
            if line.tax_class == NO_SYMBOL:
                return self.refused(RESULT_CODE_TAX_CLASS_UNKNOWN, "lines.tax_class_id", index, tax_class, 0, 0)
        if from_book:
            self.book_lines = <BookLine*>room_for(
                self.book_lines, &self.book_line_capacity, self.book_line_count + 1, sizeof(BookLine)
            )
            self.book_lines[self.book_line_count].line = index
            self.book_lines[self.book_line_count].uom = uom
            self.book_line_count += 1
        return 0

    cdef int read_charge(self, Span body, int64_t index) noexcept nogil:
        cdef Reader reader = reader_of(body)
        cdef InputCharge* charge = add_charge(&self.basket)
        cdef Span tax_class
        tax_class.data = NULL
        tax_class.size = 0
        while next_field(&reader):
            if reader.field == Charge_charge_id:
                charge.id = read_span(&reader)
            elif reader.field == Charge_amount_minor:
                charge.amount = read_int(&reader)
            elif reader.field == Charge_tax_class_id:
                tax_class = read_span(&reader)
            else:
                skip_field(&reader)
        if not is_utf8(charge.id):
            return self.refused(RESULT_CODE_FIELD_INVALID, "charges.charge_id", index, no_span(), 0, 0)
        if reader.bad or not -PRICE_MINOR_MAX <= charge.amount <= PRICE_MINOR_MAX:
            return self.refused(
                RESULT_CODE_AMOUNT_TOO_LARGE, "charges.amount_minor", index, charge.id, charge.amount, PRICE_MINOR_MAX
            )
        if tax_class.size > 0:
            charge.tax_class = tax_class_row(&self.taxes, tax_class)
            if charge.tax_class == NO_SYMBOL:
                return self.refused(RESULT_CODE_TAX_CLASS_UNKNOWN, "charges.tax_class_id", index, tax_class, 0, 0)
        return 0

    cdef int read_basket(self, Span body) noexcept nogil:
        cdef Reader reader = reader_of(body)
        cdef Basket* basket = &self.basket
        cdef InputCoupon* coupon
        cdef Span text
        cdef int code
        cdef Span program = no_span()
        basket_clear(basket)
        self.has_program = self.redeems = False
        self.book_line_count = 0
        self.explains_prices = False
        self.opening_micro = 0
        self.currency = no_span()
        while next_field(&reader):
            if reader.field == SimulateRequest_lines:
                if basket.input_line_count == LINES_MAX:
                    return self.refused(
                        RESULT_CODE_TOO_MANY, "lines", LINES_MAX, no_span(), LINES_MAX + 1, LINES_MAX
                    )
                code = self.read_line(read_span(&reader), basket.input_line_count)
                if code != 0:
                    return code
            elif reader.field == SimulateRequest_charges:
                code = self.read_charge(read_span(&reader), basket.charge_count)
                if code != 0:
                    return code
                if basket.charge_count > 64:
                    return self.refused(RESULT_CODE_TOO_MANY, "charges", 64, no_span(), 65, 64)
            elif reader.field == SimulateRequest_coupons:
                text = read_span(&reader)
                if basket.coupon_count == 64:
                    return self.refused(RESULT_CODE_TOO_MANY, "coupons", 64, no_span(), 65, 64)
                if text.size > 200 or not is_utf8(text):
                    return self.refused(
                        RESULT_CODE_FIELD_INVALID, "coupons", basket.coupon_count, no_span(), text.size, 200
                    )
                coupon = add_coupon(basket)
                coupon.code = text
            elif reader.field == SimulateRequest_channel_id:
                basket.channel = read_span(&reader)
            elif reader.field == SimulateRequest_customer_id:
                basket.has_customer = read_span(&reader).size > 0
            elif reader.field == SimulateRequest_completed_orders:
                basket.completed_orders = read_int(&reader)
            elif reader.field == SimulateRequest_at_ns:
                basket.at_ns = read_int(&reader)
            elif reader.field == SimulateRequest_utc_offset_s:
                basket.utc_offset_s = read_int(&reader)
            elif reader.field == SimulateRequest_explain_all:
                basket.explain_all = read_int(&reader) != 0
            elif reader.field == SimulateRequest_redeem_minor:
                basket.redeem = read_int(&reader)
            elif reader.field == SimulateRequest_loyalty:
                program = read_span(&reader)
                self.has_program = True
            elif reader.field == SimulateRequest_opening_points_micro:
                self.opening_micro = read_int(&reader)
            elif reader.field == SimulateRequest_redeem:
                self.redeems = read_int(&reader) != 0
            elif reader.field == SimulateRequest_currency:
                self.currency = read_span(&reader)
            elif reader.field == SimulateRequest_explain_prices:
                self.explains_prices = read_int(&reader) != 0
            else:
                skip_field(&reader)
        basket.groups = <int32_t>basket.text_count
        reader = reader_of(body)
        while next_of(&reader, SimulateRequest_customer_groups):
            add_text(basket, read_span(&reader))
            basket.group_count += 1
        if reader.bad or not -TIME_NS_MAX <= basket.at_ns <= TIME_NS_MAX:
            return self.refused(RESULT_CODE_FIELD_INVALID, "lines", 0, no_span(), 0, 0)
        if self.book_line_count:
            code = self.price_lines(body)
            if code != 0:
                return code
        return self.read_program(program) if self.has_program else 0

    cdef int read_book(self, Span body) noexcept nogil:
        """Put the price rows of a request into a catalog of their own, in their order."""
        cdef Reader reader = reader_of(body)
        cdef PriceIn price
        cdef TermsRow terms
        cdef int64_t item, index = 0
        cdef int code
        with gil:
            self.catalog = Catalog()
        self.catalog.add_item(no_span())  # ANY_ITEM
        while next_of(&reader, SimulateRequest_price_rows):
            price = read_price(read_span(&reader))
            if index == PUT_ROWS_MAX:
                return self.refused(RESULT_CODE_TOO_MANY, "price_rows", 0, price.item, PUT_ROWS_MAX + 1, PUT_ROWS_MAX)
            if not is_code_or_empty(price.item):
                return self.refused(
                    RESULT_CODE_FIELD_INVALID, "price_rows.item_id", index, price.item, price.item.size, CODE_BYTES_MAX
                )
            code = check_terms(&price, index, IN_PRICE_ROWS, &self.out)
            if code != RESULT_CODE_OK:
                return code
            terms = terms_of_price(self.catalog, &price, self.currency)
            item = self.catalog.find_item_code(price.item)
            if item < 0:
                item = self.catalog.add_item(price.item)
            # A row is never replaced here, and nobody asks for the one location that rows by location go to.
            self.catalog.add_price(item, 0 if price.location.size else -1, &terms, price.price_minor)
            index += 1
        return 0

    cdef PriceFound find_row(self, Span item_id, const PriceAsk* ask) noexcept nogil:
        """The best of the rows of an item and those of all items."""
        cdef PriceFound found
        cdef int64_t item = self.catalog.find_item_code(item_id)
        find_price(self.catalog, ANY_ITEM, ask, &found)
        if item > ANY_ITEM:
            scan_prices(self.catalog, self.catalog.first_price(item, -1), 0, ask, &found)
        return found

    cdef void write_rows(
        self, Span item_id, const PriceFound* found, const PriceFound* listed, const PriceAsk* ask
    ) noexcept nogil:
        cdef int64_t item = self.catalog.find_item_code(item_id)
        write_price_rows(&self.out, BookPrice_rows, self.catalog, ANY_ITEM, -1, found, listed, ask)
        if item > ANY_ITEM:
            write_price_rows(&self.out, BookPrice_rows, self.catalog, item, -1, found, listed, ask)

    cdef int price_lines(self, Span body) noexcept nogil:
        """Give the lines that ask for it their price from the price rows of the request."""
        cdef uint32_t[2 * PRICE_ATTRIBUTES_MAX] attributes
        cdef PriceAsk ask, listing
        cdef PriceFound found, listed
        cdef InputLine* line
        cdef int64_t at, mark, missing = NO_SYMBOL
        cdef int code = self.read_book(body)
        if code != 0:
            return code
        memset(&ask, 0, sizeof(PriceAsk))
        ask.location = ask.customer_group = -1
        ask.channel = self.catalog.find_symbol(SYMBOL_CHANNEL, self.basket.channel)
        ask.at_ns, ask.any_time = self.basket.at_ns, self.basket.at_ns == 0
        ask.currency = find_currency(self.catalog, self.currency, self.currency)
        ask.selection = self.snapshot.rules.price_selection
        ask.attributes = attributes
        code = read_attributes(
            self.catalog, body, SimulateRequest_price_attributes, attributes, &ask.attribute_count, &self.out
        )
        if code != RESULT_CODE_OK:
            return code
        for at in range(self.book_line_count):
            line = &self.basket.input_lines[self.book_lines[at].line]
            ask_plain(&ask)
            ask.uom, ask.base_units_ppm = self.book_lines[at].uom, line.base_units_ppm
            ask.plain = ask.plain and ask.base_units_ppm == 1000000
            ask.qty_milli = -line.qty_milli if line.qty_milli < 0 else line.qty_milli
            found = listed = self.find_row(line.item_id, &ask)
            mark = begin_message(&self.out, SimulateResponse_book_prices)
            write_int(&self.out, BookPrice_line, self.book_lines[at].line)
            if found.row >= 0:
                line.price, line.base_qty_milli = found_price(&found, &ask), found.terms.base_qty_milli
                if line.price < 0 or found_price_of(&found, &ask, 1000) < 0:
                    end_message(&self.out, mark)
                    return self.refused(
                        RESULT_CODE_AMOUNT_TOO_LARGE, "price_rows.price_minor", found.row, line.item_id,
                        PRICE_MINOR_MAX + 1, PRICE_MINOR_MAX,
                    )
                if asks_list_price(self.catalog, &found, &ask):
                    listing = list_price_ask(&ask)
                    listed = self.find_row(line.item_id, &listing)
                    if listed.row < 0:
                        listed = found
                write_int(&self.out, BookPrice_found, True)
                write_int(&self.out, BookPrice_price_minor, found_price_of(&found, &ask, 1000))
                write_int(&self.out, BookPrice_list_price_minor, found_price_of(&listed, &ask, 1000))
                write_int(&self.out, BookPrice_row, found.row)
            elif missing == NO_SYMBOL:
                missing = self.book_lines[at].line
            if self.explains_prices:
                self.write_rows(line.item_id, &found, &listed, &ask)
            end_message(&self.out, mark)
        if missing != NO_SYMBOL:
            return self.refused(
                RESULT_CODE_PRICE_MISSING, "lines.item_id", missing, self.basket.input_lines[missing].item_id, 0, 0
            )
        return 0

    cdef int read_program(self, Span program) noexcept nogil:
        cdef Defect defect = program_read(&self.program, program)
        if defect.code != 0:
            return self.refused(
                RESULT_CODE_FIELD_INVALID if defect.code == MALFORMED else defect.code, defect.field, 0, no_span(),
                defect.found, defect.limit,
            )
        if not -POINTS_MICRO_MAX <= self.opening_micro <= POINTS_MICRO_MAX:
            return self.refused(
                RESULT_CODE_AMOUNT_TOO_LARGE, "opening_points_micro", 0, no_span(), self.opening_micro,
                POINTS_MICRO_MAX,
            )
        self.basket.redeem = offer_minor(&self.program, self.opening_micro) if self.redeems else 0
        return 0

    cdef int count_points(self, Tally* tally) noexcept nogil:
        """What the priced basket earns and burns; refuses what is beyond the limits."""
        cdef int64_t i, qty = 0, paid = 0
        cdef InputLine* line
        memset(tally, 0, sizeof(Tally))
        for i in range(self.basket.log_count):
            if self.basket.log[i].promotion == NO_SYMBOL:
                tally.redeemed_minor += self.basket.log[i].amount * self.basket.log[i].count
        if not self.has_program:
            return 0
        for i in range(self.basket.input_line_count):
            line = &self.basket.input_lines[i]
            if program_takes(&self.program, line.item_id, &self.basket.texts[line.categories], line.category_count):
                qty += line.qty_milli
                paid += line_value(&self.basket, i)
        tally.earned_micro = earned_micro(
            &self.program, qty, paid, tally.redeemed_minor,
            currency_exponent(self.currency.data) if self.currency.size == 3 else 2,
        )
        tally.rewarded = self.redeems and rewards(&self.program, self.opening_micro)
        tally.burned_micro = (
            self.program.burn_points * POINT_MICRO if tally.rewarded
            else burned_micro(&self.program, tally.redeemed_minor)
        )
        if tally.earned_micro > POINTS_MICRO_MAX:
            return self.refused(
                RESULT_CODE_AMOUNT_TOO_LARGE, "loyalty.earn_points_micro", 0, no_span(),
                self.program.earn_points_micro, POINTS_MICRO_MAX,
            )
        return 0

    cdef void write_points(self, Tally* tally) noexcept nogil:
        cdef int64_t mark
        if tally.rewarded:
            mark = begin_message(&self.out, SimulateResponse_free_items)
            write_span(&self.out, FreeItem_item_id, self.program.reward_item)
            write_int(&self.out, FreeItem_qty, self.program.reward_qty)
            end_message(&self.out, mark)
        mark = begin_message(&self.out, SimulateResponse_points)
        write_int(&self.out, Points_earned_micro, tally.earned_micro)
        write_int(&self.out, Points_burned_micro, tally.burned_micro)
        write_int(&self.out, Points_balance_micro, self.opening_micro + tally.earned_micro - tally.burned_micro)
        write_int(&self.out, Points_redeemed_minor, tally.redeemed_minor)
        end_message(&self.out, mark)

    cdef void run(self, Span body) noexcept nogil:
        cdef int64_t bad
        cdef Tally tally
        if self.read_basket(body) != 0:
            return
        self.basket.usage = self.usage
        bad = price_basket(&self.basket, self.snapshot, &self.taxes)
        if bad >= 0:
            self.refused(
                RESULT_CODE_AMOUNT_TOO_LARGE, "lines.price_minor", bad, self.basket.input_lines[bad].item_id,
                self.basket.input_lines[bad].price, TOTAL_MINOR_MAX,
            )
            return
        if self.taxes.beyond:
            self.refused(RESULT_CODE_AMOUNT_TOO_LARGE, "taxes", 0, no_span(), TOTAL_MINOR_MAX + 1, TOTAL_MINOR_MAX)
            return
        if self.count_points(&tally) == 0:
            self.write(&tally)

    cdef int64_t deposit(self, int64_t line) noexcept nogil:
        return <int64_t>(
            <int128>self.basket.input_lines[line].deposit * self.basket.input_lines[line].qty_milli / 1000
        )

    cdef int64_t total(self) noexcept nogil:
        cdef int64_t i, total = self.taxes.tax_added
        for i in range(self.basket.input_line_count):
            total += line_value(&self.basket, i) + self.deposit(i)
        for i in range(self.basket.charge_count):
            total += self.basket.charges[i].amount
        return total

    cdef void write(self, Tally* tally) noexcept nogil:
        cdef Writer* out = &self.out
        cdef Basket* basket = &self.basket
        cdef int64_t i, mark, inner, subtotal = 0, value = 0, charges = 0, deposits = 0
        cdef int32_t at
        cdef Segment* segment
        write_int(out, SimulateResponse_code, RESULT_CODE_OK)
        for i in range(basket.input_line_count):
            mark = begin_message(out, SimulateResponse_lines)
            write_int(out, SimulatedLinePrice_gross_minor, basket.input_lines[i].gross)
            write_int(out, SimulatedLinePrice_total_minor, line_value(basket, i))
            write_int(out, SimulatedLinePrice_tax_added_minor, self.taxes.places[i].added)
            write_int(out, SimulatedLinePrice_tax_included_minor, self.taxes.places[i].included)
            write_int(out, SimulatedLinePrice_deposit_minor, self.deposit(i))
            at = <int32_t>i
            while at != NO_SYMBOL:
                segment = &basket.segments[at]
                inner = begin_message(out, SimulatedLinePrice_units)
                write_int(out, UnitPrice_count, segment.count)
                write_int(out, UnitPrice_price_minor, segment.price)
                write_int(out, UnitPrice_discount_minor, segment.listed - segment.price)
                end_message(out, inner)
                at = segment.next
            end_message(out, mark)
            subtotal += basket.input_lines[i].gross
            value += line_value(basket, i)
            deposits += self.deposit(i)
        write_charges(out, SimulateResponse_charges, basket, &self.taxes)
        for i in range(basket.charge_count):
            charges += basket.charges[i].amount
        write_taxes(out, SimulateResponse_taxes, &self.taxes)
        write_explained(out, SimulateResponse_promotions, basket, self.snapshot, True)
        write_coupons(out, SimulateResponse_coupons, basket, self.snapshot)
        write_free(out, SimulateResponse_free_items, basket, self.snapshot)
        write_int(out, SimulateResponse_subtotal_minor, subtotal)
        write_int(out, SimulateResponse_discount_minor, subtotal - value)
        write_int(out, SimulateResponse_charges_minor, charges)
        write_int(out, SimulateResponse_tax_minor, self.taxes.tax_included + self.taxes.tax_added)
        write_int(out, SimulateResponse_tax_added_minor, self.taxes.tax_added)
        write_int(out, SimulateResponse_deposit_minor, deposits)
        write_int(out, SimulateResponse_total_minor, value + charges + self.taxes.tax_added + deposits)
        write_search(out, SimulateResponse_search, basket)
        write_int(out, SimulateResponse_redeemed_minor, tally.redeemed_minor)
        if self.has_program:
            self.write_points(tally)
