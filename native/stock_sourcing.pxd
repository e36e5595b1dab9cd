# In which order places are asked for units, and the positions of a place emptied.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.stock_promise cimport Promises
from ringup.native.stock_scope cimport Place, ScopeIn, Want, sum_at
from ringup.native.stock_tally cimport Tally

cdef class Sourcing(Promises):
    cdef Place* asked  # scratch: open places in the order in which they are asked
    cdef int64_t asked_capacity
    cdef int64_t asked_count
    cdef Place* kit_places  # scratch: places in the order in which they are asked for a kit
    cdef int64_t kit_place_capacity
    cdef int64_t kit_place_count
    cdef Tally cover  # scratch: by want, what the places ordered so far cover
    cdef int64_t* lot_order  # scratch: positions of a place in removal order
    cdef int64_t lot_capacity

    cdef void order_places(self, int64_t item, ScopeIn* scope) noexcept nogil
    cdef void order_by_cover(self, const Want* wants, int64_t count, ScopeIn* scope) noexcept nogil
    cdef int64_t planned_value(self, int64_t item, int64_t location) noexcept nogil
    cdef void order_kit_places(self, int64_t kit, ScopeIn* scope) noexcept nogil
    cdef int64_t kits_value(self, int64_t kit, int64_t location) noexcept nogil
    cdef int64_t removal_order(self, int64_t item, int64_t location) noexcept nogil
    cdef bint leaves_before(self, int64_t a, int64_t b, uint32_t removal) noexcept nogil
