# Which units a target means.
from libc.stdint cimport int32_t, int64_t

from ringup.native.pricing_state cimport Basket, Pick, cut
from ringup.native.promotion cimport Snapshot

cdef enum:
    UNITS_ANY = 0
    UNITS_OPEN = 1  # in no application of the best deal at hand
    UNITS_IN_NO_SET = 2

cdef inline bint touches(Basket* basket, Snapshot snapshot, int32_t target) noexcept nogil:
    return snapshot.targets[target].all or basket.stamps[target] == basket.epoch

cdef inline int32_t take(Basket* basket, Pick* pick, int64_t count) noexcept nogil:
    """Cut `count` units off the pick as a segment of their own; the pick goes on behind them."""
    cdef int32_t segment = pick.segment
    cdef int32_t rest = cut(basket, segment, count)
    pick.count -= count
    pick.segment = rest
    return segment

cdef int64_t choose(
    Basket* basket, Snapshot snapshot, int32_t target, int pick, int open_to, bint for_benefit
) noexcept nogil
cdef void sort_picks(Basket* basket, Pick* picks, int64_t count, int pick) noexcept nogil
cdef void sort_listed(Basket* basket, Pick* picks, int64_t count) noexcept nogil
cdef int64_t returned_value(Basket* basket, Snapshot snapshot, int32_t target) noexcept nogil
