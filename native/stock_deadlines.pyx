"""Which hold ends next (see stock_deadlines.pxd)."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport abort, free, realloc


cdef inline bint _before(const Deadline* a, const Deadline* b) noexcept nogil:
    return a.at_ns < b.at_ns or (a.at_ns == b.at_ns and a.number < b.number)


cdef inline void _put(Deadlines* self, int64_t place, Deadline deadline) noexcept nogil:
    self.heap[place] = deadline
    self.place_of[deadline.row] = <int32_t>place


cdef void _settle(Deadlines* self, int64_t place, Deadline deadline) noexcept nogil:
    # `place` is a hole: move it up, or down, to where `deadline` belongs.
    cdef int64_t child, parent
    while place > 0:
        parent = (place - 1) // 2
        if not _before(&deadline, &self.heap[parent]):
            break
        _put(self, place, self.heap[parent])
        place = parent
    while True:
        child = 2 * place + 1
        if child >= self.count:
            break
        if child + 1 < self.count and _before(&self.heap[child + 1], &self.heap[child]):
            child += 1
        if not _before(&self.heap[child], &deadline):
            break
        _put(self, place, self.heap[child])
        place = child
    _put(self, place, deadline)


cdef void _reserve(Deadlines* self, int64_t row) noexcept nogil:
    cdef int64_t at, capacity
    if row >= self.place_capacity:
        capacity = max(row + 1, self.place_capacity * 2, 64)
        self.place_of = <int32_t*>realloc(self.place_of, capacity * sizeof(int32_t))
        if self.place_of == NULL:
            abort()
        for at in range(self.place_capacity, capacity):
            self.place_of[at] = -1
        self.place_capacity = capacity
    if self.count + 1 > self.capacity:
        self.capacity = max(self.capacity * 2, 64)
        self.heap = <Deadline*>realloc(self.heap, self.capacity * sizeof(Deadline))
        if self.heap == NULL:
            abort()


cdef void deadlines_set(Deadlines* self, int64_t row, int64_t at_ns, int64_t number) noexcept nogil:
    """Hold `row`, number `number`, ends at `at_ns`; zero means never.  An earlier deadline is replaced."""
    cdef Deadline deadline
    deadlines_remove(self, row)
    if at_ns == 0:
        return
    _reserve(self, row)
    deadline.at_ns = at_ns
    deadline.number = number
    deadline.row = row
    self.count += 1
    _settle(self, self.count - 1, deadline)


cdef void deadlines_remove(Deadlines* self, int64_t row) noexcept nogil:
    """Hold `row` has no deadline any more; it may have had none."""
    cdef int64_t place
    if row >= self.place_capacity or self.place_of[row] < 0:
        return
    place = self.place_of[row]
    self.place_of[row] = -1
    self.count -= 1
    if place < self.count:
        _settle(self, place, self.heap[self.count])


cdef void deadlines_free(Deadlines* self) noexcept nogil:
    """Forget all deadlines."""
    free(self.heap)
    free(self.place_of)
    self.heap = NULL
    self.place_of = NULL
    self.count = self.capacity = self.place_capacity = 0
