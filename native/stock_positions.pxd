# Positions: what stands where, by (item, location, lot), and what is promised of it.
#
# Counters change in one place only, `move`.  free = on hand - held - allocated - unavailable.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memset

from ringup.native.index cimport Index, hash_int, index_prefetch
from ringup.native.table cimport Table

cdef enum:
    POSITION_LIVE = 1  # the position exists
    POSITION_BARRED = 2  # what is here is not for sale
    POSITION_CHANGED = 4  # its counters moved in the open batch: it stands in `changes`; never set between batches
    FOUND_PLACES = 512  # a power of two, above the lines of a window of commands
    BAR_REASONS = 4  # BarReason indexes the counters; zero is not used

# What few positions have: dates of a lot, units barred by reason.
cdef struct ExtraRow:
    int64_t received_ns  # 0: undated
    int64_t expires_ns
    int64_t barred_milli[BAR_REASONS]
    int32_t next_free  # row + 1 of the next free row
    int32_t spare

cdef struct PositionRow:  # one cache line
    int64_t on_hand_milli
    int64_t held_milli
    int64_t allocated_milli
    int64_t unavailable_milli
    int64_t version  # changes so far
    int32_t item
    int32_t location
    int32_t lot  # symbol row + 1 of the lot's code; 0: not kept by lot
    int32_t next  # row + 1 of the item's next position by (location, lot, barred); of the next free row if not live
    uint32_t flags  # POSITION_*
    int32_t extra  # row + 1 of the rarer facts; 0: none

# A position as it was before the open batch first moved it.  Where the batch then removed it, the rest is here, too.
cdef struct Change:  # one cache line
    int64_t on_hand_milli
    int64_t held_milli
    int64_t allocated_milli
    int64_t unavailable_milli
    int64_t version  # of a removed position
    int32_t row  # -1: removed
    int32_t item
    int32_t location
    int32_t lot
    uint32_t flags
    int32_t spare

cdef inline uint64_t place_hash(int64_t item, int64_t location) noexcept nogil:
    return hash_int((<uint64_t>item << 32) ^ <uint64_t>location)

cdef inline int64_t free_of(const PositionRow* position) noexcept nogil:
    return position.on_hand_milli - position.held_milli - position.allocated_milli - position.unavailable_milli

cdef struct FoundPlace:
    int32_t item
    int32_t location
    int32_t row  # -1: there is none
    uint32_t stamp

cdef class Positions:
    cdef readonly list tables  # for checkpoints and digests, in a fixed order
    cdef readonly Table positions
    cdef Table extras
    cdef Table globals
    cdef Index place_index  # (item, location) -> the first of the place's positions
    cdef int32_t* heads  # item -> row + 1 of its first position
    cdef int64_t head_capacity
    cdef FoundPlace[FOUND_PLACES] found  # by item: places found lately, as a command asks for the same one again and again
    cdef uint32_t found_stamp  # what was found before it changed counts no more
    cdef Change* changes  # of the open batch, in the order of their first move
    cdef int64_t change_count
    cdef int64_t change_capacity

    cdef inline PositionRow* position_row(self, int64_t row) noexcept nogil:
        return <PositionRow*>self.positions.row(row)

    cdef inline const ExtraRow* extra_row(self, const PositionRow* position) noexcept nogil:
        """The rarer facts of a position, or NULL."""
        return <ExtraRow*>self.extras.row(position.extra - 1) if position.extra else NULL

    cdef inline void prefetch(self, int64_t item, int64_t location) noexcept nogil:
        """Have the index line of a place on its way before it is looked at."""
        index_prefetch(&self.place_index, place_hash(item, location))

    cdef inline int64_t first_of_item(self, int64_t item) noexcept nogil:
        """The item's first position by (location, lot), or -1; go on by `next`."""
        return self.heads[item] - 1 if item < self.head_capacity else -1

    cdef inline int64_t next_in_place(self, int64_t row) noexcept nogil:
        """The next lot of the same item at the same location, or -1."""
        cdef PositionRow* position = self.position_row(row)
        if position.next == 0 or self.position_row(position.next - 1).location != position.location:
            return -1
        return position.next - 1

    cdef inline int64_t find(self, int64_t item, int64_t location) noexcept nogil:
        """The first position of an item at a location, or -1; further lots by `next_in_place`."""
        cdef const FoundPlace* found = &self.found[item & (FOUND_PLACES - 1)]
        if found.item != item or found.location != location or found.stamp != self.found_stamp:
            self.note_found(item, location, self.look_up(item, location))
        return found.row

    cdef inline void note_found(self, int64_t item, int64_t location, int64_t row) noexcept nogil:
        """`find` answers this until positions are made or removed."""
        cdef FoundPlace* found = &self.found[item & (FOUND_PLACES - 1)]
        found.item, found.location, found.row = <int32_t>item, <int32_t>location, <int32_t>row
        found.stamp = self.found_stamp

    cdef inline void forget_found(self) noexcept nogil:
        self.found_stamp += 1
        if self.found_stamp == 0:  # stamps of 2 ** 32 changes ago would count again
            memset(self.found, 0, sizeof(self.found))
            self.found_stamp = 1

    cdef int64_t look_up(self, int64_t item, int64_t location) noexcept nogil
    cdef int64_t find_lot(self, int64_t item, int64_t location, int64_t lot, uint32_t barred) noexcept nogil
    cdef int64_t find_for(self, int64_t item, int64_t location, int64_t lot) noexcept nogil
    cdef int64_t make(self, int64_t item, int64_t location, int64_t lot, uint32_t barred) noexcept nogil
    cdef int64_t find_or_make(self, int64_t item, int64_t location, int64_t lot) noexcept nogil
    cdef void unmake(self, int64_t row) noexcept nogil
    cdef void note_removal(self, PositionRow* position, int64_t row) noexcept nogil
    cdef ExtraRow* edit_extra(self, int64_t row) noexcept nogil
    cdef void grow_changes(self) noexcept nogil

    cdef inline void note_change(self, PositionRow* position, int64_t row) noexcept nogil:
        """Keep the counters as they were, once a batch, before the first of them moves."""
        cdef Change* change
        if position.flags & POSITION_CHANGED:
            return
        if self.change_count == self.change_capacity:
            self.grow_changes()
        change = &self.changes[self.change_count]
        self.change_count += 1
        change.on_hand_milli = position.on_hand_milli
        change.held_milli = position.held_milli
        change.allocated_milli = position.allocated_milli
        change.unavailable_milli = position.unavailable_milli
        change.row = <int32_t>row
        position.flags |= POSITION_CHANGED

    cdef void moved(self, const PositionRow* position, int64_t free_milli) noexcept nogil
    cdef void move(
        self, int64_t row, int64_t on_hand_milli, int64_t held_milli, int64_t allocated_milli, int64_t unavailable_milli
    ) noexcept nogil
    cdef int64_t free_milli(self, int64_t item, int64_t location) noexcept nogil
    cdef int64_t total_on_hand(self, int64_t item, int64_t location) noexcept nogil
    cdef void reserve_heads(self, int64_t item) noexcept nogil
    cdef void link(self, int64_t row) noexcept nogil
    cdef void rebuild_positions(self) noexcept nogil
