"""Where promised units come from: scopes, what is available in them, and plans that change nothing."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memset

from ringup.native.arrays cimport room_for
from ringup.native.catalog cimport ITEM_KIT, ITEM_MEASURED, ITEM_UNTRACKED
from ringup.native.contract cimport REMOVAL_FEFO, REMOVAL_LIFO, SOURCING_FEWEST_SHIPMENTS, SOURCING_MOST_AVAILABLE
from ringup.native.stock_kits cimport KIT_APART, KitPartRow
from ringup.native.stock_policy cimport (
    POLICY_BACKORDER,
    POLICY_PREORDER,
    UNLIMITED,
    ChannelPlaceRow,
    ChannelRow,
    ChannelSum,
    PolicyRow,
    QuotaRow,
)
from ringup.native.stock_positions cimport POSITION_BARRED, ExtraRow, PositionRow, free_of
from ringup.native.stock_tally cimport tally_at, tally_clear, tally_find, tally_free
from ringup.native.stock_tally cimport Entry as Sum


cdef inline int64_t _key_of_place(int64_t item, int64_t location) noexcept nogil:
    # A position that does not exist yet; keys of positions are not below zero.
    return -1 - ((item << 31) | location)


cdef inline int64_t _key_of_quota(int64_t item, int64_t symbol) noexcept nogil:
    return (item << 31) | (symbol + 1)


cdef inline int64_t _sum_at(Tally* tally, int64_t key) noexcept nogil:
    cdef Sum* found
    if tally.count == 0:
        return 0
    found = tally_find(tally, key)
    return 0 if found == NULL else found.sum_milli


cdef void _sort(Place* places, int64_t count) noexcept nogil:
    # By value, largest first, then by order: merge-free insertion, lists are short and nearly in order.
    cdef int64_t i, at
    cdef Place place
    for i in range(1, count):
        place = places[i]
        at = i
        while at > 0 and (
            places[at - 1].value < place.value
            or (places[at - 1].value == place.value and places[at - 1].order > place.order)
        ):
            places[at] = places[at - 1]
            at -= 1
        places[at] = place


cdef class Planner(Kits):
    """Plans promises over positions and policies."""

    def __dealloc__(self):
        free(self.places)
        free(self.asked)
        free(self.plan_entries)
        free(self.short_wants)
        free(self.short_items)
        free(self.kit_places)
        free(self.lot_order)
        tally_free(&self.delta)
        tally_free(&self.quota_delta)
        tally_free(&self.cover)

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

    cdef void plan_begin(self) noexcept nogil:
        """Forget the plan at hand."""
        tally_clear(&self.delta)
        tally_clear(&self.quota_delta)
        self.plan_count = self.short_count = 0

    cdef void plan_give_back(self, const Entry* entry) noexcept nogil:
        """Plan as if the units of this entry were free."""
        if entry.kind == ENTRY_STOCK and entry.position >= 0:
            tally_at(&self.delta, entry.position).sum_milli += entry.qty_milli
        elif entry.kind == ENTRY_PREORDER:
            tally_at(&self.quota_delta, _key_of_quota(entry.item, entry.channel - 1)).sum_milli -= entry.qty_milli
            tally_at(&self.quota_delta, -1 - entry.item).sum_milli -= entry.qty_milli

    cdef void plan_arrival(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil:
        """Plan as if goods had arrived at a place."""
        tally_at(&self.delta, _key_of_place(item, location)).sum_milli += qty_milli

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
        cdef int64_t free_milli = _sum_at(&self.delta, _key_of_place(item, location))
        while row >= 0:
            if not self.position_row(row).flags & POSITION_BARRED:
                free_milli += free_of(self.position_row(row)) + _sum_at(&self.delta, row)
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

    cdef int64_t ready_available(self, int64_t item, bint tracked, int64_t channel) noexcept nogil:
        """`available` of a whole channel (row) with nothing planned: one look-up, however many places it has.

        An item that promises beyond stock also asks whether a place is open, which the first one nearly always is.
        """
        cdef PolicyRow* policy = self.policy(item)
        cdef ChannelSum* ready
        cdef ScopeIn scope
        cdef int64_t free_milli, debtor
        self.plan_begin()
        if self.catalog.item(item).flags & ITEM_KIT:
            self.scope_begin(&scope)
            self.scope_channel(&scope, self.channel_row(channel).symbol)
            return self.promisable(item, &scope)
        if not tracked:
            return UNLIMITED
        if policy.flags & POLICY_PREORDER:
            return self.preorder_left(item, self.channel_row(channel).symbol)
        if self.sums_are_stale():  # in a batch that changes places, until its end
            self.scope_begin(&scope)
            self.scope_channel(&scope, self.channel_row(channel).symbol)
            return self.available(item, tracked, &scope)
        ready = self.channel_sum(item, channel, False)
        free_milli = 0 if ready == NULL else ready.free_milli
        if policy.flags & POLICY_BACKORDER or policy.limit_milli:
            if not self.sells_anywhere(item, channel):
                return 0
            if policy.flags & POLICY_BACKORDER:
                return UNLIMITED
            debtor = policy.backorder_location - 1
            if debtor >= 0 and not (self.serves(debtor, channel) and self.place_open(item, debtor)):
                free_milli += min(0, self.free_milli(item, debtor))
        return max(0, free_milli - policy.safety_milli - self.channel_row(channel).buffer_milli + policy.limit_milli)

    cdef bint sells_anywhere(self, int64_t item, int64_t channel) noexcept nogil:
        """Whether any place of a channel (row) is open for an item."""
        cdef int64_t at = self.channel_row(channel).first_place
        cdef ChannelPlaceRow* place
        while at:
            place = <ChannelPlaceRow*>self.channel_places.row(at - 1)
            if self.place_open(item, place.location):
                return True
            at = place.next
        return False

    cdef bint serves(self, int64_t location, int64_t channel) noexcept nogil:
        """Whether an enabled place is one of a channel's (row); the sums must be fresh."""
        cdef int64_t at
        if location < self.location_count:
            for at in range(self.channels_from[location], self.channels_from[location + 1]):
                if self.channels_at[at] == channel:
                    return True
        return False

    cdef bint owes_too_much(self, int64_t item, int64_t qty_milli, ScopeIn* scope) noexcept nogil:
        """Whether an item without a limit has been promised so often that counters could run over."""
        cdef int64_t i, debtor = self.policy(item).backorder_location - 1
        if self.policy(item).flags & POLICY_PREORDER:
            i = self.policy(item).preordered_milli + _sum_at(&self.quota_delta, -1 - item)
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
            left = max(0, policy.preorder_total_milli - policy.preordered_milli - _sum_at(&self.quota_delta, -1 - item))
        if quota != NULL and quota.limit_milli != UNLIMITED:
            left = min(
                quota.limit_milli - quota.taken_milli - _sum_at(&self.quota_delta, _key_of_quota(item, symbol)),
                quota.limit_milli if left == UNLIMITED else left,
            )
            left = max(0, left)
        return left

    # Which units.

    cdef void order_places(self, int64_t item, ScopeIn* scope) noexcept nogil:
        """Fill `asked` with the open places of a scope, in the order in which they are asked for an item."""
        cdef int64_t i, row
        cdef Place* place
        cdef PositionRow* position
        self.asked = <Place*>room_for(self.asked, &self.asked_capacity, scope.place_count, sizeof(Place))
        self.asked_count = 0
        for i in range(scope.place_count):
            if not self.place_open(item, self.places[i].location):
                continue
            place = &self.asked[self.asked_count]
            place.location = self.places[i].location
            place.order = i
            place.value = 0
            if scope.sourcing == SOURCING_MOST_AVAILABLE:
                row = self.find(item, place.location)
                while row >= 0:
                    position = self.position_row(row)
                    if not position.flags & POSITION_BARRED:
                        place.value += position.on_hand_milli - position.allocated_milli
                    row = self.next_in_place(row)
            self.asked_count += 1
        if scope.sourcing == SOURCING_MOST_AVAILABLE:
            i = self.asked_count > 0 and self.asked[0].location == scope.collection_point
            _sort(self.asked + i, self.asked_count - i)

    cdef void order_by_cover(self, const Want* wants, int64_t count, ScopeIn* scope) noexcept nogil:
        """Order a scope's places so that few are used: again and again the one that covers most of what is left."""
        cdef int64_t i, j, done = 0, best, cover, best_cover, free_milli
        cdef Place place
        if scope.collection_point >= 0:
            done = 1
        tally_clear(&self.cover)
        while done < scope.place_count:
            best, best_cover = -1, 0
            for i in range(done, scope.place_count):
                cover = 0
                if self.enabled(self.places[i].location):
                    for j in range(count):
                        if wants[j].location < 0:
                            free_milli = self.planned_value(wants[j].item, self.places[i].location)
                            cover += min(free_milli, wants[j].qty_milli - _sum_at(&self.cover, j))
                if cover > best_cover:
                    best, best_cover = i, cover
            if best < 0:
                break
            place = self.places[best]
            for i in range(best, done, -1):
                self.places[i] = self.places[i - 1]
            self.places[done] = place
            for j in range(count):
                if wants[j].location < 0:
                    free_milli = self.planned_value(wants[j].item, place.location)
                    tally_at(&self.cover, j).sum_milli += min(
                        free_milli, wants[j].qty_milli - _sum_at(&self.cover, j)
                    )
            done += 1
        tally_clear(&self.cover)

    cdef bint sells(self, int64_t item, int64_t qty_milli, bint measured) noexcept nogil:
        """Whether a buyer may ask for this quantity: above zero, whole, within the item's limits and steps."""
        cdef PolicyRow* policy = self.policy(item)
        return (
            qty_milli > 0
            and (measured or qty_milli % 1000 == 0)
            and qty_milli >= policy.min_qty_milli
            and (policy.max_qty_milli == 0 or qty_milli <= policy.max_qty_milli)
            and (policy.step_milli == 0 or qty_milli % policy.step_milli == 0)
        )

    cdef int64_t most_sellable(self, int64_t item, int64_t available_milli, bint measured) noexcept nogil:
        """The largest quantity up to `available_milli` that a buyer may have in part; zero for none."""
        cdef PolicyRow* policy = self.policy(item)
        cdef int64_t grain = policy.step_milli if policy.step_milli else (1 if measured else 1000)
        if policy.max_qty_milli:
            available_milli = min(available_milli, policy.max_qty_milli)
        available_milli -= available_milli % grain
        return available_milli if available_milli > 0 and self.sells(item, available_milli, measured) else 0

    cdef Entry* add_entry(self) noexcept nogil:
        cdef Entry* entry
        self.plan_entries = <Entry*>room_for(
            self.plan_entries, &self.plan_capacity, self.plan_count + 1, sizeof(Entry)
        )
        entry = &self.plan_entries[self.plan_count]
        self.plan_count += 1
        memset(entry, 0, sizeof(Entry))
        entry.position = entry.location = -1
        return entry

    cdef void add_short(self, int64_t want, int64_t item, int64_t available_milli) noexcept nogil:
        """Note that a want is short, for this item (its own, or a part of it): so much of the want there is."""
        if self.short_count == 0:
            self.short_available_milli = available_milli
        self.short_wants = <int64_t*>room_for(
            self.short_wants, &self.short_capacity, self.short_count + 1, sizeof(int64_t)
        )
        self.short_items = <int64_t*>room_for(
            self.short_items, &self.short_item_capacity, self.short_count + 1, sizeof(int64_t)
        )
        self.short_wants[self.short_count] = want
        self.short_items[self.short_count] = item
        self.short_count += 1

    cdef int64_t removal_order(self, int64_t item, int64_t location) noexcept nogil:
        """Fill `lot_order` with the positions of a place in the order in which they are emptied; their count.

        FIFO: first received first; LIFO: last received first; FEFO: first to expire first, then first
        received.  Undated ones come last; ties in the order of their making (LIFO: the later first).
        """
        cdef int64_t row = self.find(item, location), count = 0, at
        cdef uint32_t removal = self.policy(item).removal
        cdef bint later
        while row >= 0:
            self.lot_order = <int64_t*>room_for(self.lot_order, &self.lot_capacity, count + 1, sizeof(int64_t))
            at = count
            while at > 0:
                later = self.leaves_before(row, self.lot_order[at - 1], removal)
                if not later:
                    break
                self.lot_order[at] = self.lot_order[at - 1]
                at -= 1
            self.lot_order[at] = row
            count += 1
            row = self.next_in_place(row)
        return count

    cdef bint leaves_before(self, int64_t a, int64_t b, uint32_t removal) noexcept nogil:
        cdef const ExtraRow* extra_a = self.extra_row(self.position_row(a))
        cdef const ExtraRow* extra_b = self.extra_row(self.position_row(b))
        cdef int64_t first_a = extra_a.received_ns if extra_a != NULL else 0
        cdef int64_t first_b = extra_b.received_ns if extra_b != NULL else 0
        cdef int64_t end_a, end_b
        if removal == REMOVAL_LIFO:
            if first_a != first_b:
                return first_a > first_b  # undated is zero: last
            return a > b
        if removal == REMOVAL_FEFO:
            end_a = extra_a.expires_ns if extra_a != NULL else 0
            end_b = extra_b.expires_ns if extra_b != NULL else 0
            if end_a != end_b:
                return end_a != 0 and (end_b == 0 or end_a < end_b)
        if first_a != first_b:
            return first_a != 0 and (first_b == 0 or first_a < first_b)
        return a < b

    cdef int64_t owing_position(self, int64_t item, int64_t location) noexcept nogil:
        """The position that carries units owed beyond stock, or -1: no lot can owe."""
        return self.find_lot(item, location, 0, 0)

    cdef void plan_take(self, int64_t item, int64_t qty_milli, bint tracked, ScopeIn* scope) noexcept nogil:
        """Add entries for a quantity that is available in the scope."""
        cdef PolicyRow* policy = self.policy(item)
        cdef Entry* entry
        cdef int64_t i
        if not tracked or policy.flags & POLICY_PREORDER:
            entry = self.add_entry()
            entry.item = <int32_t>item
            entry.qty_milli = qty_milli
            entry.kind = ENTRY_PREORDER if tracked else ENTRY_UNTRACKED
            entry.channel = <int32_t>(scope.channel + 1)
            if tracked:
                tally_at(&self.quota_delta, _key_of_quota(item, scope.channel)).sum_milli += qty_milli
                tally_at(&self.quota_delta, -1 - item).sum_milli += qty_milli
            return
        self.order_places(item, scope)
        for i in range(self.asked_count):
            if qty_milli == 0:
                return
            self.plan_take_at(item, self.asked[i].location, &qty_milli)
        if qty_milli:
            self.plan_owe(
                item, policy.backorder_location - 1 if policy.backorder_location else self.asked[0].location, qty_milli
            )

    cdef void plan_take_at(self, int64_t item, int64_t location, int64_t* qty_milli) noexcept nogil:
        """Add entries over what is free at a place, at most `qty_milli`, which is lowered by it."""
        cdef Entry* entry
        cdef int64_t j, count = self.removal_order(item, location), row, part
        for j in range(count):
            row = self.lot_order[j]
            part = min(qty_milli[0], free_of(self.position_row(row)) + _sum_at(&self.delta, row))
            if part <= 0 or self.position_row(row).flags & POSITION_BARRED:
                continue
            entry = self.add_entry()
            entry.item = <int32_t>item
            entry.location = <int32_t>location
            entry.position = row
            entry.qty_milli = part
            tally_at(&self.delta, row).sum_milli -= part
            qty_milli[0] -= part

    cdef void plan_owe(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil:
        """Add an entry of units beyond what is there."""
        cdef Entry* entry = self.add_entry()
        cdef int64_t row
        entry.item = <int32_t>item
        entry.location = <int32_t>location
        entry.position = self.owing_position(item, location)
        entry.qty_milli = qty_milli
        entry.owed = 1
        row = entry.position if entry.position >= 0 else _key_of_place(item, location)
        tally_at(&self.delta, row).sum_milli -= qty_milli

    cdef void plan_free(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil:
        """Add entries over the free units for sale at a place; the caller has checked the sum."""
        self.plan_take_at(item, location, &qty_milli)

    cdef bint plan_at_one_place(self, const Want* want, ScopeIn* scope) noexcept nogil:
        """Plan a want of a tracked item as nearly all are: one place asked, one position there, enough of it free.

        False: nothing was planned, and the general way decides.  It would plan the same.
        """
        cdef PolicyRow* policy = self.policy(want.item)
        cdef Entry* entry
        cdef PositionRow* position
        cdef int64_t location, row, free_milli
        if scope.place_count != 1 or policy.flags or policy.limit_milli:  # a channel may have no place at all
            return False
        location = self.places[0].location
        if not self.enabled(location):
            return False
        row = self.find(want.item, location)
        if row < 0 or self.next_in_place(row) >= 0:
            return False
        position = self.position_row(row)
        free_milli = free_of(position) + _sum_at(&self.delta, row)
        if position.flags & POSITION_BARRED or want.qty_milli > free_milli - policy.safety_milli - scope.buffer_milli:
            return False
        entry = self.add_entry()
        entry.item = <int32_t>want.item
        entry.location = <int32_t>location
        entry.position = row
        entry.qty_milli = want.qty_milli
        tally_at(&self.delta, row).sum_milli -= want.qty_milli
        return True

    cdef bint plan(self, const Want* wants, int64_t count, ScopeIn* scope, bint partial) noexcept nogil:
        """Add entries that meet the wants; False when something is short and nothing may be promised.

        Wants that are short are in `short_wants`.  A partial plan takes what there is, if anything.
        """
        cdef int64_t i, available_milli, qty_milli
        cdef uint32_t flags
        cdef bint tracked
        cdef ScopeIn named
        cdef ScopeIn* part
        if scope.sourcing == SOURCING_FEWEST_SHIPMENTS:
            self.order_by_cover(wants, count, scope)
        for i in range(count):
            flags = self.catalog.item(wants[i].item).flags
            tracked = not flags & ITEM_UNTRACKED
            part = scope
            if wants[i].location >= 0:
                # A named place stands in front of the scope's places while its want is planned.
                named = scope[0]
                named.buffer_milli = 0
                named.sourcing = 0
                named.place_count = 1
                named.collection_point = -1
                self.places = <Place*>room_for(self.places, &self.place_capacity, scope.place_count + 1, sizeof(Place))
                self.places[scope.place_count] = self.places[0]
                self.places[0].location = wants[i].location
                part = &named
            if tracked and not flags & ITEM_KIT and self.plan_at_one_place(&wants[i], part):
                if part != scope:
                    self.places[0] = self.places[scope.place_count]
                continue
            qty_milli = wants[i].qty_milli
            if flags & ITEM_KIT:
                available_milli = self.plan_kit_want(i, wants[i].item, qty_milli, part)
                if available_milli != UNLIMITED and qty_milli > available_milli:
                    qty_milli = self.most_sellable(wants[i].item, available_milli, False) if partial else 0
                if qty_milli:
                    self.plan_kits(self.find_kit(wants[i].item), qty_milli // 1000, part)
                qty_milli = 0
            else:
                available_milli = self.available(wants[i].item, tracked, part)
                if available_milli == UNLIMITED and tracked and self.owes_too_much(wants[i].item, qty_milli, part):
                    available_milli = 0
                if available_milli != UNLIMITED and qty_milli > available_milli:
                    self.add_short(i, wants[i].item, available_milli)
                    qty_milli = 0
                    if partial:
                        qty_milli = self.most_sellable(wants[i].item, available_milli, flags & ITEM_MEASURED)
            if qty_milli:
                self.plan_take(wants[i].item, qty_milli, tracked, part)
            if part != scope:
                self.places[0] = self.places[scope.place_count]
        return self.short_count == 0 or (partial and self.plan_count > 0)

    # Kits.  Their parts are planned on the same tallies as plain items, so a kit and its part on two lines of a request
    # are one demand.  Parts together: each kit is promised at one place.

    cdef int64_t promisable(self, int64_t item, ScopeIn* scope) noexcept nogil:
        """Units that can be promised of an item, whole kits of a kit; or UNLIMITED."""
        cdef uint32_t flags = self.catalog.item(item).flags
        cdef int64_t kits
        if not flags & ITEM_KIT:
            return self.available(item, not flags & ITEM_UNTRACKED, scope)
        kits = self.kits_promisable(self.find_kit(item), scope)
        return kits if kits == UNLIMITED else kits * 1000

    cdef bint binds(self, int64_t item, bint owing) noexcept nogil:
        """Whether a part binds its kit to a place; with `owing` parts that may be owed do not."""
        cdef PolicyRow* policy = self.policy(item)
        if self.catalog.item(item).flags & ITEM_UNTRACKED or policy.flags & POLICY_PREORDER:
            return False
        return not (owing and (policy.flags & POLICY_BACKORDER or policy.limit_milli))

    cdef int64_t kits_bound(self, int64_t kit, ScopeIn* scope) noexcept nogil:
        """Kits that each part by itself allows in a scope, or UNLIMITED."""
        cdef int64_t i, available_milli, kits = UNLIMITED
        cdef KitPartRow* part
        for i in range(self.kit_row(kit).part_count):
            part = self.kit_part(kit, i)
            available_milli = self.promisable(part.item, scope)
            if available_milli != UNLIMITED and (kits == UNLIMITED or available_milli // part.qty_milli < kits):
                kits = available_milli // part.qty_milli
        return kits

    cdef int64_t kits_at(self, int64_t kit, int64_t location, bint owing) noexcept nogil:
        """Kits that the free goods of a place make, with `owing` without the parts that may be owed; or UNLIMITED."""
        cdef int64_t i, free_milli, kits = UNLIMITED
        cdef KitPartRow* part
        for i in range(self.kit_row(kit).part_count):
            part = self.kit_part(kit, i)
            if not self.binds(part.item, False):
                continue
            if not self.place_open(part.item, location):
                return 0
            if owing and not self.binds(part.item, True):
                continue
            free_milli = max(0, self.planned_free(part.item, location))
            if kits == UNLIMITED or free_milli // part.qty_milli < kits:
                kits = free_milli // part.qty_milli
        return kits

    cdef bint kit_together(self, int64_t kit) noexcept nogil:
        """Whether a kit's parts must come from one place."""
        cdef int64_t i
        if self.kit_row(kit).flags & KIT_APART:
            return False
        for i in range(self.kit_row(kit).part_count):
            if self.binds(self.kit_part(kit, i).item, False):
                return True
        return False

    cdef int64_t kits_promisable(self, int64_t kit, ScopeIn* scope) noexcept nogil:
        """Whole kits that can be promised in a scope, or UNLIMITED."""
        cdef int64_t i, kits = self.kits_bound(kit, scope), here, sum_kits = 0
        if kits == 0 or not self.kit_together(kit):
            return kits
        for i in range(scope.place_count):
            here = self.kits_at(kit, self.places[i].location, True)
            if here == UNLIMITED:
                return kits
            sum_kits += here
        return sum_kits if kits == UNLIMITED else min(kits, sum_kits)

    cdef int64_t kits_value(self, int64_t kit, int64_t location) noexcept nogil:
        """Kits that the goods of a place make that are not allocated: what most-available sourcing compares."""
        cdef int64_t i, row, sum_milli, kits = UNLIMITED
        cdef KitPartRow* part
        cdef PositionRow* position
        for i in range(self.kit_row(kit).part_count):
            part = self.kit_part(kit, i)
            if not self.binds(part.item, False):
                continue
            sum_milli = 0
            row = self.find(part.item, location)
            while row >= 0:
                position = self.position_row(row)
                if not position.flags & POSITION_BARRED:
                    sum_milli += position.on_hand_milli - position.allocated_milli
                row = self.next_in_place(row)
            sum_milli = max(0, sum_milli) // part.qty_milli
            kits = sum_milli if kits == UNLIMITED else min(kits, sum_milli)
        return kits

    cdef int64_t planned_value(self, int64_t item, int64_t location) noexcept nogil:
        """What a place has free of an item, or in whole kits of a kit; not below zero."""
        cdef int64_t kits
        if not self.catalog.item(item).flags & ITEM_KIT:
            return max(0, self.planned_free(item, location))
        kits = self.kits_at(self.find_kit(item), location, False)
        return 0 if kits == UNLIMITED else kits * 1000

    cdef void order_kit_places(self, int64_t kit, ScopeIn* scope) noexcept nogil:
        """Fill `kit_places` with the places of a scope that are open for all parts, in the order of sourcing."""
        cdef int64_t i
        cdef Place* place
        self.kit_places = <Place*>room_for(
            self.kit_places, &self.kit_place_capacity, scope.place_count, sizeof(Place)
        )
        self.kit_place_count = 0
        for i in range(scope.place_count):
            if self.kits_at(kit, self.places[i].location, True) == 0:
                continue
            place = &self.kit_places[self.kit_place_count]
            place.location = self.places[i].location
            place.order = i
            place.value = 0
            if scope.sourcing == SOURCING_MOST_AVAILABLE:
                place.value = self.kits_value(kit, place.location)
            self.kit_place_count += 1
        if scope.sourcing == SOURCING_MOST_AVAILABLE:
            i = self.kit_place_count > 0 and self.kit_places[0].location == scope.collection_point
            _sort(self.kit_places + i, self.kit_place_count - i)

    cdef void plan_kits_at(self, int64_t kit, int64_t location, int64_t kits) noexcept nogil:
        """Add entries for kits at one place: what is free there, then units owed."""
        cdef int64_t i, qty_milli, debtor
        cdef KitPartRow* part
        for i in range(self.kit_row(kit).part_count):
            part = self.kit_part(kit, i)
            if not self.binds(part.item, False):
                continue
            qty_milli = part.qty_milli * kits
            self.plan_take_at(part.item, location, &qty_milli)
            if qty_milli:
                debtor = self.policy(part.item).backorder_location - 1
                self.plan_owe(part.item, debtor if debtor >= 0 else location, qty_milli)

    cdef void plan_kits(self, int64_t kit, int64_t kits, ScopeIn* scope) noexcept nogil:
        """Add entries for kits that can be promised in the scope."""
        cdef int64_t i, here, first = self.plan_count
        cdef bint together = self.kit_together(kit), owing
        cdef KitPartRow* part
        for i in range(self.kit_row(kit).part_count):
            part = self.kit_part(kit, i)
            if not together or not self.binds(part.item, False):
                self.plan_take(
                    part.item, part.qty_milli * kits, not self.catalog.item(part.item).flags & ITEM_UNTRACKED, scope
                )
        if together:
            self.order_kit_places(kit, scope)
            for owing in range(2):
                for i in range(self.kit_place_count):
                    here = self.kits_at(kit, self.kit_places[i].location, owing)
                    here = kits if here == UNLIMITED else min(here, kits)
                    if here:
                        self.plan_kits_at(kit, self.kit_places[i].location, here)
                        kits -= here
        for i in range(first, self.plan_count):
            self.plan_entries[i].kit = <int32_t>(kit + 1)

    cdef int64_t plan_kit_want(self, int64_t want, int64_t item, int64_t qty_milli, ScopeIn* scope) noexcept nogil:
        """What can be promised of a kit that a want asks; notes the parts that are short of it."""
        cdef int64_t i, part_milli, available_milli = self.promisable(item, scope), kit = self.find_kit(item)
        cdef int64_t noted = self.short_count
        cdef KitPartRow* part
        for i in range(self.kit_row(kit).part_count):
            part = self.kit_part(kit, i)
            part_milli = self.promisable(part.item, scope)
            if part_milli == UNLIMITED and not self.catalog.item(part.item).flags & ITEM_UNTRACKED:
                if self.owes_too_much(part.item, qty_milli // 1000 * part.qty_milli, scope):
                    available_milli = part_milli = 0
        if available_milli == UNLIMITED or qty_milli <= available_milli:
            return available_milli
        for i in range(self.kit_row(kit).part_count):
            part = self.kit_part(kit, i)
            part_milli = self.promisable(part.item, scope)
            if part_milli != UNLIMITED and part_milli // part.qty_milli < qty_milli // 1000:
                self.add_short(want, part.item, available_milli)
        if self.short_count == noted:  # enough of each, but not at one place; or promised too often
            for i in range(self.kit_row(kit).part_count):
                if self.binds(self.kit_part(kit, i).item, True):
                    self.add_short(want, self.kit_part(kit, i).item, available_milli)
        if self.short_count == noted:
            self.add_short(want, self.kit_part(kit, 0).item, available_milli)
        return available_milli
