"""Stock: all of it in one object, and what a till sale takes.

A unit is promised once: every demand is summed by item first, checked as a whole, then applied as a
whole.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport abort, free, realloc

from ringup.native.contract cimport (
    HOLD_STATE_COMMITTED,
    HOLD_STATE_OPEN,
    HOLD_STATE_PAYING,
    RESULT_CODE_HOLD_ELSEWHERE,
    RESULT_CODE_OK,
    RESULT_CODE_STOCK_INSUFFICIENT,
)
from ringup.native.stock_lines cimport COUNTER_HELD, LineRow
from ringup.native.stock_plan cimport ENTRY_STOCK
from ringup.native.stock_positions cimport POSITION_BARRED, ExtraRow, PositionRow, free_of
from ringup.native.stock_tally cimport Entry, tally_at, tally_clear, tally_find, tally_free


cdef class Stock(Orders):
    """Positions, policies, holds, orders, and sales on them."""

    def __dealloc__(self):
        tally_free(&self.need)
        tally_free(&self.seen)
        free(self.lot_parts)

    # Sales.

    cdef int check_take(
        self, int64_t location, const Demand* demands, int64_t count, const int64_t* holds, int64_t hold_count,
        bint shortfall_allowed, int64_t now_ns, int64_t* failed, int64_t* found
    ) noexcept nogil:
        """Whether a sale at `location` may take `demands`, units of its own live `holds` first.

        Demands are summed by item.  On a refusal `failed` is the hold or the first demand that does
        not fit, and `found` the units that the sale could have of that item.
        """
        cdef int64_t i, at, free_milli
        cdef int code
        cdef LineRow* line
        cdef Entry* entry
        failed[0] = found[0] = 0
        tally_clear(&self.need)
        tally_clear(&self.seen)
        for i in range(hold_count):
            failed[0] = i
            code = self.open_code(holds[i], now_ns)
            if code != RESULT_CODE_OK:
                return code
            if tally_find(&self.seen, holds[i]) != NULL:
                continue  # named twice; its units count once
            tally_at(&self.seen, holds[i])
            at = self.hold_row(holds[i]).lines.first
            if at == 0 and self.hold_row(holds[i]).location not in (-1, location):
                return RESULT_CODE_HOLD_ELSEWHERE
            while at:
                line = self.line_row(at - 1)
                if line.kind == ENTRY_STOCK:
                    if line.location != location:
                        return RESULT_CODE_HOLD_ELSEWHERE
                    tally_at(&self.need, line.item).spare_milli += line.qty_milli
                at = line.next
        failed[0] = 0
        if shortfall_allowed:
            return RESULT_CODE_OK
        for i in range(count):
            entry = tally_at(&self.need, demands[i].item)
            entry.sum_milli += demands[i].qty_milli
            if entry.sum_milli > entry.spare_milli:
                free_milli = self.free_milli(demands[i].item, location)
                if entry.sum_milli - entry.spare_milli > free_milli:
                    failed[0] = i
                    found[0] = entry.spare_milli + max(free_milli, 0)
                    return RESULT_CODE_STOCK_INSUFFICIENT
        return RESULT_CODE_OK

    cdef void take(
        self, int64_t location, const Demand* demands, int64_t count, const int64_t* holds, int64_t hold_count
    ) noexcept nogil:
        """Book out what `check_take` allowed; the holds end, and what they held beyond the sale is free again."""
        cdef int64_t i, at, used
        cdef LineRow* line
        cdef Entry* entry
        self.lot_part_count = 0
        self.sum_demands(demands, count)
        for i in range(hold_count):
            if self.hold_row(holds[i]).state not in (HOLD_STATE_OPEN, HOLD_STATE_PAYING):
                continue  # named twice
            at = self.hold_row(holds[i]).lines.first
            while at:
                line = self.line_row(at - 1)
                if line.kind == ENTRY_STOCK:
                    entry = tally_find(&self.need, line.item)
                    used = 0 if entry == NULL else min(entry.sum_milli, line.qty_milli)
                    if entry != NULL:
                        entry.sum_milli -= used
                    self.move(line.position, -used, -line.qty_milli, 0, 0)
                else:
                    self.give_back(line, line.qty_milli, COUNTER_HELD)
                at = line.next
            self.end(holds[i], HOLD_STATE_COMMITTED)
        for i in range(self.need.count):
            entry = &self.need.entries[self.need.order[i]]
            if entry.sum_milli:
                self.take_free(entry.key, location, entry.sum_milli)

    cdef void sum_demands(self, const Demand* demands, int64_t count) noexcept nogil:
        cdef int64_t i
        tally_clear(&self.need)
        for i in range(count):
            tally_at(&self.need, demands[i].item).sum_milli += demands[i].qty_milli

    cdef void take_free(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil:
        """Units leave a place: free ones in the order of removal, a shortfall from goods in no lot."""
        cdef int64_t row = self.find(item, location), i, count, part
        if (
            row >= 0 and self.next_in_place(row) < 0 and self.position_row(row).lot == 0
            and not self.position_row(row).flags & POSITION_BARRED
        ):
            self.move(row, -qty_milli, 0, 0, 0)  # one position there: nearly always
            return
        count = self.removal_order(item, location)
        for i in range(count):
            row = self.lot_order[i]
            part = min(qty_milli, free_of(self.position_row(row)))
            if part > 0 and not self.position_row(row).flags & POSITION_BARRED:
                self.leave_lot(row, part)
                qty_milli -= part
        if qty_milli:
            row = self.find_lot(item, location, 0, 0)
            if row < 0:
                row = self.make(item, location, 0, 0)
            self.leave_lot(row, qty_milli)

    cdef void leave_lot(self, int64_t position, int64_t qty_milli) noexcept nogil:
        """Units leave a position that the stock chose; the answer tells which."""
        self.move(position, -qty_milli, 0, 0, 0)
        if self.lot_part_count == self.lot_part_capacity:
            self.lot_part_capacity = max(16, 2 * self.lot_part_capacity)
            self.lot_parts = <LotPart*>realloc(self.lot_parts, self.lot_part_capacity * sizeof(LotPart))
            if self.lot_parts == NULL:
                abort()
        self.lot_parts[self.lot_part_count].position = position
        self.lot_parts[self.lot_part_count].qty_milli = qty_milli
        self.lot_part_count += 1

    # Goods.

    cdef void put_back(self, int64_t location, int64_t item, int64_t qty_milli) noexcept nogil:
        """Goods in no lot come in: a receipt, a return, a correction upward."""
        self.move(self.find_or_make(item, location, 0), qty_milli, 0, 0, 0)

    cdef void bar(self, int64_t row, int64_t reason, int64_t qty_milli) noexcept nogil:
        """Make units of a position unavailable for a BarReason; below zero: available again."""
        self.edit_extra(row).barred_milli[reason] += qty_milli
        self.move(row, 0, 0, 0, qty_milli)

    cdef void lower(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil:
        """Goods are gone: free units first, then promised ones, by lots in the order of removal."""
        cdef int64_t i, count = self.removal_order(item, location), part
        cdef PositionRow* position
        cdef bint promised
        for promised in range(2):
            for i in range(count):
                position = self.position_row(self.lot_order[i])
                part = position.on_hand_milli
                if not promised:
                    part = min(part, free_of(position))
                part = min(part, qty_milli)
                if part > 0:
                    self.move(self.lot_order[i], -part, 0, 0, 0)
                    qty_milli -= part
        if qty_milli:
            self.move(self.find_or_make(item, location, 0), -qty_milli, 0, 0, 0)

    cdef void transfer(self, int64_t item, int64_t source, int64_t target, int64_t qty_milli) noexcept nogil:
        """Free units go to another place; a lot stays that lot."""
        cdef int64_t i, count = self.removal_order(item, source), part, row, arrived
        cdef const ExtraRow* extra
        cdef ExtraRow* other
        self.lot_part_count = 0
        for i in range(count):
            row = self.lot_order[i]
            part = min(qty_milli, free_of(self.position_row(row)))
            if part <= 0:
                continue
            qty_milli -= part
            self.leave_lot(row, part)
            arrived = self.find_or_make(item, target, self.position_row(row).lot)
            self.move(arrived, part, 0, 0, 0)
            extra = self.extra_row(self.position_row(row))
            if extra != NULL and (extra.received_ns or extra.expires_ns):
                other = self.edit_extra(arrived)
                if not other.received_ns:
                    other.received_ns = extra.received_ns
                if not other.expires_ns:
                    other.expires_ns = extra.expires_ns

    cdef bint place_is_empty(self, int64_t item, int64_t location) noexcept nogil:
        """Whether nothing is there, promised there, or on its way there."""
        cdef int64_t row = self.find(item, location)
        cdef PositionRow* position
        while row >= 0:
            position = self.position_row(row)
            if position.on_hand_milli or position.held_milli or position.allocated_milli or position.unavailable_milli:
                return False
            row = self.next_in_place(row)
        return self.incoming_milli(item, location, 0) == 0

    cdef void remove_place(self, int64_t item, int64_t location) noexcept nogil:
        """Forget all positions of an item at a location; holds and orders lose what they had there."""
        cdef int64_t row = self.find(item, location)
        cdef PositionRow* position
        while row >= 0:
            position = self.position_row(row)
            if position.held_milli:
                self.forget_position_in_holds(row)
            if position.allocated_milli:
                self.forget_position_in_orders(row)
            self.unmake(row)
            row = self.find(item, location)
        self.arrive(item, location, self.incoming_milli(item, location, 0))

    cdef void expire_due(self, int64_t now_ns) noexcept nogil:
        """End what is due: holds by deadline, then orders that were not collected."""
        self.expire_holds(now_ns)
        self.expire_pickups(now_ns)

    cdef void rebuild(self) noexcept nogil:
        """Make all derived state again from the rows, after a start."""
        self.rebuild_positions()
        self.rebuild_incoming()
        self.rebuild_policies()
        self.rebuild_kits()
        self.rebuild_holds()
        self.rebuild_orders()
