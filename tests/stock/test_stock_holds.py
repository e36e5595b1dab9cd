"""Positions, holds and sales against a plain model: a state machine, and the laws one by one."""

from __future__ import annotations

import os

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ringup.native.stock import Stock
from ringup.v1 import result_pb2, stock_pb2

OK = result_pb2.RESULT_CODE_OK
INSUFFICIENT = result_pb2.RESULT_CODE_STOCK_INSUFFICIENT
ITEMS, LOCATIONS, REFS = 2, 2, 4
EXAMPLES = int(os.environ.get("RINGUP_STOCK_EXAMPLES", "60"))

items = st.integers(0, ITEMS - 1)
locations = st.integers(0, LOCATIONS - 1)
refs = st.integers(0, REFS - 1).map(lambda n: bytes([n]) * 16)
demands = st.lists(st.tuples(items, st.integers(1, 6)), min_size=1, max_size=4)


class Hold:
    def __init__(self, location: int, units: dict[int, int], deadline_ns: int, number: int) -> None:
        self.location, self.units, self.deadline_ns, self.number = location, units, deadline_ns, number
        self.state = stock_pb2.HOLD_STATE_OPEN


def summed(lines: list[tuple[int, int]]) -> dict[int, int]:
    units: dict[int, int] = {}
    for item, qty_milli in lines:
        units[item] = units.get(item, 0) + qty_milli
    return units


