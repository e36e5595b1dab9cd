"""Soft reservations with a deadline.

A live hold's units are its own, so committing or releasing it cannot fail; it ends exactly once.
Ended holds can be asked for until ENDED_HOLDS_MAX younger ones have ended.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ringup.native.contract cimport (
    HOLD_STATE_COMMITTED,
    HOLD_STATE_EXPIRED,
    HOLD_STATE_OPEN,
    HOLD_STATE_ORDERED,
    HOLD_STATE_PAYING,
    HOLD_STATE_RELEASED,
    RESULT_CODE_HOLD_COMMITTED,
    RESULT_CODE_HOLD_EXPIRED,
    RESULT_CODE_HOLD_ORDERED,
    RESULT_CODE_HOLD_RELEASED,
    RESULT_CODE_HOLD_UNKNOWN,
    RESULT_CODE_OK,
)
from ringup.native.index cimport (
    hash_bytes,
    index_add,
    index_free,
    index_next,
    index_remove,
    index_reserve,
    index_start,
    prefetch,
)
from ringup.native.stock_deadlines cimport deadlines_free, deadlines_remove, deadlines_set
from ringup.native.stock_lines cimport COUNTER_HELD, ENTRY_PLACE, Chain, LineRow
from ringup.native.stock_plan cimport ENTRY_STOCK
from ringup.native.stock_positions cimport PositionRow
from ringup.native.stock_scope cimport ScopeIn, Want
from ringup.native.table cimport Table
from ringup.native.wire cimport Span, no_span, span_at

cdef struct HoldGlobals:
    int64_t made  # holds so far
    int64_t open_count
    int64_t ended_count
    int64_t ended_first  # row + 1 of the hold that ended first and is still kept
    int64_t ended_last
    int64_t free_hold  # row + 1
    int64_t free_owner


cdef class Holds(Lines):
    """Holds over planned entries."""

    def __cinit__(self):
        self.holds = Table("holds", sizeof(HoldRow))
        self.owners = Table("hold_owners", sizeof(OwnerRow))
        self.hold_globals = Table("hold_globals", sizeof(HoldGlobals))
        self.hold_globals.append()
        self.tables += [self.holds, self.owners, self.hold_globals]

    def __dealloc__(self):
        index_free(&self.hold_index)
        deadlines_free(&self.deadlines)

    cdef int64_t find_hold_hashed(self, const uint8_t* id, uint64_t hash) noexcept nogil:
        """The same, with the hash of the id's bytes."""
        cdef int64_t cursor = index_start(&self.hold_index, hash)
        cdef int64_t row = index_next(&self.hold_index, hash, &cursor)
        while row >= 0 and memcmp(self.hold_row(row).id, id, 16) != 0:
            row = index_next(&self.hold_index, hash, &cursor)
        return row

    cdef int open_code(self, int64_t hold, int64_t now_ns) noexcept nogil:
        """OK when hold row `hold` (-1: there is none) is live at `now_ns`, else why not."""
        cdef HoldRow* row
        if hold < 0:
            return RESULT_CODE_HOLD_UNKNOWN
        row = self.hold_row(hold)
        if row.state == HOLD_STATE_COMMITTED:
            return RESULT_CODE_HOLD_COMMITTED
        if row.state == HOLD_STATE_RELEASED:
            return RESULT_CODE_HOLD_RELEASED
        if row.state == HOLD_STATE_ORDERED:
            return RESULT_CODE_HOLD_ORDERED
        if row.state == HOLD_STATE_EXPIRED or (row.deadline_ns != 0 and row.deadline_ns <= now_ns):
            return RESULT_CODE_HOLD_EXPIRED
        return RESULT_CODE_OK

    cdef void scope_of_hold(self, int64_t hold, ScopeIn* scope) noexcept nogil:
        """The scope that the hold was made in."""
        cdef HoldRow* row = self.hold_row(hold)
        cdef int64_t at = row.places.first
        self.scope_begin(scope)
        scope.channel = row.channel - 1
        if row.by_channel:
            self.scope_channel(scope, row.channel - 1)
        elif row.location >= 0:
            self.scope_add(scope, row.location)
        while at:
            self.scope_add(scope, self.line_row(at - 1).location)
            at = self.line_row(at - 1).next
        if row.collection_point:
            self.scope_collect_at(scope, row.collection_point - 1)

    cdef int64_t hold(
        self, const uint8_t* id, uint64_t id_hash, Span owner, const ScopeIn* scope, int64_t replaced, int64_t ended,
        int64_t deadline_ns, int64_t now_ns
    ) noexcept nogil:
        """Reserve what the plan at hand says; an open hold `replaced` goes on with it, of `ended` the id is used again.

        Returns the hold's row.
        """
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.edit(0)
        cdef HoldRow* row
        cdef LineRow* line
        cdef int64_t i, hold = replaced
        if hold < 0:
            hold = self.new_hold_row()
            row = <HoldRow*>self.holds.edit(hold)
            own.made += 1
            own.open_count += 1
            row.number = own.made
            row.made_ns = now_ns
            memcpy(row.id, id, 16)
            row.state = HOLD_STATE_OPEN
            if ended >= 0:  # one entry an id, however often it is used: searches stay short
                index_remove(&self.hold_index, id_hash, ended)
            index_add(&self.hold_index, id_hash, hold)
        else:
            row = <HoldRow*>self.holds.edit(hold)
            self.give_back_chain(&row.lines, COUNTER_HELD)
            self.free_chain(&row.lines)
            self.free_chain(&row.places)
        row.by_channel = scope.by_channel
        row.channel = <int32_t>(scope.channel + 1)
        row.collection_point = <int32_t>(scope.collection_point + 1)
        row.location = -1
        if not scope.by_channel:
            if scope.place_count == 1:
                row.location = <int32_t>self.places[0].location
            else:
                for i in range(scope.place_count):
                    line = self.append_line(&row.places)
                    line.kind = ENTRY_PLACE
                    line.location = <int32_t>self.places[i].location
        row.deadline_ns = deadline_ns
        if owner.size or row.owner:
            self.set_owner(row, owner)
        deadlines_set(&self.deadlines, hold, deadline_ns, row.number)
        for i in range(self.plan_count):
            self.promise(&self.plan_entries[i], COUNTER_HELD, &row.lines)
        return hold

    cdef void hold_one(
        self, const uint8_t* id, uint64_t id_hash, int64_t position, int64_t qty_milli, int64_t deadline_ns, int64_t now_ns
    ) noexcept nogil:
        """What `hold` does for a new id, one place asked and a plan of one entry on a position there."""
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.edit(0)
        cdef int64_t hold = self.new_hold_row()
        cdef HoldRow* row = <HoldRow*>self.holds.edit(hold)
        cdef const PositionRow* held = self.position_row(position)
        cdef LineRow* line
        own.made += 1
        own.open_count += 1
        memcpy(row.id, id, 16)
        row.deadline_ns = deadline_ns
        row.made_ns = now_ns
        row.number = own.made
        row.location = held.location
        row.channel = self.channel_row(0).symbol + 1 if self.channels.count else 0
        row.state = HOLD_STATE_OPEN
        index_add(&self.hold_index, id_hash, hold)
        deadlines_set(&self.deadlines, hold, deadline_ns, row.number)
        line = self.append_line(&row.lines)
        line.qty_milli = qty_milli
        line.position = <int32_t>position
        line.item = held.item
        line.location = held.location
        self.move(position, 0, qty_milli, 0, 0)

    cdef Span hold_owner(self, const HoldRow* row) noexcept nogil:
        """Who made a hold; empty where the request did not say."""
        cdef const OwnerRow* owner
        if not row.owner:
            return no_span()
        owner = <OwnerRow*>self.owners.row(row.owner - 1)
        return span_at(owner.text, owner.size)

    cdef void set_owner(self, HoldRow* row, Span owner) noexcept nogil:
        """Note who made a hold (of a row that is being edited); empty: nobody any more."""
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.edit(0)
        cdef OwnerRow* kept
        if owner.size and not row.owner:
            if own.free_owner:
                row.owner = <int32_t>own.free_owner
                own.free_owner = (<OwnerRow*>self.owners.row(row.owner - 1)).next_free
            else:
                row.owner = <int32_t>(self.owners.append() + 1)
        if row.owner:
            kept = <OwnerRow*>self.owners.edit(row.owner - 1)
            memset(kept, 0, sizeof(OwnerRow))
            if owner.size:
                memcpy(kept.text, owner.data, owner.size)
                kept.size = <int32_t>owner.size
            else:
                kept.next_free = <int32_t>own.free_owner
                own.free_owner = row.owner
                row.owner = 0

    cdef void resize(self, int64_t hold, const Want* wants, int64_t count) noexcept nogil:
        """The items of `wants` get what the plan at hand says; other items stay as they are."""
        cdef HoldRow* row = <HoldRow*>self.holds.edit(hold)
        cdef LineRow* line
        cdef int64_t at = row.lines.first, i
        while at:
            line = self.line_row(at - 1)
            for i in range(count):
                if wants[i].item == self.asked_item(line):
                    self.give_back(line, line.qty_milli, COUNTER_HELD)
                    self.edit_line(at - 1).qty_milli = 0
                    break
            at = line.next
        self.sweep_chain(&row.lines)
        for i in range(self.plan_count):
            self.promise(&self.plan_entries[i], COUNTER_HELD, &row.lines)

    cdef void extend(self, int64_t hold, int64_t deadline_ns) noexcept nogil:
        """Give a live hold a new deadline; zero means never."""
        cdef HoldRow* row = <HoldRow*>self.holds.edit(hold)
        row.deadline_ns = deadline_ns
        deadlines_set(&self.deadlines, hold, deadline_ns, row.number)

    cdef void pay(self, int64_t hold, int64_t deadline_ns) noexcept nogil:
        """A payment is in flight until `deadline_ns`."""
        cdef HoldRow* row = <HoldRow*>self.holds.edit(hold)
        row.state = HOLD_STATE_PAYING
        row.payments += 1
        self.extend(hold, deadline_ns)

    cdef void release(self, int64_t hold, int state) noexcept nogil:
        """Give the units of a live hold back; it ends as RELEASED or EXPIRED."""
        self.give_back_chain(&self.hold_row(hold).lines, COUNTER_HELD)
        self.end(hold, state)

    cdef void release_part(self, int64_t hold, int64_t qty_milli) noexcept nogil:
        """Give the earliest units back and note them in the plan; a hold with nothing left is released."""
        cdef HoldRow* row = <HoldRow*>self.holds.edit(hold)
        cdef LineRow* line
        cdef int64_t at = row.lines.first, count = 0, part
        self.share_out(&row.lines, qty_milli)
        while at:
            line = self.line_row(at - 1)
            part = self.shares[count]
            if part:
                self.give_back(line, part, COUNTER_HELD)
                self.note(line, part)
                self.edit_line(at - 1).qty_milli -= part
            count += 1
            at = self.line_row(at - 1).next
        self.sweep_chain(&row.lines)
        if not row.lines.first:
            self.end(hold, HOLD_STATE_RELEASED)

    cdef void commit(self, int64_t hold) noexcept nogil:
        """All units of a live hold leave.  Preordered units keep their quota used."""
        cdef int64_t at = self.hold_row(hold).lines.first
        cdef LineRow* line
        while at:
            line = self.line_row(at - 1)
            if line.kind == ENTRY_STOCK and line.qty_milli:
                self.move(line.position, -line.qty_milli, -line.qty_milli, 0, 0)
            at = line.next
        self.end(hold, HOLD_STATE_COMMITTED)

    cdef void commit_part(self, int64_t hold, int64_t qty_milli) noexcept nogil:
        """The earliest units leave, noted in the plan, the others are given back; preorders keep their quota used."""
        cdef int64_t at = self.hold_row(hold).lines.first, count = 0, part
        cdef LineRow* line
        self.share_out(&self.hold_row(hold).lines, qty_milli)
        while at:
            line = self.line_row(at - 1)
            part = self.shares[count]
            self.note(line, part)
            if line.kind == ENTRY_STOCK and part:
                self.move(line.position, -part, -part, 0, 0)
            if part < line.qty_milli:
                self.give_back(line, line.qty_milli - part, COUNTER_HELD)
            count += 1
            at = line.next
        self.end(hold, HOLD_STATE_COMMITTED)

    cdef void expire_holds(self, int64_t now_ns) noexcept nogil:
        """End every hold whose deadline has come, in the order of deadlines, then of making."""
        while self.deadlines.count and self.deadlines.heap[0].at_ns <= now_ns:
            self.release(self.deadlines.heap[0].row, HOLD_STATE_EXPIRED)

    cdef void forget_position(self, int64_t position, Chain* chain) noexcept nogil:
        """Lines on a position that is removed by force lose their units."""
        cdef int64_t at = chain.first
        while at:
            if self.line_row(at - 1).kind == ENTRY_STOCK and self.line_row(at - 1).position == position:
                self.edit_line(at - 1).qty_milli = 0
            at = self.line_row(at - 1).next
        self.sweep_chain(chain)

    cdef void forget_position_in_holds(self, int64_t position) noexcept nogil:
        cdef int64_t hold
        for hold in range(self.holds.count):
            if self.hold_row(hold).lines.first:
                self.forget_position(position, &(<HoldRow*>self.holds.edit(hold)).lines)

    # Rows of holds.

    cdef int64_t new_hold_row(self) noexcept nogil:
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.edit(0)
        cdef int64_t hold
        if not own.free_hold:
            return self.holds.append()
        hold = own.free_hold - 1
        own.free_hold = self.hold_row(hold).next
        if own.free_hold:  # the next hold's, far away and written long ago
            prefetch(self.hold_row(own.free_hold - 1))
            prefetch(&self.hold_row(own.free_hold - 1).next)
        memset(self.holds.edit(hold), 0, sizeof(HoldRow))
        return hold

    cdef void end(self, int64_t hold, int state) noexcept nogil:
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.edit(0)
        cdef HoldRow* row = <HoldRow*>self.holds.edit(hold)
        self.free_chain(&row.lines)
        self.free_chain(&row.places)
        deadlines_remove(&self.deadlines, hold)
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
        cdef uint64_t hash = hash_bytes(row.id, 16)
        if self.find_hold_hashed(row.id, hash) == hold:  # not where its id was used again
            index_remove(&self.hold_index, hash, hold)
        own.ended_first = row.next
        own.ended_count -= 1
        if row.owner:
            self.set_owner(row, no_span())
        memset(row, 0, sizeof(HoldRow))
        row.next = <int32_t>own.free_hold
        own.free_hold = hold + 1

    cdef void rebuild_holds(self) noexcept nogil:
        """Make the index and the deadlines again from the rows."""
        cdef int64_t hold, other
        cdef uint64_t hash
        cdef HoldRow* row
        index_free(&self.hold_index)
        index_reserve(&self.hold_index, self.holds.count)
        deadlines_free(&self.deadlines)
        for hold in range(self.holds.count):
            row = self.hold_row(hold)
            if row.state == 0:
                continue
            hash = hash_bytes(row.id, 16)
            other = self.find_hold_hashed(row.id, hash)
            if other >= 0 and self.hold_row(other).number < row.number:
                index_remove(&self.hold_index, hash, other)
            if other < 0 or self.hold_row(other).number < row.number:
                index_add(&self.hold_index, hash, hold)
            if row.state == HOLD_STATE_OPEN or row.state == HOLD_STATE_PAYING:
                deadlines_set(&self.deadlines, hold, row.deadline_ns, row.number)

    @property
    def hold_counts(self) -> dict[str, int]:
        """Live holds, ended ones still known, all ever made, and deadlines that wait."""
        cdef HoldGlobals* own = <HoldGlobals*>self.hold_globals.row(0)
        return {"open": own.open_count, "ended": own.ended_count, "made": own.made, "deadlines": self.deadlines.count}
