"""Taxes of a basket: exact until the place where the rules round (see pricing_tax.pxd for the arithmetic)."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from ringup.native.contract cimport (
    TaxRate_amount_minor_per_unit,
    TaxRate_from_ns,
    TaxRate_inclusive,
    TaxRate_name,
    TaxRate_on,
    TaxRate_rate_ppb,
    TaxRate_to_ns,
    TaxRates_rates,
    TaxRates_tax_class_id,
)
from ringup.native.limits cimport PERCENT_SCALE
from ringup.native.money cimport HALF_UP, allocate, divide, int128
from ringup.native.pricing_state cimport Basket, Segment, room_for
from ringup.native.promotion cimport NO_SYMBOL, PLACE_SET, PLACE_UNIT, Rules, Snapshot
from ringup.native.wire cimport Reader, Span, next_field, read_int, read_span, reader_of, skip_field, span_equal


cdef int128 _gcd(int128 a, int128 b) noexcept nogil:
    cdef int128 rest
    if a < 0:
        a = -a
    while b != 0:
        rest = a % b
        a = b
        b = rest
    return a


cdef void taxes_clear(Taxes* taxes) noexcept nogil:
    taxes.class_count = taxes.key_count = 0
    taxes.tax_added = taxes.tax_included = taxes.order_count = 0
    taxes.defect = False


cdef void taxes_free(Taxes* taxes) noexcept nogil:
    free(taxes.classes)
    free(taxes.keys)
    free(taxes.added)
    free(taxes.included)
    free(taxes.order)
    memset(taxes, 0, sizeof(Taxes))


cdef int32_t tax_class_row(Taxes* taxes, Span id) noexcept nogil:
    cdef int64_t i
    for i in range(taxes.class_count):
        if span_equal(taxes.classes[i].id, id):
            return <int32_t>i
    return NO_SYMBOL


cdef int32_t _key(Taxes* taxes, Span name, bint inclusive, bint shared) noexcept nogil:
    # The row of the tax table; taxes of one name share it, an unnamed tax has its own.
    cdef int64_t i
    cdef TaxKey* key
    if shared:
        for i in range(taxes.key_count):
            if taxes.keys[i].inclusive == inclusive and span_equal(taxes.keys[i].name, name):
                return <int32_t>i
    taxes.keys = <TaxKey*>room_for(taxes.keys, &taxes.key_capacity, taxes.key_count + 1, sizeof(TaxKey))
    key = &taxes.keys[taxes.key_count]
    memset(key, 0, sizeof(TaxKey))
    key.name = name
    key.inclusive = inclusive
    taxes.key_count += 1
    return <int32_t>(taxes.key_count - 1)


cdef void add_class(Taxes* taxes, Span id) noexcept nogil:
    """Add a class without taxes; `add_rate` adds to the class added last."""
    taxes.classes = <TaxClass*>room_for(
        taxes.classes, &taxes.class_capacity, taxes.class_count + 1, sizeof(TaxClass)
    )
    memset(&taxes.classes[taxes.class_count], 0, sizeof(TaxClass))
    taxes.classes[taxes.class_count].id = id
    taxes.class_count += 1


cdef void add_rate(Taxes* taxes, Span name, int64_t rate_ppb, bint inclusive) noexcept nogil:
    cdef TaxClass* at = &taxes.classes[taxes.class_count - 1]
    cdef Rate* rate = &at.rates[at.rate_count]
    if at.rate_count == RATES_MAX:
        return
    rate.name = name
    rate.rate_ppb = rate_ppb
    rate.inclusive = inclusive
    rate.key = _key(taxes, name, inclusive, True)
    at.rate_count += 1


cdef bint taxes_read(Taxes* taxes, Span class_body) noexcept nogil:
    """Add one class from its TaxRates message; False when it is not sound."""
    cdef Reader reader = reader_of(class_body), inner
    cdef TaxClass* at
    cdef Rate* rate
    cdef Span named
    cdef int64_t i
    taxes.classes = <TaxClass*>room_for(
        taxes.classes, &taxes.class_capacity, taxes.class_count + 1, sizeof(TaxClass)
    )
    at = &taxes.classes[taxes.class_count]
    memset(at, 0, sizeof(TaxClass))
    while next_field(&reader):
        if reader.field == TaxRates_tax_class_id:
            at.id = read_span(&reader)
        elif reader.field == TaxRates_rates:
            if at.rate_count == RATES_MAX:
                return False
            rate = &at.rates[at.rate_count]
            inner = reader_of(read_span(&reader))
            while next_field(&inner):
                if inner.field == TaxRate_name:
                    rate.name = read_span(&inner)
                elif inner.field == TaxRate_rate_ppb:
                    rate.rate_ppb = read_int(&inner)
                elif inner.field == TaxRate_amount_minor_per_unit:
                    rate.per_unit = read_int(&inner)
                elif inner.field == TaxRate_inclusive:
                    rate.inclusive = read_int(&inner) != 0
                elif inner.field == TaxRate_on:
                    named = read_span(&inner)
                    for i in range(at.rate_count):
                        if span_equal(at.rates[i].name, named):
                            rate.base |= 1 << i
                elif inner.field == TaxRate_from_ns:
                    rate.from_ns = read_int(&inner)
                elif inner.field == TaxRate_to_ns:
                    rate.to_ns = read_int(&inner)
                else:
                    skip_field(&inner)
            if inner.bad or not 0 <= rate.rate_ppb <= 10 * <int64_t>PERCENT_SCALE or rate.per_unit < 0:
                return False
            at.rate_count += 1
        else:
            skip_field(&reader)
    for i in range(at.rate_count):
        rate = &at.rates[i]
        rate.key = _key(taxes, rate.name if rate.name.size > 0 else at.id, rate.inclusive, rate.name.size > 0)
    taxes.class_count += 1
    return not reader.bad and at.id.size > 0


cdef void _form(TaxClass* at, int64_t now_ns) noexcept nogil:
    """The slope and step of each rate that is live now, over one denominator."""
    cdef int64_t i, j
    cdef Rate* rate
    cdef int128[8] slope_over, step_over
    cdef int128 common = 1, sum_slopes, sum_steps, shared
    if at.formed and at.formed_ns == now_ns:
        return
    at.formed = True
    at.formed_ns = now_ns
    at.by_quantity = False
    for i in range(at.rate_count):
        rate = &at.rates[i]
        at.live[i] = now_ns == 0 or (
            now_ns >= rate.from_ns and (rate.to_ns == 0 or now_ns < rate.to_ns)
        )
        at.slopes[i] = at.steps[i] = 0
        slope_over[i] = step_over[i] = 1
        if not at.live[i]:
            continue
        if rate.per_unit != 0:
            at.by_quantity = True
            at.steps[i] = rate.per_unit
            continue
        sum_slopes = common
        sum_steps = 0
        for j in range(i):
            if at.live[j] and rate.base >> j & 1:
                sum_slopes += at.slopes[j] * (common / slope_over[j])
                sum_steps += at.steps[j] * (common / step_over[j])
        at.slopes[i] = rate.rate_ppb * sum_slopes
        at.steps[i] = rate.rate_ppb * sum_steps
        slope_over[i] = step_over[i] = PERCENT_SCALE * common
        shared = _gcd(at.slopes[i], slope_over[i])
        at.slopes[i] /= shared
        slope_over[i] /= shared
        shared = _gcd(at.steps[i], step_over[i])
        at.steps[i] /= shared
        step_over[i] /= shared
        common = common / _gcd(common, slope_over[i]) * slope_over[i]
        common = common / _gcd(common, step_over[i]) * step_over[i]
    at.denominator = at.inside = common
    at.inside_steps = 0
    for i in range(at.rate_count):
        at.slopes[i] *= common / slope_over[i]
        at.steps[i] *= common / step_over[i]
        if at.live[i] and at.rates[i].inclusive:
            at.inside += at.slopes[i]
            at.inside_steps += at.steps[i]


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


cdef void _touch_keys(Taxes* taxes, TaxClass* at) noexcept nogil:
    cdef int64_t i
    cdef TaxKey* key
    for i in range(at.rate_count):
        key = &taxes.keys[at.rates[i].key]
        if at.live[i] and not key.seen:
            key.seen = True
            key.tax = key.net = key.whole = 0
            key.numerator = 0
            key.denominator = 1
            taxes.order = <int64_t*>room_for(
                taxes.order, &taxes.order_capacity, taxes.order_count + 1, sizeof(int64_t)
            )
            taxes.order[taxes.order_count] = at.rates[i].key
            taxes.order_count += 1


cdef void _book(
    Taxes* taxes, TaxClass* at, Rules* rules, int64_t amount, int64_t qty_milli, int64_t times, int64_t place
) noexcept nogil:
    """Round the taxes of one amount and book them `times` times on line or charge `place`."""
    cdef int128[8] parts
    cdef int128[8] inside
    cdef int128 net, over
    cdef int64_t[8] found
    cdef int64_t[8] shares
    cdef int64_t i, count = 0, rest
    cdef TaxKey* key
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
        if not at.live[i]:
            continue
        key = &taxes.keys[at.rates[i].key]
        key.tax += found[i] * times
        key.net += <int64_t>divide(net, over, HALF_UP) * times
        if at.rates[i].inclusive:
            taxes.included[place] += found[i] * times
            taxes.tax_included += found[i] * times
        else:
            taxes.added[place] += found[i] * times
            taxes.tax_added += found[i] * times


cdef void _add_exact(TaxKey* key, int128 numerator, int128 denominator) noexcept nogil:
    # key += numerator / denominator, whole parts apart so that the fraction stays small.
    cdef int128 shared
    key.whole += <int64_t>(numerator / denominator)
    numerator %= denominator
    shared = _gcd(numerator, denominator)
    numerator /= shared
    denominator /= shared
    shared = _gcd(key.denominator, denominator)
    key.numerator = key.numerator * (denominator / shared) + numerator * (key.denominator / shared)
    key.denominator = key.denominator / shared * denominator
    key.whole += <int64_t>(key.numerator / key.denominator)
    key.numerator %= key.denominator


cdef int64_t _rounded(TaxKey* key, int rounding) noexcept nogil:
    return <int64_t>divide(key.whole * key.denominator + key.numerator, key.denominator, rounding)


cdef void _line_amount(Basket* basket, Rules* rules, int64_t line, int64_t* amount) noexcept nogil:
    # What the taxes of a line are computed on: what a vendor pays stays in.
    cdef int32_t at = <int32_t>line
    cdef Segment* segment
    amount[0] = 0
    while at != NO_SYMBOL:
        segment = &basket.segments[at]
        amount[0] += (
            segment.original if rules.tax_before_discount else segment.price + segment.vendor
        ) * segment.count
        at = segment.next
    amount[0] *= basket.lines[line].sign


cdef int64_t _charge_amount(Basket* basket, Rules* rules, int64_t charge) noexcept nogil:
    if rules.tax_before_discount:
        return basket.input_charges[charge].amount
    return basket.charges[charge].amount + basket.charges[charge].vendor


cdef void taxes_compute(Taxes* taxes, Basket* basket, Rules* rules, bint with_charges) noexcept nogil:
    """All taxes of the basket as it stands, by name, by line and in sum."""
    cdef int64_t i, lines = basket.input_line_count, places, amount, qty
    cdef int64_t charges = basket.charge_count if with_charges else 0
    cdef int32_t at
    cdef Segment* segment
    cdef TaxClass* rated
    places = lines + charges
    taxes.added = <int64_t*>room_for(taxes.added, &taxes.added_capacity, places, sizeof(int64_t))
    taxes.included = <int64_t*>room_for(taxes.included, &taxes.included_capacity, places, sizeof(int64_t))
    memset(taxes.added, 0, places * sizeof(int64_t))
    memset(taxes.included, 0, places * sizeof(int64_t))
    taxes.tax_added = taxes.tax_included = taxes.order_count = 0
    for i in range(taxes.key_count):
        taxes.keys[i].seen = False
    for i in range(taxes.class_count):
        taxes.classes[i].touched = False
        taxes.classes[i].gross = taxes.classes[i].qty_milli = 0
    for i in range(places):
        at = basket.input_lines[i].tax_class if i < lines else basket.input_charges[i - lines].tax_class
        if at == NO_SYMBOL:
            continue
        rated = &taxes.classes[at]
        _form(rated, basket.at_ns)
        _touch_keys(taxes, rated)
        if i >= lines:
            amount = _charge_amount(basket, rules, i - lines)
            qty = 1000
        elif rules.tax_round_at == PLACE_UNIT:
            at = <int32_t>i
            while at != NO_SYMBOL:
                segment = &basket.segments[at]
                amount = segment.original if rules.tax_before_discount else segment.price + segment.vendor
                qty = basket.lines[i].qty_milli if segment.lump else 1000
                _book(
                    taxes, rated, rules, amount * basket.lines[i].sign, qty * basket.lines[i].sign, segment.count, i
                )
                at = segment.next
            continue
        else:
            _line_amount(basket, rules, i, &amount)
            qty = basket.lines[i].qty_milli * basket.lines[i].sign
        if rules.tax_round_at == PLACE_SET:
            rated.touched = True
            rated.gross += amount
            rated.qty_milli += qty
        else:
            _book(taxes, rated, rules, amount, qty, 1, i)
    if rules.tax_round_at == PLACE_SET:
        _compute_total(taxes, basket, rules, places)


cdef void _compute_total(Taxes* taxes, Basket* basket, Rules* rules, int64_t places) noexcept nogil:
    """round_at total: each named tax summed exactly over all lines and rounded once."""
    cdef int64_t i, j, lines = basket.input_line_count, left, best, inside = 0
    cdef int128[8] parts
    cdef int128[64] weights
    cdef int64_t[64] shares
    cdef int128 net, over, rest, sum_, best_rest, whole
    cdef TaxClass* rated
    cdef TaxKey* key
    cdef TaxKey all_net
    cdef int128 gross = 0
    cdef int32_t at
    cdef bint has_inclusive
    memset(&all_net, 0, sizeof(TaxKey))
    all_net.denominator = 1
    for i in range(taxes.class_count):
        rated = &taxes.classes[i]
        if not rated.touched:
            continue
        _parts(rated, rated.gross, rated.qty_milli, parts, &net, &over)
        has_inclusive = False
        for j in range(rated.rate_count):
            if rated.live[j]:
                key = &taxes.keys[rated.rates[j].key]
                _add_exact(key, parts[j], over)
                key.net += <int64_t>divide(net, over, HALF_UP)
                has_inclusive = has_inclusive or rated.rates[j].inclusive
        if has_inclusive:
            gross += rated.gross
            _add_exact(&all_net, net, over)
    for i in range(taxes.order_count):
        key = &taxes.keys[taxes.order[i]]
        key.tax = _rounded(key, rules.tax_rounding)
        if key.inclusive and inside < 64:
            # Weights with enough digits to share by; the whole part leads.
            weights[inside] = ((<int128>key.whole << 40) + (key.numerator << 40) / key.denominator)
            inside += 1
    if rules.tax_round_net and inside > 0:
        _share(<int64_t>gross - _rounded(&all_net, rules.tax_rounding), weights, shares, inside)
        inside = 0
        for i in range(taxes.order_count):
            key = &taxes.keys[taxes.order[i]]
            if key.inclusive:
                key.tax = shares[inside]
                inside += 1
    for i in range(taxes.order_count):
        key = &taxes.keys[taxes.order[i]]
        if key.inclusive:
            taxes.tax_included += key.tax
        else:
            taxes.tax_added += key.tax
    # Each line's share of what is added: its exact part rounded down, the rest to the largest remainders.
    left = taxes.tax_added
    for i in range(places):
        at = basket.input_lines[i].tax_class if i < lines else basket.input_charges[i - lines].tax_class
        if at == NO_SYMBOL:
            continue
        _exact_added(taxes, basket, rules, i, &sum_, &over)
        whole = sum_ / over
        if sum_ < 0 and whole * over != sum_:
            whole -= 1
        taxes.added[i] = <int64_t>whole
        left -= taxes.added[i]
        taxes.included[i] = 0
    while left > 0:
        best = -1
        best_rest = 0
        for i in range(places):
            at = basket.input_lines[i].tax_class if i < lines else basket.input_charges[i - lines].tax_class
            if at == NO_SYMBOL:
                continue
            _exact_added(taxes, basket, rules, i, &sum_, &over)
            rest = sum_ - taxes.added[i] * over
            rest = (rest << 32) / over if rest < (<int128>1 << 90) else rest
            if best < 0 or rest > best_rest:
                best = i
                best_rest = rest
        if best < 0:
            break
        taxes.added[best] += 1
        left -= 1


cdef void _exact_added(
    Taxes* taxes, Basket* basket, Rules* rules, int64_t place, int128* sum_, int128* over
) noexcept nogil:
    cdef int64_t lines = basket.input_line_count, amount, qty, j
    cdef int128[8] parts
    cdef int128 net
    cdef TaxClass* rated
    if place < lines:
        rated = &taxes.classes[basket.input_lines[place].tax_class]
        _line_amount(basket, rules, place, &amount)
        qty = basket.lines[place].qty_milli * basket.lines[place].sign
    else:
        rated = &taxes.classes[basket.input_charges[place - lines].tax_class]
        amount = _charge_amount(basket, rules, place - lines)
        qty = 1000
    _parts(rated, amount, qty, parts, &net, over)
    sum_[0] = 0
    for j in range(rated.rate_count):
        if rated.live[j] and not rated.rates[j].inclusive:
            sum_[0] += parts[j]


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
            _form(rated, basket.at_ns)
            over = rated.inside
            for j in range(rated.rate_count):
                if rated.live[j] and not rated.rates[j].inclusive:
                    extra += rated.slopes[j]
        _add_exact(&sum_, one * (over + extra), over)
    one = <int128>sum_.whole * sum_.denominator + sum_.numerator  # the value with added tax, over the denominator
    if one <= 0:
        return 0
    return <int64_t>divide(amount * value * sum_.denominator, one, HALF_UP)
