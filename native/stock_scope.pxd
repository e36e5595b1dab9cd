# Where a request looks, and how many units of an item are there for it.
#
# What a plan has promised or given back so far is in two tallies, so an answer is as if it were carried out.
from libc.stdint cimport int32_t, int64_t

from ringup.native.stock_kits cimport Kits
from ringup.native.stock_tally cimport Entry, Tally, tally_find

cdef extern from *:
    """
    #define PROMISED_MILLI_MAX 1000000000000000LL  /* promises beyond stock: 10^12 pieces of an item at most */
    """
    const int64_t PROMISED_MILLI_MAX

cdef struct Want:  # the sum of a request's lines of one item, at one named place or anywhere
    int64_t item
    int64_t location  # -1: anywhere in the scope
    int64_t qty_milli
    int64_t line  # the first of them
    int32_t kit  # of an order's units: row + 1 of the version of the kit that they are parts of; 0: any

cdef struct Place:  # a place in the order in which it is asked
    int64_t location
    int64_t value
    int64_t order

cdef struct ScopeIn:  # where a request looks; its places are in Scopes.places
    int64_t channel  # symbol row, or -1: there is no channel
    int64_t buffer_milli
    int64_t collection_point  # location row, or -1
    int64_t place_count
    int sourcing
    bint by_channel  # the channel's own list

cdef inline int64_t key_of_place(int64_t item, int64_t location) noexcept nogil:
    # A position that does not exist yet; keys of positions are not below zero.
    return -1 - ((item << 31) | location)

cdef inline int64_t key_of_quota(int64_t item, int64_t symbol) noexcept nogil:
    return (item << 31) | (symbol + 1)

cdef inline int64_t sum_at(Tally* tally, int64_t key) noexcept nogil:
    cdef Entry* found
    if tally.count == 0:
        return 0
    found = tally_find(tally, key)
    return 0 if found == NULL else found.sum_milli

cdef class Scopes(Kits):
    cdef Place* places  # scratch: of the scope at hand
    cdef int64_t place_capacity
    cdef Tally delta  # scratch: by position (or place without one), free units to come
    cdef Tally quota_delta  # scratch: by (item, channel) and by item, preorders to come

    cdef void scope_begin(self, ScopeIn* scope) noexcept nogil
    cdef void scope_add(self, ScopeIn* scope, int64_t location) noexcept nogil
    cdef int scope_channel(self, ScopeIn* scope, int64_t symbol) noexcept nogil
    cdef void scope_collect_at(self, ScopeIn* scope, int64_t location) noexcept nogil

    cdef void deltas_clear(self) noexcept nogil
    cdef bint place_open(self, int64_t item, int64_t location) noexcept nogil
    cdef int64_t planned_free(self, int64_t item, int64_t location) noexcept nogil
    cdef int64_t available(self, int64_t item, bint tracked, ScopeIn* scope) noexcept nogil
    cdef bint owes_too_much(self, int64_t item, int64_t qty_milli, ScopeIn* scope) noexcept nogil
    cdef int64_t preorder_left(self, int64_t item, int64_t symbol) noexcept nogil
