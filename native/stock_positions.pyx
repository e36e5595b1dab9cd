"""Positions: what stands where, by (item, location, lot), and what is promised of it."""

from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.stdlib cimport abort, free, realloc
from libc.string cimport memset

from ringup.native.index cimport index_add, index_free, index_next, index_remove, index_reserve, index_start
from ringup.native.table cimport Table

cdef struct PositionGlobals:
    int64_t free_row  # row + 1 of the first row that a removed position left
    int64_t free_extra


cdef inline bint _before(const PositionRow* a, const PositionRow* b) noexcept nogil:
    if a.location != b.location:
        return a.location < b.location
    if a.lot != b.lot:
        return a.lot < b.lot
    return (a.flags & POSITION_BARRED) < (b.flags & POSITION_BARRED)  # barred after for sale


cdef class Positions:
    """All counters.  Items, locations and lots are row numbers of their own tables."""

    def __cinit__(self):
        self.positions = Table("positions", sizeof(PositionRow))
        self.extras = Table("position_extras", sizeof(ExtraRow))
        self.globals = Table("position_globals", sizeof(PositionGlobals))
        self.globals.append()
        self.tables = [self.positions, self.extras, self.globals]
        self.forget_found()

    def __dealloc__(self):
        index_free(&self.place_index)
        free(self.heads)
        free(self.changes)

    cdef int64_t look_up(self, int64_t item, int64_t location) noexcept nogil:
        """What `find` answers, from the index."""
        cdef int64_t cursor = index_start(&self.place_index, place_hash(item, location))
        cdef int64_t row = index_next(&self.place_index, place_hash(item, location), &cursor)
        cdef PositionRow* position
        while row >= 0:
            position = self.position_row(row)
            if position.item == item and position.location == location:
                return row
            row = index_next(&self.place_index, place_hash(item, location), &cursor)
        return -1

    cdef int64_t find_lot(self, int64_t item, int64_t location, int64_t lot, uint32_t barred) noexcept nogil:
        """The position of one lot (0: not kept by lot), for sale or POSITION_BARRED; or -1."""
        cdef int64_t row = self.find(item, location)
        cdef PositionRow* position
        while row >= 0:
            position = self.position_row(row)
            if position.lot == lot and (position.flags & POSITION_BARRED) == barred:
                return row
            row = self.next_in_place(row)
        return -1

    cdef int64_t find_for(self, int64_t item, int64_t location, int64_t lot) noexcept nogil:
        """The position that goods of a lot go to: the one for sale, else the barred one, else -1."""
        cdef int64_t row = self.find_lot(item, location, lot, 0)
        return row if row >= 0 else self.find_lot(item, location, lot, POSITION_BARRED)

    cdef int64_t find_or_make(self, int64_t item, int64_t location, int64_t lot) noexcept nogil:
        """As `find_for`; where there is none a new one, barred where all of the item there is barred."""
        cdef int64_t row = self.find_for(item, location, lot), at
        cdef uint32_t barred = 0
        if row >= 0:
            return row
        at = self.find(item, location)
        if at >= 0:
            barred = POSITION_BARRED
            while at >= 0:
                barred &= self.position_row(at).flags
                at = self.next_in_place(at)
        return self.make(item, location, lot, barred)

    cdef int64_t make(self, int64_t item, int64_t location, int64_t lot, uint32_t barred) noexcept nogil:
        """A new position with nothing there; it must not exist yet."""
        cdef PositionGlobals* own = <PositionGlobals*>self.globals.edit(0)
        cdef PositionRow* position
        cdef int64_t row = own.free_row - 1, at = self.find(item, location)
        while at >= 0 and at < row:
            at = self.next_in_place(at)
        if row >= 0 and at < 0:
            own.free_row = self.position_row(row).next
        else:  # rows of one place stay in the order of their making, which breaks ties between lots
            row = self.positions.append()
        position = <PositionRow*>self.positions.edit(row)
        position.item = <int32_t>item
        position.location = <int32_t>location
        position.lot = <int32_t>lot
        position.next = 0
        position.flags = POSITION_LIVE | barred
        self.link(row)
        self.moved(position, 0)
        return row

    cdef ExtraRow* edit_extra(self, int64_t row) noexcept nogil:
        """The rarer facts of a position, to be changed; made when there are none."""
        cdef PositionRow* position = self.position_row(row)
        cdef PositionGlobals* own
        cdef ExtraRow* extra
        if position.extra:
            return <ExtraRow*>self.extras.edit(position.extra - 1)
        own = <PositionGlobals*>self.globals.edit(0)
        position = <PositionRow*>self.positions.edit(row)
        if own.free_extra:
            position.extra = <int32_t>own.free_extra
            extra = <ExtraRow*>self.extras.edit(position.extra - 1)
            own.free_extra = extra.next_free
            extra.next_free = 0
        else:
            position.extra = <int32_t>(self.extras.append() + 1)
            extra = <ExtraRow*>self.extras.edit(position.extra - 1)
        return extra

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
            if _before(position, other):
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
        self.forget_found()

    cdef void grow_changes(self) noexcept nogil:
        self.change_capacity = max(self.change_capacity * 2, 1024)
        self.changes = <Change*>realloc(self.changes, self.change_capacity * sizeof(Change))
        if self.changes == NULL:
            abort()

    cdef void note_removal(self, PositionRow* position, int64_t row) noexcept nogil:
        """Have the change of a position that goes stand by itself: its row may be another position soon."""
        cdef int64_t at
        cdef Change* change
        self.note_change(position, row)
        at = self.change_count - 1
        while self.changes[at].row != row:
            at -= 1
        change = &self.changes[at]
        change.row = -1
        change.version = position.version + 1
        change.item, change.location, change.lot = position.item, position.location, position.lot
        change.flags = position.flags

    cdef void unmake(self, int64_t row) noexcept nogil:
        """Forget a position; nothing may refer to its row any more."""
        cdef ExtraRow* extra
        cdef PositionRow* position = <PositionRow*>self.positions.edit(row)
        cdef PositionGlobals* own = <PositionGlobals*>self.globals.edit(0)
        cdef int64_t item = position.item, location = position.location, after, before
        if self.find(item, location) == row:
            self.forget_found()
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
        self.moved(position, -free_of(position))
        self.note_removal(position, row)
        position.on_hand_milli = position.held_milli = position.allocated_milli = position.unavailable_milli = 0
        position.version = 0
        position.item = position.location = position.lot = 0
        position.flags = 0
        if position.extra:
            extra = <ExtraRow*>self.extras.edit(position.extra - 1)
            memset(extra, 0, sizeof(ExtraRow))
            extra.next_free = <int32_t>own.free_extra
            own.free_extra = position.extra
            position.extra = 0
        position.next = <int32_t>own.free_row
        own.free_row = row + 1

    cdef void move(
        self, int64_t row, int64_t on_hand_milli, int64_t held_milli, int64_t allocated_milli, int64_t unavailable_milli
    ) noexcept nogil:
        """Change the counters of a position by these amounts: the only way that they change."""
        cdef PositionRow* position = <PositionRow*>self.positions.edit(row)
        self.note_change(position, row)
        position.on_hand_milli += on_hand_milli
        position.held_milli += held_milli
        position.allocated_milli += allocated_milli
        position.unavailable_milli += unavailable_milli
        position.version += 1
        if position.held_milli < 0 or position.allocated_milli < 0 or position.unavailable_milli < 0:
            abort()  # a promise given back twice: stop, the journal is the truth
        self.moved(position, on_hand_milli - held_milli - allocated_milli - unavailable_milli)

    cdef void moved(self, const PositionRow* position, int64_t free_milli) noexcept nogil:
        """Called after each change of free units; what keeps sums over positions overrides it."""

    cdef int64_t free_milli(self, int64_t item, int64_t location) noexcept nogil:
        """Free units for sale at a location, over its lots; below zero where more was promised than is there."""
        cdef int64_t row = self.find(item, location), free_milli = 0
        while row >= 0:
            if not self.position_row(row).flags & POSITION_BARRED:
                free_milli += free_of(self.position_row(row))
            row = self.next_in_place(row)
        return free_milli

    cdef int64_t total_on_hand(self, int64_t item, int64_t location) noexcept nogil:
        """What is on hand at a location over all lots, barred ones too."""
        cdef int64_t row = self.find(item, location), on_hand_milli = 0
        while row >= 0:
            on_hand_milli += self.position_row(row).on_hand_milli
            row = self.next_in_place(row)
        return on_hand_milli

    cdef void rebuild_positions(self) noexcept nogil:
        """Make the index and the heads of the lists again from the rows."""
        cdef int64_t row, at, first
        cdef PositionRow* position
        cdef PositionRow* other
        self.forget_found()
        index_free(&self.place_index)
        index_reserve(&self.place_index, self.positions.count)
        for at in range(self.head_capacity):
            self.heads[at] = 0
        for row in range(self.positions.count):
            position = self.position_row(row)
            if not position.flags:
                continue
            self.reserve_heads(position.item)
            first = self.heads[position.item] - 1
            if first >= 0:
                other = self.position_row(first)
                if _before(other, position):
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