class StockMachine(RuleBasedStateMachine):
    """Every rule asks the model for the answer first, then compares all counters."""

    def __init__(self) -> None:
        super().__init__()
        self.stock = Stock()
        self.on_hand: dict[tuple[int, int], int] = {}
        self.holds: dict[bytes, Hold] = {}
        self.now_ns = 1_000
        self.made = 0

    def held(self, item: int, location: int) -> int:
        return sum(
            h.units.get(item, 0)
            for h in self.holds.values()
            if h.state == stock_pb2.HOLD_STATE_OPEN and h.location == location
        )

    def free(self, item: int, location: int) -> int:
        return self.on_hand.get((item, location), 0) - self.held(item, location)

    def why_closed(self, hold: Hold | None) -> int:
        if hold is None:
            return result_pb2.RESULT_CODE_HOLD_UNKNOWN
        return {
            stock_pb2.HOLD_STATE_OPEN: OK,
            stock_pb2.HOLD_STATE_COMMITTED: result_pb2.RESULT_CODE_HOLD_COMMITTED,
            stock_pb2.HOLD_STATE_RELEASED: result_pb2.RESULT_CODE_HOLD_RELEASED,
            stock_pb2.HOLD_STATE_EXPIRED: result_pb2.RESULT_CODE_HOLD_EXPIRED,
        }[hold.state]

    @rule(item=items, location=locations, qty_milli=st.integers(1, 10))
    def receive(self, item: int, location: int, qty_milli: int) -> None:
        self.stock.receive_units(item, location, qty_milli)
        self.on_hand[item, location] = self.on_hand.get((item, location), 0) + qty_milli

    @rule(ref=refs, location=locations, lines=demands, ttl=st.one_of(st.just(0), st.integers(1, 500)))
    def hold(self, ref: bytes, location: int, lines: list[tuple[int, int]], ttl: int) -> None:
        deadline_ns = self.now_ns + ttl if ttl else 0
        old = self.holds.get(ref)
        own = old.units if old and old.state == stock_pb2.HOLD_STATE_OPEN and old.location == location else {}
        units = summed(lines)
        fits = all(qty <= own.get(item, 0) + max(self.free(item, location), 0) for item, qty in units.items())
        code, _, _ = self.stock.hold_units(ref, location, lines, deadline_ns, self.now_ns)
        assert code == (OK if fits else INSUFFICIENT)
        if fits:
            if old is not None and old.state == stock_pb2.HOLD_STATE_OPEN:
                old.location, old.units, old.deadline_ns = location, units, deadline_ns
            else:
                self.made += 1
                self.holds[ref] = Hold(location, units, deadline_ns, self.made)

    @rule(ref=refs, committed=st.booleans())
    def end(self, ref: bytes, committed: bool) -> None:
        hold = self.holds.get(ref)
        expected = self.why_closed(hold)
        assert self.stock.end_hold(ref, committed, self.now_ns) == expected
        if expected == OK and hold is not None:
            if committed:
                for item, qty in hold.units.items():
                    self.on_hand[item, hold.location] -= qty
            hold.state = stock_pb2.HOLD_STATE_COMMITTED if committed else stock_pb2.HOLD_STATE_RELEASED

    @rule(location=locations, lines=demands, given=st.lists(refs, max_size=3), shortfall=st.booleans())
    def sell(self, location: int, lines: list[tuple[int, int]], given: list[bytes], shortfall: bool) -> None:
        expected = OK
        own: dict[int, int] = {}
        for ref in given:
            hold = self.holds.get(ref)
            expected = self.why_closed(hold)
            if expected == OK and hold is not None and hold.location != location:
                expected = result_pb2.RESULT_CODE_HOLD_ELSEWHERE
            if expected != OK:
                break
        if expected == OK:
            for ref in set(given):
                for item, qty in self.holds[ref].units.items():
                    own[item] = own.get(item, 0) + qty
            for item, qty in summed(lines).items():
                if qty > own.get(item, 0) and qty - own.get(item, 0) > self.free(item, location) and not shortfall:
                    expected = INSUFFICIENT
        code, _, _ = self.stock.sell_units(location, lines, given, shortfall, self.now_ns)
        assert code == expected
        if code == OK:
            for ref in set(given):
                self.holds[ref].state = stock_pb2.HOLD_STATE_COMMITTED
            for item, qty in summed(lines).items():
                self.on_hand[item, location] = self.on_hand.get((item, location), 0) - qty

    @rule(ns=st.integers(0, 400))
    def pass_time(self, ns: int) -> None:
        self.now_ns += ns
        self.stock.expire(self.now_ns)
        for hold in self.holds.values():
            if hold.state == stock_pb2.HOLD_STATE_OPEN and 0 < hold.deadline_ns <= self.now_ns:
                hold.state = stock_pb2.HOLD_STATE_EXPIRED

    @rule()
    def restart(self) -> None:
        before = [table.digest() for table in self.stock.tables]
        self.stock.rebuild_all()
        assert [table.digest() for table in self.stock.tables] == before

    @invariant()
    def counters_agree(self) -> None:
        for item in range(ITEMS):
            for location in range(LOCATIONS):
                found = self.stock.position(item, location)
                held = self.held(item, location)
                on_hand = self.on_hand.get((item, location))
                if found is None:
                    assert on_hand is None
                    assert held == 0
                else:
                    assert (found["on_hand_milli"], found["held_milli"]) == (on_hand or 0, held)
                    assert found["free_milli"] == (on_hand or 0) - held
        still_open = [h for h in self.holds.values() if h.state == stock_pb2.HOLD_STATE_OPEN]
        assert self.stock.counts["open"] == len(still_open)
        assert self.stock.counts["deadlines"] == sum(h.deadline_ns > 0 for h in still_open)


TestStockMachine = StockMachine.TestCase
TestStockMachine.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)

ONE, TWO, THREE = (bytes([n]) * 16 for n in (1, 2, 3))


def stocked(qty_milli: int = 5000) -> Stock:
    stock = Stock()
    stock.receive_units(0, 0, qty_milli)
    return stock


def test_two_lines_of_one_item_are_one_demand() -> None:
    """Checked line by line, two lines of 3 would both pass against 5: the classic oversell."""
    stock = stocked()
    assert stock.sell_units(0, [(0, 3000), (0, 3000)], [], False, 1) == (INSUFFICIENT, 1, 5000)
    assert stock.hold_units(ONE, 0, [(0, 3000), (0, 3000)], 0, 1) == (INSUFFICIENT, 1, 5000)
    assert stock.position(0, 0) == {
        "on_hand_milli": 5000, "held_milli": 0, "allocated_milli": 0, "unavailable_milli": 0, "free_milli": 5000,
        "version": 1,
    }  # fmt: skip


