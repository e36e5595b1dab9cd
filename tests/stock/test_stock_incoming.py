"""Goods on their way beside a plain model: dicts that are searched from end to end.

The model of tests/oracle knows a sum on its way and no dates; this one knows dates, and what rules ordered when.
RINGUP_INCOMING_STEPS sets how many steps each walk takes (default 3,000).
"""

from __future__ import annotations

import dataclasses
import os
import random
from typing import Any

import pytest

from ringup.native.core import Core
from ringup.v1 import result_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import SECOND_NS, CoreHarness, small_shop

STEPS = int(os.environ.get("RINGUP_INCOMING_STEPS", "3000"))
ITEMS, PLACES, RULES = ("milk", "bread"), ("S1", "S2"), ["", *(f"r{n}" for n in range(40))]
Key = tuple[str, str]


@dataclasses.dataclass
class Rule:
    """What one rule has open of an item at a place."""

    suggested: int
    ordered: int
    at_ns: int
    row: int


class Model:
    """What is on its way in milli-units: by date (0: not known), and by rule."""

    def __init__(self) -> None:
        self.dates: dict[Key, dict[int, int]] = {}
        self.rules: dict[tuple[Key, str], Rule] = {}
        self.free_rows: list[int] = []

    def incoming(self, key: Key, by_ns: int = 0) -> int:
        return sum(qty for at, qty in self.dates.get(key, {}).items() if not by_ns or 0 < at <= by_ns)

    def expect(self, key: Key, qty: int, at_ns: int) -> None:
        dates = self.dates.setdefault(key, {})
        dates[at_ns] = dates.get(at_ns, 0) + qty

    def arrive(self, key: Key, qty: int) -> None:
        """The earliest first, those without a date last."""
        dates = self.dates.get(key, {})
        for at in sorted(dates, key=lambda at: (at == 0, at)):
            part = min(qty, dates[at])
            dates[at] -= part
            qty -= part
            if not dates[at]:
                del dates[at]

    def reorder(self, key: Key, rule: str, qty: int, ordered: bool, now_ns: int) -> int:
        if (key, rule) not in self.rules:
            if not qty:
                return 0
            row = self.free_rows.pop() if self.free_rows else len(self.rules)
            self.rules[key, rule] = Rule(0, 0, now_ns, row)
        open_one = self.rules[key, rule]
        open_one.at_ns, open_one.suggested = now_ns, 0 if ordered else qty
        open_one.ordered += qty if ordered else 0
        self._close(key, rule)
        return open_one.ordered

    def orders_arrive(self, key: Key, qty: int) -> None:
        """What was ordered first is met first; of one moment, what has the lower row."""
        mine = [(one.at_ns, one.row, rule) for (at, rule), one in self.rules.items() if at == key and one.ordered]
        for _, _, rule in sorted(mine):
            part = min(qty, self.rules[key, rule].ordered)
            self.rules[key, rule].ordered -= part
            qty -= part
            self._close(key, rule)

    def _close(self, key: Key, rule: str) -> None:
        if not self.rules[key, rule].suggested and not self.rules[key, rule].ordered:
            self.free_rows.append(self.rules.pop((key, rule)).row)


