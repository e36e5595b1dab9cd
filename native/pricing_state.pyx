"""The basket while it is priced: segments of equal units, discounts laid on them, and the log of both."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from ringup.native.arrays cimport room_for
from ringup.native.limits cimport TOTAL_MINOR_MAX
from ringup.native.money cimport HALF_UP, divide, int128
from ringup.native.promotion cimport NO_SYMBOL
from ringup.native.wire cimport Span


cdef void basket_free(Basket* basket) noexcept nogil:
    cdef int level
    free(basket.input_lines)
    free(basket.input_charges)
    free(basket.coupons)
    free(basket.texts)
    free(basket.lines)
    free(basket.segments)
    free(basket.charges)
    free(basket.log)
    free(basket.free_units)
    free(basket.verdicts)
    free(basket.stamps)
    free(basket.touched)
    free(basket.touched_last)
    free(basket.touched_lines)
    free(basket.candidates)
    free(basket.group_symbols)
    free(basket.picks)
    free(basket.picks2)
    free(basket.sort_room)
    free(basket.numbers)
    for level in range(4):
        free(basket.saved[level].segments)
        free(basket.saved[level].charges)
    memset(basket, 0, sizeof(Basket))


cdef void basket_clear(Basket* basket) noexcept nogil:
    """Forget the last question; the memory stays for the next one."""
    basket.input_line_count = basket.charge_count = basket.coupon_count = basket.text_count = 0
    basket.groups = basket.group_count = 0
    basket.channel.data = NULL
    basket.channel.size = 0
    basket.has_customer = False
    basket.completed_orders = basket.at_ns = basket.utc_offset_s = 0
    basket.explain_all = basket.foreign = False
    basket.redeem = 0
    basket.usage = NULL
    basket.customer_context = NULL
    basket.customer_uses = NULL


cdef InputLine* add_line(Basket* basket) noexcept nogil:
    cdef InputLine* line
    basket.input_lines = <InputLine*>room_for(
        basket.input_lines, &basket.input_line_capacity, basket.input_line_count + 1, sizeof(InputLine)
    )
    line = &basket.input_lines[basket.input_line_count]
    memset(line, 0, sizeof(InputLine))
    line.base_qty_milli = 1000
    line.base_units_ppm = 1000000
    line.tax_class = NO_SYMBOL
    line.categories = <int32_t>basket.text_count
    basket.input_line_count += 1
    return line


cdef InputCharge* add_charge(Basket* basket) noexcept nogil:
    cdef InputCharge* charge
    basket.input_charges = <InputCharge*>room_for(
        basket.input_charges, &basket.charge_capacity, basket.charge_count + 1, sizeof(InputCharge)
    )
    charge = &basket.input_charges[basket.charge_count]
    memset(charge, 0, sizeof(InputCharge))
    charge.tax_class = charge.symbol = NO_SYMBOL
    basket.charge_count += 1
    return charge


cdef InputCoupon* add_coupon(Basket* basket) noexcept nogil:
    cdef InputCoupon* coupon
    basket.coupons = <InputCoupon*>room_for(
        basket.coupons, &basket.coupon_capacity, basket.coupon_count + 1, sizeof(InputCoupon)
    )
    coupon = &basket.coupons[basket.coupon_count]
    memset(coupon, 0, sizeof(InputCoupon))
    coupon.promotion = NO_SYMBOL
    basket.coupon_count += 1
    return coupon


cdef void add_text(Basket* basket, Span text) noexcept nogil:
    basket.texts = <Span*>room_for(basket.texts, &basket.text_capacity, basket.text_count + 1, sizeof(Span))
    basket.texts[basket.text_count] = text
    basket.text_count += 1


cdef int32_t _new_segment(Basket* basket) noexcept nogil:
    basket.segments = <Segment*>room_for(
        basket.segments, &basket.segment_capacity, basket.segment_count + 1, sizeof(Segment)
    )
    memset(&basket.segments[basket.segment_count], 0, sizeof(Segment))
    basket.segment_count += 1
    return <int32_t>(basket.segment_count - 1)


cdef int64_t load_lines(Basket* basket) noexcept nogil:
    """Start afresh from the input: one segment a line.  Returns -1, or the number of a line beyond the limits."""
    cdef int64_t i, qty, units, rest
    cdef int128 gross
    cdef InputLine* given
    cdef Line* line
    cdef Segment* segment
    basket.segment_count = 0
    basket.log_count = 0
    basket.free_count = 0
    basket.lines = <Line*>room_for(basket.lines, &basket.line_capacity, basket.input_line_count, sizeof(Line))
    basket.charges = <RunningCharge*>room_for(
        basket.charges, &basket.running_charge_capacity, basket.charge_count, sizeof(RunningCharge)
    )
    for i in range(basket.charge_count):
        basket.charges[i].amount = basket.input_charges[i].amount
        basket.charges[i].vendor = 0
    while basket.segment_count < basket.input_line_count:
        _new_segment(basket)
    for i in range(basket.input_line_count):
        given = &basket.input_lines[i]
        line = &basket.lines[i]
        segment = &basket.segments[i]
        qty = -given.qty_milli if given.qty_milli < 0 else given.qty_milli
        line.sign = (given.qty_milli > 0) - (given.qty_milli < 0)  # a line of nothing is no sale line
        line.qty_milli = qty
        line.base_qty_milli = <int64_t>divide(<int128>qty * given.base_units_ppm, 1000000, HALF_UP)
        gross = divide(<int128>given.price * qty, given.base_qty_milli, HALF_UP)
        if not -TOTAL_MINOR_MAX <= gross <= TOTAL_MINOR_MAX or (
            <int128>given.deposit * qty > <int128>1000 * TOTAL_MINOR_MAX
        ):
            return i
        given.gross = <int64_t>gross * line.sign
        units = qty // 1000
        segment.line = <int32_t>i
        segment.next = NO_SYMBOL
        segment.closed = given.not_discountable or line.sign < 0 or given.price < 0
        rest = 0
        if qty % 1000 == 0 and units > 0 and (given.base_qty_milli == 1000 or given.price >= 0):
            line.units = segment.count = units
            segment.floor = given.floor
            if given.base_qty_milli == 1000:
                segment.price = given.price
            else:
                segment.price = <int64_t>gross // units
                rest = <int64_t>gross % units
        else:
            line.units = segment.count = 1
            segment.lump = True
            segment.price = <int64_t>gross
            segment.floor = <int64_t>divide(<int128>given.floor * qty, 1000, HALF_UP)
        segment.original = segment.listed = segment.price
        if rest > 0:  # the price of several units does not divide: the first units bear the rest
            cut(basket, <int32_t>i, rest)
            segment = &basket.segments[i]
            segment.price += 1
            segment.original = segment.listed = segment.price
    return -1


cdef int32_t cut(Basket* basket, int32_t segment, int64_t count) noexcept nogil:
    """Make the first `count` units of the segment stand alone; returns the segment of the others or NO_SYMBOL."""
    cdef int32_t rest
    if basket.segments[segment].count <= count:
        return NO_SYMBOL
    rest = _new_segment(basket)
    basket.segments[rest] = basket.segments[segment]
    basket.segments[rest].first += count
    basket.segments[rest].count -= count
    basket.segments[segment].count = count
    basket.segments[segment].next = rest
    return rest


cdef void _log(Basket* basket, int32_t line, int64_t first, int64_t count, int64_t amount) noexcept nogil:
    cdef LogEntry* entry
    if basket.log_count > 0:
        entry = &basket.log[basket.log_count - 1]
        if (
            basket.log_count > basket.log_floor
            and entry.promotion == basket.promotion
            and entry.line == line
            and entry.amount == amount
            and entry.first + entry.count == first
            and line >= 0
        ):
            entry.count += count
            return
    basket.log = <LogEntry*>room_for(basket.log, &basket.log_capacity, basket.log_count + 1, sizeof(LogEntry))
    entry = &basket.log[basket.log_count]
    basket.log_count += 1
    entry.promotion = basket.promotion
    entry.line = line
    entry.first = first
    entry.count = count
    entry.amount = amount


cdef void discount(Basket* basket, int32_t segment, int64_t amount) noexcept nogil:
    """Take `amount` (below zero: put on) off each unit of the segment."""
    cdef Segment* at = &basket.segments[segment]
    if amount == 0:
        return
    at.price -= amount
    if basket.vendor:
        at.vendor += amount
    _log(basket, at.line, at.first, at.count, amount)


cdef void discount_charge(Basket* basket, int64_t charge, int64_t amount) noexcept nogil:
    if amount == 0:
        return
    basket.charges[charge].amount -= amount
    if basket.vendor:
        basket.charges[charge].vendor += amount
    _log(basket, <int32_t>(-1 - charge), 0, 1, amount)


cdef void save_state(Basket* basket, int level) noexcept nogil:
    """Remember prices, cuts and what was given; `restore_state` goes back.  Levels nest."""
    cdef SavedState* saved = &basket.saved[level]
    saved.segments = <Segment*>room_for(
        saved.segments, &saved.segment_capacity, basket.segment_count, sizeof(Segment)
    )
    saved.charges = <RunningCharge*>room_for(
        saved.charges, &saved.charge_capacity, basket.charge_count, sizeof(RunningCharge)
    )
    memcpy(saved.segments, basket.segments, basket.segment_count * sizeof(Segment))
    memcpy(saved.charges, basket.charges, basket.charge_count * sizeof(RunningCharge))
    saved.segment_count = basket.segment_count
    saved.log_count = basket.log_count
    saved.free_count = basket.free_count


cdef void restore_state(Basket* basket, int level) noexcept nogil:
    cdef SavedState* saved = &basket.saved[level]
    memcpy(basket.segments, saved.segments, saved.segment_count * sizeof(Segment))
    memcpy(basket.charges, saved.charges, basket.charge_count * sizeof(RunningCharge))
    basket.segment_count = saved.segment_count
    basket.log_count = saved.log_count
    basket.free_count = saved.free_count


cdef void undo(Basket* basket, int64_t mark) noexcept nogil:
    """Take back every discount logged since `mark`; cuts stay, they change no price."""
    cdef int64_t i
    cdef int32_t at
    cdef LogEntry* entry
    cdef Segment* segment
    for i in range(mark, basket.log_count):
        entry = &basket.log[i]
        if entry.line < 0:
            basket.charges[-1 - entry.line].amount += entry.amount
            if basket.vendor:
                basket.charges[-1 - entry.line].vendor -= entry.amount
            continue
        at = entry.line
        while at != NO_SYMBOL:
            segment = &basket.segments[at]
            if entry.first <= segment.first < entry.first + entry.count:
                segment.price += entry.amount
                if basket.vendor:
                    segment.vendor -= entry.amount
            at = segment.next
    basket.log_count = mark


cdef int64_t line_value(Basket* basket, int64_t line) noexcept nogil:
    """The running value of a line, below zero for a return."""
    cdef int64_t value = 0
    cdef int32_t at = <int32_t>line
    while at != NO_SYMBOL:
        value += basket.segments[at].price * basket.segments[at].count
        at = basket.segments[at].next
    return value * basket.lines[line].sign


cdef int64_t basket_value(Basket* basket, bint original) noexcept nogil:
    """The value of all lines at running prices, or at those after the catalog stage."""
    cdef int64_t i, value = 0
    cdef Segment* segment
    for i in range(basket.segment_count):
        segment = &basket.segments[i]
        value += (segment.original if original else segment.price) * segment.count * basket.lines[segment.line].sign
    return value


cdef int64_t given_since(Basket* basket, int64_t mark) noexcept nogil:
    cdef int64_t i, total = 0
    for i in range(mark, basket.log_count):
        total += basket.log[i].amount * basket.log[i].count
    return total
