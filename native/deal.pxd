# The best deal: the mix of offers with the greatest total discount, each unit in at most one application.
from libc.stdint cimport int64_t

from ringup.native.pricing_state cimport Basket
from ringup.native.promotion cimport Snapshot

cdef void best_stage(Basket* basket, Snapshot snapshot, int64_t first, int64_t end) noexcept nogil
