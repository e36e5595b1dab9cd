"""Taxes of a basket: exact until the place where the rules round (see pricing_rates.pxd for the arithmetic).

Where the rules round a tax over the whole basket, each named tax is summed exactly and rounded once, and
laid on the lines and charges that it comes from: each has its exact part rounded down, and what is left
goes to the largest remainders, the first of equals.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from ringup.native.arrays cimport room_for
from ringup.native.limits cimport TOTAL_MINOR_MAX
from ringup.native.money cimport HALF_UP, allocate, divide, int128
from ringup.native.pricing_rates cimport TaxClass, Taxes, TaxKey, TaxPlace, common_divisor, form_rates
from ringup.native.pricing_state cimport Basket, Segment
from ringup.native.promotion cimport NO_SYMBOL, PLACE_LINE, PLACE_UNIT, Rules, Snapshot

cdef enum:
    REST_ELSEWHERE = -2  # of a rate whose remainder is with one of the same name before it
    INCLUSIVE_MAX = 64  # named taxes inside prices that a rounded net value is shared out to


cdef void _parts(TaxClass* at, int128 amount, int128 qty_milli, int128* parts, int128* net, int128* over) noexcept nogil:
    """Exact taxes of an amount: parts[i] / over, and the net amount net / over."""
    cdef int64_t i
    cdef int128 rest
    if not at.by_quantity:
        over[0] = at.inside
        net[0] = at.denominator * amount
        for i in range(at.rate_count):
            parts[i] = at.slopes[i] * amount
        return
    rest = 1000 * at.denominator * amount - qty_milli * at.inside_steps
    over[0] = 1000 * at.denominator * at.inside
    net[0] = rest * at.denominator
    for i in range(at.rate_count):
        parts[i] = at.slopes[i] * rest + at.steps[i] * qty_milli * at.inside


cdef int128 _part(TaxClass* at, int64_t rate, int128 amount, int128 qty_milli) noexcept nogil:
    """parts[rate] of `_parts`."""
    if not at.by_quantity:
        return at.slopes[rate] * amount
    return (
        at.slopes[rate] * (1000 * at.denominator * amount - qty_milli * at.inside_steps)
        + at.steps[rate] * qty_milli * at.inside
    )


cdef inline int128 _over(TaxClass* at) noexcept nogil:
    return 1000 * at.denominator * at.inside if at.by_quantity else at.inside


cdef void _share(int64_t amount, const int128* weights, int64_t* shares, int64_t count) noexcept nogil:
    # Largest remainder with wide weights, whose signs do not count.
    cdef int64_t[64] narrow
    cdef int64_t i, shift = 0
    cdef int128 most = 0, size
    for i in range(count):
        size = -weights[i] if weights[i] < 0 else weights[i]
        most = max(most, size)
    while most >> shift > <int128>1 << 56:
        shift += 1
    for i in range(count):
        size = -weights[i] if weights[i] < 0 else weights[i]
        narrow[i] = <int64_t>(size >> shift)
    allocate(amount, narrow, shares, count)


# The places of a basket

cdef void taxes_begin(Taxes* taxes, int64_t at_ns) noexcept nogil:
    """Begin an empty basket at an instant (0: all dated rates are live)."""
    cdef int64_t i
    for i in range(taxes.touched_count):
        taxes.classes[taxes.touched[i]].touched = False
    for i in range(taxes.order_count):
        taxes.keys[taxes.order[i]].seen = False
    taxes.at_ns = at_ns
    taxes.place_count = taxes.part_count = taxes.touched_count = taxes.order_count = 0
    taxes.tax_added = taxes.tax_included = 0
    taxes.beyond = False


cdef void _touch(Taxes* taxes, int32_t number) noexcept nogil:
    # The first place of a class in this basket.
    cdef TaxClass* at = &taxes.classes[number]
    cdef TaxKey* key
    cdef int64_t i
    form_rates(at, taxes.at_ns)
    at.touched = True
    at.gross = at.qty_milli = 0
    at.small = at.narrow
    taxes.touched = <int32_t*>room_for(
        taxes.touched, &taxes.touched_capacity, taxes.touched_count + 1, sizeof(int32_t)
    )
    taxes.touched[taxes.touched_count] = number
    taxes.touched_count += 1
    taxes.beyond = taxes.beyond or at.unfit
    for i in range(at.rate_count):
        key = &taxes.keys[at.rates[i].key]
        if not at.live[i]:
            continue
        if key.seen:
            key.shared = True
            continue
        key.seen = True
        key.shared = False
        key.owner = number
        key.owner_rate = <int32_t>i
        key.tax = key.net = key.whole = 0
        key.numerator = 0
        key.denominator = 1
        taxes.order = <int64_t*>room_for(
            taxes.order, &taxes.order_capacity, taxes.order_count + 1, sizeof(int64_t)
        )
        taxes.order[taxes.order_count] = at.rates[i].key
        taxes.order_count += 1


cdef void taxes_place(Taxes* taxes, int32_t tax_class) noexcept nogil:
    """Begin the next line or charge."""
    cdef TaxPlace* place
    cdef int64_t count
    if taxes.place_count == taxes.place_capacity:
        taxes.places = <TaxPlace*>room_for(
            taxes.places, &taxes.place_capacity, taxes.place_count + 1, sizeof(TaxPlace)
        )
    place = &taxes.places[taxes.place_count]
    taxes.place_count += 1
    place.tax_class = tax_class
    place.first = <int32_t>taxes.part_count
    place.amount = place.qty_milli = place.included = place.added = 0
    if tax_class == NO_SYMBOL:
        return
    if not taxes.classes[tax_class].touched:
        _touch(taxes, tax_class)
    count = taxes.classes[tax_class].rate_count
    if taxes.part_count + count > taxes.part_capacity:
        taxes.parts = <int64_t*>room_for(taxes.parts, &taxes.part_capacity, taxes.part_count + count, sizeof(int64_t))
    memset(taxes.parts + taxes.part_count, 0, count * sizeof(int64_t))
    taxes.part_count += count


cdef bint _within(TaxClass* at, int128 amount, int128 qty_milli) noexcept nogil:
    # Whether an amount and its taxes by quantity stay within the limit of a total.
    cdef int128 steps = 0
    cdef int64_t i
    if not -TOTAL_MINOR_MAX <= amount <= TOTAL_MINOR_MAX:
        return False
    if not at.by_quantity:
        return True
    for i in range(at.rate_count):
        steps += at.steps[i]
    qty_milli = -qty_milli if qty_milli < 0 else qty_milli
    return qty_milli == 0 or steps <= <int128>TOTAL_MINOR_MAX * 1000 * at.denominator / qty_milli


cdef void taxes_book(Taxes* taxes, Rules* rules, int64_t amount, int64_t qty_milli, int64_t times) noexcept nogil:
    """Add `times` equal amounts of a quantity each to the last place; they are rounded one by one, or later."""
    cdef TaxPlace* place = &taxes.places[taxes.place_count - 1]
    cdef TaxClass* at
    place.amount += amount * times
    place.qty_milli += qty_milli * times
    if place.tax_class == NO_SYMBOL:
        return
    at = &taxes.classes[place.tax_class]
    if at.unfit:
        return
    if rules.tax_round_at == PLACE_LINE or rules.tax_round_at == PLACE_UNIT:
        if not _within(at, <int128>amount * times, <int128>qty_milli * times):
            taxes.beyond = True
            return
        _book_rounded(taxes, at, rules, amount, qty_milli, times, place)
    else:
        at.gross += amount * times
        at.qty_milli += qty_milli * times
        at.small = at.small and 0 <= place.amount < <int64_t>1 << 31


cdef void taxes_add(Taxes* taxes, Rules* rules, int32_t tax_class, int64_t amount, int64_t qty_milli) noexcept nogil:
    """A line or charge of one amount: `taxes_place` and `taxes_book`."""
    cdef TaxClass* at
    cdef TaxPlace* place
    if (
        tax_class == NO_SYMBOL or rules.tax_round_at == PLACE_LINE or rules.tax_round_at == PLACE_UNIT
        or not taxes.classes[tax_class].touched or not taxes.classes[tax_class].small
        or taxes.classes[tax_class].rate_count != 1
        or taxes.place_count == taxes.place_capacity or taxes.part_count == taxes.part_capacity
    ):
        taxes_place(taxes, tax_class)
        taxes_book(taxes, rules, amount, qty_milli, 1)
        return
    # The same at once, for one more line of a class with one tax.
    at = &taxes.classes[tax_class]
    place = &taxes.places[taxes.place_count]
    place.tax_class = tax_class
    place.first = <int32_t>taxes.part_count
    place.amount = amount
    place.qty_milli = qty_milli
    place.included = place.added = 0
    taxes.parts[taxes.part_count] = 0
    taxes.place_count += 1
    taxes.part_count += 1
    at.gross += amount
    at.qty_milli += qty_milli
    at.small = 0 <= amount < <int64_t>1 << 31


cdef void _book_rounded(
    Taxes* taxes, TaxClass* at, Rules* rules, int64_t amount, int64_t qty_milli, int64_t times, TaxPlace* place
) noexcept nogil:
    """Round the taxes of one amount and book them `times` times."""
    cdef int128[8] parts
    cdef int128[8] inside
    cdef int128 net, over
    cdef int64_t[8] found
    cdef int64_t[8] shares
    cdef int64_t i, count = 0, rest
    _parts(at, amount, qty_milli, parts, &net, &over)
    for i in range(at.rate_count):
        found[i] = <int64_t>divide(parts[i], over, rules.tax_rounding)
        if at.live[i] and at.rates[i].inclusive:
            inside[count] = parts[i]
            count += 1
    if rules.tax_round_net and count > 0:
        rest = amount - <int64_t>divide(net, over, rules.tax_rounding)
        _share(rest, inside, shares, count)
        count = 0
        for i in range(at.rate_count):
            if at.live[i] and at.rates[i].inclusive:
                found[i] = shares[count]
                count += 1
    for i in range(at.rate_count):
        if at.live[i]:
            taxes.keys[at.rates[i].key].tax += found[i] * times
            taxes.parts[place.first + i] += found[i] * times


cdef void taxes_finish(Taxes* taxes, Rules* rules) noexcept nogil:
    """Round what is left to round; then all sums stand."""
    cdef int64_t i, j, base
    cdef TaxPlace* place
    cdef TaxClass* at
    if taxes.beyond:
        return
    if rules.tax_round_at != PLACE_LINE and rules.tax_round_at != PLACE_UNIT:
        for i in range(taxes.touched_count):
            at = &taxes.classes[taxes.touched[i]]
            if not _within(at, at.gross, at.qty_milli):
                taxes.beyond = True
                return
        _round_totals(taxes, rules)
    for i in range(taxes.place_count):
        place = &taxes.places[i]
        if place.tax_class == NO_SYMBOL:
            continue
        at = &taxes.classes[place.tax_class]
        if at.rate_count == 1 and at.live[0]:
            if at.rates[0].inclusive:
                place.included = taxes.parts[place.first]
                taxes.tax_included += place.included
            else:
                place.added = taxes.parts[place.first]
                taxes.tax_added += place.added
            taxes.keys[at.rates[0].key].net += place.amount - place.included
            continue
        for j in range(at.rate_count):
            if at.rates[j].inclusive:
                place.included += taxes.parts[place.first + j]
            else:
                place.added += taxes.parts[place.first + j]
        base = place.amount - place.included
        for j in range(at.rate_count):
            if at.live[j]:
                taxes.keys[at.rates[j].key].net += base
        taxes.tax_included += place.included
        taxes.tax_added += place.added


# Rounding over the basket

cdef void _add_exact(TaxKey* key, int128 numerator, int128 denominator) noexcept nogil:
    # key += numerator / denominator, whole parts apart so that the fraction stays small.
    cdef int128 shared
    key.whole += <int64_t>(numerator / denominator)
    numerator %= denominator
    shared = common_divisor(numerator, denominator)
    numerator /= shared
    denominator /= shared
    shared = common_divisor(key.denominator, denominator)
    if key.denominator / shared > (<int128>1 << 124) / denominator:
        # Beyond 128 bits together: fractions of 2^-60 from here on, where only exact halves could differ.
        key.numerator = _scaled(key.numerator, key.denominator)
        numerator = _scaled(numerator, denominator)
        key.denominator = denominator = shared = <int128>1 << 60
    key.numerator = key.numerator * (denominator / shared) + numerator * (key.denominator / shared)
    key.denominator = key.denominator / shared * denominator
    key.whole += <int64_t>(key.numerator / key.denominator)
    key.numerator %= key.denominator


cdef int128 _scaled(int128 rest, int128 over) noexcept nogil:
    # rest / over (below 1 in size) in units of 2^-60.
    while over >> 66:
        over >>= 1
        rest >>= 1
    return (rest << 60) / over


cdef int64_t _rounded(TaxKey* key, int rounding) noexcept nogil:
    return <int64_t>divide(key.whole * key.denominator + key.numerator, key.denominator, rounding)


cdef void _round_totals(Taxes* taxes, Rules* rules) noexcept nogil:
    """Each named tax summed exactly over all places, rounded once and laid on them."""
    cdef int64_t i, j, inside = 0
    cdef int128[64] weights
    cdef int64_t[64] shares
    cdef int128 gross = 0
    cdef TaxClass* at
    cdef TaxKey* key
    cdef TaxKey net
    cdef bint has_inclusive
    for i in range(taxes.order_count):
        key = &taxes.keys[taxes.order[i]]
        if not key.shared:
            at = &taxes.classes[key.owner]
            if at.small and at.gross < <int128>1 << 32 and rules.tax_rounding == HALF_UP:
                # 2 * slope * gross is below 2^63.
                key.tax = (2 * <int64_t>at.slopes[key.owner_rate] * <int64_t>at.gross + <int64_t>at.inside) / (
                    2 * <int64_t>at.inside
                )
                continue
            key.tax = <int64_t>divide(
                _part(at, key.owner_rate, at.gross, at.qty_milli), _over(at), rules.tax_rounding
            )
            continue
        for j in range(taxes.touched_count):
            _add_class(taxes, &taxes.classes[taxes.touched[j]], taxes.order[i])
        key.tax = _rounded(key, rules.tax_rounding)
    if rules.tax_round_net:
        memset(&net, 0, sizeof(TaxKey))
        net.denominator = 1
        for i in range(taxes.touched_count):
            at = &taxes.classes[taxes.touched[i]]
            has_inclusive = False
            for j in range(at.rate_count):
                has_inclusive = has_inclusive or (at.live[j] and at.rates[j].inclusive)
            if has_inclusive:
                gross += at.gross
                _add_net(&net, at)
        for i in range(taxes.order_count):
            key = &taxes.keys[taxes.order[i]]
            if not key.inclusive or inside == INCLUSIVE_MAX:
                continue
            if not key.shared:
                _add_class(taxes, &taxes.classes[key.owner], taxes.order[i])
            # Weights with enough digits to share by; the whole part leads.
            weights[inside] = (<int128>key.whole << 40) + (_scaled(key.numerator, key.denominator) >> 20)
            inside += 1
        if inside:
            _share(<int64_t>gross - _rounded(&net, rules.tax_rounding), weights, shares, inside)
            inside = 0
            for i in range(taxes.order_count):
                key = &taxes.keys[taxes.order[i]]
                if key.inclusive and inside < INCLUSIVE_MAX:
                    key.tax = shares[inside]
                    inside += 1
    for i in range(taxes.order_count):
        key = &taxes.keys[taxes.order[i]]
        if not key.shared and taxes.classes[key.owner].small and not rules.tax_round_net:
            _lay_small(taxes, key)
        else:
            _lay(taxes, taxes.order[i])


cdef void _add_class(Taxes* taxes, TaxClass* at, int64_t key) noexcept nogil:
    # The exact sum of a named tax in one class.
    cdef int64_t i
    for i in range(at.rate_count):
        if at.live[i] and at.rates[i].key == key:
            _add_exact(&taxes.keys[key], _part(at, i, at.gross, at.qty_milli), _over(at))


cdef void _add_net(TaxKey* net, TaxClass* at) noexcept nogil:
    cdef int128[8] parts
    cdef int128 value, over
    _parts(at, at.gross, at.qty_milli, parts, &value, &over)
    _add_exact(net, value, over)


cdef void _lay_small(Taxes* taxes, TaxKey* key) noexcept nogil:
    """`_lay` where one class has the tax and nothing is beyond 64 bits, as in nearly every sale."""
    cdef TaxClass* at = &taxes.classes[key.owner]
    cdef TaxPlace* place
    cdef int64_t slope = <int64_t>at.slopes[key.owner_rate], inside = <int64_t>at.inside
    cdef int64_t i, best, product, part, left = key.tax
    cdef int64_t* rests
    taxes.rests = <int128*>room_for(taxes.rests, &taxes.rest_capacity, taxes.place_count, sizeof(int128))
    rests = <int64_t*>taxes.rests
    for i in range(taxes.place_count):
        place = &taxes.places[i]
        rests[i] = -1
        if place.tax_class == key.owner:
            product = slope * place.amount
            part = product / inside
            rests[i] = product - part * inside
            taxes.parts[place.first + key.owner_rate] = part
            left -= part
    while left > 0:
        best = 0
        for i in range(1, taxes.place_count):
            if rests[i] > rests[best]:
                best = i
        taxes.parts[taxes.places[best].first + key.owner_rate] += 1
        rests[best] = -1
        left -= 1


cdef void _lay(Taxes* taxes, int64_t number) noexcept nogil:
    """Lay a named tax on the places that it comes from."""
    cdef TaxKey* key = &taxes.keys[number]
    cdef TaxClass* at
    cdef TaxPlace* place
    cdef int64_t i, j, k, left = key.tax, places = 0, last = 0
    cdef int128 exact, over, whole
    taxes.rests = <int128*>room_for(taxes.rests, &taxes.rest_capacity, taxes.part_count, sizeof(int128))
    for i in range(taxes.place_count):
        place = &taxes.places[i]
        if place.tax_class == NO_SYMBOL or (not key.shared and place.tax_class != key.owner):
            continue
        at = &taxes.classes[place.tax_class]
        for j in range(at.rate_count):
            if at.rates[j].key != number or not at.live[j]:
                continue
            places += 1
            last = place.first + j
            exact = _part(at, j, place.amount, place.qty_milli)
            over = _over(at)
            whole = exact / over
            whole -= exact < whole * over
            taxes.parts[last] = <int64_t>whole
            taxes.rests[last] = exact - whole * over
            for k in range(j if key.shared else 0):
                if at.rates[k].key == number and at.live[k]:  # one tax of the line: its parts are rounded as one
                    taxes.rests[place.first + k] += taxes.rests[last]
                    if taxes.rests[place.first + k] >= over:
                        taxes.rests[place.first + k] -= over
                        taxes.parts[last] += 1
                    taxes.rests[last] = REST_ELSEWHERE
                    break
            left -= taxes.parts[last]
    if places == 1:
        taxes.parts[last] += left
    elif left:
        _lay_rests(taxes, key, number, left)


cdef int _compare(int128 rest, int128 over, int128 other_rest, int128 other_over) noexcept nogil:
    """-1, 0 or 1 as rest / over is below, equal to or above the other, both from 0 to below 1; never overflows."""
    cdef int128 whole, other_whole, next_rest
    cdef int sign = 1
    if over == other_over:
        return (rest > other_rest) - (rest < other_rest)
    while rest and other_rest:  # a continued fraction: the smaller reciprocal is of the greater
        whole = over / rest
        other_whole = other_over / other_rest
        if whole != other_whole:
            return sign if whole < other_whole else -sign
        next_rest = over - whole * rest
        over = rest
        rest = next_rest
        next_rest = other_over - other_whole * other_rest
        other_over = other_rest
        other_rest = next_rest
        sign = -sign
    return sign * ((rest != 0) - (other_rest != 0))


cdef void _lay_rests(Taxes* taxes, TaxKey* key, int64_t number, int64_t left) noexcept nogil:
    """Give what is left of a named tax to the largest remainders, or take what is too much from the smallest."""
    cdef TaxClass* at
    cdef TaxPlace* place
    cdef int64_t i, j, best, step = 1 if left > 0 else -1
    cdef int128 best_over = 1
    cdef int order
    while left != 0:
        best = -1
        for i in range(taxes.place_count):
            place = &taxes.places[i]
            if place.tax_class == NO_SYMBOL or (not key.shared and place.tax_class != key.owner):
                continue
            at = &taxes.classes[place.tax_class]
            for j in range(at.rate_count):
                if at.rates[j].key != number or not at.live[j] or taxes.rests[place.first + j] < 0:
                    continue
                if best >= 0:
                    order = _compare(taxes.rests[place.first + j], _over(at), taxes.rests[best], best_over)
                    if (order <= 0) if step > 0 else (order > 0):
                        continue
                best = place.first + j
                best_over = _over(at)
        if best < 0:  # all have had their turn
            for i in range(taxes.part_count):
                if taxes.rests[i] == -1:
                    taxes.rests[i] = 0
            continue
        taxes.parts[best] += step
        taxes.rests[best] = -1
        left -= step


# Baskets of the kernel

cdef inline int64_t _taxed(Segment* segment, Rules* rules) noexcept nogil:
    # What the taxes of a unit are computed on: what a vendor pays stays in.
    return segment.original if rules.tax_before_discount else segment.price + segment.vendor


cdef void taxes_compute(Taxes* taxes, Basket* basket, Rules* rules, bint with_charges) noexcept nogil:
    """All taxes of the basket as it stands, by name, by line, then charge, and in sum."""
    cdef int64_t i, amount
    cdef int32_t at
    cdef Segment* segment
    taxes_begin(taxes, basket.at_ns)
    for i in range(basket.input_line_count):
        taxes_place(taxes, basket.input_lines[i].tax_class)
        at = <int32_t>i
        amount = 0
        while at != NO_SYMBOL:
            segment = &basket.segments[at]
            if rules.tax_round_at == PLACE_UNIT:
                taxes_book(
                    taxes, rules, _taxed(segment, rules) * basket.lines[i].sign,
                    (basket.lines[i].qty_milli if segment.lump else 1000) * basket.lines[i].sign, segment.count,
                )
            amount += _taxed(segment, rules) * segment.count
            at = segment.next
        if rules.tax_round_at != PLACE_UNIT:
            taxes_book(taxes, rules, amount * basket.lines[i].sign, basket.lines[i].qty_milli * basket.lines[i].sign, 1)
    for i in range(basket.charge_count if with_charges else 0):
        taxes_place(taxes, basket.input_charges[i].tax_class)
        amount = basket.charges[i].amount + basket.charges[i].vendor
        taxes_book(taxes, rules, basket.input_charges[i].amount if rules.tax_before_discount else amount, 1000, 1)
    taxes_finish(taxes, rules)


cdef int64_t net_for_saving(
    Basket* basket, Snapshot snapshot, int64_t amount, const int32_t* charges, int64_t charge_count
) noexcept nogil:
    """The discount on the picks (and charges) that saves `amount` with the percentages added to it counted."""
    cdef Taxes* taxes = <Taxes*>basket.taxes
    cdef TaxKey sum_
    cdef int128 value = 0, one, extra, over
    cdef int64_t i, j
    cdef int32_t row
    cdef TaxClass* rated
    memset(&sum_, 0, sizeof(TaxKey))
    sum_.denominator = 1
    for i in range(basket.pick_count + charge_count):
        if i < basket.pick_count:
            one = <int128>basket.segments[basket.picks[i].segment].price * basket.picks[i].count
            row = basket.input_lines[basket.picks[i].line].tax_class
        else:
            one = basket.charges[charges[i - basket.pick_count]].amount
            row = basket.input_charges[charges[i - basket.pick_count]].tax_class
        value += one
        extra = 0
        over = 1
        if taxes != NULL and row != NO_SYMBOL:
            rated = &taxes.classes[row]
            form_rates(rated, basket.at_ns)
            if not rated.unfit:
                over = rated.inside
                for j in range(rated.rate_count):
                    if rated.live[j] and not rated.rates[j].inclusive:
                        extra += rated.slopes[j]
        _add_exact(&sum_, one * (over + extra), over)
    one = <int128>sum_.whole * sum_.denominator + sum_.numerator  # the value with added tax, over the denominator
    if one <= 0:
        return 0
    return <int64_t>divide(amount * value * sum_.denominator, one, HALF_UP)
