"""How items are promised: policies, preorder quotas, channels, free units ready by channel."""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport abort, calloc, free, realloc
from libc.string cimport memset

from ringup.native.index cimport hash_int, index_add, index_free, index_next, index_start
from ringup.native.stock_incoming cimport Incoming, PolicyGlobals
from ringup.native.stock_positions cimport POSITION_BARRED, PositionRow, free_of
from ringup.native.table cimport Table

cdef inline uint64_t _sum_hash(int64_t item, int64_t channel) noexcept nogil:
    return hash_int((<uint64_t>item << 32) ^ <uint64_t>(channel + 1))


cdef class Policies(Incoming):
    """Positions and the rules for promising them.  Channels are known by the symbol of their code."""

    def __cinit__(self):
        self.policies = Table("stock_policies", sizeof(PolicyRow))
        self.quotas = Table("preorder_quotas", sizeof(QuotaRow))
        self.channels = Table("channels", sizeof(ChannelRow))
        self.channel_places = Table("channel_places", sizeof(ChannelPlaceRow))
        self.policies.append()
        cdef PolicyRow* default = <PolicyRow*>self.policies.edit(0)
        default.item = -1
        default.preorder_total_milli = UNLIMITED
        self.tables += [
            self.policies, self.quotas, self.channels, self.channel_places, self.arrivals, self.policy_globals,
            self.reorders,
        ]
        self.sums_stamp = -1

    def __dealloc__(self):
        free(self.policy_of)
        free(self.sums)
        free(self.channels_from)
        free(self.channels_at)
        index_free(&self.sum_index)
        free(self.sum_changes)

    # Policies and quotas.

    cdef int64_t edit_policy(self, int64_t item) noexcept nogil:
        """The row of an item's own policy, made when it has none."""
        cdef PolicyRow* policy
        cdef int64_t row
        self.reserve_policies(item)
        row = self.policy_of[item]
        if row == 0:
            row = self.policies.append()
            policy = <PolicyRow*>self.policies.edit(row)
            policy.item = <int32_t>item
            policy.preorder_total_milli = UNLIMITED
            self.policy_of[item] = <int32_t>row
        return row

    cdef void reserve_policies(self, int64_t item) noexcept nogil:
        cdef int64_t at, capacity
        if item < self.policy_capacity:
            return
        capacity = max(item + 1, self.policy_capacity * 2, 1024)
        self.policy_of = <int32_t*>realloc(self.policy_of, capacity * sizeof(int32_t))
        if self.policy_of == NULL:
            abort()
        for at in range(self.policy_capacity, capacity):
            self.policy_of[at] = 0
        self.policy_capacity = capacity

    cdef QuotaRow* quota(self, int64_t item, int64_t symbol, bint made) noexcept nogil:
        """The quota of an item on a channel, to be changed; NULL where there is none and none is to be made."""
        cdef PolicyGlobals* own = <PolicyGlobals*>self.policy_globals.row(0)
        cdef PolicyRow* policy = self.policy(item)
        cdef int64_t at = policy.first_quota
        cdef QuotaRow* quota
        while at:
            quota = <QuotaRow*>self.quotas.row(at - 1)
            if quota.channel == symbol:
                return <QuotaRow*>self.quotas.edit(at - 1) if made else quota
            at = quota.next
        if not made:
            return NULL
        policy = <PolicyRow*>self.policies.edit(self.edit_policy(item))
        own = <PolicyGlobals*>self.policy_globals.edit(0)
        if own.free_quota:
            at = own.free_quota - 1
            own.free_quota = (<QuotaRow*>self.quotas.row(at)).next
        else:
            at = self.quotas.append()
        quota = <QuotaRow*>self.quotas.edit(at)
        quota.channel = <int32_t>symbol
        quota.limit_milli = UNLIMITED
        quota.taken_milli = 0
        quota.next = policy.first_quota
        policy.first_quota = <int32_t>(at + 1)
        return quota

    cdef void clear_quotas(self, int64_t item) noexcept nogil:
        """Take the limits of all channels away; what was taken stays counted."""
        cdef int64_t at = self.policy(item).first_quota
        while at:
            (<QuotaRow*>self.quotas.edit(at - 1)).limit_milli = UNLIMITED
            at = (<QuotaRow*>self.quotas.row(at - 1)).next

    cdef void preorder(self, int64_t item, int64_t symbol, int64_t qty_milli) noexcept nogil:
        """Take from (or give back to) the quotas of an item."""
        self.note_item(item, False)
        self.quota(item, symbol, True).taken_milli += qty_milli
        (<PolicyRow*>self.policies.edit(self.edit_policy(item))).preordered_milli += qty_milli

    cdef int64_t preordered_milli(self, int64_t item, int64_t symbol) noexcept nogil:
        """What one channel has taken."""
        cdef QuotaRow* quota = self.quota(item, symbol, False)
        return 0 if quota == NULL else quota.taken_milli

    # Channels.

    cdef int64_t find_channel(self, int64_t symbol) noexcept nogil:
        """The channel with this symbol, or -1.  There are few."""
        cdef int64_t channel
        for channel in range(self.channels.count):
            if self.channel_row(channel).symbol == symbol:
                return channel
        return -1

    cdef int64_t put_channel(self, int64_t symbol) noexcept nogil:
        """The channel with this symbol, made when there is none."""
        cdef int64_t channel = self.find_channel(symbol)
        if channel < 0:
            channel = self.channels.append()
            (<ChannelRow*>self.channels.edit(channel)).symbol = <int32_t>symbol
        return channel

    cdef void clear_channel_places(self, int64_t channel) noexcept nogil:
        cdef PolicyGlobals* own = <PolicyGlobals*>self.policy_globals.edit(0)
        cdef ChannelRow* row = <ChannelRow*>self.channels.edit(channel)
        cdef ChannelPlaceRow* place
        cdef int64_t at
        while row.first_place:
            at = row.first_place
            place = <ChannelPlaceRow*>self.channel_places.edit(at - 1)
            row.first_place = place.next
            place.location = 0
            place.next = <int32_t>own.free_place
            own.free_place = at
        row.place_count = 0

    cdef void add_channel_place(self, int64_t channel, int64_t location) noexcept nogil:
        """Put a place at the end of a channel's list."""
        cdef PolicyGlobals* own = <PolicyGlobals*>self.policy_globals.edit(0)
        cdef ChannelRow* row = <ChannelRow*>self.channels.edit(channel)
        cdef ChannelPlaceRow* place
        cdef int64_t at, last
        if own.free_place:
            at = own.free_place - 1
            own.free_place = (<ChannelPlaceRow*>self.channel_places.row(at)).next
        else:
            at = self.channel_places.append()
        place = <ChannelPlaceRow*>self.channel_places.edit(at)
        place.location = <int32_t>location
        place.next = 0
        last = row.first_place
        if not last:
            row.first_place = <int32_t>(at + 1)
        else:
            while (<ChannelPlaceRow*>self.channel_places.row(last - 1)).next:
                last = (<ChannelPlaceRow*>self.channel_places.row(last - 1)).next
            (<ChannelPlaceRow*>self.channel_places.edit(last - 1)).next = <int32_t>(at + 1)
        row.place_count += 1

    cdef void places_changed(self) noexcept nogil:
        """Channels or their places changed: the sums are made again before they are read."""
        self.channel_changes += 1

    # Free units by (item, channel), ready to be read.

    cdef void moved(self, const PositionRow* position, int64_t free_milli) noexcept nogil:
        cdef ChannelSum* sum_row
        cdef int64_t at, location = position.location
        if self.channels.count == 0:
            return
        if self.owing_policies and self.promises_more(self.policy(position.item)):
            self.note_item(position.item, False)  # it may owe elsewhere, or a place may open or close
        if location >= self.location_count or position.flags & POSITION_BARRED:
            return
        for at in range(self.channels_from[location], self.channels_from[location + 1]):
            sum_row = self.channel_sum(position.item, self.channels_at[at], True)
            sum_row.free_milli += free_milli
            if not sum_row.flags & SUM_CHANGED:
                self.note_sum(sum_row)

    cdef void note_sum(self, ChannelSum* sum_row) noexcept nogil:
        if self.sum_change_count == self.sum_change_capacity:
            self.sum_change_capacity = max(self.sum_change_capacity * 2, 1024)
            self.sum_changes = <int32_t*>realloc(self.sum_changes, self.sum_change_capacity * sizeof(int32_t))
            if self.sum_changes == NULL:
                abort()
        self.sum_changes[self.sum_change_count] = <int32_t>(sum_row - self.sums)
        self.sum_change_count += 1
        sum_row.flags |= SUM_CHANGED

    cdef void note_item(self, int64_t item, bint made) noexcept nogil:
        """Look at an item on all channels when the batch ends; `made` where a sum must be there from now on."""
        cdef ChannelSum* sum_row
        cdef int64_t channel
        for channel in range(self.channels.count):
            sum_row = self.channel_sum(item, channel, made)
            if sum_row != NULL and not sum_row.flags & SUM_CHANGED:
                self.note_sum(sum_row)

    cdef ChannelSum* channel_sum(self, int64_t item, int64_t channel, bint made) noexcept nogil:
        """The sum of an item on a channel; NULL where there is none and none is to be made."""
        cdef uint64_t hash = _sum_hash(item, channel)
        cdef int64_t cursor = index_start(&self.sum_index, hash)
        cdef int64_t row = index_next(&self.sum_index, hash, &cursor)
        while row >= 0:
            if self.sums[row].item == item and self.sums[row].channel == channel:
                return &self.sums[row]
            row = index_next(&self.sum_index, hash, &cursor)
        if not made:
            return NULL
        if self.sum_count == self.sum_capacity:
            self.sum_capacity = max(self.sum_capacity * 2, 1024)
            self.sums = <ChannelSum*>realloc(self.sums, self.sum_capacity * sizeof(ChannelSum))
            if self.sums == NULL:
                abort()
        row = self.sum_count
        self.sum_count += 1
        memset(&self.sums[row], 0, sizeof(ChannelSum))
        self.sums[row].item = <int32_t>item
        self.sums[row].channel = <int32_t>channel
        index_add(&self.sum_index, hash, row)
        return &self.sums[row]

    cdef int64_t places_stamp(self) noexcept nogil:
        return self.channel_changes + (0 if self.catalog is None else self.catalog.sale_changes)

    cdef bint sums_are_stale(self) noexcept nogil:
        """Whether places or channels changed since the sums were made."""
        return self.places_stamp() != self.sums_stamp

    cdef void refresh_sums(self) noexcept nogil:
        """Make the sums again when places or channels changed since.

        Only at the end of a batch and at a start, never for a query: what is kept here decides events.
        """
        cdef int64_t stamp = self.places_stamp(), at, row, location, count = 0, places
        cdef ChannelPlaceRow* place
        cdef PositionRow* position
        if stamp == self.sums_stamp or self.catalog is None:
            return
        self.sums_stamp = stamp
        places = self.catalog.locations.count
        for at in range(self.sum_count):
            self.sums[at].free_milli = 0
        free(self.channels_from)
        free(self.channels_at)
        for at in range(self.channels.count):
            count += self.channel_row(at).place_count
        self.location_count = places
        self.channels_from = <int32_t*>calloc(places + 2, sizeof(int32_t))
        self.channels_at = <int32_t*>calloc(count + 1, sizeof(int32_t))
        if self.channels_from == NULL or self.channels_at == NULL:
            abort()
        # Count by place, sum up, then fill: [from[location + 1], ...) slides down to where it belongs.
        for at in range(self.channels.count):
            row = self.channel_row(at).first_place
            while row:
                place = <ChannelPlaceRow*>self.channel_places.row(row - 1)
                if self.enabled(place.location):
                    self.channels_from[place.location + 2] += 1
                row = place.next
        for location in range(places):
            self.channels_from[location + 2] += self.channels_from[location + 1]
        for at in range(self.channels.count):
            row = self.channel_row(at).first_place
            while row:
                place = <ChannelPlaceRow*>self.channel_places.row(row - 1)
                if self.enabled(place.location):
                    self.channels_at[self.channels_from[place.location + 1]] = <int32_t>at
                    self.channels_from[place.location + 1] += 1
                row = place.next
        if self.channels.count == 0:
            return
        for row in range(self.positions.count):
            position = self.position_row(row)
            if position.flags:
                self.moved(position, free_of(position))
        for row in range(1, self.policies.count):
            if self.promises_more(<PolicyRow*>self.policies.row(row)):
                self.note_item((<PolicyRow*>self.policies.row(row)).item, True)

    # After a start.

    cdef void rebuild_policies(self) noexcept nogil:
        """Make all derived state again from the rows."""
        cdef int64_t row, at
        for at in range(self.policy_capacity):
            self.policy_of[at] = 0
        for row in range(1, self.policies.count):
            at = (<PolicyRow*>self.policies.row(row)).item
            self.reserve_policies(at)
            self.policy_of[at] = <int32_t>row
            self.owing_policies += self.promises_more(<PolicyRow*>self.policies.row(row))
        index_free(&self.sum_index)
        self.sum_count = self.sum_change_count = 0
        self.sums_stamp = -1
        self.location_count = 0
        self.refresh_sums()
