"""What a promotion gives: each benefit as a function on the running basket.

Every function lays its discount with `discount`, so floors hold, the log knows each unit, and a
trial can be undone.  Sets (bundles, multibuys, buy-get) use units up: no unit is in two sets.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memcpy

from ringup.native.limits cimport PERCENT_SCALE
from ringup.native.money cimport HALF_UP, allocate, multiply_divide
from ringup.native.pricing_state cimport (
    Basket,
    FreeUnits,
    Pick,
    Segment,
    basket_value,
    choose,
    cut,
    discount,
    discount_charge,
    line_value,
    room_for,
    room_of,
    shrink,
    sort_picks,
    spread,
    spread_line,
)
from ringup.native.pricing_tax cimport net_for_saving
from ringup.native.promotion cimport (
    BASIS_LINE,
    BASIS_QTY,
    BUNDLE_AMOUNT_OFF,
    BUNDLE_FIXED_PRICE,
    BUNDLE_PERCENT_OFF,
    BUY_GET,
    CHARGE_AMOUNT_OFF,
    CHARGE_FIXED_PRICE,
    CHARGE_PERCENT_OFF,
    CHEAPEST_PERCENT_OFF,
    FIRST_THEN_AMOUNT,
    FREE_ITEM,
    ITEM_AMOUNT_OFF,
    ITEM_FIXED_PRICE,
    ITEM_MARKUP_PERCENT,
    ITEM_PERCENT_OFF,
    MULTIBUY_CHEAPEST_FREE,
    NO_SYMBOL,
    ORDER_AMOUNT_OFF,
    ORDER_FIXED_TOTAL,
    ORDER_PERCENT_OFF,
    PICK_CHEAPEST,
    PICK_DEAREST,
    PICK_LISTED,
    PLACE_LINE,
    PLACE_SET,
    PLACE_UNIT,
    QUANTITY_BREAK,
    QUANTITY_GROUP,
    TIERED_AMOUNT,
    TIERED_PERCENT,
    UNLIMITED,
    VIEW_INCLUDED,
    Benefit,
    Component,
    Rules,
    Snapshot,
    Target,
    Tier,
)


cdef enum:
    BATCH_MIN = 64  # from so many equal sets on they are given at once; fewer interleave as they are filled
    PASSED_OVER = 2  # Segment.used of units whose set saves nothing, while a benefit looks for further sets


cdef int64_t percent_of(int64_t value, int64_t rate_ppb, Rules* rules) noexcept nogil:
    """The discount of a rate on a value: rounded itself, or as what the rounded new price leaves."""
    if rules.round_new_price:
        return value - multiply_divide(value, PERCENT_SCALE - rate_ppb, PERCENT_SCALE, rules.rounding)
    return multiply_divide(value, rate_ppb, PERCENT_SCALE, rules.rounding)


cdef void sort_listed(Basket* basket, Pick* picks, int64_t count) noexcept nogil:
    """Into the order of the basket."""
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


cdef int32_t take(Basket* basket, Pick* pick, int64_t count) noexcept nogil:
    """Cut `count` units off the pick as a segment of their own; the pick goes on behind them."""
    cdef int32_t segment = pick.segment
    cdef int32_t rest = cut(basket, segment, count)
    pick.count -= count
    pick.segment = rest
    return segment


cdef int64_t _by_quantity(Basket* basket, int32_t segment, int64_t each) noexcept nogil:
    # An amount per unit, for a measured line by its quantity.
    if not basket.segments[segment].lump:
        return each
    return multiply_divide(each, basket.lines[basket.segments[segment].line].qty_milli, 1000, HALF_UP)


cdef int64_t _room_each(Basket* basket, int32_t segment) noexcept nogil:
    cdef Segment* at = &basket.segments[segment]
    return max(at.price - max(at.floor, 0), 0)


cdef void _off_each(Basket* basket, Pick* pick, int64_t each) noexcept nogil:
    # `each` off every unit of the pick, as far as the floor lets it.
    each = min(each, _room_each(basket, pick.segment))
    if each > 0:
        cut(basket, pick.segment, pick.count)
        discount(basket, pick.segment, each)


cdef int64_t _given(Basket* basket, int64_t mark) noexcept nogil:
    # What was given since `mark`.
    cdef int64_t i, total = 0
    for i in range(mark, basket.log_count):
        total += basket.log[i].amount * basket.log[i].count
    return total


cdef void _percent_off(
    Basket* basket, Snapshot snapshot, Pick* picks, int64_t count, int64_t rate_ppb, int place, bint original,
    bint has_cap, int64_t cap, int64_t negative
) noexcept nogil:
    """Take a rate off the picks (in the order of the basket), rounded at `place`, at most `cap`.

    `negative` is the value of reductions and returns in the set, below zero.
    """
    cdef Rules* rules = &snapshot.rules
    cdef int64_t i, end, value, mark = basket.log_count
    cdef Segment* segment
    for i in range(count):
        segment = &basket.segments[picks[i].segment]
        picks[i].price = segment.original if original else segment.price
    if place == PLACE_UNIT and negative == 0:
        for i in range(count):
            _off_each(basket, &picks[i], percent_of(picks[i].price, rate_ppb, rules))
    elif place == PLACE_LINE and negative == 0:
        i = 0
        while i < count:
            value = 0
            end = i
            while end < count and picks[end].line == picks[i].line:
                value += picks[end].price * picks[end].count
                end += 1
            spread_line(basket, picks + i, end - i, percent_of(value, rate_ppb, rules))
            i = end
    else:
        value = negative
        for i in range(count):
            value += picks[i].price * picks[i].count
        spread(basket, picks, count, percent_of(max(value, 0), rate_ppb, rules), False, NULL, 0)
    if has_cap and _given(basket, mark) > cap:
        shrink(basket, mark, cap)


cdef int64_t _negative_value(Basket* basket, Snapshot snapshot, int32_t target) noexcept nogil:
    # Returns and reductions by hand that belong to the set of an order benefit.
    cdef int64_t i, value = 0
    cdef int32_t link
    if snapshot.targets[target].all:
        for i in range(basket.input_line_count):
            if basket.lines[i].sign < 0 or basket.segments[i].listed < 0:
                value += line_value(basket, i)
    elif basket.stamps[target] == basket.epoch:
        link = basket.touched[target]
        while link != NO_SYMBOL:
            i = basket.touched_lines[link].line
            if basket.lines[i].sign < 0 or basket.segments[i].listed < 0:
                value += line_value(basket, i)
            link = basket.touched_lines[link].next
    return min(value, 0)


cdef int _place(Snapshot snapshot, int default) noexcept nogil:
    return snapshot.rules.percent_round_at if snapshot.rules.percent_round_at != 0 else default


cdef int64_t bundle_worth(
    Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t value, int64_t room
) noexcept nogil:
    """What one set worth `value` is discounted by, at most `room`; not above zero when it does not save."""
    if benefit.type == BUNDLE_FIXED_PRICE:
        return min(value - benefit.amount, room)
    if benefit.type == BUNDLE_PERCENT_OFF:
        return min(percent_of(value, benefit.rate_ppb, &snapshot.rules), room)
    return min(benefit.amount, room)


cdef int64_t give_bundle(
    Basket* basket, Snapshot snapshot, Benefit* benefit, Pick* pieces, int64_t count
) noexcept nogil:
    """Discount one set of whole segments; they count as used.  Returns 0 and changes nothing when it saves nothing."""
    cdef int64_t i, value = 0, room = 0, worth, mark = basket.log_count
    cdef int place = _place(snapshot, PLACE_SET)
    if benefit.type == BUNDLE_PERCENT_OFF and place != PLACE_SET:
        for i in range(count):  # before the discount, which may split a segment: both parts are used then
            basket.segments[pieces[i].segment].used = 1
        basket.log_floor = mark  # what this set is given does not merge with the set before
        sort_listed(basket, pieces, count)
        _percent_off(basket, snapshot, pieces, count, benefit.rate_ppb, place, False, False, 0, 0)
        worth = _given(basket, mark)
        for i in range(count if worth == 0 else 0):
            basket.segments[pieces[i].segment].used = 0
        return worth
    for i in range(count):
        value += basket.segments[pieces[i].segment].price * pieces[i].count
        room += room_of(basket, &pieces[i])
    worth = bundle_worth(basket, snapshot, benefit, value, room)
    if worth <= 0:
        return 0
    for i in range(count):
        basket.segments[pieces[i].segment].used = 1
    sort_listed(basket, pieces, count)
    return spread(basket, pieces, count, worth, False, NULL, 0)


cdef int64_t _bundles(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil:
    """Sets of `qty` units of one target; a run of equal units makes many sets at once."""
    cdef int64_t total = choose(basket, snapshot, benefit.target, benefit.pick, True, True)
    cdef int64_t qty = benefit.qty, done = 0, i = 0, sets, worth, each, extra, room, want, j, value
    cdef int32_t segment, rest
    cdef Pick piece
    while total >= qty and done != limit and i < basket.pick_count:
        if basket.picks[i].count == 0:
            i += 1
            continue
        if basket.picks[i].count >= qty and (
            benefit.type != BUNDLE_PERCENT_OFF or _place(snapshot, PLACE_SET) == PLACE_SET
        ):
            sets = basket.picks[i].count // qty
            if limit != UNLIMITED:
                sets = min(sets, limit - done)
            if sets < BATCH_MIN:
                sets = 1
            value = basket.segments[basket.picks[i].segment].price * qty
            room = _room_each(basket, basket.picks[i].segment) * qty
            worth = bundle_worth(basket, snapshot, benefit, value, room)
            segment = take(basket, &basket.picks[i], sets * qty)
            total -= sets * qty
            if worth <= 0:
                continue
            basket.segments[segment].used = 1
            each, extra = worth // qty, worth % qty
            rest = cut(basket, segment, extra * sets) if extra > 0 else segment
            if extra > 0:
                discount(basket, segment, each + 1)
            if rest != NO_SYMBOL:
                discount(basket, rest, each)
            done += sets
            continue
        want = qty  # a set of different units
        basket.pick2_count = 0
        j = i
        while want > 0:
            piece = basket.picks[j]
            piece.count = min(piece.count, want)
            if piece.count > 0:
                want -= piece.count
                piece.segment = take(basket, &basket.picks[j], piece.count)
                basket.picks2 = <Pick*>room_for(
                    basket.picks2, &basket.pick2_capacity, basket.pick2_count + 1, sizeof(Pick)
                )
                basket.picks2[basket.pick2_count] = piece
                basket.pick2_count += 1
            j += want > 0
        total -= qty
        if give_bundle(basket, snapshot, benefit, basket.picks2, basket.pick2_count) > 0:
            done += 1
    return done


cdef bint _seat(
    uint32_t mask, uint32_t* tried, const int64_t* places, int64_t* load, uint32_t* masks, int32_t* seats,
    int64_t count, int32_t* seat
) noexcept nogil:
    # An augmenting path: find a component for a unit, moving seated units on where that makes room.
    cdef int32_t place, moved
    cdef int64_t k
    for place in range(32):
        if not (mask >> place & 1) or tried[0] >> place & 1:
            continue
        tried[0] |= <uint32_t>1 << place
        if load[place] < places[place]:
            load[place] += 1
            seat[0] = place
            return True
        for k in range(count):
            if seats[k] == place and _seat(masks[k], tried, places, load, masks, seats, count, &moved):
                seats[k] = moved
                seat[0] = place
                return True
    return False


cdef int64_t _component_units(Basket* basket, Snapshot snapshot, Benefit* benefit) noexcept nogil:
    """Fill picks2 with the units of one meal deal, in pick order, each kept where all kept ones fit; returns how many.

    The seats are a transversal matroid, so taking units greedily by price is exact.
    """
    cdef int64_t parts = min(benefit.component_count, 32), i, j, total = 0, want = 0, added
    cdef int64_t[32] places
    cdef int64_t[32] load
    cdef uint32_t[128] masks
    cdef int32_t[128] seats
    cdef uint32_t mask, tried
    cdef int32_t seat
    cdef Component* component
    cdef Pick* pick
    basket.pick2_count = 0
    for i in range(basket.segment_count):
        basket.segments[i].tag = 0
    for i in range(parts):
        component = &snapshot.components[benefit.components + i]
        places[i] = component.qty
        load[i] = 0
        want += component.qty
        choose(basket, snapshot, component.target, PICK_LISTED, True, True)
        for j in range(basket.pick_count):
            pick = &basket.picks[j]
            if basket.segments[pick.segment].tag == 0:
                basket.picks2 = <Pick*>room_for(
                    basket.picks2, &basket.pick2_capacity, basket.pick2_count + 1, sizeof(Pick)
                )
                basket.picks2[basket.pick2_count] = pick[0]
                basket.pick2_count += 1
            basket.segments[pick.segment].tag |= <uint32_t>1 << i
    if want > 128:
        return 0
    sort_listed(basket, basket.picks2, basket.pick2_count)
    sort_picks(basket, basket.picks2, basket.pick2_count, benefit.pick)
    for i in range(basket.pick2_count):
        pick = &basket.picks2[i]
        mask = basket.segments[pick.segment].tag
        added = 0
        while total < want and added < pick.count:
            tried = 0
            if not _seat(mask, &tried, places, load, masks, seats, total, &seat):
                break
            masks[total] = mask
            seats[total] = seat
            total += 1
            added += 1
        pick.count = added
    if total < want:
        return 0
    j = 0
    for i in range(basket.pick2_count):
        if basket.picks2[i].count > 0:
            basket.picks2[j] = basket.picks2[i]
            j += 1
    basket.pick2_count = j
    return total


cdef int64_t _components(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil:
    """Meal deals: sets of parts; equal sets are given at once, one that saves nothing is passed over with its units."""
    cdef int64_t done = 0, i, j, sets, value, room, worth, share, count
    cdef Pick* pick
    cdef int32_t segment, rest
    cdef bint alike
    cdef int64_t[64] weights
    cdef int64_t[64] shares
    while done != limit and _component_units(basket, snapshot, benefit) > 0:
        count = basket.pick2_count
        sets = limit - done if limit != UNLIMITED else <int64_t>1 << 62
        value = room = 0
        alike = count <= 64
        for i in range(count):
            pick = &basket.picks2[i]
            sets = min(sets, basket.segments[pick.segment].count // pick.count)
            sets = sets if sets >= BATCH_MIN else 1
            value += pick.price * pick.count
            room += room_of(basket, pick)
            for j in range(i):
                alike = alike and basket.picks2[j].line != pick.line
        worth = bundle_worth(basket, snapshot, benefit, value, room)
        if worth <= 0:
            for i in range(count):
                cut(basket, basket.picks2[i].segment, basket.picks2[i].count * sets)
                basket.segments[basket.picks2[i].segment].used = PASSED_OVER
            continue
        if alike and sets > 1:
            for i in range(count):
                weights[i] = basket.picks2[i].price * basket.picks2[i].count
            allocate(worth, weights, shares, count)
            for i in range(count):
                alike = alike and shares[i] <= room_of(basket, &basket.picks2[i])
        if not alike or sets < 2:
            for i in range(count):
                cut(basket, basket.picks2[i].segment, basket.picks2[i].count)
            give_bundle(basket, snapshot, benefit, basket.picks2, count)
            done += 1
            continue
        for i in range(count):
            pick = &basket.picks2[i]
            segment = pick.segment
            cut(basket, segment, pick.count * sets)
            basket.segments[segment].used = 1
            share = shares[i] % pick.count * sets  # this many units get one more
            rest = cut(basket, segment, share) if share > 0 else segment
            if share > 0:
                discount(basket, segment, shares[i] // pick.count + 1)
            if rest != NO_SYMBOL:
                discount(basket, rest, shares[i] // pick.count)
        done += sets
    for i in range(basket.segment_count):
        if basket.segments[i].used == PASSED_OVER:
            basket.segments[i].used = 0
    return done


cdef int64_t _cheapest_free(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil:
    """For every complete `qty` units one is free: the cheapest of all; the dearest others complete the sets."""
    cdef int64_t total = choose(basket, snapshot, benefit.target, PICK_CHEAPEST, True, True)
    cdef int64_t sets = total // benefit.qty, left, i = 0
    cdef int64_t count
    cdef int32_t segment
    if limit != UNLIMITED:
        sets = min(sets, limit)
    left = sets
    while left > 0:
        count = min(basket.picks[i].count, left)
        left -= count
        segment = take(basket, &basket.picks[i], count)
        basket.segments[segment].used = 1
        discount(basket, segment, _room_each(basket, segment))
        i += left > 0
    if i < basket.pick_count and basket.picks[i].count == 0:
        i += 1
    left = sets * (benefit.qty - 1)
    if left > 0:
        sort_picks(basket, basket.picks + i, basket.pick_count - i, PICK_DEAREST)
    while left > 0:
        count = min(basket.picks[i].count, left)
        left -= count
        basket.segments[take(basket, &basket.picks[i], count)].used = 1
        i += 1
    return sets


cdef int64_t _take_side(
    Basket* basket, Pick* picks, int64_t count, int64_t need, uint32_t other_side, int64_t* both, int64_t* only,
    int64_t spare
) noexcept nogil:
    """Choose `need` units in the order of the picks; units of both sides only while `spare` of them stay."""
    cdef int64_t i, taken, total = 0
    for i in range(count):
        taken = min(basket.segments[picks[i].segment].count - basket.segments[picks[i].segment].taken, picks[i].count)
        taken = min(taken, need - total)
        if basket.segments[picks[i].segment].tag & other_side:
            taken = max(min(taken, both[0] - spare), 0)
            both[0] -= taken
        else:
            only[0] -= taken
        basket.segments[picks[i].segment].taken += taken
        picks[i].count = taken
        total += taken
    return total


cdef void _use(
    Basket* basket, Pick* picks, int64_t count, Pick* others, int64_t other_count, int64_t sets
) noexcept nogil:
    # Cut the chosen units out; where the other side wants the same segment, it goes on behind them.
    cdef int64_t i, j
    cdef int32_t rest
    for i in range(count):
        if picks[i].count == 0:
            continue
        rest = cut(basket, picks[i].segment, picks[i].count * sets)
        basket.segments[picks[i].segment].used = 1
        for j in range(other_count):
            if others[j].segment == picks[i].segment:
                others[j].segment = rest


cdef int64_t _buy_get(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil:
    """Sets of buy and get units.

    The get units are chosen first by their pick, then the first listed buy units; with `consume` the
    buy units first, by that.  A unit is passed over where taking it would leave the set incomplete.
    """
    cdef int64_t done = 0, i, count, sets, both, only_buy, only_get
    cdef int place = _place(snapshot, PLACE_UNIT)
    cdef Target* buy_target = &snapshot.targets[benefit.buy.target]
    cdef Target* get_target = &snapshot.targets[benefit.get.target]
    cdef bint narrowed = (
        buy_target.max_units or buy_target.max_units_per_line or get_target.max_units or get_target.max_units_per_line
    )
    while done != limit:
        for i in range(basket.segment_count):
            basket.segments[i].tag = 0
            basket.segments[i].taken = 0
        # The buy units go to picks2; the get units stay in picks.
        only_buy = choose(basket, snapshot, benefit.buy.target, benefit.consume, True, False)
        count = basket.pick_count
        basket.picks2 = <Pick*>room_for(basket.picks2, &basket.pick2_capacity, count, sizeof(Pick))
        for i in range(count):
            basket.picks2[i] = basket.picks[i]
            basket.segments[basket.picks[i].segment].tag |= 1
        basket.pick2_count = count
        only_get = choose(basket, snapshot, benefit.get.target, benefit.get.pick, True, True)
        both = 0
        for i in range(basket.pick_count):
            if basket.segments[basket.picks[i].segment].tag & 1:
                both += basket.picks[i].count
            basket.segments[basket.picks[i].segment].tag |= 2
        only_buy -= both
        only_get -= both
        if max(benefit.buy.qty - only_buy, 0) + max(benefit.get.qty - only_get, 0) > both:
            break
        if benefit.buy_first:
            if _take_side(
                basket, basket.picks2, basket.pick2_count, benefit.buy.qty, 2, &both, &only_buy,
                max(benefit.get.qty - only_get, 0)
            ) < benefit.buy.qty:
                break
            if _take_side(
                basket, basket.picks, basket.pick_count, benefit.get.qty, 1, &both, &only_get, 0
            ) < benefit.get.qty:
                break
        else:
            if _take_side(
                basket, basket.picks, basket.pick_count, benefit.get.qty, 1, &both, &only_get,
                max(benefit.buy.qty - only_buy, 0)
            ) < benefit.get.qty:
                break
            if _take_side(
                basket, basket.picks2, basket.pick2_count, benefit.buy.qty, 2, &both, &only_buy, 0
            ) < benefit.buy.qty:
                break
        # The same choice again and again, while the segments last.
        sets = limit - done if limit != UNLIMITED else <int64_t>1 << 62
        for i in range(basket.segment_count):
            if basket.segments[i].taken > 0:
                sets = min(sets, basket.segments[i].count // basket.segments[i].taken)
        if narrowed or sets < BATCH_MIN or place != PLACE_UNIT:
            sets = 1
        # Of one segment the units chosen first stand first.
        if benefit.buy_first:
            _use(basket, basket.picks2, basket.pick2_count, basket.picks, basket.pick_count, sets)
            _use(basket, basket.picks, basket.pick_count, basket.picks2, 0, sets)
        else:
            _use(basket, basket.picks, basket.pick_count, basket.picks2, basket.pick2_count, sets)
            _use(basket, basket.picks2, basket.pick2_count, basket.picks, 0, sets)
        count = 0
        for i in range(basket.pick_count):
            if basket.picks[i].count > 0:
                basket.picks[count] = basket.picks[i]
                basket.picks[count].count *= sets
                count += 1
        sort_listed(basket, basket.picks, count)
        _percent_off(basket, snapshot, basket.picks, count, benefit.get.rate_ppb, place, False, False, 0, 0)
        done += sets
    return done


cdef Tier _tier(Snapshot snapshot, Benefit* benefit, int64_t reached) noexcept nogil:
    # The highest tier reached, or the base.
    cdef Tier best
    cdef Tier* tier
    cdef int64_t i
    best.min = -1
    best.amount = benefit.base_amount
    best.rate_ppb = benefit.base_rate_ppb
    for i in range(benefit.tier_count):
        tier = &snapshot.tiers[benefit.tiers + i]
        if reached >= tier.min > best.min:
            best = tier[0]
    return best


cdef int64_t _base_units(Basket* basket, Snapshot snapshot, int32_t target) noexcept nogil:
    # Whole base units of the target, goods that may not be discounted counted too.
    cdef int64_t i, milli = 0
    cdef Segment* segment
    choose(basket, snapshot, target, PICK_LISTED, False, False)
    for i in range(basket.pick_count):
        segment = &basket.segments[basket.picks[i].segment]
        if segment.lump:
            milli += basket.lines[segment.line].base_qty_milli
        else:
            milli += multiply_divide(
                basket.lines[segment.line].base_qty_milli, basket.picks[i].count, basket.lines[segment.line].units,
                HALF_UP,
            )
    return milli // 1000


cdef void _tiered(Basket* basket, Snapshot snapshot, Benefit* benefit) noexcept nogil:
    cdef int64_t i = 0, end, value
    cdef Tier tier
    if benefit.basis == BASIS_LINE:
        choose(basket, snapshot, benefit.target, PICK_LISTED, False, True)
        while i < basket.pick_count:
            value = 0
            end = i
            while end < basket.pick_count and basket.picks[end].line == basket.picks[i].line:
                value += basket.segments[basket.picks[end].segment].price * basket.picks[end].count
                end += 1
            tier = _tier(snapshot, benefit, value)
            if benefit.type == TIERED_AMOUNT:
                spread_line(basket, basket.picks + i, end - i, tier.amount)
            else:
                _percent_off(
                    basket, snapshot, basket.picks + i, end - i, tier.rate_ppb, _place(snapshot, PLACE_LINE), False,
                    False, 0, 0
                )
            i = end
        return
    tier = _tier(
        snapshot, benefit,
        _base_units(basket, snapshot, benefit.target) if benefit.basis == BASIS_QTY else basket_value(basket, False)
    )
    choose(basket, snapshot, benefit.target, PICK_LISTED, False, True)
    if benefit.type == TIERED_AMOUNT:  # an order amount: at most what the basket is worth, returns taken off
        spread(
            basket, basket.picks, basket.pick_count, min(tier.amount, max(basket_value(basket, False), 0)),
            False, NULL, 0,
        )
        return
    _percent_off(
        basket, snapshot, basket.picks, basket.pick_count, tier.rate_ppb, _place(snapshot, PLACE_SET), False,
        benefit.has_cap, benefit.cap,
        0 if benefit.basis == BASIS_LINE else _negative_value(basket, snapshot, benefit.target)
    )


cdef int64_t _order_amount(Basket* basket, Snapshot snapshot, Benefit* benefit) noexcept nogil:
    cdef int64_t amount = benefit.amount, value = basket_value(basket, False), set_value, charged = 0, i, j
    cdef int32_t[64] charges
    cdef int64_t charge_count = 0
    choose(basket, snapshot, benefit.target, PICK_LISTED, basket.best_units, True)
    for i in range(benefit.charge_count):
        for j in range(basket.charge_count):
            if (
                basket.input_charges[j].symbol == snapshot.lists[benefit.charges + i]
                and charge_count < 64
                and basket.charges[j].amount > 0
            ):
                charges[charge_count] = <int32_t>j
                charge_count += 1
                value += basket.charges[j].amount
                charged += basket.charges[j].amount
    # Returns and reductions in the set leave less of it to discount.
    set_value = _negative_value(basket, snapshot, benefit.target)
    for i in range(basket.pick_count):
        set_value += basket.picks[i].price * basket.picks[i].count
    if benefit.type == ORDER_FIXED_TOTAL:
        amount = set_value - benefit.amount
    elif benefit.tax_view == VIEW_INCLUDED:
        amount = net_for_saving(basket, snapshot, amount, charges, charge_count)
    return spread(
        basket, basket.picks, basket.pick_count, min(amount, max(min(value, set_value + charged), 0)),
        charge_count > 0, charges, charge_count,
    )


cdef int64_t _charge(Basket* basket, Snapshot snapshot, Benefit* benefit) noexcept nogil:
    cdef int64_t i, j, amount, off, given = 0
    for i in range(benefit.charge_count):
        for j in range(basket.charge_count):
            amount = basket.charges[j].amount
            if basket.input_charges[j].symbol != snapshot.lists[benefit.charges + i] or amount <= 0:
                continue
            if benefit.type == CHARGE_PERCENT_OFF:
                off = percent_of(amount, benefit.rate_ppb, &snapshot.rules)
                if benefit.has_cap:
                    off = min(off, benefit.cap)
            elif benefit.type == CHARGE_AMOUNT_OFF:
                off = benefit.amount
            else:
                off = amount - benefit.amount
            off = min(off, amount)
            if off > 0:
                discount_charge(basket, j, off)
                given += off
    return given


cdef int64_t _free_items(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil:
    cdef int64_t times = 1, i
    cdef FreeUnits* free
    if benefit.has_for_each:
        times = choose(basket, snapshot, benefit.for_each.target, PICK_LISTED, False, False)
        for i in range(basket.pick_count):  # a measured line counts its whole quantity
            if basket.segments[basket.picks[i].segment].lump:
                times += basket.lines[basket.picks[i].line].qty_milli // 1000 - 1
        times //= benefit.for_each.qty
        if benefit.once:
            times = min(times, 1)
    if limit != UNLIMITED:
        times = min(times, limit)
    if times <= 0:
        return 0
    basket.free_units = <FreeUnits*>room_for(
        basket.free_units, &basket.free_capacity, basket.free_count + 1, sizeof(FreeUnits)
    )
    free = &basket.free_units[basket.free_count]
    basket.free_count += 1
    free.promotion = basket.promotion
    free.item_id = benefit.free_item
    free.qty = times * benefit.qty
    return times


cdef void set_shortfall(
    Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t* found, int64_t* needed
) noexcept nogil:
    """How many of the units of one set are there, and how many it takes; 0 of 0 for other benefits."""
    cdef int64_t i, j, have, either, count
    cdef Component* component
    found[0] = needed[0] = 0
    if BUNDLE_PERCENT_OFF <= benefit.type <= MULTIBUY_CHEAPEST_FREE or benefit.type == QUANTITY_GROUP or (
        benefit.type == BUNDLE_FIXED_PRICE and benefit.component_count == 0
    ):
        needed[0] = benefit.qty
        found[0] = min(choose(basket, snapshot, benefit.target, PICK_LISTED, True, True), benefit.qty)
    elif benefit.type == BUNDLE_FIXED_PRICE:
        for i in range(benefit.component_count):
            component = &snapshot.components[benefit.components + i]
            needed[0] += component.qty
            have = choose(basket, snapshot, component.target, PICK_LISTED, True, True)
            found[0] += min(have, component.qty)
    elif benefit.type == BUY_GET:
        needed[0] = benefit.buy.qty + benefit.get.qty
        have = choose(basket, snapshot, benefit.buy.target, PICK_LISTED, True, False)
        found[0] = min(have, benefit.buy.qty)
        basket.picks2 = <Pick*>room_for(basket.picks2, &basket.pick2_capacity, basket.pick_count + 1, sizeof(Pick))
        memcpy(basket.picks2, basket.picks, basket.pick_count * sizeof(Pick))
        count = basket.pick_count
        either = have + choose(basket, snapshot, benefit.get.target, PICK_LISTED, True, True)
        found[0] += min(either - have, benefit.get.qty)
        i = 0
        for j in range(basket.pick_count):  # both stand as listed: a unit that both sides want is there once
            while i < count and _stands_before(basket, &basket.picks2[i], &basket.picks[j]):
                i += 1
            if i < count and basket.picks2[i].segment == basket.picks[j].segment:
                either -= min(basket.picks2[i].count, basket.picks[j].count)
        found[0] = min(found[0], either)


cdef bint _stands_before(Basket* basket, Pick* one, Pick* other) noexcept nogil:
    if one.line != other.line:
        return one.line < other.line
    return basket.segments[one.segment].first < basket.segments[other.segment].first


cdef int64_t apply_benefit(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil:
    """Give one benefit; returns how often it was applied.  `limit` is the most sets, UNLIMITED for none."""
    cdef int64_t i, total, count, each, left, mark = basket.log_count
    cdef int kind = benefit.type
    cdef bint unused = basket.best_units
    cdef Tier tier
    if benefit.once:
        limit = 1 if limit == UNLIMITED else min(limit, 1)
    if limit == 0:
        return 0
    if kind == BUNDLE_FIXED_PRICE and benefit.component_count > 0:
        return _components(basket, snapshot, benefit, limit)
    if BUNDLE_FIXED_PRICE <= kind <= BUNDLE_AMOUNT_OFF:
        return _bundles(basket, snapshot, benefit, limit)
    if kind == MULTIBUY_CHEAPEST_FREE:
        return _cheapest_free(basket, snapshot, benefit, limit)
    if kind == BUY_GET:
        return _buy_get(basket, snapshot, benefit, limit)
    if kind == FREE_ITEM:
        return _free_items(basket, snapshot, benefit, limit)
    if kind == TIERED_AMOUNT or kind == TIERED_PERCENT:
        _tiered(basket, snapshot, benefit)
    elif kind == ORDER_AMOUNT_OFF or kind == ORDER_FIXED_TOTAL:
        _order_amount(basket, snapshot, benefit)
    elif CHARGE_PERCENT_OFF <= kind <= CHARGE_FIXED_PRICE:
        _charge(basket, snapshot, benefit)
    elif kind == ORDER_PERCENT_OFF:
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        _percent_off(
            basket, snapshot, basket.picks, basket.pick_count, benefit.rate_ppb, _place(snapshot, PLACE_SET),
            benefit.original, benefit.has_cap, benefit.cap, _negative_value(basket, snapshot, benefit.target)
        )
    elif kind == ITEM_PERCENT_OFF:
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        _percent_off(
            basket, snapshot, basket.picks, basket.pick_count, benefit.rate_ppb, _place(snapshot, PLACE_UNIT),
            benefit.original, benefit.has_cap, benefit.cap, 0
        )
    elif kind == CHEAPEST_PERCENT_OFF:
        choose(basket, snapshot, benefit.target, PICK_CHEAPEST, unused, True)
        left = benefit.qty
        count = 0
        for i in range(basket.pick_count):
            if left == 0:
                break
            basket.picks[i].count = min(basket.picks[i].count, left)
            left -= basket.picks[i].count
            count += 1
        sort_listed(basket, basket.picks, count)
        _percent_off(
            basket, snapshot, basket.picks, count, benefit.rate_ppb, _place(snapshot, PLACE_UNIT), benefit.original,
            benefit.has_cap, benefit.cap, 0
        )
    elif kind == ITEM_AMOUNT_OFF and benefit.per_line:
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        i = 0
        while i < basket.pick_count:
            count = i
            while count < basket.pick_count and basket.picks[count].line == basket.picks[i].line:
                count += 1
            spread_line(basket, basket.picks + i, count - i, benefit.amount)
            i = count
    elif kind == ITEM_AMOUNT_OFF:
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        for i in range(basket.pick_count):
            _off_each(basket, &basket.picks[i], _by_quantity(basket, basket.picks[i].segment, benefit.amount))
    elif kind == ITEM_FIXED_PRICE or kind == QUANTITY_BREAK:
        each = benefit.amount
        if kind == QUANTITY_BREAK:
            tier = _tier(snapshot, benefit, _base_units(basket, snapshot, benefit.target))
            if tier.min < 0:
                return 0
            each = tier.amount
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        for i in range(basket.pick_count):
            left = each
            if kind == QUANTITY_BREAK:  # a tier's price is of a base unit
                left = multiply_divide(
                    each, basket.input_lines[basket.picks[i].line].base_units_ppm, 1000000, HALF_UP
                )
            _off_each(
                basket, &basket.picks[i],
                basket.segments[basket.picks[i].segment].price - _by_quantity(basket, basket.picks[i].segment, left)
            )
    elif kind == ITEM_MARKUP_PERCENT:
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        for i in range(basket.pick_count):
            each = multiply_divide(
                basket.segments[basket.picks[i].segment].price, benefit.rate_ppb, PERCENT_SCALE, snapshot.rules.rounding
            )
            if each > 0:
                cut(basket, basket.picks[i].segment, basket.picks[i].count)
                discount(basket, basket.picks[i].segment, -each)
    elif kind == FIRST_THEN_AMOUNT:
        choose(basket, snapshot, benefit.target, PICK_LISTED, unused, True)
        for i in range(basket.pick_count):
            count = basket.picks[i].count
            if i == 0:
                left = basket.picks[i].segment
                each = take(basket, &basket.picks[i], 1)
                discount(basket, <int32_t>each, min(benefit.amount, _room_each(basket, <int32_t>each)))
                count -= 1
            if count > 0:
                _off_each(basket, &basket.picks[i], benefit.additional)
    elif kind == QUANTITY_GROUP:
        total = choose(basket, snapshot, benefit.target, benefit.pick, unused, True)
        left = total // benefit.qty
        if limit != UNLIMITED:
            left = min(left, limit)
        total = left
        left *= benefit.qty
        count = 0
        for i in range(basket.pick_count):
            if left == 0:
                break
            basket.picks[i].count = min(basket.picks[i].count, left)
            left -= basket.picks[i].count
            count += 1
        if benefit.rate_ppb > 0:
            sort_listed(basket, basket.picks, count)
            _percent_off(
                basket, snapshot, basket.picks, count, benefit.rate_ppb, _place(snapshot, PLACE_UNIT), False, False, 0, 0
            )
            return total
        for i in range(count):
            _off_each(basket, &basket.picks[i], _by_quantity(basket, basket.picks[i].segment, benefit.amount))
        return total
    return 1 if basket.log_count > mark else 0
