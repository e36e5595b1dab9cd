"""Sums by key for one command (see stock_tally.pxd)."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport abort, calloc, free

from ringup.native.index cimport hash_int


cdef void tally_grow(Tally* tally) noexcept nogil:
    """Make room for four times as many keys."""
    cdef Tally larger
    cdef int64_t i, size = 64 if tally.entries == NULL else (tally.mask + 1) * 4
    cdef Entry* old
    cdef Entry* new
    larger.entries = <Entry*>calloc(size, sizeof(Entry))
    larger.order = <int64_t*>calloc(size, sizeof(int64_t))
    if larger.entries == NULL or larger.order == NULL:
        abort()
    larger.mask = size - 1
    larger.count = 0
    larger.stamp = 1
    for i in range(tally.count):
        old = &tally.entries[tally.order[i]]
        new = tally_at(&larger, old.key)
        new.sum_milli, new.spare_milli = old.sum_milli, old.spare_milli
    tally_free(tally)
    tally[0] = larger


cdef Entry* tally_find(Tally* tally, int64_t key) noexcept nogil:
    """The entry of `key`, or NULL."""
    cdef int64_t at = <int64_t>(hash_int(<uint64_t>key) & <uint64_t>tally.mask)
    while tally.entries[at].stamp == tally.stamp:
        if tally.entries[at].key == key:
            return &tally.entries[at]
        at = (at + 1) & tally.mask
    return NULL


cdef Entry* tally_at(Tally* tally, int64_t key) noexcept nogil:
    """The entry of `key`, made with sums of zero if new; valid until the next call that makes one."""
    cdef int64_t at
    if (tally.count + 1) * 2 > tally.mask:
        tally_grow(tally)
    at = <int64_t>(hash_int(<uint64_t>key) & <uint64_t>tally.mask)
    while tally.entries[at].stamp == tally.stamp:
        if tally.entries[at].key == key:
            return &tally.entries[at]
        at = (at + 1) & tally.mask
    tally.order[tally.count] = at
    tally.count += 1
    tally.entries[at].key = key
    tally.entries[at].stamp = tally.stamp
    tally.entries[at].sum_milli = tally.entries[at].spare_milli = 0
    return &tally.entries[at]


cdef void tally_free(Tally* tally) noexcept nogil:
    """Give the memory back."""
    free(tally.entries)
    free(tally.order)
    tally.entries = NULL
    tally.order = NULL
    tally.count = tally.mask = 0
