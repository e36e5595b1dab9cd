"""The plain model of stock: what each operation means, written to be read, not to be fast.

It is the oracle that the compiled core is compared with, so it shares no code with it. Standard library only,
quantities as int milli-units inside and int or Decimal outside, no float, no clock but the `tick` of a case.

    model = StockModel(case["setup"])
    result = model.do({"op": "hold", "ref": "cart", "lines": [{"sku": "tea", "qty": 2}], "ttl": 900})
    result.word, result.take, model.levels("tea", "shop")

Every operation first checks, in this order, and then changes something that can no longer fail:
key (replayed, conflict), names (not_found), quantities (invalid), state (already_done, expired), amounts (exceeds),
rules (refused), stock (insufficient). A refused operation changes nothing.

Readings
--------
Where the vocabulary leaves room, the model takes the reading that most inventory systems take. Those of holds, orders,
goods and kits (16 to 31, 35 to 40) stand in stock_holds.py, stock_orders.py, stock_goods.py and stock_kits.py.

Quantities
 1. Items are whole units unless `decimals` says otherwise or, where it is not said, setup has part of a unit of them
    or a policy names one (a step of 0.5); three decimals at most. Zero or less is invalid everywhere. A quantity may be
    written as a text ("9.5").
 2. min_qty, max_qty and step are rules of sale: they bind check, hold, resize, place and sell, on the sum of the item's
    lines in one request (an `add` is its own request). Other operations only need a quantity the item can have. Zero
    is no bound.
 3. A partial hold or sale takes the largest multiple of step that is there; if that is nothing it is insufficient.
Names
 4. An item is known when setup names it as item or as stock, or a step receives, counts, reorders it or sets its
    policy. Unknown items, places and channels are not_found; a `check` of them is insufficient, for it has three
    results, and a `query` of an unknown item finds none of it.
 5. `hold` and `adjust` that name one open place where the item has no position: not_found. `check`, `place`, `sell` and
    `transfer` find no units there: insufficient. `count`, `receive`, `return` and the far end of a transfer make it.
 6. After `remove_position` the item has no position there, as if it never had.
Availability
 7. Explicit places count only when enabled, as in a channel. A scope without any enabled place has nothing, also with
    backorder; so has a channel without any. The physical counters of a `query` skip disabled places in a channel but
    not where named.
 8. Units owed at a `backorder_at` outside the scope use up the limit of the scope.
 9. Lines of one request that name a place are met first, each from that place alone, then the others.
10. Stock is taken before units are owed, also the safety units of another place; safety only bounds the sum.
11. `take` tells where every promised unit is promised, owed units included, at the place that owes them.
12. `sell` looks at free units of the place alone: neither safety nor backorder bind the till; a disabled place sells
    nothing. Preorder items sell from free units too.
Lots
13. fifo and lifo go by `received`; undated rows last; ties in order of the rows (lifo: the later row first).
14. `adjust`, `count`, `return` and `receive` name no lot. Upward they go to the row without lot; downward they follow
    the removal order, free units first. A transferred lot stays that lot.
15. Owed units stand on the row without lot.
Preorder
32. A preorder item promises from its quota alone, no position moves. The channel is the step's or the first one; a
    channel without its own limit is bound by the total. Commit and ship keep quota used, release and cancel free it.
33. Preordered units ship from free units: of the place named, else of the places of the channel in order.
Keys
34. A key belongs to one body over all operations, whatever its first result; a replay repeats the first details. It
    is never forgotten within a case, and 2 and 2.0 are the same body.
"""

from __future__ import annotations

import copy
import json
import random
import sys
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import chain, permutations
from pathlib import Path
from typing import Any

if str(Path(__file__).resolve().parent) not in sys.path:  # also when loaded by its path
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from stock_goods import COUNTERS, GoodsModel
from stock_orders import OrderModel
from stock_result import Result, Step, described
from stock_shipping import located
from stock_sourcing import Scratch, in_removal_order
from stock_state import MILLI_PER_UNIT, Entry, Policy, Refused, asked_of, from_milli, to_milli