class Walk:
    """Random commands to a core and to the model; each answer is compared."""

    def __init__(self, seed: int, days: int) -> None:
        self.rng, self.days, self.model = random.Random(seed), days, Model()
        self.shop = small_shop(pieces=10_000)
        self.pages: dict[tuple[int, int], bytes] = {}  # by table and page, as a store of checkpoints has them
        self.most_dates = self.most_ordered = 0

    def step(self) -> None:
        key = self.rng.choice(ITEMS), self.rng.choice(PLACES)
        self.shop.now_ns += self.rng.choice((0, 0, SECOND_NS))
        self.rng.choices((self.expect, self.receive, self.reorder, self.remove), (60, 15, 30, 0.3))[0](key)
        self.compare(key)

    def some_day_ns(self) -> int:
        return self.rng.randrange(self.days + 1) * 86_400 * SECOND_NS

    def send(self, request: Any) -> Any:
        answer = self.shop.send(request)
        assert answer.code == result_pb2.RESULT_CODE_OK, answer
        return answer

    def expect(self, key: Key) -> None:
        at_ns, lines = self.some_day_ns(), [self.rng.randrange(1, 20) * 1000 for _ in range(self.rng.randint(1, 2))]
        self.send(
            pb.ExpectStockRequest(
                location_id=key[1],
                expected_ns=at_ns,
                lines=[pb.StockLine(item_id=key[0], qty_milli=qty) for qty in lines],
            )
        )
        for qty in lines:
            self.model.expect(key, qty, at_ns)

    def receive(self, key: Key) -> None:
        qty = self.rng.choice((1, 7, 30, 200)) * 1000
        self.send(pb.ReceiveStockRequest(location_id=key[1], lines=[pb.StockLine(item_id=key[0], qty_milli=qty)]))
        self.model.arrive(key, qty)
        self.model.orders_arrive(key, qty)

    def reorder(self, key: Key) -> None:
        """A rule that sees room for some more, or none."""
        rule, order = self.rng.choice(RULES), self.rng.random() < 0.6
        forecast = self.position(key).on_hand_milli + self.model.incoming(key)
        wanted = self.rng.choice((0, 1, 5, 12)) * 1000
        answer = self.send(
            pb.ReorderStockRequest(
                item_id=key[0],
                location_id=key[1],
                policy_id=rule,
                order=order,
                min_milli=forecast + wanted,
                max_milli=forecast + wanted,
            )
        )
        assert (answer.qty_milli, answer.forecast_milli) == (wanted, forecast)
        if order and wanted:
            self.model.expect(key, wanted, 0)
        assert answer.ordered_milli == self.model.reorder(key, rule, wanted, order, self.shop.now_ns)

    def remove(self, key: Key) -> None:
        """All that is on its way is forgotten with the place; what rules ordered is not."""
        request = pb.RemovePositionRequest(item_id=key[0], location_id=key[1], force=True)
        if self.shop.send(request).code == result_pb2.RESULT_CODE_OK:
            self.model.dates.pop(key, None)

    def position(self, key: Key) -> pb.Position:
        request = pb.GetAvailabilityRequest(item_ids=[key[0]], location_id=key[1])
        answer = self.shop.ask("GetAvailability", request, pb.GetAvailabilityResponse)
        return answer.positions[0] if answer.positions else pb.Position()

    def compare(self, key: Key) -> None:
        position = self.position(key)
        assert position.incoming_milli == self.model.incoming(key)
        for by_ns in (0, 1, self.some_day_ns(), self.some_day_ns() + self.rng.choice((-1, 1))):
            request = pb.GetPromiseRequest(item_ids=[key[0]], location_id=key[1], by_ns=max(0, by_ns))
            (promise,) = self.shop.ask("GetPromise", request, pb.GetPromiseResponse).promises
            expected = self.model.incoming(key, by_ns) if by_ns > 0 else 0
            assert promise.available_milli == position.on_hand_milli + expected
            assert promise.incoming_milli == self.model.incoming(key)
        self.most_dates = max(self.most_dates, len(self.model.dates.get(key, {})))

    def compare_rules(self) -> None:
        request = pb.ListReordersRequest(page_size=1000)
        answer = self.shop.ask("ListReorders", request, pb.ListReordersResponse)
        found = [
            (row.item_id, row.location_id, row.policy_id, row.suggested_milli, row.ordered_milli, row.at_ns)
            for row in answer.reorders
        ]
        rows = sorted(self.model.rules.items(), key=lambda one: one[1].row)
        assert found == [(*key, rule, one.suggested, one.ordered, one.at_ns) for (key, rule), one in rows]
        self.most_ordered = max(self.most_ordered, sum(1 for one in self.model.rules.values() if one.ordered))

    def restart(self) -> None:
        """Go on with a core made from the pages of a checkpoint."""
        before, core = self.shop.core, Core()
        checkpoint = before.checkpoint()
        self.pages.update({(table, page): bytes(data) for table, page, data in checkpoint})
        checkpoint.done()
        for (number, page), data in sorted(self.pages.items()):
            core.tables[number].load_page(page, data, before.tables[number].count)
        core.rebuild()
        assert core.digest() == before.digest()
        self.shop.core = core


@pytest.mark.parametrize(("seed", "days"), [(1, 3), (2, 40), (3, 100_000)])
def test_dates_and_rules_are_those_of_a_plain_model_over_checkpoints(seed: int, days: int) -> None:
    """Few days, where dates meet; some; and so many that hardly two are the same."""
    walk = Walk(seed, days)
    for number in range(1, STEPS + 1):
        walk.step()
        if number % 20 == 0:
            walk.compare_rules()
        if number % 150 == 0:
            walk.restart()
    assert walk.most_dates >= min(days, 20), "the walk met hardly any dates"
    assert walk.most_ordered >= 5, "the walk met hardly any orders"
    assert walk.shop.refold().digest() == walk.shop.core.digest()


@pytest.mark.parametrize("order", ["rising", "falling", "mixed"])
def test_thousands_of_dates_of_one_item_and_place_are_met_in_their_order(order: str) -> None:
    """Each receipt of one piece ends one date, the earliest; the last is the one that is not known."""
    shop, days = small_shop(pieces=1), list(range(1, 3001))
    if order == "falling":
        days.reverse()
    elif order == "mixed":
        random.Random(5).shuffle(days)
    milk = pb.StockLine(item_id="milk", qty_milli=1000)
    shop.batch(*[pb.ExpectStockRequest(location_id="S1", expected_ns=day, lines=[milk]) for day in [0, *days]])
    assert expected(shop, 0, 1, 1500, 3000, 10**9) == (3001, 1, 1500, 3000, 3000)
    shop.batch(*[pb.ReceiveStockRequest(location_id="S1", lines=[milk]) for _ in range(1000)])
    assert expected(shop, 0, 1000, 1001, 1500) == (2001, 0, 1, 500)
    shop.core.rebuild()
    assert expected(shop, 0, 1000, 1001, 1500) == (2001, 0, 1, 500)
    line = pb.StockLine(item_id="milk", qty_milli=2_000_000)
    shop.send(pb.ReceiveStockRequest(location_id="S1", lines=[line]))
    assert expected(shop, 0, 10**9) == (1, 0)
    assert shop.refold().digest() == shop.core.digest()


def expected(shop: CoreHarness, *by_ns: int) -> tuple[int, ...]:
    """Pieces of milk on their way to S1, by each date; with 0, all."""
    found = []
    for at_ns in by_ns:
        request = pb.GetPromiseRequest(item_ids=["milk"], location_id="S1", by_ns=at_ns)
        (promise,) = shop.ask("GetPromise", request, pb.GetPromiseResponse).promises
        found.append((promise.available_milli - promise.on_hand_milli if at_ns else promise.incoming_milli) // 1000)
    return tuple(found)
