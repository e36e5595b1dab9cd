# The exact search of one component, with a budget in nodes.
from libc.stdint cimport int16_t, int32_t, int64_t

from ringup.native.deal_offers cimport CLASSES_MAX, USED_MAX, Search
from ringup.native.promotion cimport Snapshot

cdef struct Chosen:
    int32_t offer
    int64_t times
    int16_t[USED_MAX] used  # by part and member
    int32_t[CLASSES_MAX] members
    int64_t size

cdef bint load_component(Search* search, int64_t component) noexcept nogil
cdef void search_component(
    Search* search, Snapshot snapshot, Chosen** chosen, int64_t* count, int64_t* capacity, int64_t* bound
) noexcept nogil