INTERLEAVINGS_MAX = 24
QUANTITIES = {"qty", "delta", "on_hand", "book", "restock", "min", "max", "multiple", "ttl", "seconds"}


def named_items(steps: list[Step]) -> set[str]:
    """The items that steps make known: goods may be the first that is said of an item."""
    inner = [one for step in steps for one in step.get("steps", [])]
    return {step["sku"] for step in [*steps, *inner] if step["op"] in ("receive", "count", "reorder", "set_policy")}


def body_of(step: Step) -> str:
    """The body that an idempotency key stands for: everything but the key and the expectation."""
    body = {name: value for name, value in step.items() if name not in ("key", "expect")}
    return json.dumps(plain_numbers(body), sort_keys=True)


def plain_numbers(value: Any) -> Any:
    """The same with each quantity written in one way: 2, 2.0 and "2" are one body."""
    if isinstance(value, dict):
        return {
            name: plain_numbers(Decimal(inner) if name in QUANTITIES and isinstance(inner, str) else inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [plain_numbers(inner) for inner in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value.normalize())
    return value


class StockModel(OrderModel, GoodsModel):
    """A stockroom and every operation on it. `do(step)` answers one step of a case."""

    def __init__(self, setup: dict[str, Any], items: Iterable[str] = ()) -> None:
        """Stock as `setup` says; `items` are known too, without stock or policies."""
        super().__init__(setup)
        for sku in items:
            self.policies.setdefault(sku, Policy())
        self.replies: dict[str, tuple[str, Result]] = {}

    def do(self, step: Step) -> Result:
        """Carry out one step. Raises ValueError for an operation that does not exist, KeyError for a missing field."""
        handler: Callable[[Step], Result] | None = getattr(self, "op_" + step["op"], None)
        if handler is None:
            known = sorted(name[3:] for name in dir(self) if name.startswith("op_"))
            raise ValueError(f"expected an op of {known}, found {step['op']!r}")
        key = step.get("key")
        if key in self.replies:
            body, first = self.replies[key]
            if body != body_of(step):
                return Result("conflict")
            return Result("replayed", first.take, first.taken, first.backordered, first.short, first.values)
        try:
            result = handler(step)
        except Refused as refusal:
            result = Result(refusal.word, short=refusal.short)
        if key is not None:
            self.replies[key] = (body_of(step), result)
        return result

    # Reading

    def op_check(self, step: Step) -> Result:
        try:
            scope = self.scope(step)
            wanted = self.demand([{"sku": step["sku"], "qty": step["qty"]}])
        except Refused as refusal:
            raise Refused("insufficient" if refusal.word == "not_found" else refusal.word) from None
        available = self.available(step["sku"], scope, self._as_if_free(step))
        if available is not None and wanted[step["sku"], None] > available:
            raise Refused("insufficient", [step["sku"]])
        return Result()

    def op_query(self, step: Step) -> Result:
        scope = self.scope(step)
        if step["sku"] not in self.policies:
            return Result(values=dict.fromkeys((*COUNTERS, "available"), 0))
        available = self.available(step["sku"], scope, self._as_if_free(step))
        values: dict[str, Any] = {"available": "unlimited" if available is None else from_milli(available)}
        places = [place for place in scope.places if self.enabled[place] or not scope.by_channel]
        for counter in COUNTERS:
            values[counter] = from_milli(sum(self.total(step["sku"], place, counter) for place in places))
        return Result(values=values)

    def _as_if_free(self, step: Step) -> Scratch:
        scratch = Scratch()
        hold = self.holds.get(step.get("hold", ""))
        if hold is not None and hold.state == "open":
            scratch.give_back(hold.entries)
        return scratch

    # The till

    def op_sell(self, step: Step) -> Result:
        place = self.place(step["location"])
        wanted = self.demand(step["lines"])
        partial = step.get("mode") == "partial"
        entries: list[Entry] = []
        short: list[str] = []
        scratch = Scratch()
        for (sku, named), asked in wanted.items():
            parts = self.kits[sku].parts if sku in self.kits else {sku: MILLI_PER_UNIT}
            qty, here = asked, self.enabled[place] and named in (None, place)
            for part, one in parts.items():
                if self.policies[part].track:
                    free = self.free_at(part, place, scratch) if here else 0
                    made = max(0, free) * MILLI_PER_UNIT // one
                    made -= made % MILLI_PER_UNIT if sku in self.kits else 0
                    short += [part] if made < asked else []
                    qty = min(qty, made)
            if qty < asked:
                qty = self.policies[sku].most_sellable(qty) if partial else 0
            for part, one in parts.items() if qty else ():
                if self.policies[part].track:
                    entries += self.from_free(part, place, qty * one // MILLI_PER_UNIT, scratch)
                else:
                    entries.append(Entry(part, qty * one // MILLI_PER_UNIT, "untracked"))
        short = list(dict.fromkeys(short))
        if short and (not partial or not entries):
            raise Refused("insufficient", short)
        for entry in entries:
            if entry.position is not None:
                entry.position.on_hand -= entry.qty
        return described(entries, short)

    # Rules and time

    def op_set_policy(self, step: Step) -> Result:
        policy = self.policy(step["sku"])
        before = copy.copy(policy)
        try:
            policy.update(step["policy"])
            self.open_kits()
        except Refused:
            vars(policy).update(vars(before))
            raise
        return Result()

    def op_tick(self, step: Step) -> Result:
        if to_milli(step["seconds"]) < 0:
            raise Refused("invalid")
        self.now += to_milli(step["seconds"])
        for hold in self.holds.values():
            if hold.state == "open" and hold.deadline is not None and self.now >= hold.deadline:
                self._give_back(hold.entries, "held")
                hold.entries, hold.state = [], "expired"
        return Result()

    def op_race(self, step: Step) -> Result:
        counts: dict[str, int] = {}
        for one in step["steps"]:
            word = self.do(one).word
            counts[word] = counts.get(word, 0) + 1
        return Result(values={"counts": counts})

    # Reading the end

    def levels(self, sku: str, location: str | None = None, lot: str | None = None) -> dict[str, Any]:
        """The counters of an item: in a lot, at a place, or over all places; zero where it has no position."""
        places = list(self.enabled) if location is None else [location]
        rows = [row for place in places for row in self.rows.get((sku, place), []) if lot is None or row.lot == lot]
        counters = {counter: sum(getattr(row, counter) for row in rows) for counter in COUNTERS}
        counters["free"] = counters["on_hand"] - counters["allocated"] - counters["held"]
        return {name: from_milli(qty) for name, qty in counters.items()}

    def digest(self) -> tuple[Any, ...]:
        """All that an operation can change but the keys; equal digests are equal states."""
        rows = [
            (row.sku, row.location, row.lot, row.saleable, row.on_hand, row.allocated, row.held, row.incoming)
            for row in in_removal_order(list(chain.from_iterable(self.rows.values())), "fifo")
        ]
        holds = [(ref, hold.state, hold.deadline, book_of(hold.entries)) for ref, hold in self.holds.items()]
        orders = [
            (name, order.cancelled, book_of(order.allocated), book_of(order.shipped))
            for name, order in self.orders.items()
        ]
        quotas = sorted((key, qty) for key, qty in self.preordered.items() if qty)
        return (self.now, sorted(rows, key=repr), sorted(holds), sorted(orders), quotas, repr(self.policies))


def book_of(entries: list[Entry]) -> list[tuple[Any, ...]]:
    return [
        (entry.sku, entry.qty, entry.kind, located(entry), entry.channel or "", entry.owed, asked_of(entry))
        for entry in entries
    ]


def interleavings(steps: list[Step]) -> list[list[Step]]:
    """Orders in which the steps of a race can take effect: all of up to four steps, else a fixed sample."""
    if len(steps) <= 4:
        return [list(order) for order in permutations(steps)]
    rng = random.Random(len(steps))
    sample = [rng.sample(steps, len(steps)) for _ in range(INTERLEAVINGS_MAX - 2)]
    return [list(steps), list(reversed(steps)), *sample]
