"""How much of an item can be promised, and how many of a kit.

Parts of kits are counted on the same tallies as plain items, so a kit and its part on two lines of a request are one
demand.  Parts together: each kit is promised at one place.
"""

from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport ITEM_KIT, ITEM_UNTRACKED
from ringup.native.stock_kits cimport KIT_APART, KitPartRow
from ringup.native.stock_policy cimport (
    POLICY_BACKORDER,
    POLICY_PREORDER,
    UNLIMITED,
    ChannelPlaceRow,
    ChannelSum,
    PolicyRow,
)


cdef class Promises(Scopes):
    """What a buyer may ask for, and how much of it there is."""

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

    cdef int64_t promisable(self, int64_t item, ScopeIn* scope) noexcept nogil:
        """Units that can be promised of an item, whole kits of a kit; or UNLIMITED."""
        cdef uint32_t flags = self.catalog.item(item).flags
        cdef int64_t kits
        if not flags & ITEM_KIT:
            return self.available(item, not flags & ITEM_UNTRACKED, scope)
        kits = self.kits_promisable(self.find_kit(item), scope)
        return kits if kits == UNLIMITED else kits * 1000

    cdef int64_t ready_available(self, int64_t item, bint tracked, int64_t channel) noexcept nogil:
        """`available` of a whole channel (row) with nothing planned: one look-up, however many places it has.

        An item that promises beyond stock also asks whether a place is open, which the first one nearly always is.
        """
        cdef PolicyRow* policy = self.policy(item)
        cdef ChannelSum* ready
        cdef ScopeIn scope
        cdef int64_t free_milli, debtor
        self.deltas_clear()
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

    # Kits.

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
