"""Positions: what stands where, by (item, location, lot), and what is promised of it."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport abort, free, realloc

from ringup.native.index cimport index_add, index_free, index_next, index_remove, index_reserve, index_start
from ringup.native.table cimport Table

cdef struct PositionGlobals:
    int64_t free_row  # row + 1 of the first row that a removed position left


cdef class Positions:
    """All counters.  Items, locations and lots are row numbers of their own tables."""

    def __cinit__(self):
        self.positions = Table("positions", sizeof(PositionRow))
        self.globals = Table("position_globals", sizeof(PositionGlobals))
        self.globals.append()
        self.tables = [self.positions, self.globals]

    def __dealloc__(self):
        index_free(&self.place_index)
        free(self.heads)

    cdef int64_t find(self, int64_t item, int64_t location) noexcept nogil:
        """The first position of an item at a location, or -1; further lots by `next_in_place`."""
        cdef int64_t cursor = index_start(&self.place_index, place_hash(item, location))
        cdef int64_t row = index_next(&self.place_index, place_hash(item, location), &cursor)
        cdef PositionRow* position
        while row >= 0:
            position = self.position_row(row)
            if position.item == item and position.location == location:
                return row
            row = index_next(&self.place_index, place_hash(item, location), &cursor)
        return -1

    cdef int64_t find_lot(self, int64_t item, int64_t location, int64_t lot) noexcept nogil:
        """The position of one lot (row + 1; 0: not kept by lot), or -1."""
        cdef int64_t row = self.find(item, location)
        while row >= 0 and self.position_row(row).lot != lot:
            row = self.next_in_place(row)
        return row

    cdef int64_t make(self, int64_t item, int64_t location, int64_t lot) noexcept nogil:
        """A new position with nothing there; it must not exist yet."""
        cdef PositionGlobals* own = <PositionGlobals*>self.globals.row(0)
        cdef PositionRow* position
        cdef int64_t row
        if own.free_row:
            row = own.free_row - 1
            own = <PositionGlobals*>self.globals.edit(0)
            own.free_row = self.position_row(row).next
        else:
            row = self.positions.append()
        position = <PositionRow*>self.positions.edit(row)
        position.item = <int32_t>item
        position.location = <int32_t>location
        position.lot = <int32_t>lot
        position.next = 0
        position.live = 1
        self.link(row)
        return row

    cdef void reserve_heads(self, int64_t item) noexcept nogil:
        cdef int64_t at, capacity
        if item < self.head_capacity:
            return
        capacity = max(item + 1, self.head_capacity * 2, 1024)
        self.heads = <int32_t*>realloc(self.heads, capacity * sizeof(int32_t))
        if self.heads == NULL:
            abort()
        for at in range(self.head_capacity, capacity):
            self.heads[at] = 0
        self.head_capacity = capacity

    cdef void link(self, int64_t row) noexcept nogil:
        # The list of an item is in the order of (location, lot) whatever the history was.
        cdef PositionRow* position = <PositionRow*>self.positions.edit(row)
        cdef PositionRow* other
        cdef int64_t item = position.item, at, before = -1, first
        self.reserve_heads(item)
        first = self.find(item, position.location)
        at = self.heads[item] - 1
        while at >= 0:
            other = self.position_row(at)
            if other.location > position.location or (other.location == position.location and other.lot > position.lot):
                break
            before, at = at, <int64_t>other.next - 1
        position.next = <int32_t>(at + 1)
        if before < 0:
            self.heads[item] = <int32_t>(row + 1)
        else:
            (<PositionRow*>self.positions.edit(before)).next = <int32_t>(row + 1)
        if first < 0 or first == at:  # the place's first
            if first >= 0:
                index_remove(&self.place_index, place_hash(item, position.location), first)
            index_add(&self.place_index, place_hash(item, position.location), row)

    cdef void unmake(self, int64_t row) noexcept nogil:
        """Forget a position; nothing may refer to its row any more."""
        cdef PositionRow* position = <PositionRow*>self.positions.edit(row)
        cdef PositionGlobals* own = <PositionGlobals*>self.globals.edit(0)
        cdef int64_t item = position.item, location = position.location, after, before
        if self.find(item, location) == row:
            index_remove(&self.place_index, place_hash(item, location), row)
            after = self.next_in_place(row)
            if after >= 0:
                index_add(&self.place_index, place_hash(item, location), after)
        if self.heads[item] == row + 1:
            self.heads[item] = position.next
        else:
            before = self.heads[item] - 1
            while self.position_row(before).next != row + 1:
                before = self.position_row(before).next - 1
            (<PositionRow*>self.positions.edit(before)).next = position.next
        position.on_hand_milli = position.held_milli = position.allocated_milli = position.unavailable_milli = 0
        position.version = 0
        position.item = position.location = position.lot = 0
        position.live = 0
        position.next = <int32_t>own.free_row
        own.free_row = row + 1

    cdef void move(
        self, int64_t row, int64_t on_hand_milli, int64_t held_milli, int64_t allocated_milli, int64_t unavailable_milli
    ) noexcept nogil:
        """Change the counters of a position by these amounts: the only way that they change."""
        cdef PositionRow* position = <PositionRow*>self.positions.edit(row)
        position.on_hand_milli += on_hand_milli
        position.held_milli += held_milli
        position.allocated_milli += allocated_milli
        position.unavailable_milli += unavailable_milli
        position.version += 1
        if position.held_milli < 0 or position.allocated_milli < 0 or position.unavailable_milli < 0:
            abort()  # a promise given back twice: stop, the journal is the truth

    cdef int64_t free_milli(self, int64_t item, int64_t location) noexcept nogil:
        """Free units of an item at a location, over its lots; below zero where more was promised than is there."""
        cdef int64_t row = self.find(item, location), free_milli = 0
        while row >= 0:
            free_milli += free_of(self.position_row(row))
            row = self.next_in_place(row)
        return free_milli

    cdef void rebuild_positions(self) noexcept nogil:
        """Make the index and the heads of the lists again from the rows."""
        cdef int64_t row, at, first
        cdef PositionRow* position
        cdef PositionRow* other
        index_free(&self.place_index)
        index_reserve(&self.place_index, self.positions.count)
        for at in range(self.head_capacity):
            self.heads[at] = 0
        for row in range(self.positions.count):
            position = self.position_row(row)
            if not position.live:
                continue
            self.reserve_heads(position.item)
            first = self.heads[position.item] - 1
            if first >= 0:
                other = self.position_row(first)
                if other.location < position.location or (
                    other.location == position.location and other.lot < position.lot
                ):
                    continue
            self.heads[position.item] = <int32_t>(row + 1)
        for at in range(self.head_capacity):
            row = self.heads[at] - 1
            first = -1
            while row >= 0:
                position = self.position_row(row)
                if first < 0 or self.position_row(first).location != position.location:
                    index_add(&self.place_index, place_hash(at, position.location), row)
                    first = row
                row = <int64_t>position.next - 1
