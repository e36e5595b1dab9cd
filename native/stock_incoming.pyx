"""Goods on their way: what is expected when, and what rules have suggested or ordered."""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from ringup.native.index cimport (
    Index,
    hash_int,
    index_add,
    index_free,
    index_next,
    index_remove,
    index_start,
)
from ringup.native.stock_dates cimport (
    dates_add,
    dates_change,
    dates_find,
    dates_first,
    dates_free,
    dates_remove,
    dates_sum,
    dates_until,
)
from ringup.native.stock_positions cimport place_hash
from ringup.native.stock_tally cimport tally_at, tally_clear, tally_free
from ringup.native.table cimport Table


cdef inline uint64_t _rule_hash(int64_t item, int64_t location, int64_t policy) noexcept nogil:
    return hash_int(place_hash(item, location) ^ <uint64_t>policy)


cdef inline uint64_t _order_of(int64_t expected_ns) noexcept nogil:
    """What arrivals are ordered by: an unknown date is the last."""
    return <uint64_t>expected_ns - 1


cdef void _move_root(Index* index, uint64_t hash, int64_t old, int64_t new) noexcept nogil:
    if old == new:
        return
    if old >= 0:
        index_remove(index, hash, old)
    if new >= 0:
        index_add(index, hash, new)


cdef class Incoming(Positions):
    """Positions and what is on its way to them.

    The trees and indexes are derived state.  `Policies` lists the tables among its own, in the order of checkpoints.
    """

    def __cinit__(self):
        self.arrivals = Table("arrivals", sizeof(ArrivalRow))
        self.reorders = Table("reorders", sizeof(ReorderRow))
        self.policy_globals = Table("policy_globals", sizeof(PolicyGlobals))
        self.policy_globals.append()
        tally_clear(&self.incoming_delta)

    def __dealloc__(self):
        dates_free(&self.arrival_dates)
        dates_free(&self.order_dates)
        index_free(&self.arrival_index)
        index_free(&self.order_index)
        index_free(&self.reorder_index)
        tally_free(&self.incoming_delta)

    # What is expected.

    cdef int64_t arrival_root(self, int64_t item, int64_t location) noexcept nogil:
        """The root of the arrivals at a place, or -1."""
        cdef uint64_t hash = place_hash(item, location)
        cdef int64_t cursor = index_start(&self.arrival_index, hash)
        cdef int64_t row = index_next(&self.arrival_index, hash, &cursor)
        cdef ArrivalRow* arrival
        while row >= 0:
            arrival = <ArrivalRow*>self.arrivals.row(row)
            if arrival.item == item and arrival.location == location:
                return row
            row = index_next(&self.arrival_index, hash, &cursor)
        return -1

    cdef void date_arrival(self, int64_t row) noexcept nogil:
        """A row of arrivals that is filled joins those of its place."""
        cdef ArrivalRow* arrival = <ArrivalRow*>self.arrivals.row(row)
        cdef int64_t old = self.arrival_root(arrival.item, arrival.location)
        cdef int64_t new = dates_add(
            &self.arrival_dates, old, row, _order_of(arrival.expected_ns), arrival.qty_milli
        )
        _move_root(&self.arrival_index, place_hash(arrival.item, arrival.location), old, new)

    cdef int64_t incoming_milli(self, int64_t item, int64_t location, int64_t by_ns) noexcept nogil:
        """What is on its way to a place; with `by_ns` above zero only what is expected until then."""
        cdef int64_t root = self.arrival_root(item, location)
        if by_ns == 0:
            return dates_sum(&self.arrival_dates, root)
        return dates_until(&self.arrival_dates, root, _order_of(by_ns))

    cdef void expect(self, int64_t item, int64_t location, int64_t qty_milli, int64_t expected_ns) noexcept nogil:
        """Goods will arrive; equal dates are one arrival."""
        cdef PolicyGlobals* own = <PolicyGlobals*>self.policy_globals.edit(0)
        cdef int64_t root = self.arrival_root(item, location)
        cdef int64_t row = dates_find(&self.arrival_dates, root, _order_of(expected_ns))
        cdef ArrivalRow* arrival
        tally_at(&self.incoming_delta, (item << 32) | location).sum_milli += qty_milli
        if row >= 0:
            (<ArrivalRow*>self.arrivals.edit(row)).qty_milli += qty_milli
            dates_change(&self.arrival_dates, root, row, qty_milli)
            return
        if own.free_arrival:
            row = own.free_arrival - 1
            own.free_arrival = (<ArrivalRow*>self.arrivals.row(row)).next_free
        else:
            row = self.arrivals.append()
        arrival = <ArrivalRow*>self.arrivals.edit(row)
        arrival.expected_ns = expected_ns
        arrival.qty_milli = qty_milli
        arrival.item = <int32_t>item
        arrival.location = <int32_t>location
        arrival.next_free = 0
        self.date_arrival(row)

    cdef void arrive(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil:
        """So much is no longer on its way, the earliest expected first; beyond what was expected nothing happens."""
        cdef PolicyGlobals* own
        cdef ArrivalRow* arrival
        cdef int64_t old = self.arrival_root(item, location), root = old, row, part
        while qty_milli > 0 and root >= 0:
            row = dates_first(&self.arrival_dates, root)
            arrival = <ArrivalRow*>self.arrivals.edit(row)
            part = min(qty_milli, arrival.qty_milli)
            arrival.qty_milli -= part
            qty_milli -= part
            tally_at(&self.incoming_delta, (item << 32) | location).sum_milli -= part
            if arrival.qty_milli:
                dates_change(&self.arrival_dates, root, row, -part)
                break
            root = dates_remove(&self.arrival_dates, root, row)
            own = <PolicyGlobals*>self.policy_globals.edit(0)
            arrival.item = arrival.location = 0
            arrival.expected_ns = 0
            arrival.next_free = <int32_t>own.free_arrival
            own.free_arrival = row + 1
        _move_root(&self.arrival_index, place_hash(item, location), old, root)

    # What rules have suggested or ordered: one open row an item, place and rule.

    cdef int64_t find_reorder(self, int64_t item, int64_t location, int64_t policy) noexcept nogil:
        """The open row of a rule (symbol row + 1), or -1."""
        cdef uint64_t hash = _rule_hash(item, location, policy)
        cdef int64_t cursor = index_start(&self.reorder_index, hash)
        cdef int64_t row = index_next(&self.reorder_index, hash, &cursor)
        cdef ReorderRow* reorder
        while row >= 0:
            reorder = <ReorderRow*>self.reorders.row(row)
            if reorder.item == item and reorder.location == location and reorder.policy == policy:
                return row
            row = index_next(&self.reorder_index, hash, &cursor)
        return -1

    cdef int64_t order_root(self, int64_t item, int64_t location) noexcept nogil:
        """The root of what rules have ordered for a place, or -1."""
        cdef uint64_t hash = place_hash(item, location)
        cdef int64_t cursor = index_start(&self.order_index, hash)
        cdef int64_t row = index_next(&self.order_index, hash, &cursor)
        cdef ReorderRow* reorder
        while row >= 0:
            reorder = <ReorderRow*>self.reorders.row(row)
            if reorder.item == item and reorder.location == location:
                return row
            row = index_next(&self.order_index, hash, &cursor)
        return -1

    cdef void date_order(self, int64_t row, bint ordered) noexcept nogil:
        """A row joins those of its place that are ordered, by when that was, or leaves them."""
        cdef ReorderRow* reorder = <ReorderRow*>self.reorders.row(row)
        cdef int64_t old = self.order_root(reorder.item, reorder.location), new
        if ordered:
            new = dates_add(&self.order_dates, old, row, <uint64_t>reorder.at_ns, reorder.ordered_milli)
        else:
            new = dates_remove(&self.order_dates, old, row)
        _move_root(&self.order_index, place_hash(reorder.item, reorder.location), old, new)

    cdef int64_t reorder(
        self, int64_t item, int64_t location, int64_t policy, int64_t qty_milli, bint ordered, int64_t now_ns
    ) noexcept nogil:
        """A rule suggests or orders so much: its open row takes it in.  Returns what it has ordered."""
        cdef PolicyGlobals* own
        cdef int64_t row = self.find_reorder(item, location, policy)
        cdef ReorderRow* reorder
        if row < 0:
            if qty_milli == 0:
                return 0
            own = <PolicyGlobals*>self.policy_globals.edit(0)
            if own.free_reorder:
                row = own.free_reorder - 1
                own.free_reorder = (<ReorderRow*>self.reorders.row(row)).next_free
            else:
                row = self.reorders.append()
            reorder = <ReorderRow*>self.reorders.edit(row)
            reorder.item = <int32_t>item
            reorder.location = <int32_t>location
            reorder.policy = <int32_t>policy
            reorder.next_free = 0
            index_add(&self.reorder_index, _rule_hash(item, location, policy), row)
        reorder = <ReorderRow*>self.reorders.edit(row)
        if reorder.ordered_milli:
            self.date_order(row, False)
        reorder.at_ns = now_ns
        reorder.suggested_milli = 0 if ordered else qty_milli
        if ordered:
            reorder.ordered_milli += qty_milli
        qty_milli = reorder.ordered_milli
        if qty_milli:
            self.date_order(row, True)
        elif reorder.suggested_milli == 0:
            self.close_reorder(row)
        return qty_milli

    cdef void close_reorder(self, int64_t row) noexcept nogil:
        cdef PolicyGlobals* own = <PolicyGlobals*>self.policy_globals.edit(0)
        cdef ReorderRow* reorder = <ReorderRow*>self.reorders.edit(row)
        index_remove(&self.reorder_index, _rule_hash(reorder.item, reorder.location, reorder.policy), row)
        memset(reorder, 0, sizeof(ReorderRow))
        reorder.next_free = <int32_t>own.free_reorder
        own.free_reorder = row + 1

    cdef void reorders_arrive(self, int64_t item, int64_t location, int64_t qty_milli) noexcept nogil:
        """Goods came: what was ordered first is met first, and closed when nothing of it is left."""
        cdef ReorderRow* reorder
        cdef int64_t root, row, part
        while qty_milli > 0:
            root = self.order_root(item, location)
            row = dates_first(&self.order_dates, root)
            if row < 0:
                return
            reorder = <ReorderRow*>self.reorders.edit(row)
            part = min(qty_milli, reorder.ordered_milli)
            qty_milli -= part
            if part < reorder.ordered_milli:
                reorder.ordered_milli -= part
                dates_change(&self.order_dates, root, row, -part)
                return
            self.date_order(row, False)
            reorder.ordered_milli = 0
            if reorder.suggested_milli == 0:
                self.close_reorder(row)

    # After a start.

    cdef void rebuild_incoming(self) noexcept nogil:
        """Make all derived state again from the rows."""
        cdef int64_t row
        cdef ReorderRow* reorder
        dates_free(&self.arrival_dates)
        index_free(&self.arrival_index)
        for row in range(self.arrivals.count):
            if (<ArrivalRow*>self.arrivals.row(row)).qty_milli:
                self.date_arrival(row)
        dates_free(&self.order_dates)
        index_free(&self.order_index)
        index_free(&self.reorder_index)
        for row in range(self.reorders.count):
            reorder = <ReorderRow*>self.reorders.row(row)
            if reorder.ordered_milli or reorder.suggested_milli:
                index_add(&self.reorder_index, _rule_hash(reorder.item, reorder.location, reorder.policy), row)
            if reorder.ordered_milli:
                self.date_order(row, True)
