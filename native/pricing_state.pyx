"""The basket while it is priced: segments of equal units, discounts laid on them, and the log of both."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport abort, free, realloc
from libc.string cimport memcpy, memset

from ringup.native.limits cimport TOTAL_MINOR_MAX
from ringup.native.money cimport HALF_UP, allocate, divide, int128
from ringup.native.promotion cimport NO_SYMBOL, PICK_CHEAPEST, PICK_LISTED, Snapshot, Target
from ringup.native.wire cimport Span


cdef void* room_for(void* data, int64_t* capacity, int64_t count, int64_t size) noexcept nogil:
    """`data` with room for `count` elements of `size` bytes; what is new is zeroed.  Never shrinks."""
    cdef int64_t wanted
    if count <= capacity[0]:
        return data
    wanted = max(count, capacity[0] * 2, 32)
    data = realloc(data, wanted * size)
    if data == NULL:
        abort()
    memset(<char*>data + capacity[0] * size, 0, (wanted - capacity[0]) * size)
    capacity[0] = wanted
    return data


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
    basket.explain_all = False
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
        line.sign = -1 if given.qty_milli < 0 else 1
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


cdef void give_units(Basket* basket, int32_t segment, int64_t count, int64_t each) noexcept nogil:
    """Take `each` off the first `count` units of the segment."""
    if each == 0 or count == 0:
        return
    cut(basket, segment, count)
    discount(basket, segment, each)


cdef int64_t room_of(Basket* basket, Pick* pick) noexcept nogil:
    """How much the picked units can still be discounted: to their floor, and never below zero."""
    cdef Segment* segment = &basket.segments[pick.segment]
    cdef int64_t floor = max(segment.floor, 0)
    return (segment.price - floor) * pick.count if segment.price > floor else 0


cdef int64_t _divide_within(
    int64_t amount, const int64_t* weights, const int64_t* rooms, int64_t* shares, int64_t* work, int64_t count
) noexcept nogil:
    # Largest remainder; a share beyond its room goes to the others.  Returns what was placed.
    cdef int64_t i, left = amount, placed = 0, over, over_all = 0
    cdef bint fits = True
    for i in range(count):
        over_all += weights[i]
    if over_all <= 0:
        for i in range(count):
            shares[i] = 0
        return 0
    allocate(amount, weights, shares, count)
    for i in range(count):
        if shares[i] > rooms[i]:
            fits = False
    if fits:
        return amount
    for i in range(count):
        shares[i] = 0
    while left > 0:
        over = 0
        for i in range(count):  # whoever has room takes part by weight
            work[i] = 0 if shares[i] >= rooms[i] else weights[i]
            over += work[i] > 0
        if over == 0:
            break
        # `work` serves as weights; its shares are written behind it.
        allocate(left, work, work + count, count)
        over = 0
        for i in range(count):
            if work[i] > 0 and shares[i] + work[count + i] > rooms[i]:
                placed += rooms[i] - shares[i]
                left -= rooms[i] - shares[i]
                shares[i] = rooms[i]
                over += 1
        if over == 0:
            for i in range(count):
                shares[i] += work[count + i]
            placed += left
            left = 0
    return placed


cdef int64_t _spread_line(Basket* basket, Pick* picks, int64_t count, int64_t amount, int64_t at) noexcept nogil:
    """Lay an amount on picks of one line, unit by unit: largest remainder, ties to the first unit.

    All units of a pick have the same share and remainder, so the work is per pick.  A unit at its
    floor passes the rest on.  `at` is where this may write in basket.numbers (5 * count).
    """
    cdef int64_t i, best, left, placed = 0, room
    cdef int64_t* shares = basket.numbers + at  # of each unit
    cdef int64_t* extras = shares + count  # this many units get one more
    cdef int64_t* rests = extras + count
    cdef int64_t* full = rests + count
    cdef int128 total
    cdef int32_t rest
    cdef bint again = True
    for i in range(count):
        full[i] = picks[i].price <= 0 or room_of(basket, &picks[i]) == 0
        shares[i] = extras[i] = 0
    while again:
        again = False
        total = 0
        for i in range(count):
            if not full[i]:
                total += <int128>picks[i].price * picks[i].count
        if total == 0:
            break
        left = amount
        for i in range(count):
            if not full[i]:
                shares[i] = <int64_t>(<int128>amount * picks[i].price / total)
                # Only the order of the remainders counts; narrowed to 62 bits where they are wider.
                rests[i] = _narrow(<int128>amount * picks[i].price - <int128>shares[i] * total, total)
                extras[i] = 0
                left -= shares[i] * picks[i].count
        while left > 0:
            best = -1
            for i in range(count):
                if not full[i] and rests[i] >= 0 and (best < 0 or rests[i] > rests[best]):
                    best = i
            if best < 0:
                break
            extras[best] = min(left, picks[best].count)
            left -= extras[best]
            rests[best] = -1
        for i in range(count):
            if full[i]:
                continue
            room = room_of(basket, &picks[i]) // picks[i].count
            if shares[i] + (extras[i] > 0) > room:
                full[i] = True
                shares[i] = room
                extras[i] = 0
                amount -= room * picks[i].count
                again = True
    for i in range(count):
        if shares[i] == 0 and extras[i] == 0:
            continue
        placed += shares[i] * picks[i].count + extras[i]
        cut(basket, picks[i].segment, picks[i].count)
        if extras[i] > 0:  # the first units get the extra
            rest = cut(basket, picks[i].segment, extras[i])
            discount(basket, picks[i].segment, shares[i] + 1)
            if rest != NO_SYMBOL and shares[i] > 0:
                discount(basket, rest, shares[i])
        else:
            discount(basket, picks[i].segment, shares[i])
    return placed


cdef int64_t _narrow(int128 rest, int128 total) noexcept nogil:
    while total >> 62 > 0:
        rest >>= 1
        total >>= 1
    return <int64_t>rest


cdef int64_t spread_line(Basket* basket, Pick* picks, int64_t count, int64_t amount) noexcept nogil:
    """Lay `amount` (>= 0) on picks of one line by value; returns what their floors let through."""
    if count == 0 or amount <= 0:
        return 0
    basket.numbers = <int64_t*>room_for(
        basket.numbers, &basket.number_capacity, 5 * count + 2, sizeof(int64_t)
    )
    return _spread_line(basket, picks, count, amount, 0)


cdef int64_t spread(
    Basket* basket, Pick* picks, int64_t count, int64_t amount, bint with_charges, const int32_t* charges,
    int64_t charge_count
) noexcept nogil:
    """Lay `amount` (>= 0) on lines, and on the named charges, by running value; the rest of a full line moves on.

    Largest remainder over lines, ties to the first line, then over the units of a line.  Picks of
    one line must stand together.  Returns what was placed: less than `amount` only where all floors
    are reached.
    """
    cdef int64_t i, j, lines = 0, parts, placed, lines_end
    cdef int64_t* weights
    if amount <= 0:
        return 0
    for i in range(count):
        lines += i == 0 or picks[i].line != picks[i - 1].line
    parts = lines + (charge_count if with_charges else 0)
    if parts == 0:
        return 0
    basket.numbers = <int64_t*>room_for(
        basket.numbers, &basket.number_capacity, 5 * parts + 5 * count + 2, sizeof(int64_t)
    )
    weights = basket.numbers
    j = -1
    for i in range(count):
        if i == 0 or picks[i].line != picks[i - 1].line:
            j += 1
            weights[j] = weights[parts + j] = 0
        weights[j] += picks[i].price * picks[i].count
        if picks[i].price > 0:
            weights[parts + j] += room_of(basket, &picks[i])
    for i in range(charge_count if with_charges else 0):
        weights[lines + i] = max(basket.charges[charges[i]].amount, 0)
        weights[parts + lines + i] = weights[lines + i]
    placed = _divide_within(amount, weights, weights + parts, weights + 2 * parts, weights + 3 * parts, parts)
    j = 0
    i = 0
    while i < count:
        lines_end = i
        while lines_end < count and picks[lines_end].line == picks[i].line:
            lines_end += 1
        if basket.numbers[2 * parts + j] > 0:
            _spread_line(basket, picks + i, lines_end - i, basket.numbers[2 * parts + j], 5 * parts)
        j += 1
        i = lines_end
    for i in range(charge_count if with_charges else 0):
        discount_charge(basket, charges[i], basket.numbers[2 * parts + lines + i])
    return placed


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


cdef void shrink(Basket* basket, int64_t mark, int64_t most) noexcept nogil:
    """Cut what was given since `mark` down to `most`, each unit and charge in proportion to what it got."""
    cdef int64_t i, j, units_worth = 0, charge_worth = 0, share, lines = basket.input_line_count
    cdef int64_t* charge_given
    cdef int32_t at
    cdef LogEntry* entry
    cdef Segment* segment
    basket.numbers = <int64_t*>room_for(
        basket.numbers, &basket.number_capacity, 3 * basket.charge_count + 8, sizeof(int64_t)
    )
    charge_given = basket.numbers
    for i in range(basket.charge_count):
        charge_given[i] = 0
    basket.pick_count = 0
    for i in range(lines):  # what each segment got, in the order of the basket
        at = <int32_t>i
        while at != NO_SYMBOL:
            segment = &basket.segments[at]
            share = 0
            for j in range(mark, basket.log_count):
                entry = &basket.log[j]
                if entry.line == i and entry.first <= segment.first < entry.first + entry.count:
                    share += entry.amount
            if share > 0:
                basket.picks = <Pick*>room_for(
                    basket.picks, &basket.pick_capacity, basket.pick_count + 1, sizeof(Pick)
                )
                basket.picks[basket.pick_count].segment = at
                basket.picks[basket.pick_count].line = <int32_t>i
                basket.picks[basket.pick_count].count = segment.count
                basket.picks[basket.pick_count].price = share
                basket.pick_count += 1
                units_worth += share * segment.count
            at = segment.next
    for j in range(mark, basket.log_count):
        entry = &basket.log[j]
        if entry.line < 0:
            charge_given[-1 - entry.line] += entry.amount
            charge_worth += entry.amount
    undo(basket, mark)
    if most <= 0 or units_worth + charge_worth <= 0:
        return
    if charge_worth > 0:
        charge_given[basket.charge_count] = units_worth
        for i in range(basket.charge_count):
            charge_given[basket.charge_count + 1 + i] = charge_given[i]
        allocate(
            most, charge_given + basket.charge_count, charge_given + 2 * basket.charge_count + 1,
            basket.charge_count + 1
        )
        most = charge_given[2 * basket.charge_count + 1]
        for i in range(basket.charge_count):
            discount_charge(basket, i, charge_given[2 * basket.charge_count + 2 + i])
    spread(basket, basket.picks, basket.pick_count, most, False, NULL, 0)


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


cdef bint touches(Basket* basket, Snapshot snapshot, int32_t target) noexcept nogil:
    return snapshot.targets[target].all or basket.stamps[target] == basket.epoch


cdef bint _comes_before(Pick* a, Pick* b, int pick) noexcept nogil:
    return a.price < b.price if pick == PICK_CHEAPEST else a.price > b.price


cdef void sort_picks(Basket* basket, Pick* picks, int64_t count, int pick) noexcept nogil:
    """Bring picks into the order of `pick`; equal prices stay as listed."""
    cdef int64_t i, j, width, low, mid, high, a, b
    cdef Pick held
    cdef Pick* other
    cdef Pick* from_
    cdef Pick* swap
    if pick == PICK_LISTED or count < 2:
        return
    if count <= 24:
        for i in range(1, count):
            held = picks[i]
            j = i
            while j > 0 and _comes_before(&held, &picks[j - 1], pick):
                picks[j] = picks[j - 1]
                j -= 1
            picks[j] = held
        return
    basket.sort_room = <Pick*>room_for(basket.sort_room, &basket.sort_capacity, count, sizeof(Pick))
    from_, other = picks, basket.sort_room
    width = 1
    while width < count:
        low = 0
        while low < count:
            mid = min(low + width, count)
            high = min(low + 2 * width, count)
            a, b = low, mid
            for i in range(low, high):
                if a < mid and (b >= high or not _comes_before(&from_[b], &from_[a], pick)):
                    other[i] = from_[a]
                    a += 1
                else:
                    other[i] = from_[b]
                    b += 1
            low = high
        swap = from_
        from_ = other
        other = swap
        width *= 2
    if from_ != picks:
        memcpy(picks, from_, count * sizeof(Pick))


cdef int64_t choose(
    Basket* basket, Snapshot snapshot, int32_t target, int pick, bint unused_only, bint for_benefit
) noexcept nogil:
    """Fill basket.picks with the target's units in the order of `pick`; returns how many units.

    Returns and reductions by hand are never chosen; goods that may not be discounted only where
    `for_benefit` is false; units of a set only where `unused_only` is false.
    """
    cdef Target* wanted = &snapshot.targets[target]
    cdef Segment* segment
    cdef int64_t line = 0, left, count, total = 0, i, shelf
    cdef int32_t at, link = NO_SYMBOL
    cdef Pick* chosen
    basket.pick_count = 0
    if not wanted.all:
        if basket.stamps[target] != basket.epoch:
            return 0
        link = basket.touched[target]
    while True:
        if wanted.all:
            if line >= basket.input_line_count:
                break
            at = <int32_t>line
            line += 1
        else:
            if link == NO_SYMBOL:
                break
            at = basket.touched_lines[link].line
            link = basket.touched_lines[link].next
        left = <int64_t>1 << 62
        if wanted.max_units_per_line > 0 and not basket.whole_targets:
            left = wanted.max_units_per_line
        while at != NO_SYMBOL and left > 0:
            segment = &basket.segments[at]
            shelf = segment.listed if basket.in_catalog else segment.original
            if (
                basket.lines[segment.line].sign > 0
                and segment.listed >= 0
                and not (for_benefit and segment.closed)
                and not (unused_only and segment.used)
                and not (wanted.has_min and shelf < wanted.price_min)
                and not (wanted.has_max and shelf > wanted.price_max)
                and not (wanted.exclude_discounted and segment.original < segment.listed)
            ):
                basket.picks = <Pick*>room_for(
                    basket.picks, &basket.pick_capacity, basket.pick_count + 1, sizeof(Pick)
                )
                chosen = &basket.picks[basket.pick_count]
                basket.pick_count += 1
                chosen.segment = at
                chosen.line = segment.line
                chosen.count = min(segment.count, left)
                chosen.price = segment.price
                left -= chosen.count
                total += chosen.count
            at = segment.next
    if wanted.max_units > 0 and total > wanted.max_units and not basket.whole_targets:
        sort_picks(basket, basket.picks, basket.pick_count, wanted.pick)
        total = 0
        for i in range(basket.pick_count):
            count = min(basket.picks[i].count, wanted.max_units - total)
            basket.picks[i].count = count
            total += count
            if total == wanted.max_units:
                basket.pick_count = i + 1
                break
        if pick == PICK_LISTED and wanted.pick != PICK_LISTED:
            _sort_listed(basket.picks, basket.pick_count, basket)
    sort_picks(basket, basket.picks, basket.pick_count, pick)
    return total


cdef void _sort_listed(Pick* picks, int64_t count, Basket* basket) noexcept nogil:
    # Back into the order of the basket.
    cdef int64_t i, j
    cdef Pick held
    for i in range(1, count):
        held = picks[i]
        j = i
        while j > 0 and (
            held.line < picks[j - 1].line
            or (
                held.line == picks[j - 1].line
                and basket.segments[held.segment].first < basket.segments[picks[j - 1].segment].first
            )
        ):
            picks[j] = picks[j - 1]
            j -= 1
        picks[j] = held
