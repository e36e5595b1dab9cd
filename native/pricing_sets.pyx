"""Benefits that use units up in sets: bundles, multibuys, buy and get.

No unit is in two sets.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memcpy

from ringup.native.arrays cimport room_for
from ringup.native.money cimport allocate
from ringup.native.pricing_choice cimport UNITS_IN_NO_SET, choose, sort_listed, sort_picks, take
from ringup.native.pricing_discount cimport percent_of, percent_off, place_of, room_each, room_of, spread
from ringup.native.pricing_state cimport Basket, Pick, cut, discount, given_since
from ringup.native.promotion cimport (
    BUNDLE_FIXED_PRICE,
    BUNDLE_PERCENT_OFF,
    BUY_GET,
    MULTIBUY_CHEAPEST_FREE,
    NO_SYMBOL,
    PICK_CHEAPEST,
    PICK_DEAREST,
    PICK_LISTED,
    PLACE_SET,
    PLACE_UNIT,
    QUANTITY_GROUP,
    UNLIMITED,
    Benefit,
    Component,
    Snapshot,
    Target,
)


cdef enum:
    BATCH_MIN = 64  # from so many equal sets on they are given at once; fewer interleave as they are filled
    PASSED_OVER = 2  # Segment.used of units whose set saves nothing, while a benefit looks for further sets


cdef int64_t bundle_worth(
    Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t value, int64_t room
) noexcept nogil:
    """What one set worth `value` is discounted by, at most `room`; not above zero when it does not save."""
    if benefit.type == BUNDLE_FIXED_PRICE:
        return min(value - benefit.amount, room)
    if benefit.type == BUNDLE_PERCENT_OFF:
        return min(percent_of(value, benefit.rate_ppb, &snapshot.rules), room)
    return min(benefit.amount, room)


cdef int64_t _counted(Basket* basket, Benefit* benefit, int32_t segment) noexcept nogil:
    # The price of a unit that a bundle is worked out from.
    if benefit.type == BUNDLE_PERCENT_OFF and benefit.original:
        return basket.segments[segment].original
    return basket.segments[segment].price


cdef int64_t give_bundle(
    Basket* basket, Snapshot snapshot, Benefit* benefit, Pick* pieces, int64_t count
) noexcept nogil:
    """Discount one set of whole segments; they count as used.  Returns 0 and changes nothing when it saves nothing."""
    cdef int64_t i, value = 0, room = 0, worth, mark = basket.log_count
    cdef int place = place_of(snapshot, PLACE_SET)
    if benefit.type == BUNDLE_PERCENT_OFF and place != PLACE_SET:
        for i in range(count):  # before the discount, which may split a segment: both parts are used then
            basket.segments[pieces[i].segment].used = 1
        basket.log_floor = mark  # what this set is given does not merge with the set before
        sort_listed(basket, pieces, count)
        percent_off(basket, snapshot, pieces, count, benefit.rate_ppb, place, benefit.original, False, 0, 0)
        worth = given_since(basket, mark)
        for i in range(count if worth == 0 else 0):
            basket.segments[pieces[i].segment].used = 0
        return worth
    for i in range(count):
        if benefit.type == BUNDLE_PERCENT_OFF:
            pieces[i].price = _counted(basket, benefit, pieces[i].segment)
        value += _counted(basket, benefit, pieces[i].segment) * pieces[i].count
        room += room_of(basket, &pieces[i])
    worth = bundle_worth(basket, snapshot, benefit, value, room)
    if worth <= 0:
        return 0
    for i in range(count):
        basket.segments[pieces[i].segment].used = 1
    sort_listed(basket, pieces, count)
    return spread(basket, pieces, count, worth, False, NULL, 0)


cdef int64_t bundles(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil:
    """Sets of `qty` units of one target; a run of equal units makes many sets at once."""
    cdef int64_t total = choose(basket, snapshot, benefit.target, benefit.pick, UNITS_IN_NO_SET, True)
    cdef int64_t qty = benefit.qty, done = 0, i = 0, sets, worth, each, extra, room, want, j, value
    cdef int32_t segment, rest
    cdef Pick piece
    while total >= qty and done != limit and i < basket.pick_count:
        if basket.picks[i].count == 0:
            i += 1
            continue
        if basket.picks[i].count >= qty and (
            benefit.type != BUNDLE_PERCENT_OFF or place_of(snapshot, PLACE_SET) == PLACE_SET
        ):
            sets = basket.picks[i].count // qty
            if limit != UNLIMITED:
                sets = min(sets, limit - done)
            if sets < BATCH_MIN:
                sets = 1
            value = _counted(basket, benefit, basket.picks[i].segment) * qty
            room = room_each(basket, basket.picks[i].segment) * qty
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
        choose(basket, snapshot, component.target, PICK_LISTED, UNITS_IN_NO_SET, True)
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


cdef int64_t components(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil:
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


cdef int64_t cheapest_free(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil:
    """For every complete `qty` units one is free: the cheapest of all; the dearest others complete the sets."""
    cdef int64_t total = choose(basket, snapshot, benefit.target, PICK_CHEAPEST, UNITS_IN_NO_SET, True)
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
        discount(basket, segment, room_each(basket, segment))
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


cdef int64_t buy_get(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil:
    """Sets of buy and get units.

    The get units are chosen first by their pick, then the first listed buy units; with `consume` the
    buy units first, by that.  A unit is passed over where taking it would leave the set incomplete.
    """
    cdef int64_t done = 0, i, count, sets, both, only_buy, only_get
    cdef int place = place_of(snapshot, PLACE_UNIT)
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
        only_buy = choose(basket, snapshot, benefit.buy.target, benefit.consume, UNITS_IN_NO_SET, False)
        count = basket.pick_count
        basket.picks2 = <Pick*>room_for(basket.picks2, &basket.pick2_capacity, count, sizeof(Pick))
        for i in range(count):
            basket.picks2[i] = basket.picks[i]
            basket.segments[basket.picks[i].segment].tag |= 1
        basket.pick2_count = count
        only_get = choose(basket, snapshot, benefit.get.target, benefit.get.pick, UNITS_IN_NO_SET, True)
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
        percent_off(basket, snapshot, basket.picks, count, benefit.get.rate_ppb, place, benefit.original, False, 0, 0)
        done += sets
    return done


cdef bint _stands_before(Basket* basket, Pick* one, Pick* other) noexcept nogil:
    if one.line != other.line:
        return one.line < other.line
    return basket.segments[one.segment].first < basket.segments[other.segment].first


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
        found[0] = min(choose(basket, snapshot, benefit.target, PICK_LISTED, UNITS_IN_NO_SET, True), benefit.qty)
    elif benefit.type == BUNDLE_FIXED_PRICE:
        for i in range(benefit.component_count):
            component = &snapshot.components[benefit.components + i]
            needed[0] += component.qty
            have = choose(basket, snapshot, component.target, PICK_LISTED, UNITS_IN_NO_SET, True)
            found[0] += min(have, component.qty)
    elif benefit.type == BUY_GET:
        needed[0] = benefit.buy.qty + benefit.get.qty
        have = choose(basket, snapshot, benefit.buy.target, PICK_LISTED, UNITS_IN_NO_SET, False)
        found[0] = min(have, benefit.buy.qty)
        basket.picks2 = <Pick*>room_for(basket.picks2, &basket.pick2_capacity, basket.pick_count + 1, sizeof(Pick))
        memcpy(basket.picks2, basket.picks, basket.pick_count * sizeof(Pick))
        count = basket.pick_count
        either = have + choose(basket, snapshot, benefit.get.target, PICK_LISTED, UNITS_IN_NO_SET, True)
        found[0] += min(either - have, benefit.get.qty)
        i = 0
        for j in range(basket.pick_count):  # both stand as listed: a unit that both sides want is there once
            while i < count and _stands_before(basket, &basket.picks2[i], &basket.picks[j]):
                i += 1
            if i < count and basket.picks2[i].segment == basket.picks[j].segment:
                either -= min(basket.picks2[i].count, basket.picks[j].count)
        found[0] = min(found[0], either)
