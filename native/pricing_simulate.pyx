"""Simulate: price a basket whose items, promotions and taxes come with the request, or with an earlier one.

The request is a SimulateRequest and the answer a SimulateResponse, both as bytes.  The promotions,
rules and taxes of a published request stay compiled for the requests that follow it.
"""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from ringup.native.arrays cimport room_for
from ringup.native.command cimport refuse
from ringup.native.contract cimport (
    PromotionUsage_budget_spent_minor,
    PromotionUsage_cancelled_uses,
    PromotionUsage_customer_used,
    PromotionUsage_used,
    RESULT_CODE_AMOUNT_TOO_LARGE,
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_OK,
    SimulatedLinePrice_deposit_minor,
    SimulatedLinePrice_gross_minor,
    SimulatedLinePrice_tax_added_minor,
    SimulatedLinePrice_tax_included_minor,
    SimulatedLinePrice_total_minor,
    SimulatedLinePrice_units,
    SimulateRequest_promotions,
    SimulateRequest_rules,
    SimulateRequest_taxes,
    SimulateRequest_usage,
    SimulateResponse_charges,
    SimulateResponse_charges_minor,
    SimulateResponse_code,
    SimulateResponse_coupons,
    SimulateResponse_deposit_minor,
    SimulateResponse_discount_minor,
    SimulateResponse_free_items,
    SimulateResponse_lines,
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
from ringup.native.limits cimport TOTAL_MINOR_MAX
from ringup.native.loyalty_program cimport Tally
from ringup.native.money cimport int128
from ringup.native.pricing_explain cimport (
    write_charges,
    write_coupons,
    write_explained,
    write_free,
    write_search,
    write_taxes,
)
from ringup.native.pricing_kernel cimport price_basket
from ringup.native.pricing_rates cimport taxes_clear, taxes_read
from ringup.native.pricing_state cimport Basket, Segment, line_value
from ringup.native.promotion cimport NO_SYMBOL, Snapshot, Usage
from ringup.native.promotion_compile cimport compile_promotions
from ringup.native.simulate_points cimport SimulatedPoints
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    next_of,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_int,
)


cdef class Pricer(SimulatedPoints):
    """Prices baskets under promotions that it was given; holds no other state.  Not for two threads at once."""

    cdef Usage* usage
    cdef int64_t usage_capacity
    cdef bytes published

    def __dealloc__(self):
        free(self.usage)

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

    cdef void run(self, Span body) noexcept nogil:
        """Write the answer to a request into `out`: the basket priced, or the first refusal."""
        cdef int64_t bad
        cdef Tally tally
        if self.read_basket(body) != 0:
            return
        if self.book_line_count and self.price_lines(body) != 0:
            return
        if self.has_program and self.read_program() != 0:
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
