# Quantities by date: search trees in which each node knows the sum below it, derived from rows.
#
# Any caller may expect goods of one item at one place on as many dates as it likes, so nothing may walk over all of
# them: each question and each change here costs the logarithm of how many there are.  A tree is known by the row of its
# root (-1: it is empty) and is ordered by (at, row).  It is a treap: the priority of a row is its keyed hash, so no
# caller can choose an order of dates that makes a tree deep, and no answer depends on the shape.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef struct DateNode:  # of the row with the same number
    uint64_t at
    int64_t qty_milli
    int64_t sum_milli  # with all below
    uint32_t priority  # not below those of the nodes below
    int32_t left  # row + 1; 0: none
    int32_t right

cdef struct Dates:
    DateNode* nodes
    int64_t capacity

cdef inline int64_t dates_sum(Dates* self, int64_t root) noexcept nogil:
    """What all dates have."""
    return 0 if root < 0 else self.nodes[root].sum_milli

cdef int64_t dates_until(Dates* self, int64_t root, uint64_t at) noexcept nogil
cdef int64_t dates_find(Dates* self, int64_t root, uint64_t at) noexcept nogil
cdef int64_t dates_first(Dates* self, int64_t root) noexcept nogil
cdef int64_t dates_add(Dates* self, int64_t root, int64_t row, uint64_t at, int64_t qty_milli) noexcept nogil
cdef int64_t dates_remove(Dates* self, int64_t root, int64_t row) noexcept nogil
cdef void dates_change(Dates* self, int64_t root, int64_t row, int64_t qty_milli) noexcept nogil
cdef void dates_free(Dates* self) noexcept nogil
