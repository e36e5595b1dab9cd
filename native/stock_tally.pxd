# Sums by key for one command: an item that stands on several lines is one demand.
#
# Scratch memory: cleared at no cost (a new stamp), kept between commands, never state.
from libc.stdint cimport int64_t

cdef struct Entry:
    int64_t key
    int64_t stamp
    int64_t sum_milli
    int64_t spare_milli  # a second sum of the user's choice

cdef struct Tally:
    Entry* entries
    int64_t* order  # of the slots in use: keys in the order of their first use
    int64_t count
    int64_t mask
    int64_t stamp

cdef void tally_grow(Tally* tally) noexcept nogil

cdef inline void tally_clear(Tally* tally) noexcept nogil:
    """Forget all keys."""
    if tally.entries == NULL:
        tally_grow(tally)
    tally.count = 0
    tally.stamp += 1

cdef Entry* tally_at(Tally* tally, int64_t key) noexcept nogil
cdef Entry* tally_find(Tally* tally, int64_t key) noexcept nogil
cdef void tally_free(Tally* tally) noexcept nogil
