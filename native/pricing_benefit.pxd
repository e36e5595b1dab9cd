# What a promotion gives: each benefit as a function on the running basket.
from libc.stdint cimport int32_t, int64_t

from ringup.native.pricing_state cimport Basket, Pick
from ringup.native.promotion cimport Benefit, Rules, Snapshot

cdef int64_t percent_of(int64_t value, int64_t rate_ppb, Rules* rules) noexcept nogil
cdef int64_t apply_benefit(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil
cdef int32_t take(Basket* basket, Pick* pick, int64_t count) noexcept nogil
cdef int64_t give_bundle(
    Basket* basket, Snapshot snapshot, Benefit* benefit, Pick* pieces, int64_t count
) noexcept nogil
cdef int64_t bundle_worth(
    Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t value, int64_t room
) noexcept nogil
cdef void sort_listed(Basket* basket, Pick* picks, int64_t count) noexcept nogil
cdef void set_shortfall(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t* found, int64_t* needed) noexcept nogil
