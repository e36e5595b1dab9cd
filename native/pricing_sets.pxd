# Benefits that use units up in sets.
from libc.stdint cimport int64_t

from ringup.native.pricing_state cimport Basket, Pick
from ringup.native.promotion cimport Benefit, Snapshot

cdef int64_t bundles(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil
cdef int64_t components(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil
cdef int64_t cheapest_free(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil
cdef int64_t buy_get(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil
cdef int64_t give_bundle(
    Basket* basket, Snapshot snapshot, Benefit* benefit, Pick* pieces, int64_t count
) noexcept nogil
cdef int64_t bundle_worth(
    Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t value, int64_t room
) noexcept nogil
cdef void set_shortfall(
    Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t* found, int64_t* needed
) noexcept nogil
