"""Lines of promised units, in chains: what a hold has, what an order has allocated and shipped."""

from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport abort, free, realloc
from libc.string cimport memset

from ringup.native.index cimport prefetch
from ringup.native.stock_kits cimport KitPartRow
from ringup.native.stock_plan cimport ENTRY_PREORDER, ENTRY_STOCK, Entry
from ringup.native.stock_positions cimport POSITION_BARRED, PositionRow
from ringup.native.stock_tally cimport tally_at, tally_clear, tally_find, tally_free
from ringup.native.stock_tally cimport Entry as Sum
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

    def __dealloc__(self):
        free(self.shares)
        tally_free(&self.kit_seen)
        tally_free(&self.kit_need)

    cdef LineRow* append_line(self, Chain* chain) noexcept nogil:
        """A new line at the end of a chain (of a row that is being edited)."""
        cdef LineGlobals* own = <LineGlobals*>self.line_globals.edit(0)
        cdef LineRow* line
        cdef int64_t at
        if own.free_line:
            at = own.free_line - 1
            own.free_line = self.line_row(at).next
            if own.free_line:
                prefetch(self.line_row(own.free_line - 1))
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
        line.kit = entry.kit
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
        entry.kit = line.kit
        return entry

    cdef void note(self, const LineRow* line, int64_t qty_milli) noexcept nogil:
        """Add units of a line to the plan at hand, to be told in the answer."""
        cdef Entry* entry
        if qty_milli:
            entry = self.add_entry()
            entry[0] = self.entry_of(line)
            entry.qty_milli = qty_milli

    # Kits in a chain: their parts are lines of their own, which name the version of the kit.

    cdef int64_t kits_in(self, const Chain* chain, int64_t kit, int64_t location) noexcept nogil:
        """Whole kits of one version in a chain; at one place (-1: any), where parts that are nowhere do not count."""
        cdef int64_t at = chain.first, i, kits = -1
        cdef LineRow* line
        cdef KitPartRow* part
        cdef Sum* entry
        tally_clear(&self.kit_need)
        while at:
            line = self.line_row(at - 1)
            if line.kit == kit + 1 and (location < 0 or line.kind == ENTRY_STOCK):
                entry = tally_at(&self.kit_need, line.item)
                if location < 0 or line.location == location:
                    entry.sum_milli += line.qty_milli
            at = line.next
        for i in range(self.kit_row(kit).part_count):
            part = self.kit_part(kit, i)
            entry = tally_find(&self.kit_need, part.item)
            if entry == NULL and location >= 0:
                continue
            if entry == NULL:
                return 0
            if kits < 0 or entry.sum_milli // part.qty_milli < kits:
                kits = entry.sum_milli // part.qty_milli
        return max(kits, 0)

    cdef int64_t kits_milli(self, const Chain* chain, int64_t item, int64_t location) noexcept nogil:
        """Whole kits of an item in a chain, of all its versions; `kit_seen` has them by version, in order."""
        cdef int64_t at = chain.first, sum_milli = 0
        cdef LineRow* line
        cdef Sum* entry
        tally_clear(&self.kit_seen)
        while at:
            line = self.line_row(at - 1)
            if line.kit and self.kit_row(line.kit - 1).item == item and tally_find(&self.kit_seen, line.kit) == NULL:
                entry = tally_at(&self.kit_seen, line.kit)
                entry.sum_milli = self.kits_in(chain, line.kit - 1, location) * 1000
                sum_milli += entry.sum_milli
            at = line.next
        return sum_milli

    cdef LineRow* line_of_kit(self, const Chain* chain, int32_t kit, int64_t item) noexcept nogil:
        """A line of a part on a position, for a version of a kit (row + 1); NULL where there is none."""
        cdef int64_t at = chain.first
        while at:
            if self.line_row(at - 1).kit == kit and self.line_row(at - 1).item == item:
                if self.line_row(at - 1).kind == ENTRY_STOCK:
                    return self.line_row(at - 1)
            at = self.line_row(at - 1).next
        return NULL

    cdef int64_t asked_item(self, const LineRow* line) noexcept nogil:
        """The item that was asked for when this line was promised: the kit of a part."""
        return self.kit_row(line.kit - 1).item if line.kit else line.item

    cdef int64_t asked_milli(self, const Chain* chain) noexcept nogil:
        """Units in a chain as they were asked for: a kit is one, whatever its parts."""
        cdef int64_t at = chain.first, sum_milli = 0
        cdef LineRow* line
        if self.kits.count == 0:
            return self.chain_milli(chain, -1)
        tally_clear(&self.kit_seen)
        while at:
            line = self.line_row(at - 1)
            if not line.kit:
                sum_milli += line.qty_milli
            elif tally_find(&self.kit_seen, line.kit) == NULL:
                tally_at(&self.kit_seen, line.kit)
                sum_milli += self.kits_in(chain, line.kit - 1, -1) * 1000
            at = line.next
        return sum_milli

    cdef void share_out(self, const Chain* chain, int64_t qty_milli) noexcept nogil:
        """Fill `shares` with what the earliest `qty_milli` asked units are of each line of a chain."""
        cdef int64_t at = chain.first, count = 0, kits, i
        cdef LineRow* line
        cdef Sum* entry
        cdef KitPartRow* part
        tally_clear(&self.kit_seen)
        while at:
            line = self.line_row(at - 1)
            if count == self.share_capacity:
                self.share_capacity = max(count * 2, 64)
                self.shares = <int64_t*>realloc(self.shares, self.share_capacity * sizeof(int64_t))
                if self.shares == NULL:
                    abort()
            if not line.kit:
                self.shares[count] = min(qty_milli, line.qty_milli)
                qty_milli -= self.shares[count]
            else:
                if tally_find(&self.kit_seen, -line.kit) == NULL:
                    tally_at(&self.kit_seen, -line.kit)  # a version has its units shared out once
                    kits = min(qty_milli // 1000, self.kits_in(chain, line.kit - 1, -1))
                    qty_milli -= kits * 1000
                    for i in range(self.kit_row(line.kit - 1).part_count):
                        part = self.kit_part(line.kit - 1, i)
                        tally_at(&self.kit_seen, (<int64_t>line.kit << 31) | part.item).sum_milli = part.qty_milli * kits
                entry = tally_find(&self.kit_seen, (<int64_t>line.kit << 31) | line.item)
                self.shares[count] = min(entry.sum_milli, line.qty_milli)
                entry.sum_milli -= self.shares[count]
            count += 1
            at = line.next

    cdef int64_t position_again(self, const LineRow* line) noexcept nogil:
        """Where goods of a shipped line go back to: their position, made again if it was removed."""
        cdef int64_t row = self.find_lot(line.item, line.location, line.lot, POSITION_BARRED if line.barred else 0)
        if row < 0:
            row = self.make(line.item, line.location, line.lot, POSITION_BARRED if line.barred else 0)
        return row
