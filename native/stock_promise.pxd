# How much of an item can be promised, and how many of a kit.
from libc.stdint cimport int64_t

from ringup.native.stock_scope cimport ScopeIn, Scopes

cdef class Promises(Scopes):
    cdef bint sells(self, int64_t item, int64_t qty_milli, bint measured) noexcept nogil
    cdef int64_t most_sellable(self, int64_t item, int64_t available_milli, bint measured) noexcept nogil
    cdef int64_t promisable(self, int64_t item, ScopeIn* scope) noexcept nogil
    cdef int64_t ready_available(self, int64_t item, bint tracked, int64_t channel) noexcept nogil
    cdef bint sells_anywhere(self, int64_t item, int64_t channel) noexcept nogil
    cdef bint serves(self, int64_t location, int64_t channel) noexcept nogil
    # Kits.
    cdef bint binds(self, int64_t item, bint owing) noexcept nogil
    cdef int64_t kits_bound(self, int64_t kit, ScopeIn* scope) noexcept nogil
    cdef int64_t kits_at(self, int64_t kit, int64_t location, bint owing) noexcept nogil
    cdef bint kit_together(self, int64_t kit) noexcept nogil
    cdef int64_t kits_promisable(self, int64_t kit, ScopeIn* scope) noexcept nogil
