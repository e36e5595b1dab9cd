# The best mix laid on the basket.
from libc.stdint cimport int64_t

from ringup.native.deal_offers cimport Search
from ringup.native.promotion cimport Snapshot

cdef void lay_mix(Search* search, Snapshot snapshot, int64_t first, int64_t end, const char* playing) noexcept nogil