def test_a_sale_uses_its_hold_first_and_frees_the_rest() -> None:
    stock = stocked()
    assert stock.hold_units(ONE, 0, [(0, 4000)], 0, 1)[0] == OK
    assert stock.sell_units(0, [(0, 2000)], [], False, 1) == (INSUFFICIENT, 0, 1000)
    assert stock.sell_units(0, [(0, 2000)], [ONE], False, 1)[0] == OK
    found = stock.position(0, 0)
    assert found is not None
    assert (found["on_hand_milli"], found["held_milli"]) == (3000, 0)


def test_a_hold_named_twice_counts_once() -> None:
    stock = stocked()
    assert stock.hold_units(ONE, 0, [(0, 4000)], 0, 1)[0] == OK
    assert stock.sell_units(0, [(0, 6000)], [ONE, ONE], False, 1) == (INSUFFICIENT, 0, 5000)
    assert stock.sell_units(0, [(0, 5000)], [ONE, ONE], False, 1)[0] == OK


def test_a_hold_ends_when_its_deadline_is_now_even_before_expiry_ran() -> None:
    stock = stocked()
    assert stock.hold_units(ONE, 0, [(0, 4000)], 50, 1)[0] == OK
    assert stock.end_hold(ONE, True, 49) == OK
    assert stock.hold_units(TWO, 0, [(0, 1000)], 50, 1)[0] == OK
    assert stock.end_hold(TWO, True, 50) == result_pb2.RESULT_CODE_HOLD_EXPIRED


def test_the_order_of_expiry_does_not_depend_on_a_restart() -> None:
    """The rows of ended holds are linked in the order of their ends: equal digests prove equal orders."""
    digests = []
    for restarted in (False, True):
        stock = stocked(1_000_000)
        for n in range(200):
            assert stock.hold_units(bytes([n]) * 16, 0, [(0, 1000)], 100 + n * 7 % 13, 1)[0] == OK
        if restarted:
            stock.rebuild_all()
        stock.expire(108)
        digests.append([table.digest() for table in stock.tables])
        assert 0 < stock.counts["open"] < 200
    assert digests[0] == digests[1]


def test_rows_of_ended_holds_are_used_again() -> None:
    """A shop makes millions of holds a day; memory follows the open ones and a bounded number of ended ones."""
    stock = stocked(1_000_000)
    for n in range(1, 270_001):
        hold_id = n.to_bytes(16, "little")
        assert stock.hold_units(hold_id, 0, [(0, 1000)], 0, 1)[0] == OK
        assert stock.end_hold(hold_id, False, 1) == OK
    assert stock.holds.count == 262_145
    assert stock.hold_lines.count == 1
    assert stock.counts == {"open": 0, "ended": 262_144, "made": 270_000, "deadlines": 0}
    first_kept = 270_000 - 262_144 + 1
    assert stock.end_hold(first_kept.to_bytes(16, "little"), True, 1) == result_pb2.RESULT_CODE_HOLD_RELEASED
    assert stock.end_hold((first_kept - 1).to_bytes(16, "little"), True, 1) == result_pb2.RESULT_CODE_HOLD_UNKNOWN


def test_a_shortfall_is_booked_and_an_unknown_hold_is_not() -> None:
    stock = stocked()
    assert stock.sell_units(0, [(0, 7000), (1, 1000)], [], True, 1)[0] == OK
    assert [stock.position(item, 0)["on_hand_milli"] for item in (0, 1)] == [-2000, -1000]  # type: ignore[index]  # both exist
    assert stock.sell_units(0, [(0, 1000)], [THREE], True, 1)[0] == result_pb2.RESULT_CODE_HOLD_UNKNOWN
