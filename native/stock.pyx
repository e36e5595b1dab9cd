"""Stock: positions, soft holds with deadlines, and what a sale takes.

A unit is promised once: every demand is summed by item first, checked as a whole, then applied as a
whole.  A live hold's units are its own, so committing or releasing it cannot fail.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcmp, memcpy, memset

from ringup.native.contract cimport (
    HOLD_STATE_COMMITTED,
    HOLD_STATE_EXPIRED,
    HOLD_STATE_OPEN,
    HOLD_STATE_RELEASED,
    RESULT_CODE_HOLD_COMMITTED,
    RESULT_CODE_HOLD_ELSEWHERE,
    RESULT_CODE_HOLD_EXPIRED,
    RESULT_CODE_HOLD_RELEASED,
    RESULT_CODE_HOLD_UNKNOWN,
    RESULT_CODE_OK,
    RESULT_CODE_STOCK_INSUFFICIENT,
)
from ringup.native.index cimport (
    hash_bytes,
    index_add,
    index_free,
    index_next,
    index_remove,
    index_reserve,
    index_start,
)
from ringup.native.stock_deadlines cimport deadlines_free, deadlines_remove, deadlines_set
from ringup.native.stock_positions cimport PositionRow, free_of
from ringup.native.stock_tally cimport Entry, tally_at, tally_clear, tally_find, tally_free
from ringup.native.table cimport Table
from ringup.native.wire cimport Span, span_at

cdef struct HoldGlobals:
    int64_t made  # holds so far
    int64_t open_count
    int64_t ended_count
    int64_t ended_first  # row + 1 of the hold that ended first and is still kept
    int64_t ended_last
    int64_t free_hold  # row + 1
    int64_t free_line


cdef class Stock(Positions):
    """Positions and the holds on them."""

    def __cinit__(self):
        self.holds = Table("holds", sizeof(HoldRow))
        self.hold_lines = Table("hold_lines", sizeof(HoldLineRow))
        self.hold_globals = Table("hold_globals", sizeof(HoldGlobals))
        self.hold_globals.append()
        self.tables += [self.holds, self.hold_lines, self.hold_globals]

    def __dealloc__(self):
        index_free(&self.hold_index)
        deadlines_free(&self.deadlines)
        tally_free(&self.need)
        tally_free(&self.seen)

    # Holds: look up.

    cdef int64_t find_hold(self, const uint8_t* id) noexcept nogil:
        """The newest hold with this id, or -1."""
        cdef int64_t cursor = index_start(&self.hold_index, hash_bytes(id, 16)), best = -1
        cdef int64_t row = index_next(&self.hold_index, hash_bytes(id, 16), &cursor)
        while row >= 0:
            if memcmp(self.hold_row(row).id, id, 16) == 0:
                if best < 0 or self.hold_row(row).number > self.hold_row(best).number:
                    best = row
            row = index_next(&self.hold_index, hash_bytes(id, 16), &cursor)
        return best

    cdef int open_code(self, int64_t hold, int64_t now_ns) noexcept nogil:
        """OK when hold row `hold` (-1: there is none) is open at `now_ns`, else why not."""
        cdef HoldRow* row
        if hold < 0:
            return RESULT_CODE_HOLD_UNKNOWN
        row = self.hold_row(hold)
        if row.state == HOLD_STATE_COMMITTED:
            return RESULT_CODE_HOLD_COMMITTED
        if row.state == HOLD_STATE_RELEASED:
            return RESULT_CODE_HOLD_RELEASED
        if row.state == HOLD_STATE_EXPIRED or (row.deadline_ns != 0 and row.deadline_ns <= now_ns):
            return RESULT_CODE_HOLD_EXPIRED
        return RESULT_CODE_OK

    # Holds: make and end.

    cdef int check_hold(
        self, int64_t location, const Demand* demands, int64_t count, int64_t replaced, int64_t* failed, int64_t* found
    ) noexcept nogil:
        """Whether `demands` are free at `location`; the units of hold `replaced` (-1: none) count as free."""
        cdef bint own = replaced >= 0 and self.hold_row(replaced).location == location
        return self.check_take(location, demands, count, &replaced, own, False, 0, failed, found)

    cdef int64_t hold(
        self, const uint8_t* id, Span owner, int64_t location, const Demand* demands, int64_t count,
        int64_t replaced, int64_t deadline_ns, int64_t now_ns
    ) noexcept nogil:
        """Reserve what `check_hold` allowed; an open hold `replaced` goes on with the new lines.  Returns its row."""
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.edit(0)
        cdef HoldRow* row
        cdef HoldLineRow* line
        cdef Entry* entry
        cdef int64_t i, at, hold = replaced, position
        if hold < 0:
            hold = self.new_hold_row()
            row = <HoldRow*>self.holds.edit(hold)
            own.made += 1
            own.open_count += 1
            row.number = own.made
            row.made_ns = now_ns
            memcpy(row.id, id, 16)
            row.state = HOLD_STATE_OPEN
            index_add(&self.hold_index, hash_bytes(id, 16), hold)
        else:
            at = self.hold_row(hold).first_line
            while at:
                line = self.hold_line_row(at - 1)
                self.move(line.position, 0, -line.qty_milli, 0, 0)
                at = line.next
            self.free_lines(hold)
            row = <HoldRow*>self.holds.edit(hold)
        row.location = <int32_t>location
        row.deadline_ns = deadline_ns
        row.owner_size = <uint8_t>owner.size
        memset(row.owner, 0, OWNER_BYTES_MAX)
        if owner.size:
            memcpy(row.owner, owner.data, owner.size)
        deadlines_set(&self.deadlines, hold, deadline_ns, row.number)
        self.sum_demands(demands, count)
        for i in range(self.need.count - 1, -1, -1):  # lines are pushed in front
            entry = &self.need.entries[self.need.order[i]]
            position = self.find(entry.key, location)
            if position < 0:
                position = self.make(entry.key, location, 0)
            self.move(position, 0, entry.sum_milli, 0, 0)
            self.add_line(hold, position, entry.sum_milli)
        return hold

    cdef void sum_demands(self, const Demand* demands, int64_t count) noexcept nogil:
        cdef int64_t i
        tally_clear(&self.need)
        for i in range(count):
            tally_at(&self.need, demands[i].item).sum_milli += demands[i].qty_milli

    cdef void extend(self, int64_t hold, int64_t deadline_ns) noexcept nogil:
        """Give an open hold a new deadline; zero means never."""
        cdef HoldRow* row = <HoldRow*>self.holds.edit(hold)
        row.deadline_ns = deadline_ns
        deadlines_set(&self.deadlines, hold, deadline_ns, row.number)

    cdef void release(self, int64_t hold, int state) noexcept nogil:
        """Give the units of an open hold back; it ends as RELEASED or EXPIRED."""
        cdef int64_t at = self.hold_row(hold).first_line
        cdef HoldLineRow* line
        while at:
            line = self.hold_line_row(at - 1)
            self.move(line.position, 0, -line.qty_milli, 0, 0)
            at = line.next
        self.end(hold, state)

    cdef void commit(self, int64_t hold) noexcept nogil:
        """The units of an open hold leave."""
        cdef int64_t at = self.hold_row(hold).first_line
        cdef HoldLineRow* line
        while at:
            line = self.hold_line_row(at - 1)
            self.move(line.position, -line.qty_milli, -line.qty_milli, 0, 0)
            at = line.next
        self.end(hold, HOLD_STATE_COMMITTED)

    cdef void expire_due(self, int64_t now_ns) noexcept nogil:
        """End every hold whose deadline has come, in the order of deadlines, then of making."""
        while self.deadlines.count and self.deadlines.heap[0].at_ns <= now_ns:
            self.release(self.deadlines.heap[0].row, HOLD_STATE_EXPIRED)

    # Sales.

    cdef int check_take(
        self, int64_t location, const Demand* demands, int64_t count, const int64_t* holds, int64_t hold_count,
        bint shortfall_allowed, int64_t now_ns, int64_t* failed, int64_t* found
    ) noexcept nogil:
        """Whether a sale at `location` may take `demands`, units of its own open `holds` first.

        Demands are summed by item.  On a refusal `failed` is the hold or the first demand that does
        not fit, and `found` the units that the sale could have of that item.
        """
        cdef int64_t i, at, free_milli
        cdef int code
        cdef HoldLineRow* line
        cdef PositionRow* position
        cdef Entry* entry
        failed[0] = found[0] = 0
        tally_clear(&self.need)
        tally_clear(&self.seen)
        for i in range(hold_count):
            failed[0] = i
            code = self.open_code(holds[i], now_ns)
            if code != RESULT_CODE_OK:
                return code
            if self.hold_row(holds[i]).location != location:
                return RESULT_CODE_HOLD_ELSEWHERE
            if tally_find(&self.seen, holds[i]) != NULL:
                continue  # named twice; its units count once
            tally_at(&self.seen, holds[i])
            at = self.hold_row(holds[i]).first_line
            while at:
                line = self.hold_line_row(at - 1)
                position = self.position_row(line.position)
                tally_at(&self.need, position.item).spare_milli += line.qty_milli
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
        cdef int64_t i, at, used, position
        cdef HoldLineRow* line
        cdef Entry* entry
        self.sum_demands(demands, count)
        for i in range(hold_count):
            if self.hold_row(holds[i]).state != HOLD_STATE_OPEN:
                continue  # named twice
            at = self.hold_row(holds[i]).first_line
            while at:
                line = self.hold_line_row(at - 1)
                entry = tally_find(&self.need, self.position_row(line.position).item)
                used = 0 if entry == NULL else min(entry.sum_milli, line.qty_milli)
                if entry != NULL:
                    entry.sum_milli -= used
                self.move(line.position, -used, -line.qty_milli, 0, 0)
                at = line.next
            self.end(holds[i], HOLD_STATE_COMMITTED)
        for i in range(self.need.count):
            entry = &self.need.entries[self.need.order[i]]
            if entry.sum_milli:
                position = self.find(entry.key, location)
                if position < 0:
                    position = self.make(entry.key, location, 0)
                self.move(position, -entry.sum_milli, 0, 0, 0)

    cdef void put_back(self, int64_t location, int64_t item, int64_t qty_milli) noexcept nogil:
        """Goods come in: a receipt, a return, or an adjustment (which may be below zero)."""
        cdef int64_t position = self.find(item, location)
        if position < 0:
            position = self.make(item, location, 0)
        self.move(position, qty_milli, 0, 0, 0)

    # Rows of holds.

    cdef int64_t new_hold_row(self) noexcept nogil:
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.edit(0)
        cdef int64_t hold
        if not own.free_hold:
            return self.holds.append()
        hold = own.free_hold - 1
        own.free_hold = self.hold_row(hold).next
        memset(self.holds.edit(hold), 0, sizeof(HoldRow))
        return hold

    cdef void add_line(self, int64_t hold, int64_t position, int64_t qty_milli) noexcept nogil:
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.edit(0)
        cdef HoldRow* row = <HoldRow*>self.holds.edit(hold)
        cdef HoldLineRow* line
        cdef int64_t at
        if own.free_line:
            at = own.free_line - 1
            own.free_line = self.hold_line_row(at).next
        else:
            at = self.hold_lines.append()
        line = <HoldLineRow*>self.hold_lines.edit(at)
        line.position = <int32_t>position
        line.qty_milli = qty_milli
        line.next = row.first_line
        row.first_line = <int32_t>(at + 1)
        row.line_count += 1

    cdef void free_lines(self, int64_t hold) noexcept nogil:
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.edit(0)
        cdef HoldRow* row = <HoldRow*>self.holds.edit(hold)
        cdef HoldLineRow* line
        cdef int64_t at = row.first_line
        while at:
            line = <HoldLineRow*>self.hold_lines.edit(at - 1)
            row.first_line = line.next
            line.position = 0
            line.qty_milli = 0
            line.next = <int32_t>own.free_line
            own.free_line = at
            at = row.first_line
        row.line_count = 0

    cdef void end(self, int64_t hold, int state) noexcept nogil:
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.edit(0)
        cdef HoldRow* row
        self.free_lines(hold)
        deadlines_remove(&self.deadlines, hold)
        row = <HoldRow*>self.holds.edit(hold)
        row.state = <uint8_t>state
        row.next = 0
        if own.ended_last:
            (<HoldRow*>self.holds.edit(own.ended_last - 1)).next = <int32_t>(hold + 1)
        else:
            own.ended_first = hold + 1
        own.ended_last = hold + 1
        own.ended_count += 1
        own.open_count -= 1
        if own.ended_count > ENDED_HOLDS_MAX:
            self.forget_oldest_ended()

    cdef void forget_oldest_ended(self) noexcept nogil:
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.edit(0)
        cdef int64_t hold = own.ended_first - 1
        cdef HoldRow* row = <HoldRow*>self.holds.edit(hold)
        index_remove(&self.hold_index, hash_bytes(row.id, 16), hold)
        own.ended_first = row.next
        own.ended_count -= 1
        memset(row, 0, sizeof(HoldRow))
        row.next = <int32_t>own.free_hold
        own.free_hold = hold + 1

    cdef void rebuild(self) noexcept nogil:
        """Make all indexes and the deadlines again from the rows."""
        cdef int64_t hold
        cdef HoldRow* row
        self.rebuild_positions()
        index_free(&self.hold_index)
        index_reserve(&self.hold_index, self.holds.count)
        deadlines_free(&self.deadlines)
        for hold in range(self.holds.count):
            row = self.hold_row(hold)
            if row.state == 0:
                continue
            index_add(&self.hold_index, hash_bytes(row.id, 16), hold)
            if row.state == HOLD_STATE_OPEN:
                deadlines_set(&self.deadlines, hold, row.deadline_ns, row.number)

    # The surface for tests and tools.

    def position(self, int64_t item, int64_t location) -> dict[str, int] | None:
        """The counters of (item row, location row), or None where there is no position."""
        cdef int64_t row = self.find(item, location)
        cdef PositionRow* position
        if row < 0:
            return None
        position = self.position_row(row)
        return {
            "on_hand_milli": position.on_hand_milli,
            "held_milli": position.held_milli,
            "allocated_milli": position.allocated_milli,
            "unavailable_milli": position.unavailable_milli,
            "free_milli": free_of(position),
            "version": position.version,
        }

    def hold_state(self, bytes hold_id) -> dict[str, object] | None:
        """State, deadline, owner and lines of a hold, or None."""
        cdef int64_t hold = self.find_hold(hold_id), at
        cdef HoldRow* row
        cdef HoldLineRow* line
        if hold < 0:
            return None
        row = self.hold_row(hold)
        lines = []
        at = row.first_line
        while at:
            line = self.hold_line_row(at - 1)
            lines.append((self.position_row(line.position).item, line.qty_milli))
            at = line.next
        owner = (<char*>row.owner)[:row.owner_size]
        return {
            "state": row.state, "location": row.location, "deadline_ns": row.deadline_ns, "owner": owner, "lines": lines
        }

    def sell_units(
        self, int64_t location, list demands, list hold_ids, bint shortfall_allowed, int64_t now_ns
    ) -> tuple[int, int, int]:
        """Check and take [(item row, qty_milli)]: (ResultCode, failed, found)."""
        cdef Demand[64] wanted
        cdef int64_t[64] holds
        cdef int64_t i, failed = 0, found = 0
        cdef int code
        assert len(demands) <= 64 and len(hold_ids) <= 64
        for i, (item, qty_milli) in enumerate(demands):
            wanted[i].item, wanted[i].qty_milli = item, qty_milli
        for i, hold_id in enumerate(hold_ids):
            holds[i] = self.find_hold(<bytes>hold_id)
        code = self.check_take(
            location, wanted, len(demands), holds, len(hold_ids), shortfall_allowed, now_ns, &failed, &found
        )
        if code == RESULT_CODE_OK:
            self.take(location, wanted, len(demands), holds, len(hold_ids))
        return code, failed, found

    def hold_units(
        self, bytes hold_id, int64_t location, list demands, int64_t deadline_ns, int64_t now_ns, bytes owner=b""
    ) -> tuple[int, int, int]:
        """Check and make (or replace) a hold: (ResultCode, failed, found)."""
        cdef Demand[64] wanted
        cdef int64_t i, failed = 0, found = 0, replaced = self.find_hold(hold_id)
        cdef int code
        assert len(hold_id) == 16 and len(demands) <= 64 and len(owner) <= OWNER_BYTES_MAX
        if self.open_code(replaced, now_ns) != RESULT_CODE_OK:
            replaced = -1
        for i, (item, qty_milli) in enumerate(demands):
            wanted[i].item, wanted[i].qty_milli = item, qty_milli
        code = self.check_hold(location, wanted, len(demands), replaced, &failed, &found)
        if code == RESULT_CODE_OK:
            self.hold(
                hold_id, span_at(<char*>owner, len(owner)), location, wanted, len(demands), replaced, deadline_ns, now_ns
            )
        return code, failed, found

    def end_hold(self, bytes hold_id, bint committed, int64_t now_ns) -> int:
        """Commit or release an open hold: the ResultCode."""
        cdef int64_t hold = self.find_hold(hold_id)
        cdef int code = self.open_code(hold, now_ns)
        if code == RESULT_CODE_OK:
            if committed:
                self.commit(hold)
            else:
                self.release(hold, HOLD_STATE_RELEASED)
        return code

    def receive_units(self, int64_t item, int64_t location, int64_t qty_milli) -> None:
        """Add to what is on hand."""
        self.put_back(location, item, qty_milli)

    def expire(self, int64_t now_ns) -> None:
        """End the holds that are due at `now_ns`."""
        self.expire_due(now_ns)

    def rebuild_all(self) -> None:
        """Make all derived state again, as after a start."""
        self.rebuild()

    @property
    def counts(self) -> dict[str, int]:
        """Open and ended holds, and rows that wait to be used again."""
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.row(0)
        return {"open": own.open_count, "ended": own.ended_count, "made": own.made, "deadlines": self.deadlines.count}
