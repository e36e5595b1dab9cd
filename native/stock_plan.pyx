"""Which units are promised: plans that change nothing.

A plan is made on tallies of changes that are not made yet: units of a hold that is being replaced count as free again,
units planned for an earlier line no longer do.  Only a plan that fits is applied.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memset

from ringup.native.arrays cimport room_for
from ringup.native.catalog cimport ITEM_KIT, ITEM_MEASURED, ITEM_UNTRACKED
from ringup.native.contract cimport SOURCING_FEWEST_SHIPMENTS
from ringup.native.stock_kits cimport KitPartRow
from ringup.native.stock_policy cimport POLICY_PREORDER, UNLIMITED, PolicyRow
from ringup.native.stock_positions cimport POSITION_BARRED, PositionRow, free_of
from ringup.native.stock_scope cimport Place, key_of_place, key_of_quota, sum_at
from ringup.native.stock_tally cimport tally_at


cdef class Planner(Sourcing):
    """Plans promises over positions and policies."""

    def __dealloc__(self):
        free(self.plan_entries)
        free(self.short_wants)
        free(self.short_items)

    cdef void plan_begin(self) noexcept nogil:
        """Forget the plan at hand."""
        self.deltas_clear()
        self.plan_count = self.short_count = 0

    cdef void plan_give_back(self, const Entry* entry) noexcept nogil:
        """Plan as if the units of this entry were free."""
        if entry.kind == ENTRY_STOCK and entry.position >= 0:
            tally_at(&self.delta, entry.position).sum_milli += entry.qty_milli
        elif entry.kind == ENTRY_PREORDER:
            tally_at(&self.quota_delta, key_of_quota(entry.item, entry.channel - 1)).sum_milli -= entry.qty_milli
            tally_at(&self.quota_delta, -1 - entry.item).sum_milli -= entry.qty_milli

    cdef void plan_arrival(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil:
        """Plan as if goods had arrived at a place."""
        tally_at(&self.delta, key_of_place(item, location)).sum_milli += qty_milli

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

    # Units of an item.

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
                tally_at(&self.quota_delta, key_of_quota(item, scope.channel)).sum_milli += qty_milli
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
            part = min(qty_milli[0], free_of(self.position_row(row)) + sum_at(&self.delta, row))
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
        row = entry.position if entry.position >= 0 else key_of_place(item, location)
        tally_at(&self.delta, row).sum_milli -= qty_milli

    cdef int64_t owing_position(self, int64_t item, int64_t location) noexcept nogil:
        """The position that carries units owed beyond stock, or -1: no lot can owe."""
        return self.find_lot(item, location, 0, 0)

    cdef void plan_free(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil:
        """Add entries over the free units for sale at a place; the caller has checked the sum."""
        self.plan_take_at(item, location, &qty_milli)

    # What a request wants.

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
        free_milli = free_of(position) + sum_at(&self.delta, row)
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

    # Kits.

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
