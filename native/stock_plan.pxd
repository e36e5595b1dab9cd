# Where promised units come from: scopes, what is available in them, and plans that change nothing.
#
# A plan is made on tallies of changes that are not made yet: units of a hold that is being replaced
# count as free again, units planned for an earlier line no longer do.  Only a plan that fits is applied.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from ringup.native.stock_kits cimport Kits
from ringup.native.stock_positions cimport PositionRow
from ringup.native.stock_tally cimport Tally
from ringup.native.table cimport Table

cdef extern from *:
    """
    #define PROMISED_MILLI_MAX 1000000000000000LL  /* promises beyond stock: 10^12 pieces of an item at most */
    """
    const int64_t PROMISED_MILLI_MAX

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

cdef struct ScopeIn:  # where a request looks; its places are in Planner.places
    int64_t channel  # symbol row, or -1: there is no channel
    int64_t buffer_milli
    int64_t collection_point  # location row, or -1
    int64_t place_count
    int sourcing
    bint by_channel  # the channel's own list

cdef class Planner(Kits):
    cdef Place* places  # scratch: of the scope at hand
    cdef int64_t place_capacity
    cdef Place* asked  # scratch: open places in the order in which they are asked
    cdef int64_t asked_capacity
    cdef int64_t asked_count
    cdef Entry* plan_entries  # scratch: the plan
    cdef int64_t plan_count
    cdef int64_t plan_capacity
    cdef Place* kit_places  # scratch: places in the order in which they are asked for a kit
    cdef int64_t kit_place_capacity
    cdef int64_t kit_place_count
    cdef int64_t* short_wants  # scratch: wants that were short
    cdef int64_t* short_items  # scratch: the item that was: the want's own, or a part of it
    cdef int64_t short_item_capacity
    cdef int64_t short_count
    cdef int64_t short_capacity
    cdef int64_t short_available_milli  # what the first short want could have had
    cdef Tally delta  # scratch: by position (or place without one), free units to come
    cdef Tally quota_delta  # scratch: by (item, channel) and by item, preorders to come
    cdef Tally cover  # scratch: by want, what the places ordered so far cover
    cdef int64_t* lot_order  # scratch: positions of a place in removal order
    cdef int64_t lot_capacity

    cdef void scope_begin(self, ScopeIn* scope) noexcept nogil
    cdef void scope_add(self, ScopeIn* scope, int64_t location) noexcept nogil
    cdef int scope_channel(self, ScopeIn* scope, int64_t symbol) noexcept nogil
    cdef void scope_collect_at(self, ScopeIn* scope, int64_t location) noexcept nogil

    cdef void plan_begin(self) noexcept nogil
    cdef void plan_give_back(self, const Entry* entry) noexcept nogil
    cdef void plan_arrival(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil
    cdef bint place_open(self, int64_t item, int64_t location) noexcept nogil
    cdef int64_t planned_free(self, int64_t item, int64_t location) noexcept nogil
    cdef int64_t available(self, int64_t item, bint tracked, ScopeIn* scope) noexcept nogil
    cdef int64_t ready_available(self, int64_t item, bint tracked, int64_t channel) noexcept nogil
    cdef bint sells_anywhere(self, int64_t item, int64_t channel) noexcept nogil
    cdef bint serves(self, int64_t location, int64_t channel) noexcept nogil
    cdef int64_t preorder_left(self, int64_t item, int64_t symbol) noexcept nogil
    cdef bint owes_too_much(self, int64_t item, int64_t qty_milli, ScopeIn* scope) noexcept nogil
    cdef void order_places(self, int64_t item, ScopeIn* scope) noexcept nogil
    cdef void order_by_cover(self, const Want* wants, int64_t count, ScopeIn* scope) noexcept nogil
    cdef bint sells(self, int64_t item, int64_t qty_milli, bint measured) noexcept nogil
    cdef int64_t most_sellable(self, int64_t item, int64_t available_milli, bint measured) noexcept nogil
    cdef void plan_take(self, int64_t item, int64_t qty_milli, bint tracked, ScopeIn* scope) noexcept nogil
    cdef bint plan_at_one_place(self, const Want* want, ScopeIn* scope) noexcept nogil
    cdef bint plan(self, const Want* wants, int64_t count, ScopeIn* scope, bint partial) noexcept nogil
    cdef void plan_take_at(self, int64_t item, int64_t location, int64_t* qty_milli) noexcept nogil
    cdef void plan_owe(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil
    cdef void add_short(self, int64_t want, int64_t item, int64_t available_milli) noexcept nogil
    # Kits.
    cdef int64_t promisable(self, int64_t item, ScopeIn* scope) noexcept nogil
    cdef bint binds(self, int64_t item, bint owing) noexcept nogil
    cdef int64_t kits_bound(self, int64_t kit, ScopeIn* scope) noexcept nogil
    cdef int64_t kits_at(self, int64_t kit, int64_t location, bint owing) noexcept nogil
    cdef bint kit_together(self, int64_t kit) noexcept nogil
    cdef int64_t kits_promisable(self, int64_t kit, ScopeIn* scope) noexcept nogil
    cdef int64_t kits_value(self, int64_t kit, int64_t location) noexcept nogil
    cdef void order_kit_places(self, int64_t kit, ScopeIn* scope) noexcept nogil
    cdef void plan_kits_at(self, int64_t kit, int64_t location, int64_t kits) noexcept nogil
    cdef void plan_kits(self, int64_t kit, int64_t kits, ScopeIn* scope) noexcept nogil
    cdef int64_t plan_kit_want(self, int64_t want, int64_t item, int64_t qty_milli, ScopeIn* scope) noexcept nogil
    cdef int64_t planned_value(self, int64_t item, int64_t location) noexcept nogil
    cdef Entry* add_entry(self) noexcept nogil
    cdef bint leaves_before(self, int64_t a, int64_t b, uint32_t removal) noexcept nogil
    cdef int64_t removal_order(self, int64_t item, int64_t location) noexcept nogil
    cdef void plan_free(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil
    cdef int64_t owing_position(self, int64_t item, int64_t location) noexcept nogil
