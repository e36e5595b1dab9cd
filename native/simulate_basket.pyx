"""The basket of a Simulate request, read from its bytes: what stands in the catalogue otherwise comes with the lines."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from ringup.native.arrays cimport room_for
from ringup.native.command cimport refuse
from ringup.native.contract cimport (
    Charge_amount_minor,
    Charge_charge_id,
    Charge_tax_class_id,
    RESULT_CODE_AMOUNT_INVALID,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
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
    SimulateRequest_redeem,
    SimulateRequest_redeem_minor,
    SimulateRequest_utc_offset_s,
)
from ringup.native.limits cimport LINES_MAX, PRICE_MINOR_MAX, QTY_MILLI_MAX, TIME_NS_MAX
from ringup.native.pricing_rates cimport Taxes, tax_class_row, taxes_free
from ringup.native.pricing_state cimport (
    Basket,
    InputCharge,
    InputCoupon,
    InputLine,
    add_charge,
    add_coupon,
    add_line,
    add_text,
    basket_clear,
    basket_free,
)
from ringup.native.promotion cimport NO_SYMBOL
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    is_utf8,
    next_field,
    next_of,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    writer_free,
)


cdef class SimulatedBasket:
    """The basket of the request at hand, the taxes it is under, and the answer."""

    def __cinit__(self):
        memset(&self.basket, 0, sizeof(Basket))
        memset(&self.taxes, 0, sizeof(Taxes))
        memset(&self.out, 0, sizeof(Writer))

    def __dealloc__(self):
        basket_free(&self.basket)
        taxes_free(&self.taxes)
        writer_free(&self.out)
        free(self.book_lines)

    cdef int refused(
        self, int code, const char* field, int64_t index, Span subject, int64_t found, int64_t limit
    ) noexcept nogil:
        return refuse(&self.out, code, field, index, subject, found, limit)

    cdef int read_basket(self, Span body) noexcept nogil:
        """Everything of a request but the promotions, rules and taxes, its price rows and its program's terms."""
        cdef Reader reader = reader_of(body)
        cdef Basket* basket = &self.basket
        cdef InputCoupon* coupon
        cdef Span text
        cdef int code
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
                self.program_body = read_span(&reader)
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
        return 0

    cdef int read_line(self, Span body, int64_t index) noexcept nogil:
        cdef Reader reader = reader_of(body)
        cdef InputLine* line = add_line(&self.basket)
        cdef Span tax_class = no_span(), uom = no_span()
        cdef bint from_book = False
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
        cdef Span tax_class = no_span()
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
