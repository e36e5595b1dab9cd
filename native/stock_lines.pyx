"""Lines of promised units, in chains: what a hold has, what an order has allocated and shipped."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset

from ringup.native.stock_plan cimport ENTRY_PREORDER, ENTRY_STOCK, Entry
from ringup.native.stock_positions cimport POSITION_BARRED, PositionRow
from ringup.native.table cimport Table

cdef struct LineGlobals:
    int64_t free_line  # row + 1


cdef class Lines(Planner):
    """Chains of lines; the ends of a chain stand in the row of its hold or order."""

    def __cinit__(self):
        self.lines = Table("stock_lines", sizeof(LineRow))
        self.line_globals = Table("stock_line_globals", sizeof(LineGlobals))
        self.line_globals.append()
        self.tables += [self.lines, self.line_globals]

    cdef LineRow* append_line(self, Chain* chain) noexcept nogil:
        """A new line at the end of a chain (of a row that is being edited)."""
        cdef LineGlobals* own = <LineGlobals*>self.line_globals.edit(0)
        cdef LineRow* line
        cdef int64_t at
        if own.free_line:
            at = own.free_line - 1
            own.free_line = self.line_row(at).next
        else:
            at = self.lines.append()
        line = self.edit_line(at)
        line.next = 0
        line.position = line.location = -1
        if chain.last:
            self.edit_line(chain.last - 1).next = <int32_t>(at + 1)
        else:
            chain.first = <int32_t>(at + 1)
        chain.last = <int32_t>(at + 1)
        return line

    cdef void free_chain(self, Chain* chain) noexcept nogil:
        """Forget all lines of a chain."""
        cdef LineGlobals* own = <LineGlobals*>self.line_globals.edit(0)
        cdef LineRow* line
        cdef int64_t at = chain.first, following
        while at:
            line = self.edit_line(at - 1)
            following = line.next
            memset(line, 0, sizeof(LineRow))
            line.next = <int32_t>own.free_line
            own.free_line = at
            at = following
        chain.first = chain.last = 0

    cdef void sweep_chain(self, Chain* chain) noexcept nogil:
        """Forget the lines without units."""
        cdef LineGlobals* own
        cdef LineRow* line
        cdef int64_t at = chain.first, before = 0, following
        while at:
            line = self.line_row(at - 1)
            following = line.next
            if line.qty_milli:
                before, at = at, following
                continue
            own = <LineGlobals*>self.line_globals.edit(0)
            line = self.edit_line(at - 1)
            memset(line, 0, sizeof(LineRow))
            line.next = <int32_t>own.free_line
            own.free_line = at
            if before:
                self.edit_line(before - 1).next = <int32_t>following
            else:
                chain.first = <int32_t>following
            if not following:
                chain.last = <int32_t>before
            at = following

    cdef int64_t chain_milli(self, const Chain* chain, int64_t item) noexcept nogil:
        """Units of an item (-1: of all items) in a chain."""
        cdef int64_t at = chain.first, sum_milli = 0
        cdef LineRow* line
        while at:
            line = self.line_row(at - 1)
            if item < 0 or line.item == item:
                sum_milli += line.qty_milli
            at = line.next
        return sum_milli

    cdef void promise(self, Entry* entry, int counter, Chain* chain) noexcept nogil:
        """Hold or allocate what a plan says, and remember it at the end of a chain."""
        cdef LineRow* line
        cdef PositionRow* position
        if entry.kind == ENTRY_STOCK:
            if entry.position < 0:  # owed where the item had no position to owe from
                entry.position = self.find_lot(entry.item, entry.location, 0, 0)
                if entry.position < 0:
                    entry.position = self.make(entry.item, entry.location, 0, 0)
            if counter == COUNTER_HELD:
                self.move(entry.position, 0, entry.qty_milli, 0, 0)
            else:
                self.move(entry.position, 0, 0, entry.qty_milli, 0)
        elif entry.kind == ENTRY_PREORDER:
            self.preorder(entry.item, entry.channel - 1, entry.qty_milli)
        line = self.append_line(chain)
        line.qty_milli = entry.qty_milli
        line.item = entry.item
        line.channel = entry.channel
        line.kind = entry.kind
        line.owed = entry.owed
        if entry.kind == ENTRY_STOCK:
            position = self.position_row(entry.position)
            line.position = <int32_t>entry.position
            line.location = position.location
            line.lot = position.lot
            line.barred = position.flags & POSITION_BARRED != 0

    cdef void give_back(self, const LineRow* line, int64_t qty_milli, int counter) noexcept nogil:
        """Undo the promise of some units of a line; the line itself is left to the caller."""
        if line.kind == ENTRY_STOCK:
            if counter == COUNTER_HELD:
                self.move(line.position, 0, -qty_milli, 0, 0)
            else:
                self.move(line.position, 0, 0, -qty_milli, 0)
        elif line.kind == ENTRY_PREORDER:
            self.preorder(line.item, line.channel - 1, -qty_milli)

    cdef void give_back_chain(self, const Chain* chain, int counter) noexcept nogil:
        cdef int64_t at = chain.first
        cdef LineRow* line
        while at:
            line = self.line_row(at - 1)
            self.give_back(line, line.qty_milli, counter)
            at = line.next

    cdef void plan_give_back_chain(self, const Chain* chain) noexcept nogil:
        """Plan as if the units of a chain were free."""
        cdef int64_t at = chain.first
        while at:
            self.plan_give_back_line(self.line_row(at - 1))
            at = self.line_row(at - 1).next

    cdef void plan_give_back_line(self, const LineRow* line) noexcept nogil:
        cdef Entry entry = self.entry_of(line)
        self.plan_give_back(&entry)

    cdef Entry entry_of(self, const LineRow* line) noexcept nogil:
        """A line as an entry of a plan."""
        cdef Entry entry
        entry.qty_milli = line.qty_milli
        entry.position = line.position
        entry.item = line.item
        entry.location = line.location
        entry.channel = line.channel
        entry.kind = line.kind
        entry.owed = line.owed
        return entry

    cdef int64_t position_again(self, const LineRow* line) noexcept nogil:
        """Where goods of a shipped line go back to: their position, made again if it was removed."""
        cdef int64_t row = self.find_lot(line.item, line.location, line.lot, POSITION_BARRED if line.barred else 0)
        if row < 0:
            row = self.make(line.item, line.location, line.lot, POSITION_BARRED if line.barred else 0)
        return row
