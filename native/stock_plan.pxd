# Which units are promised: plans that change nothing.
from libc.stdint cimport int32_t, int64_t, uint8_t

from ringup.native.stock_scope cimport ScopeIn, Want
from ringup.native.stock_sourcing cimport Sourcing

cdef enum EntryKind:
    ENTRY_STOCK = 0  # on a position
    ENTRY_PREORDER = 1  # on the quota of a channel
    ENTRY_UNTRACKED = 2  # on nothing

# Units promised: a line of a plan, of a hold and of an order are the same thing.
cdef struct Entry:
    int64_t qty_milli
    int64_t position  # row; -1: to be made at `location`, or none
    int32_t item
    int32_t location  # -1: none
    int32_t channel  # symbol row + 1; 0: none
    uint8_t kind
    uint8_t owed  # beyond what was there
    int32_t kit  # row + 1 of the version of a kit that this is a part of; 0: none

cdef class Planner(Sourcing):
    cdef Entry* plan_entries  # scratch: the plan
    cdef int64_t plan_count
    cdef int64_t plan_capacity
    cdef int64_t* short_wants  # scratch: wants that were short
    cdef int64_t* short_items  # scratch: the item that was: the want's own, or a part of it
    cdef int64_t short_item_capacity
    cdef int64_t short_count
    cdef int64_t short_capacity
    cdef int64_t short_available_milli  # what the first short want could have had

    cdef void plan_begin(self) noexcept nogil
    cdef void plan_give_back(self, const Entry* entry) noexcept nogil
    cdef void plan_arrival(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil
    cdef Entry* add_entry(self) noexcept nogil
    cdef void add_short(self, int64_t want, int64_t item, int64_t available_milli) noexcept nogil
    cdef void plan_take(self, int64_t item, int64_t qty_milli, bint tracked, ScopeIn* scope) noexcept nogil
    cdef void plan_take_at(self, int64_t item, int64_t location, int64_t* qty_milli) noexcept nogil
    cdef void plan_owe(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil
    cdef int64_t owing_position(self, int64_t item, int64_t location) noexcept nogil
    cdef void plan_free(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil
    cdef bint plan_at_one_place(self, const Want* want, ScopeIn* scope) noexcept nogil
    cdef bint plan(self, const Want* wants, int64_t count, ScopeIn* scope, bint partial) noexcept nogil
    cdef void plan_kits_at(self, int64_t kit, int64_t location, int64_t kits) noexcept nogil
    cdef void plan_kits(self, int64_t kit, int64_t kits, ScopeIn* scope) noexcept nogil
    cdef int64_t plan_kit_want(self, int64_t want, int64_t item, int64_t qty_milli, ScopeIn* scope) noexcept nogil
