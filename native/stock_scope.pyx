"""Where a request looks, and how many units of an item are there for it, with what is planned so far counted."""

from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from ringup.native.arrays cimport room_for
from ringup.native.stock_policy cimport (
    POLICY_BACKORDER,
    POLICY_PREORDER,
    UNLIMITED,
    ChannelPlaceRow,
    ChannelRow,
    PolicyRow,
    QuotaRow,
)
from ringup.native.stock_positions cimport POSITION_BARRED, free_of
from ringup.native.stock_tally cimport tally_clear, tally_free


cdef class Scopes(Kits):
    """Scopes, and what is available in them."""

    def __dealloc__(self):
        free(self.places)
        tally_free(&self.delta)
        tally_free(&self.quota_delta)

    # Scopes.

    cdef void scope_begin(self, ScopeIn* scope) noexcept nogil:
        """No places yet; the first channel's quota counts."""
        memset(scope, 0, sizeof(ScopeIn))
        scope.channel = self.channel_row(0).symbol if self.channels.count else -1
        scope.collection_point = -1

    cdef void scope_add(self, ScopeIn* scope, int64_t location) noexcept nogil:
        """Ask a place after those already there; a place counts once."""
        cdef int64_t i
        for i in range(scope.place_count):
            if self.places[i].location == location:
                return
        self.places = <Place*>room_for(self.places, &self.place_capacity, scope.place_count + 1, sizeof(Place))
        self.places[scope.place_count].location = location
        scope.place_count += 1

    cdef int scope_channel(self, ScopeIn* scope, int64_t symbol) noexcept nogil:
        """Ask the places of a channel (its symbol; -1: the first one) in its way; False when there is none."""
        cdef int64_t channel = 0 if symbol < 0 else self.find_channel(symbol), at
        cdef ChannelRow* row
        cdef ChannelPlaceRow* place
        if channel < 0 or self.channels.count == 0:
            return False
        row = self.channel_row(channel)
        scope.channel = row.symbol
        scope.buffer_milli = row.buffer_milli
        scope.sourcing = row.sourcing
        scope.by_channel = True
        self.places = <Place*>room_for(self.places, &self.place_capacity, row.place_count, sizeof(Place))
        scope.place_count = 0
        at = row.first_place
        while at:
            place = <ChannelPlaceRow*>self.channel_places.row(at - 1)
            self.places[scope.place_count].location = place.location
            scope.place_count += 1
            at = place.next
        return True

    cdef void scope_collect_at(self, ScopeIn* scope, int64_t location) noexcept nogil:
        """Ask one place before all others."""
        cdef int64_t i, at
        self.scope_add(scope, location)
        at = scope.place_count - 1
        for i in range(scope.place_count):
            if self.places[i].location == location:
                at = i
        for i in range(at, 0, -1):
            self.places[i] = self.places[i - 1]
        self.places[0].location = location
        scope.collection_point = location

    # How much there is.

    cdef void deltas_clear(self) noexcept nogil:
        """Nothing is planned."""
        tally_clear(&self.delta)
        tally_clear(&self.quota_delta)

    cdef bint place_open(self, int64_t item, int64_t location) noexcept nogil:
        """Whether a place counts for a sale: enabled, and not all of the item there barred."""
        cdef int64_t row
        if not self.enabled(location):
            return False
        row = self.find(item, location)
        if row < 0:
            return True
        while row >= 0:
            if not self.position_row(row).flags & POSITION_BARRED:
                return True
            row = self.next_in_place(row)
        return False

    cdef int64_t planned_free(self, int64_t item, int64_t location) noexcept nogil:
        """Free units for sale at a place as they would be once the plan so far were carried out."""
        cdef int64_t row = self.find(item, location)
        cdef int64_t free_milli = sum_at(&self.delta, key_of_place(item, location))
        while row >= 0:
            if not self.position_row(row).flags & POSITION_BARRED:
                free_milli += free_of(self.position_row(row)) + sum_at(&self.delta, row)
            row = self.next_in_place(row)
        return free_milli

    cdef int64_t available(self, int64_t item, bint tracked, ScopeIn* scope) noexcept nogil:
        """Units that can be promised in a scope, or UNLIMITED."""
        cdef PolicyRow* policy = self.policy(item)
        cdef int64_t i, free_milli = 0, debtor = policy.backorder_location - 1
        cdef bint any_open = False, debtor_open = False
        if not tracked:
            return UNLIMITED
        if policy.flags & POLICY_PREORDER:
            return self.preorder_left(item, scope.channel)
        for i in range(scope.place_count):
            if self.place_open(item, self.places[i].location):
                any_open = True
                debtor_open |= self.places[i].location == debtor
                free_milli += self.planned_free(item, self.places[i].location)
        if not any_open:
            return 0
        if policy.flags & POLICY_BACKORDER:
            return UNLIMITED
        if policy.limit_milli and debtor >= 0 and not debtor_open:
            free_milli += min(0, self.planned_free(item, debtor))  # or the limit would never be used up
        return max(0, free_milli - policy.safety_milli - scope.buffer_milli + policy.limit_milli)

    cdef bint owes_too_much(self, int64_t item, int64_t qty_milli, ScopeIn* scope) noexcept nogil:
        """Whether an item without a limit has been promised so often that counters could run over."""
        cdef int64_t i, debtor = self.policy(item).backorder_location - 1
        if self.policy(item).flags & POLICY_PREORDER:
            i = self.policy(item).preordered_milli + sum_at(&self.quota_delta, -1 - item)
            return i + qty_milli > PROMISED_MILLI_MAX
        for i in range(scope.place_count):
            if self.planned_free(item, self.places[i].location) - qty_milli < -PROMISED_MILLI_MAX:
                return True
        return debtor >= 0 and self.planned_free(item, debtor) - qty_milli < -PROMISED_MILLI_MAX

    cdef int64_t preorder_left(self, int64_t item, int64_t symbol) noexcept nogil:
        """What the quotas of an item leave to a channel, or UNLIMITED."""
        cdef PolicyRow* policy = self.policy(item)
        cdef QuotaRow* quota = self.quota(item, symbol, False)
        cdef int64_t left = UNLIMITED
        if policy.preorder_total_milli != UNLIMITED:
            left = max(0, policy.preorder_total_milli - policy.preordered_milli - sum_at(&self.quota_delta, -1 - item))
        if quota != NULL and quota.limit_milli != UNLIMITED:
            left = min(
                quota.limit_milli - quota.taken_milli - sum_at(&self.quota_delta, key_of_quota(item, symbol)),
                quota.limit_milli if left == UNLIMITED else left,
            )
            left = max(0, left)
        return left
