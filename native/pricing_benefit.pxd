# What a promotion gives: each benefit as a function on the running basket.
from libc.stdint cimport int64_t

from ringup.native.pricing_state cimport Basket
from ringup.native.promotion cimport Benefit, Snapshot

cdef int64_t apply_benefit(Basket* basket, Snapshot snapshot, Benefit* benefit, int64_t limit) noexcept nogil
