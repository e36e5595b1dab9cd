# Which hold ends next: a binary heap by (deadline, hold number), derived from the holds.
#
# Hold numbers are unique, so the order of expiry does not depend on how the heap was filled: an
# engine that was restarted expires in the same order as one that was not.
from libc.stdint cimport int32_t, int64_t

cdef struct Deadline:
    int64_t at_ns
    int64_t number
    int64_t row

cdef struct Deadlines:
    Deadline* heap
    int64_t count
    int64_t capacity
    int32_t* place_of  # of each hold row in the heap, or -1
    int64_t place_capacity

cdef void deadlines_set(Deadlines* self, int64_t row, int64_t at_ns, int64_t number) noexcept nogil
cdef void deadlines_remove(Deadlines* self, int64_t row) noexcept nogil
cdef void deadlines_free(Deadlines* self) noexcept nogil
