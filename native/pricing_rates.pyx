"""Tax classes as pricing sees them (see pricing_rates.pxd for the arithmetic)."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from ringup.native.arrays cimport room_for
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
from ringup.native.limits cimport PERCENT_SCALE, PRICE_MINOR_MAX
from ringup.native.money cimport int128
from ringup.native.promotion cimport NO_SYMBOL
from ringup.native.wire cimport Reader, Span, next_field, read_int, read_span, reader_of, skip_field, span_equal

# Bounds within which 128 bits hold every product of a form with an amount: see `form_rates`.
cdef int128 _DENOMINATOR_MAX = <int128>1 << 60
cdef int128 _DENOMINATOR_MAX_BY_QUANTITY = 1000000000
cdef int128 _SLOPE_MAX = 1000  # all taxes of a class together are at most this many times the net amount
cdef int128 _SLOPE_MAX_BY_QUANTITY = 16


cdef int128 common_divisor(int128 a, int128 b) noexcept nogil:
    cdef int128 rest
    if a < 0:
        a = -a
    while b != 0:
        rest = a % b
        a = b
        b = rest
    return a


cdef void taxes_clear(Taxes* taxes) noexcept nogil:
    """Forget all classes; the memory stays."""
    memset(taxes.classes, 0, taxes.class_capacity * sizeof(TaxClass))
    taxes.class_count = taxes.key_count = taxes.place_count = taxes.part_count = 0
    taxes.tax_added = taxes.tax_included = taxes.order_count = taxes.touched_count = 0
    taxes.beyond = False


cdef void taxes_free(Taxes* taxes) noexcept nogil:
    free(taxes.classes)
    free(taxes.keys)
    free(taxes.places)
    free(taxes.parts)
    free(taxes.rests)
    free(taxes.touched)
    free(taxes.order)
    memset(taxes, 0, sizeof(Taxes))


cdef void taxes_make_room(Taxes* taxes, int64_t classes) noexcept nogil:
    """Have `classes` classes; the new ones are not loaded."""
    taxes.classes = <TaxClass*>room_for(taxes.classes, &taxes.class_capacity, classes, sizeof(TaxClass))
    taxes.class_count = classes


cdef int32_t tax_class_row(Taxes* taxes, Span id) noexcept nogil:
    cdef int64_t i
    for i in range(taxes.class_count):
        if span_equal(taxes.classes[i].id, id):
            return <int32_t>i
    return NO_SYMBOL


cdef int32_t _key(Taxes* taxes, Span name, int32_t symbol, bint inclusive, bint shared) noexcept nogil:
    # The named tax; taxes of one name share it, an unnamed tax has its own.
    cdef int64_t i
    cdef TaxKey* key
    for i in range(taxes.key_count if shared else 0):
        key = &taxes.keys[i]
        if key.inclusive == inclusive and key.symbol == symbol and (
            symbol != NO_SYMBOL or span_equal(key.name, name)
        ):
            return <int32_t>i
    taxes.keys = <TaxKey*>room_for(taxes.keys, &taxes.key_capacity, taxes.key_count + 1, sizeof(TaxKey))
    key = &taxes.keys[taxes.key_count]
    memset(key, 0, sizeof(TaxKey))
    key.name = name
    key.symbol = symbol
    key.inclusive = inclusive
    taxes.key_count += 1
    return <int32_t>(taxes.key_count - 1)


cdef Rate* add_rate(
    TaxClass* at, int32_t symbol, int64_t rate_ppb, int64_t per_unit, bint inclusive, int32_t base
) noexcept nogil:
    """Add a rate that is always live to a class that has room."""
    cdef Rate* rate = &at.rates[at.rate_count]
    memset(rate, 0, sizeof(Rate))
    rate.symbol = symbol
    rate.rate_ppb = rate_ppb
    rate.per_unit = per_unit
    rate.inclusive = inclusive
    rate.base = base
    at.rate_count += 1
    return rate


cdef void name_rates(Taxes* taxes, TaxClass* at) noexcept nogil:
    """Find or make the named tax of each rate."""
    cdef int64_t i
    cdef Rate* rate
    for i in range(at.rate_count):
        rate = &at.rates[i]
        if rate.symbol != NO_SYMBOL:
            rate.key = _key(taxes, rate.name, rate.symbol, rate.inclusive, True)
        else:
            rate.key = _key(
                taxes, rate.name if rate.name.size > 0 else at.id, NO_SYMBOL, rate.inclusive, rate.name.size > 0
            )


cdef bint taxes_read(Taxes* taxes, Span class_body) noexcept nogil:
    """Add one class from its TaxRates message; False when it is not sound."""
    cdef Reader reader = reader_of(class_body), inner
    cdef TaxClass* at
    cdef Rate* rate
    cdef Span named
    cdef int64_t i
    taxes_make_room(taxes, taxes.class_count + 1)
    at = &taxes.classes[taxes.class_count - 1]
    memset(at, 0, sizeof(TaxClass))
    while next_field(&reader):
        if reader.field == TaxRates_tax_class_id:
            at.id = read_span(&reader)
        elif reader.field == TaxRates_rates:
            if at.rate_count == RATES_MAX:
                return False
            inner = reader_of(read_span(&reader))
            rate = add_rate(at, NO_SYMBOL, 0, 0, False, 0)
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
                    for i in range(at.rate_count - 1):
                        if span_equal(at.rates[i].name, named):
                            rate.base |= 1 << i
                elif inner.field == TaxRate_from_ns:
                    rate.from_ns = read_int(&inner)
                elif inner.field == TaxRate_to_ns:
                    rate.to_ns = read_int(&inner)
                else:
                    skip_field(&inner)
            at.dated = at.dated or rate.from_ns or rate.to_ns
            if inner.bad or not 0 <= rate.rate_ppb <= 10 * <int64_t>PERCENT_SCALE:
                return False
            if not 0 <= rate.per_unit <= PRICE_MINOR_MAX:
                return False
        else:
            skip_field(&reader)
    name_rates(taxes, at)
    at.loaded = True
    return not reader.bad and at.id.size > 0


cdef void form_rates(TaxClass* at, int64_t now_ns) noexcept nogil:
    """The slope and step of each rate that is live now, over one denominator.

    `unfit` where that needs more digits than 128 bits hold: an amount has up to 10^15 minor units, and is
    multiplied with a slope, or twice with the denominator where a tax goes by quantity.
    """
    cdef int64_t i, j
    cdef Rate* rate
    cdef int128[8] slope_over, step_over
    cdef int128 common = 1, sum_slopes, sum_steps, shared, slopes = 0
    if at.formed and (not at.dated or at.formed_ns == now_ns):
        return
    at.formed = True
    at.formed_ns = now_ns
    at.by_quantity = at.unfit = at.narrow = False
    for i in range(at.rate_count):
        rate = &at.rates[i]
        at.live[i] = now_ns == 0 or (
            now_ns >= rate.from_ns and (rate.to_ns == 0 or now_ns < rate.to_ns)
        )
        at.slopes[i] = at.steps[i] = 0
        slope_over[i] = step_over[i] = 1
        if not at.live[i] or at.unfit:
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
        shared = common_divisor(at.slopes[i], slope_over[i])
        at.slopes[i] /= shared
        slope_over[i] /= shared
        shared = common_divisor(at.steps[i], step_over[i])
        at.steps[i] /= shared
        step_over[i] /= shared
        if slope_over[i] > _DENOMINATOR_MAX or step_over[i] > _DENOMINATOR_MAX:
            at.unfit = True
            continue
        common = common / common_divisor(common, slope_over[i]) * slope_over[i]
        if common > _DENOMINATOR_MAX:
            at.unfit = True
            continue
        common = common / common_divisor(common, step_over[i]) * step_over[i]
        at.unfit = common > _DENOMINATOR_MAX
    at.unfit = at.unfit or (at.by_quantity and common > _DENOMINATOR_MAX_BY_QUANTITY)
    if at.unfit:
        return
    at.denominator = at.inside = common
    at.inside_steps = 0
    for i in range(at.rate_count):
        at.slopes[i] *= common / slope_over[i]
        at.steps[i] *= common / step_over[i]
        slopes += at.slopes[i]
        if at.live[i] and at.rates[i].inclusive:
            at.inside += at.slopes[i]
            at.inside_steps += at.steps[i]
    at.unfit = slopes > (_SLOPE_MAX_BY_QUANTITY if at.by_quantity else _SLOPE_MAX) * common
    at.narrow = not at.by_quantity and at.inside < <int128>1 << 31 and slopes < 1 << 30
