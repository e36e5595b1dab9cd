# How a discount is laid on chosen units.
from libc.stdint cimport int32_t, int64_t

from ringup.native.limits cimport PERCENT_SCALE
from ringup.native.money cimport HALF_UP, multiply_divide
from ringup.native.pricing_state cimport Basket, Pick, Segment
from ringup.native.promotion cimport Rules, Snapshot

cdef inline int64_t percent_of(int64_t value, int64_t rate_ppb, Rules* rules) noexcept nogil:
    """The discount of a rate on a value: rounded itself, or as what the rounded new price leaves."""
    if rules.round_new_price:
        return value - multiply_divide(value, PERCENT_SCALE - rate_ppb, PERCENT_SCALE, rules.rounding)
    return multiply_divide(value, rate_ppb, PERCENT_SCALE, rules.rounding)

cdef inline int64_t by_quantity(Basket* basket, int32_t segment, int64_t each) noexcept nogil:
    """An amount per unit; for a measured line by its quantity."""
    if not basket.segments[segment].lump:
        return each
    return multiply_divide(each, basket.lines[basket.segments[segment].line].qty_milli, 1000, HALF_UP)

cdef inline int64_t room_each(Basket* basket, int32_t segment) noexcept nogil:
    """How much each unit can still be discounted: to its floor, and never below zero."""
    cdef Segment* at = &basket.segments[segment]
    return max(at.price - max(at.floor, 0), 0)

cdef inline int64_t room_of(Basket* basket, Pick* pick) noexcept nogil:
    """How much the picked units can still be discounted together."""
    return room_each(basket, pick.segment) * pick.count

cdef inline int place_of(Snapshot snapshot, int default) noexcept nogil:
    """Where a rate is rounded: as the rules say, else where the benefit does by itself."""
    return snapshot.rules.percent_round_at if snapshot.rules.percent_round_at != 0 else default

cdef void off_each(Basket* basket, Pick* pick, int64_t each) noexcept nogil
cdef void percent_off(
    Basket* basket, Snapshot snapshot, Pick* picks, int64_t count, int64_t rate_ppb, int place, bint original,
    bint has_cap, int64_t cap, int64_t negative
) noexcept nogil
cdef int64_t spread_line(Basket* basket, Pick* picks, int64_t count, int64_t amount) noexcept nogil
cdef int64_t spread(
    Basket* basket, Pick* picks, int64_t count, int64_t amount, bint with_charges, const int32_t* charges,
    int64_t charge_count
) noexcept nogil
cdef void shrink(Basket* basket, int64_t mark, int64_t most) noexcept nogil
