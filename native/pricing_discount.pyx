"""How a discount is laid on chosen units: an amount or a rate, spread over them within their floors.

Shares are by largest remainder; what does not fit on a unit goes to the others.
"""

from libc.stdint cimport int32_t, int64_t

from ringup.native.arrays cimport room_for
from ringup.native.money cimport allocate, int128
from ringup.native.pricing_state cimport (
    Basket,
    LogEntry,
    Pick,
    Segment,
    cut,
    discount,
    discount_charge,
    given_since,
    undo,
)
from ringup.native.promotion cimport NO_SYMBOL, PLACE_LINE, PLACE_UNIT, Rules, Snapshot


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


cdef void off_each(Basket* basket, Pick* pick, int64_t each) noexcept nogil:
    # `each` off every unit of the pick, as far as the floor lets it.
    each = min(each, room_each(basket, pick.segment))
    if each > 0:
        cut(basket, pick.segment, pick.count)
        discount(basket, pick.segment, each)


cdef void percent_off(
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
            off_each(basket, &picks[i], percent_of(picks[i].price, rate_ppb, rules))
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
    if has_cap and given_since(basket, mark) > cap:
        shrink(basket, mark, cap)
