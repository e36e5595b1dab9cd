"""Hard allocations: what is promised to an order, what left for it.

A shipment is planned first: which allocated lines it meets and from which positions the goods leave.
Units that the order has not allocated at a place must be free there, and free its allocation elsewhere.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from ringup.native.arrays cimport room_for
from ringup.native.catalog cimport ITEM_UNTRACKED
from ringup.native.contract cimport BAR_REASON_QUALITY, HOLD_STATE_ORDERED, ORDER_STATE_PLACED, ORDER_STATE_READY
from ringup.native.index cimport hash_bytes, index_add, index_free, index_next, index_remove, index_reserve, index_start
from ringup.native.stock_deadlines cimport deadlines_free, deadlines_remove, deadlines_set
from ringup.native.stock_lines cimport COUNTER_ALLOCATED, COUNTER_HELD, Chain, LineRow
from ringup.native.stock_plan cimport ENTRY_PREORDER, ENTRY_STOCK, ENTRY_UNTRACKED
from ringup.native.stock_positions cimport POSITION_BARRED, PositionRow, free_of
from ringup.native.stock_scope cimport Place, ScopeIn, Want
from ringup.native.stock_states cimport (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_EXPIRE,
    ACTION_READY,
    ACTION_SHIP,
    ACTION_UNSHIP,
    next_state,
)
from ringup.native.stock_tally cimport tally_at, tally_clear, tally_find, tally_free
from ringup.native.stock_tally cimport Entry as Sum
from ringup.native.table cimport Table
from ringup.native.wire cimport Span, span_at, span_equal


cdef inline int64_t _sum_at(Tally* tally, int64_t key) noexcept nogil:
    cdef Sum* found
    if tally.count == 0:
        return 0
    found = tally_find(tally, key)
    return 0 if found == NULL else found.sum_milli


cdef class Orders(Holds):
    """Orders over planned entries."""

    def __cinit__(self):
        self.orders = Table("stock_orders", sizeof(OrderRow))
        self.paid = Table("order_paid", sizeof(PaidRow))
        self.tables += [self.orders, self.paid]

    def __dealloc__(self):
        index_free(&self.order_index)
        index_free(&self.customer_index)
        deadlines_free(&self.pickups)
        free(self.ship_lines)
        free(self.ship_moves)
        free(self.part_places)
        tally_free(&self.gone)
        tally_free(&self.had)

    cdef int64_t find_order(self, Span code) noexcept nogil:
        """The order with this code, or -1."""
        cdef int64_t cursor = index_start(&self.order_index, hash_bytes(code.data, code.size))
        cdef int64_t row = index_next(&self.order_index, hash_bytes(code.data, code.size), &cursor)
        while row >= 0:
            if span_equal(span_at(self.order_row(row).code, self.order_row(row).code_size), code):
                return row
            row = index_next(&self.order_index, hash_bytes(code.data, code.size), &cursor)
        return -1

    cdef int64_t make_order(self, Span code, Span customer, int64_t symbol, int64_t now_ns) noexcept nogil:
        """A new order without units, of a channel (its symbol)."""
        cdef int64_t order = self.orders.append()
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        row.placed_at_ns = now_ns
        row.code_size = <uint8_t>code.size
        memcpy(row.code, code.data, code.size)
        row.customer_size = <uint8_t>customer.size
        row.channel = <int32_t>(symbol + 1)
        row.state = ORDER_STATE_PLACED
        row.state_at_ns[ORDER_STATE_PLACED] = now_ns
        if customer.size:
            memcpy(row.customer, customer.data, customer.size)
            self.index_customer(order)
        index_add(&self.order_index, hash_bytes(code.data, code.size), order)
        return order

    cdef int64_t newest_order(self, Span customer) noexcept nogil:
        """The newest order of a customer, or -1; go on by `older`."""
        cdef uint64_t hash = hash_bytes(customer.data, customer.size)
        cdef int64_t cursor = index_start(&self.customer_index, hash)
        cdef int64_t row = index_next(&self.customer_index, hash, &cursor)
        while row >= 0:
            if span_equal(span_at(self.order_row(row).customer, self.order_row(row).customer_size), customer):
                return row
            row = index_next(&self.customer_index, hash, &cursor)
        return -1

    cdef void index_customer(self, int64_t order) noexcept nogil:
        """The order is its customer's newest: one entry a customer, however many orders."""
        cdef OrderRow* row = self.order_row(order)
        cdef uint64_t hash = hash_bytes(row.customer, row.customer_size)
        cdef int64_t older = self.newest_order(span_at(row.customer, row.customer_size))
        if older >= 0:
            index_remove(&self.customer_index, hash, older)
        if row.older != older + 1:
            (<OrderRow*>self.orders.edit(order)).older = <int32_t>(older + 1)
        index_add(&self.customer_index, hash, order)

    # States and pickup.

    cdef void enter(self, int64_t order, int action, int64_t now_ns) noexcept nogil:
        """Move an order on by the table of states; one that is not waiting any more has no deadline."""
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        cdef int state = next_state(action, row.state)
        if state == 0 or state == row.state:
            return
        if row.state == ORDER_STATE_READY:
            deadlines_remove(&self.pickups, order)
            row.pickup_deadline_ns = 0
            row.pickup_location = 0
            row.pickup_code_size = 0
            memset(row.pickup_code, 0, sizeof(row.pickup_code))
        row.state = <uint8_t>state
        if row.state_at_ns[state] == 0:
            row.state_at_ns[state] = now_ns

    cdef void wait_for_customer(
        self, int64_t order, int64_t location, Span code, int64_t deadline_ns, int64_t now_ns
    ) noexcept nogil:
        """The order waits at a place for who knows its code, until a deadline (zero: for ever)."""
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        self.enter(order, ACTION_READY, now_ns)
        row.pickup_location = <int32_t>(location + 1)
        row.pickup_deadline_ns = deadline_ns
        row.pickup_code_size = <uint8_t>code.size
        memcpy(row.pickup_code, code.data, code.size)
        deadlines_set(&self.pickups, order, deadline_ns, order)

    cdef void expire_pickups(self, int64_t now_ns) noexcept nogil:
        """Orders that were not collected in time give their units back."""
        cdef int64_t order
        while self.pickups.count and self.pickups.heap[0].at_ns <= now_ns:
            order = self.pickups.heap[0].row
            self.enter(order, ACTION_EXPIRE, now_ns)
            self.cancel(order, now_ns)

    # Picking.

    cdef void pick(self, int64_t order, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil:
        """Units of an item were taken from the shelf at a place."""
        cdef int64_t at = self.order_row(order).allocated.first, part
        cdef LineRow* line
        while at and qty_milli:
            line = self.line_row(at - 1)
            if line.item == item and line.location == location:
                part = min(qty_milli, line.qty_milli - line.picked_milli)
                self.edit_line(at - 1).picked_milli += part
                qty_milli -= part
            at = line.next

    cdef int64_t pick_short(self, int64_t order, int64_t location) noexcept nogil:
        """What was not picked at a place is not there: barred until it is counted, promised as the plan says.

        Returns the refund of what nobody promises any more.
        """
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        cdef LineRow* line
        cdef int64_t at = row.allocated.first, rest, i
        self.note_had(order)
        while at:
            line = self.edit_line(at - 1)
            if line.location == location and line.kind == ENTRY_STOCK:
                rest = line.qty_milli - line.picked_milli
                line.qty_milli = line.picked_milli
                if rest:
                    self.edit_extra(line.position).barred_milli[BAR_REASON_QUALITY] += rest
                    self.move(line.position, 0, 0, -rest, rest)
            at = line.next
        self.sweep_chain(&row.allocated)
        for i in range(self.plan_count):
            self.promise(&self.plan_entries[i], COUNTER_ALLOCATED, &row.allocated)
        return self.refund_lost(order)

    # Allocation.

    cdef void place(self, int64_t order, int64_t hold, bint planned, int64_t now_ns) noexcept nogil:
        """Allocate the plan at hand (`planned`), or else what hold row `hold` has; a hold ends with it."""
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        cdef LineRow* line
        cdef int64_t i, at
        if hold >= 0:
            if not planned:
                self.plan_begin()
                at = self.hold_row(hold).lines.first
                while at:
                    line = self.line_row(at - 1)
                    self.add_entry()[0] = self.entry_of(line)
                    at = line.next
            self.give_back_chain(&self.hold_row(hold).lines, COUNTER_HELD)
            self.end(hold, HOLD_STATE_ORDERED)
        for i in range(self.plan_count):
            self.promise(&self.plan_entries[i], COUNTER_ALLOCATED, &row.allocated)
        self.enter(order, ACTION_ADD, now_ns)

    # What was paid.

    cdef int64_t paid_minor(self, int64_t order) noexcept nogil:
        """All that was paid for an order."""
        cdef int64_t at = self.order_row(order).first_paid, paid_minor = 0
        while at:
            paid_minor += (<PaidRow*>self.paid.row(at - 1)).paid_minor
            at = (<PaidRow*>self.paid.row(at - 1)).next
        return paid_minor

    cdef int64_t last_paid(self, int64_t order) noexcept nogil:
        """What was paid for last (row + 1; 0 for nothing)."""
        cdef int64_t last = self.order_row(order).first_paid
        while last and (<PaidRow*>self.paid.row(last - 1)).next:
            last = (<PaidRow*>self.paid.row(last - 1)).next
        return last

    cdef int64_t add_paid(
        self, int64_t order, int64_t last, int64_t item, int64_t qty_milli, int64_t paid_minor
    ) noexcept nogil:
        """The customer paid for units of an item, or of a kit; follows `last` and returns what is last now."""
        cdef int64_t at = self.paid.append()
        cdef PaidRow* paid = <PaidRow*>self.paid.edit(at)
        paid.item = <int32_t>item
        paid.qty_milli = qty_milli
        paid.paid_minor = paid_minor
        if last:
            (<PaidRow*>self.paid.edit(last - 1)).next = <int32_t>(at + 1)
        else:
            (<OrderRow*>self.orders.edit(order)).first_paid = <int32_t>(at + 1)
        return at + 1

    cdef int64_t refund(self, int64_t order, int64_t item, int64_t qty_milli) noexcept nogil:
        """Units are cancelled or came back: what was paid for them, lines paid first before later ones."""
        cdef int64_t at = self.order_row(order).first_paid, refund_minor = 0, part
        cdef PaidRow* paid
        while at and qty_milli:
            paid = <PaidRow*>self.paid.row(at - 1)
            part = min(qty_milli, paid.qty_milli - paid.back_milli) if paid.item == item else 0
            if part:
                paid = <PaidRow*>self.paid.edit(at - 1)
                refund_minor += refund_of(paid, paid.back_milli + part) - refund_of(paid, paid.back_milli)
                paid.back_milli += part
                qty_milli -= part
            at = paid.next
        return refund_minor

    # An order has what is promised to it and what left for it.  What it loses of that is refunded: units by themselves
    # for what was paid for them, a kit for what was paid for it once a part of it is lost.  A kit whose parts leave one
    # by one stays a kit.

    cdef void note_had(self, int64_t order) noexcept nogil:
        """Note what an order has; `refund_lost` follows what changes it."""
        tally_clear(&self.had)
        if self.order_row(order).first_paid:
            self.sum_had(&self.order_row(order).allocated, True)
            self.sum_had(&self.order_row(order).shipped, True)

    cdef void sum_had(self, const Chain* chain, bint before) noexcept nogil:
        cdef int64_t at = chain.first
        cdef LineRow* line
        cdef Sum* entry
        while at:
            line = self.line_row(at - 1)
            entry = tally_at(&self.had, (<int64_t>line.kit << 31) | line.item)
            if before:
                entry.sum_milli += line.qty_milli
            else:
                entry.spare_milli += line.qty_milli
            at = line.next

    cdef int64_t refund_lost(self, int64_t order) noexcept nogil:
        """Refund what an order has lost since `note_had`; returns the refund."""
        cdef int64_t i, kit, refund_minor = 0
        cdef const Sum* entry
        if self.had.count == 0:
            return 0
        self.sum_had(&self.order_row(order).allocated, False)
        self.sum_had(&self.order_row(order).shipped, False)
        for i in range(self.had.count):
            entry = &self.had.entries[self.had.order[i]]
            kit = (entry.key >> 31) - 1
            if kit < 0:
                refund_minor += self.refund(order, entry.key, entry.sum_milli - entry.spare_milli)
            elif self.kit_part(kit, 0).item == entry.key & ITEM_MASK:  # each version once
                refund_minor += self.refund(
                    order, self.kit_row(kit).item, (self.kits_had(kit, True) - self.kits_had(kit, False)) * 1000
                )
        return refund_minor

    cdef int64_t kits_had(self, int64_t kit, bint before) noexcept nogil:
        """Whole kits of a version among what `had` has."""
        cdef int64_t i, part_milli, kits = -1
        cdef const Sum* entry
        for i in range(self.kit_row(kit).part_count):
            entry = tally_find(&self.had, (kit + 1) << 31 | self.kit_part(kit, i).item)
            if entry == NULL:
                return 0
            part_milli = entry.sum_milli if before else entry.spare_milli
            if kits < 0 or part_milli // self.kit_part(kit, i).qty_milli < kits:
                kits = part_milli // self.kit_part(kit, i).qty_milli
        return max(kits, 0)

    cdef int64_t cancel(self, int64_t order, int64_t now_ns) noexcept nogil:
        """Give everything back that has not shipped; with nothing shipped the order is over.  Returns the refund."""
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        self.note_had(order)
        self.give_back_chain(&row.allocated, COUNTER_ALLOCATED)
        self.free_chain(&row.allocated)
        if not row.shipped.first:
            row.flags |= ORDER_CANCELLED
            self.enter(order, ACTION_CANCEL, now_ns)
        else:
            self.enter(order, ACTION_SHIP, now_ns)  # all that is left of it has shipped
        return self.refund_lost(order)

    cdef bint meant(self, const LineRow* line, int64_t item) noexcept nogil:
        """Whether a line is of an item, and of the version of a kit that is asked about, if one is."""
        return line.item == item and (self.ship_kit == 0 or line.kit == self.ship_kit)

    cdef bint stands_for(self, const LineRow* line, const Want* want, bint in_kit) noexcept nogil:
        """Whether a line meets a want in this round: units by themselves first, kits stay whole while they can."""
        return self.meant(line, want.item) and (want.kit != 0 or (line.kit != 0) == in_kit)

    cdef void cancel_part(self, int64_t order, const Want* want) noexcept nogil:
        """Give units back, the earliest allocated first, and note them in the plan; `cancelled_in_part` follows."""
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        cdef LineRow* line
        cdef int64_t at, qty_milli = want.qty_milli, part
        cdef bint in_kit
        self.ship_kit = want.kit
        for in_kit in range(2):
            at = row.allocated.first
            while at and qty_milli:
                line = self.edit_line(at - 1)
                if self.stands_for(line, want, in_kit):
                    part = min(qty_milli, line.qty_milli)
                    self.give_back(line, part, COUNTER_ALLOCATED)
                    self.note(line, part)
                    line.qty_milli -= part
                    line.picked_milli = min(line.picked_milli, line.qty_milli)
                    qty_milli -= part
                at = line.next

    cdef void cancelled_in_part(self, int64_t order, int64_t now_ns) noexcept nogil:
        """Lines without units go; with nothing left and something shipped all that is left has shipped."""
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        self.sweep_chain(&row.allocated)
        if not row.allocated.first and row.shipped.first:
            self.enter(order, ACTION_SHIP, now_ns)

    cdef int64_t allocated_at(self, int64_t order, int64_t item, int64_t location) noexcept nogil:
        """Units of an item that an order has allocated at a place."""
        cdef int64_t at = self.order_row(order).allocated.first, sum_milli = 0
        cdef LineRow* line
        while at:
            line = self.line_row(at - 1)
            if line.item == item and line.kind == ENTRY_STOCK and line.location == location:
                sum_milli += line.qty_milli
            at = line.next
        return sum_milli

    cdef void deallocate_at(self, int64_t order, const Want* want, int64_t source) noexcept nogil:
        """Give units back that are promised at `source`; `allocate_plan` follows."""
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        cdef LineRow* line
        cdef int64_t at, qty_milli = want.qty_milli, part
        cdef bint in_kit
        self.ship_kit = want.kit
        for in_kit in range(2):
            at = row.allocated.first
            while at and qty_milli:
                line = self.line_row(at - 1)
                if self.stands_for(line, want, in_kit) and line.kind == ENTRY_STOCK and line.location == source:
                    part = min(qty_milli, line.qty_milli)
                    self.give_back(line, part, COUNTER_ALLOCATED)
                    line = self.edit_line(at - 1)
                    line.qty_milli -= part
                    line.picked_milli = min(line.picked_milli, line.qty_milli)
                    qty_milli -= part
                at = line.next

    cdef void allocate_plan(self, int64_t order) noexcept nogil:
        """Allocate the plan at hand to an order, in place of units given back."""
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        cdef int64_t i
        self.sweep_chain(&row.allocated)
        for i in range(self.plan_count):
            self.promise(&self.plan_entries[i], COUNTER_ALLOCATED, &row.allocated)

    # Shipments: plan.

    cdef void ship_begin(self, int64_t order) noexcept nogil:
        cdef int64_t at
        cdef bint in_kit
        self.plan_begin()  # `delta` are allocations that the shipment frees
        tally_clear(&self.gone)
        self.ship_line_count = self.ship_move_count = 0
        for in_kit in range(2):  # units by themselves first: kits stay whole while they can
            at = self.order_row(order).allocated.first
            while at:
                if (self.line_row(at - 1).kit != 0) == in_kit:
                    self.ship_lines = <ShipLine*>room_for(
                        self.ship_lines, &self.ship_line_capacity, self.ship_line_count + 1, sizeof(ShipLine)
                    )
                    self.ship_lines[self.ship_line_count].line = at - 1
                    self.ship_lines[self.ship_line_count].left_milli = self.line_row(at - 1).qty_milli
                    self.ship_line_count += 1
                at = self.line_row(at - 1).next

    cdef int64_t plan_ship(self, int64_t order, const Want* wants, int64_t count) noexcept nogil:
        """Plan to ship these wants (within what is allocated); -1, or the first that cannot be met."""
        cdef int64_t i
        self.ship_begin(order)
        for i in range(count):  # wants that name a place come first
            if not self.ship_line_want(&wants[i]):
                return i
        return -1

    cdef int64_t plan_ship_all(self, int64_t order) noexcept nogil:
        """Plan to ship all that is allocated; -1, or the item (row) that cannot be met."""
        cdef int64_t i, j, item
        cdef Want want
        self.ship_begin(order)
        want.location = -1
        want.kit = 0
        for i in range(self.ship_line_count):
            item = self.line_row(self.ship_lines[i].line).item
            for j in range(i):
                if self.line_row(self.ship_lines[j].line).item == item:
                    break
            else:
                want.item = item
                want.qty_milli = self.chain_milli(&self.order_row(order).allocated, item)
                if not self.ship_line_want(&want):
                    return item
        return -1

    cdef bint ship_line_want(self, const Want* want) noexcept nogil:
        cdef int64_t i, left_milli = want.qty_milli, part
        cdef LineRow* line
        self.ship_kit = want.kit
        if want.kit:
            for i in range(self.ship_line_count):
                if self.meant(self.line_row(self.ship_lines[i].line), want.item):
                    left_milli -= self.ship_lines[i].left_milli
            if left_milli > 0:
                self.ship_kit = 0  # units named before were taken from the kit; those by themselves stand in
            left_milli = want.qty_milli
        if self.catalog.item(want.item).flags & ITEM_UNTRACKED:
            self.meet(want.item, -1, -1, want.qty_milli)
            return True
        if want.location >= 0:
            return self.leave(want.item, want.location, want.qty_milli)
        self.part_count = 0
        for i in range(self.ship_line_count):
            line = self.line_row(self.ship_lines[i].line)
            part = min(left_milli, self.ship_lines[i].left_milli) if self.meant(line, want.item) else 0
            left_milli -= part
            if part == 0:
                continue
            if line.kind == ENTRY_STOCK:
                self.add_part(line.location, part)
            elif line.kind == ENTRY_PREORDER and not self.parts_where_free(want.item, line.channel - 1, part):
                return False
        for i in range(self.part_count):
            if not self.leave(want.item, self.part_places[i].location, self.part_places[i].value):
                return False
        return True

    cdef bint add_part(self, int64_t location, int64_t qty_milli) noexcept nogil:
        self.part_places = <Place*>room_for(self.part_places, &self.part_capacity, self.part_count + 1, sizeof(Place))
        self.part_places[self.part_count].location = location
        self.part_places[self.part_count].value = qty_milli
        self.part_count += 1
        return True

    cdef bint parts_where_free(self, int64_t item, int64_t symbol, int64_t qty_milli) noexcept nogil:
        """Preordered units leave from free units of the channel's places, in order."""
        cdef ScopeIn scope
        cdef int64_t i, part
        self.scope_begin(&scope)
        self.scope_channel(&scope, symbol)
        for i in range(scope.place_count):
            if self.place_open(item, self.places[i].location):
                part = max(0, min(qty_milli, self.planned_free(item, self.places[i].location)))
                self.add_part(self.places[i].location, part)
                qty_milli -= part
        return qty_milli == 0

    cdef bint leave(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil:
        """Ship from a place: first what the order has there and is there, then other free units of the place."""
        cdef int64_t i, count, row, part, there
        cdef LineRow* line
        cdef PositionRow* position
        for i in range(self.ship_line_count):
            line = self.line_row(self.ship_lines[i].line)
            if self.meant(line, item) and line.kind == ENTRY_STOCK and line.location == location:
                there = max(0, self.position_row(line.position).on_hand_milli - _sum_at(&self.gone, line.position))
                qty_milli -= self.ship_move(i, line.position, min(qty_milli, there))
        count = self.removal_order(item, location)
        for i in range(count):
            row = self.lot_order[i]
            position = self.position_row(row)
            part = min(qty_milli, free_of(position) + _sum_at(&self.delta, row))
            part = max(0, min(part, position.on_hand_milli - _sum_at(&self.gone, row)))
            if part and not position.flags & POSITION_BARRED:
                self.meet(item, location, row, part)
                tally_at(&self.delta, row).sum_milli -= part
                qty_milli -= part
        return qty_milli == 0

    cdef void meet(self, int64_t item, int64_t location, int64_t position, int64_t qty_milli) noexcept nogil:
        """Let units of a position stand for allocated ones: those at the same place first, then the earliest."""
        cdef int64_t i, part
        cdef bint elsewhere
        cdef LineRow* line
        for elsewhere in range(2):
            for i in range(self.ship_line_count):
                line = self.line_row(self.ship_lines[i].line)
                if not self.meant(line, item) or (line.location != location) != elsewhere:
                    continue
                part = self.ship_move(i, position, qty_milli)
                qty_milli -= part
                if line.kind == ENTRY_STOCK:
                    tally_at(&self.delta, line.position).sum_milli += part

    cdef int64_t ship_move(self, int64_t ship_line, int64_t position, int64_t qty_milli) noexcept nogil:
        cdef int64_t part = min(qty_milli, self.ship_lines[ship_line].left_milli)
        cdef ShipMove* move
        if part <= 0:
            return 0
        self.ship_lines[ship_line].left_milli -= part
        self.ship_moves = <ShipMove*>room_for(
            self.ship_moves, &self.ship_move_capacity, self.ship_move_count + 1, sizeof(ShipMove)
        )
        move = &self.ship_moves[self.ship_move_count]
        self.ship_move_count += 1
        move.ship_line = ship_line
        move.position = position
        move.qty_milli = part
        move.kit = self.line_row(self.ship_lines[ship_line].line).kit
        move.item = self.line_row(self.ship_lines[ship_line].line).item
        if position >= 0:
            tally_at(&self.gone, position).sum_milli += part
        return part

    # Shipments: apply.

    cdef void ship(self, int64_t order, int64_t now_ns) noexcept nogil:
        """Carry the planned shipment out."""
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        cdef ShipMove* move
        cdef LineRow* line
        cdef LineRow* gone
        cdef PositionRow* position
        cdef int64_t i
        for i in range(self.ship_move_count):
            move = &self.ship_moves[i]
            gone = self.append_line(&row.shipped)
            line = self.edit_line(self.ship_lines[move.ship_line].line)
            line.qty_milli -= move.qty_milli
            line.picked_milli = max(0, line.picked_milli - move.qty_milli)
            if line.kind == ENTRY_STOCK:
                self.move(line.position, 0, 0, -move.qty_milli, 0)
            gone.qty_milli = move.qty_milli
            gone.item = line.item
            gone.channel = line.channel
            gone.kind = line.kind
            gone.kit = line.kit
            if move.position >= 0:
                self.move(move.position, -move.qty_milli, 0, 0, 0)
                position = self.position_row(move.position)
                gone.location = position.location
                gone.lot = position.lot
                gone.barred = position.flags & POSITION_BARRED != 0
            elif line.kind == ENTRY_STOCK:
                gone.kind = ENTRY_UNTRACKED  # its item became untracked: there is no position to go back to
        self.sweep_chain(&row.allocated)
        if not row.allocated.first:
            self.enter(order, ACTION_SHIP, now_ns)

    cdef void unship(self, int64_t order, int64_t now_ns) noexcept nogil:
        """What shipped and did not come back is on hand and allocated again."""
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        cdef LineRow* line
        cdef int64_t at = row.shipped.first, position
        while at:
            line = self.edit_line(at - 1)
            if line.location >= 0:
                position = self.position_again(line)
                line.position = <int32_t>position
                self.move(position, line.qty_milli, 0, line.qty_milli if line.kind == ENTRY_STOCK else 0, 0)
            if line.kind == ENTRY_PREORDER:
                line.position = line.location = -1
                line.lot = 0
                line.barred = 0
            at = line.next
        if row.allocated.last:
            self.edit_line(row.allocated.last - 1).next = row.shipped.first
        else:
            row.allocated.first = row.shipped.first
        row.allocated.last = row.shipped.last
        row.shipped.first = row.shipped.last = 0
        self.enter(order, ACTION_UNSHIP, now_ns)

    cdef void take_back(self, int64_t order, const Want* want) noexcept nogil:
        """So many shipped units came back, the earliest first; what becomes of them is the caller's."""
        cdef OrderRow* row = <OrderRow*>self.orders.edit(order)
        cdef LineRow* line
        cdef int64_t at, qty_milli = want.qty_milli, part
        cdef bint in_kit
        self.ship_kit = want.kit
        for in_kit in range(2):
            at = row.shipped.first
            while at and qty_milli:
                line = self.edit_line(at - 1)
                if self.stands_for(line, want, in_kit):
                    part = min(qty_milli, line.qty_milli)
                    line.qty_milli -= part
                    qty_milli -= part
                at = line.next
        self.sweep_chain(&row.shipped)

    cdef void forget_position_in_orders(self, int64_t position) noexcept nogil:
        cdef int64_t order
        for order in range(self.orders.count):
            if self.order_row(order).allocated.first:
                self.forget_position(position, &(<OrderRow*>self.orders.edit(order)).allocated)

    cdef void rebuild_orders(self) noexcept nogil:
        """Make the index again from the rows."""
        cdef int64_t order
        cdef OrderRow* row
        index_free(&self.order_index)
        index_free(&self.customer_index)
        deadlines_free(&self.pickups)
        index_reserve(&self.order_index, self.orders.count)
        for order in range(self.orders.count):
            row = self.order_row(order)
            index_add(&self.order_index, hash_bytes(row.code, row.code_size), order)
            if row.customer_size:
                self.index_customer(order)
            deadlines_set(&self.pickups, order, row.pickup_deadline_ns, order)
