# How items are promised: policies, preorder quotas, channels and their places,
# and the free units of each item on each channel, kept ready.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from ringup.native.catalog cimport LOCATION_DISABLED, Catalog
from ringup.native.index cimport Index, hash_int
from ringup.native.stock_incoming cimport Incoming
from ringup.native.stock_positions cimport PositionRow
from ringup.native.table cimport Table

cdef enum:
    SYMBOL_LOT = 16  # the kind of lot codes among the catalog's symbols
    SYMBOL_REORDER = 17  # that of rules for ordering goods
    POLICY_BACKORDER = 1  # without limit
    POLICY_COUNT_FLOOR = 2
    POLICY_PREORDER = 4
    CHANNEL_PLACES_MAX = 1000
    UNLIMITED = -1

cdef struct PolicyRow:
    int64_t limit_milli  # how far beyond stock promises may go
    int64_t safety_milli
    int64_t min_qty_milli
    int64_t max_qty_milli  # 0: any
    int64_t step_milli  # 0: any
    int64_t preorder_total_milli  # UNLIMITED or the quota of all channels
    int64_t preordered_milli  # on all channels
    int64_t low_milli  # what counts as low on a channel; 0: nothing does
    int32_t item
    int32_t backorder_location  # row + 1; 0: the first in order
    int32_t first_quota  # row + 1
    uint32_t flags
    uint32_t removal
    uint32_t spare

cdef struct QuotaRow:
    int64_t limit_milli  # UNLIMITED or the channel's quota
    int64_t taken_milli
    int32_t channel  # symbol row
    int32_t next

cdef struct ChannelRow:
    int64_t buffer_milli
    int32_t symbol
    int32_t first_place  # row + 1
    int32_t place_count
    uint32_t sourcing

cdef struct ChannelPlaceRow:
    int32_t location
    int32_t next

cdef enum:
    SUM_CHANGED = 1  # it stands in `sum_changes`
    SUM_UNTRACKED = 2  # the item was not counted itself when the last batch ended: no stock is kept, or it is a kit
    SUM_LISTED = 4  # it stands in Events.kit_sums

# An item on a channel: free units now, and what could be promised when the last batch ended.
cdef struct ChannelSum:
    int64_t free_milli
    int64_t available_milli  # UNLIMITED or units
    int64_t version  # the batch that last changed available_milli
    int32_t item
    int32_t channel
    int32_t watchers  # who wants to hear of it; never part of the state
    uint32_t flags

cdef class Policies(Incoming):
    cdef Catalog catalog
    cdef readonly Table policies
    cdef Table quotas
    cdef Table channels
    cdef Table channel_places
    cdef int32_t* policy_of  # item -> row of its policy; row 0 is the policy of all others
    cdef int64_t policy_capacity
    # Free units by (item, channel): derived, valid while `sums_stamp` is that of the places.
    cdef ChannelSum* sums
    cdef int64_t sum_count
    cdef int64_t sum_capacity
    cdef Index sum_index
    cdef int64_t channel_changes
    cdef int64_t sums_stamp
    cdef int32_t* channels_from  # location -> where its channels begin in channels_at
    cdef int32_t* channels_at
    cdef int64_t location_count
    cdef int32_t* sum_changes  # sums touched by the open batch, in the order of their first touch
    cdef int64_t sum_change_count
    cdef int64_t sum_change_capacity
    cdef int64_t owing_policies  # how often a policy was put that promises beyond stock; only zero says something

    cdef inline PolicyRow* policy(self, int64_t item) noexcept nogil:
        return <PolicyRow*>self.policies.row(self.policy_of[item] if item < self.policy_capacity else 0)

    cdef inline ChannelRow* channel_row(self, int64_t channel) noexcept nogil:
        return <ChannelRow*>self.channels.row(channel)

    cdef inline bint promises_more(self, const PolicyRow* policy) noexcept nogil:
        """Whether a policy promises what no counter shows."""
        return policy.flags & (POLICY_BACKORDER | POLICY_PREORDER) or policy.limit_milli

    cdef inline bint enabled(self, int64_t location) noexcept nogil:
        """Whether a place may sell; without a catalog (tests of rows alone) all may."""
        return self.catalog is None or not self.catalog.location(location).flags & LOCATION_DISABLED

    cdef int64_t find_channel(self, int64_t symbol) noexcept nogil
    cdef int64_t edit_policy(self, int64_t item) noexcept nogil
    cdef QuotaRow* quota(self, int64_t item, int64_t symbol, bint made) noexcept nogil
    cdef void clear_quotas(self, int64_t item) noexcept nogil
    cdef void preorder(self, int64_t item, int64_t symbol, int64_t qty_milli) noexcept nogil
    cdef int64_t preordered_milli(self, int64_t item, int64_t symbol) noexcept nogil
    cdef int64_t put_channel(self, int64_t symbol) noexcept nogil
    cdef void add_channel_place(self, int64_t channel, int64_t location) noexcept nogil
    cdef void clear_channel_places(self, int64_t channel) noexcept nogil
    cdef void places_changed(self) noexcept nogil
    cdef ChannelSum* channel_sum(self, int64_t item, int64_t channel, bint made) noexcept nogil
    cdef void note_sum(self, ChannelSum* sum_row) noexcept nogil
    cdef int64_t places_stamp(self) noexcept nogil
    cdef void note_item(self, int64_t item, bint made) noexcept nogil
    cdef bint sums_are_stale(self) noexcept nogil
    cdef void refresh_sums(self) noexcept nogil
    cdef void reserve_policies(self, int64_t item) noexcept nogil
    cdef void rebuild_policies(self) noexcept nogil
