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
Where the vocabulary leaves room, the model takes the reading that most inventory systems take.

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
Holds
16. A hold that is over (committed, released, expired, ordered) does not bind its ref: `hold` opens a new one.
17. `resize` replaces the lines of the items it names, in the scope of the hold; other items stay as they are.
18. `release` and `commit` with qty take the earliest units first. A hold with nothing left is released.
19. Committing owed units takes on_hand below zero: they are gone on paper until goods are received.
20. `place` with lines and hold: the hold's units count as available, what the lines do not need is given back.
Orders
21. `place` of a known order without `add` is already_done, also when it was cancelled; `add` to an unknown order is
    not_found, to one cancelled as a whole already_done.
22. `cancel` without lines and with nothing left is already_done; with lines beyond what is allocated: exceeds.
23. `ship` beyond what is allocated is exceeds, also when all is shipped already. Lines with a place come first; without
    a place the earliest allocation is shipped first, each from its place.
24. `unship` brings back what was shipped and not returned, to where it left; with nothing to bring back already_done.
25. `return` beyond what was shipped and not returned yet is exceeds; restock beyond qty or below zero is invalid.
26. Untracked items are in holds and orders (so exceeds works) but on no counter.
Counts
27. `adjust` may go below what is promised, as a count may: goods that are gone are gone. `count_floor` binds `count`.
28. The lower bound of `adjust` and `count` is zero, minus the limit of a limited backorder; none with backorder true.
29. `receive` lowers incoming by what arrives, not below zero.
30. `transfer` and `reallocate` need free units: at `from`, and at `to`. From a place to itself is invalid.
31. `remove_position` with force takes the promises on the position with it: holds and orders lose those units.
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
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, permutations
from pathlib import Path
from typing import Any

if str(Path(__file__).resolve().parent) not in sys.path:  # also when loaded by its path
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from stock_kits import kits_among, kits_located, whole_kits
from stock_shipping import ShipPlan, Want, located
from stock_sourcing import Scratch, Stockroom, in_removal_order
from stock_state import MILLI_PER_UNIT, Entry, Hold, Order, Policy, Position, Refused, from_milli, to_milli

Step = dict[str, Any]
COUNTERS = ("on_hand", "allocated", "held", "incoming")
CLOSED_WORDS = {
    "expired": "expired",
    "committed": "already_done",
    "released": "already_done",
    "ordered": "already_done",
}
INTERLEAVINGS_MAX = 24
QUANTITIES = {"qty", "delta", "on_hand", "book", "restock", "min", "max", "multiple", "ttl", "seconds"}


@dataclass
class Result:
    """The answer to a step. Quantities as a case writes them: int, Decimal, or "unlimited"."""

    word: str = "ok"
    take: list[dict[str, Any]] = field(default_factory=list)
    taken: int | Any = 0
    backordered: int | Any = 0
    short: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)  # query, reorder, race

    @property
    def locations_used(self) -> int:
        return len({unit["location"] for unit in self.take})


def described(entries: list[Entry], short: list[str] | None = None) -> Result:
    """The result of a step that promised or took these entries."""
    take: dict[tuple[str, str, str | None], int] = {}
    for entry in entries:
        if entry.position is not None:
            key = (entry.sku, entry.position.location, entry.position.lot)
            take[key] = take.get(key, 0) + entry.qty
    return Result(
        "partial" if short else "ok",
        [
            {"sku": sku, "location": place, **({"lot": lot} if lot else {}), "qty": from_milli(qty)}
            for (sku, place, lot), qty in take.items()
        ],
        from_milli(sum(entry.qty for entry in entries)),
        from_milli(sum(entry.qty for entry in entries if entry.owed)),
        short or [],
    )


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


class StockModel(Stockroom):
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

    # Holds

    def op_hold(self, step: Step) -> Result:
        scope = self.scope(step)
        wanted = self.demand(step["lines"])
        self._stocked_where_named(wanted, step.get("location"))
        deadline = self._deadline(step.get("ttl"))
        old = self._open_hold_or_none(step["ref"])
        scratch = Scratch()
        scratch.give_back(old.entries if old else [])
        entries, short = self.plan(wanted, scope, scratch, step.get("mode") == "partial")

        if old is not None:
            self._give_back(old.entries, "held")
        self._promise(entries, "held")
        self.holds[step["ref"]] = Hold(scope, entries, deadline)
        return described(entries, short)

    def op_resize(self, step: Step) -> Result:
        hold = self._known_hold(step["ref"])
        wanted = self.demand(step["lines"])
        self._stocked_where_named(wanted, None)
        self._must_be_open(hold)
        named = {sku for sku, _ in wanted}
        old = [entry for entry in hold.entries if asked_of(entry) in named]
        scratch = Scratch()
        scratch.give_back(old)
        entries, _ = self.plan(wanted, hold.scope, scratch, partial=False)

        self._give_back(old, "held")
        self._promise(entries, "held")
        hold.entries = [entry for entry in hold.entries if asked_of(entry) not in named] + entries
        return described(entries)

    def op_extend(self, step: Step) -> Result:
        hold = self._known_hold(step["ref"])
        deadline = self._deadline(step["ttl"])
        self._must_be_open(hold)
        hold.deadline = deadline
        return Result()

    def op_release(self, step: Step) -> Result:
        hold = self._known_hold(step["ref"])
        part = self._part_of_hold(hold, step)
        self._give_back(part, "held")
        if not any(entry.qty for entry in hold.entries):
            hold.state = "released"
        return described([])

    def op_commit(self, step: Step) -> Result:
        hold = self._known_hold(step["ref"])
        part = self._part_of_hold(hold, step)
        for entry in part:
            if entry.position is not None:
                entry.position.held -= entry.qty
                entry.position.on_hand -= entry.qty
        self._give_back(hold.entries, "held")
        hold.entries, hold.state = [], "committed"
        return described(part)

    def _deadline(self, ttl: Any) -> int | None:
        if ttl is None:
            return None
        if to_milli(ttl) <= 0:
            raise Refused("invalid")
        return self.now + to_milli(ttl)

    def _stocked_where_named(self, wanted: dict[tuple[str, str | None], int], location: str | None) -> None:
        for sku, named in wanted:
            place = named or location
            for part in self.kits[sku].parts if sku in self.kits else [sku]:
                policy = self.policies[part]
                needs = policy.track and policy.preorder is None and self.enabled.get(place, False)
                if needs and not self.rows.get((part, place)):
                    raise Refused("not_found")

    def _open_hold_or_none(self, ref: str) -> Hold | None:
        hold = self.holds.get(ref)
        return hold if hold is not None and hold.state == "open" else None

    def _known_hold(self, ref: str) -> Hold:
        if ref not in self.holds:
            raise Refused("not_found")
        return self.holds[ref]

    def _must_be_open(self, hold: Hold) -> None:
        if hold.state != "open":
            raise Refused(CLOSED_WORDS[hold.state])

    def _part_of_hold(self, hold: Hold, step: Step) -> list[Entry]:
        """The earliest `qty` units of an open hold, split off it; all of them without qty."""
        kits = list({id(entry.kit): entry.kit for entry in hold.entries if entry.kit}.values())
        held = sum(entry.qty for entry in hold.entries if entry.kit is None)
        held += sum(whole_kits(hold.entries, kit) * MILLI_PER_UNIT for kit in kits)
        asked = step.get("qty") is not None
        qty = to_milli(step["qty"]) if asked else held
        if asked and (
            qty <= 0
            or (kits and qty % MILLI_PER_UNIT)
            or not all(self.policies[entry.sku].accepts(qty) for entry in hold.entries if entry.kit is None)
        ):
            raise Refused("invalid")
        self._must_be_open(hold)
        if qty > held:
            raise Refused("exceeds")
        if not asked:
            parts, hold.entries = hold.entries, []
            return parts
        parts, counted = [], []
        for entry in list(hold.entries):
            if entry.kit is None:
                part = min(qty, entry.qty)
                qty -= part
                parts += take_from([entry], part)
            elif entry.kit not in counted:  # a kit is one unit, wherever its parts are
                counted.append(entry.kit)
                count = min(qty // MILLI_PER_UNIT, whole_kits(hold.entries, entry.kit))
                qty -= count * MILLI_PER_UNIT
                of_kit = [other for other in hold.entries if other.kit is entry.kit]
                for sku, one in entry.kit.parts.items():
                    parts += take_from([other for other in of_kit if other.sku == sku], one * count)
        hold.entries = [entry for entry in hold.entries if entry.qty]
        return parts

    # Promises, on the counter "held" or "allocated"

    def _promise(self, entries: list[Entry], counter: str) -> None:
        for entry in entries:
            if entry.position is not None:
                self.attach(entry.position)
                setattr(entry.position, counter, getattr(entry.position, counter) + entry.qty)
            elif entry.kind == "preorder" and entry.channel is not None:
                self.preordered[entry.sku, entry.channel] += entry.qty

    def _give_back(self, entries: list[Entry], counter: str) -> None:
        for entry in entries:
            if entry.position is not None:
                setattr(entry.position, counter, getattr(entry.position, counter) - entry.qty)
            elif entry.kind == "preorder" and entry.channel is not None:
                self.preordered[entry.sku, entry.channel] -= entry.qty

    # Orders

    def op_place(self, step: Step) -> Result:
        scope = self.scope(step)
        hold = self._known_hold(step["hold"]) if "hold" in step else None
        order = self.orders.get(step["order"])
        if step.get("add") and order is None:
            raise Refused("not_found")
        wanted = self.demand(step.get("lines", [])) if "lines" in step or hold is None else None
        if order is not None and (order.cancelled or not step.get("add")):
            raise Refused("already_done")
        if hold is not None:
            self._must_be_open(hold)
        own = hold.entries if hold is not None else []
        entries = own
        if wanted is not None:
            scratch = Scratch()
            scratch.give_back(own)
            entries, _ = self.plan(wanted, scope, scratch, partial=False)

        self._give_back(own, "held")
        self._promise(entries, "allocated")
        if hold is not None:
            hold.entries, hold.state = [], "ordered"
        self.orders.setdefault(step["order"], Order()).allocated += entries
        return described(entries)

    def op_cancel(self, step: Step) -> Result:
        order = self._known_order(step["order"])
        if "lines" in step:
            parts = self._ordered_parts(order, step["lines"])
        elif order.allocated:
            parts, order.allocated, order.cancelled = order.allocated, [], not order.shipped
        else:
            raise Refused("already_done")
        self._give_back(parts, "allocated")
        return described([])

    def _known_order(self, name: str) -> Order:
        if name not in self.orders:
            raise Refused("not_found")
        return self.orders[name]

    def _asked_of_order(self, order: Order, lines: list[Step]) -> list[Want]:
        """What the lines ask of an order's allocation, checked against it: places named first, then kits first."""
        for line in lines:
            self.policy(line["sku"])
            if "location" in line:
                self.place(line["location"])
        if not lines or not all(self.policies[line["sku"]].accepts(to_milli(line["qty"])) for line in lines):
            raise Refused("invalid")
        named = sorted(lines, key=lambda line: "location" not in line)
        wants: list[Want] = []
        for line in named:
            wants += self._wants(order.allocated, wants, line["sku"], to_milli(line["qty"]), line.get("location"))
        for sku in {want.sku for want in wants}:
            asked = sum(want.qty for want in wants if want.sku == sku)
            if asked > sum(entry.qty for entry in order.allocated if entry.sku == sku):
                raise Refused("exceeds")
        return sorted(wants, key=lambda want: (want.location is None, want.kit is None))

    def _wants(
        self, entries: list[Entry], before: list[Want], sku: str, qty: int, location: str | None = None
    ) -> list[Want]:
        """Units by themselves first, then whole kits; less what `before` means already. Refused("exceeds")."""
        plain = sum(entry.qty for entry in entries if entry.sku == sku)
        plain = min(qty, plain - sum(want.qty for want in before if want.sku == sku and want.kit is None))
        wants = [Want(sku, plain, location)] if plain else []
        qty -= plain
        for kit, count in kits_among(entries, sku):
            first = next(iter(kit.parts))
            count -= sum(want.qty for want in before if want.kit is kit and want.sku == first) // kit.parts[first]
            count = min(count, qty // MILLI_PER_UNIT)
            qty -= count * MILLI_PER_UNIT
            if count:
                wants += [Want(part, one * count, location, kit) for part, one in kit.parts.items()]
        if qty:
            raise Refused("exceeds")
        return wants

    def _ordered_parts(self, order: Order, lines: list[Step]) -> list[Entry]:
        wants = sorted(self._asked_of_order(order, lines), key=lambda want: want.kit is None)
        return list(chain.from_iterable(split_off(order.allocated, want.qty, want.sku, want.kit) for want in wants))

    def op_ship(self, step: Step) -> Result:
        order = self._known_order(step["order"])
        if "lines" in step:
            wants = self._asked_of_order(order, step["lines"])
        else:
            left = {entry.sku: 0 for entry in order.allocated}
            for entry in order.allocated:
                left[entry.sku] += entry.qty
            wants = [Want(sku, qty) for sku, qty in left.items()]
        if not wants:
            raise Refused("exceeds")
        moves = ShipPlan(self, order).moves_for(wants)

        shipped = []
        for entry, row, qty in moves:
            entry.qty -= qty
            if entry.position is not None:
                entry.position.allocated -= qty
            if row is not None:
                row.on_hand -= qty
            shipped.append(Entry(entry.sku, qty, entry.kind, row, entry.channel, kit=entry.kit))
        order.allocated = [entry for entry in order.allocated if entry.qty]
        order.shipped += shipped
        return described(shipped)

    def op_unship(self, step: Step) -> Result:
        order = self._known_order(step["order"])
        if not order.shipped:
            raise Refused("already_done")
        for entry in order.shipped:
            if entry.position is not None:
                entry.position = self._row_again(entry.position)
                entry.position.on_hand += entry.qty
                if entry.kind == "stock":
                    entry.position.allocated += entry.qty
            if entry.kind == "preorder":
                entry.position = None
        order.allocated += order.shipped
        order.shipped = []
        return described([])

    def _row_again(self, row: Position) -> Position:
        """The row, or the one that stands in its place after it was removed."""
        if row in self.rows.get((row.sku, row.location), []):
            return row
        found = self.find(row.sku, row.location, row.lot, row.saleable)
        return found or self.add_position(row.sku, row.location, row.lot, row.saleable)

    def op_return(self, step: Step) -> Result:
        order = self._known_order(step["order"])
        sku, place = step["sku"], self.place(step["location"])
        policy = self.policy(sku)
        qty, restock = to_milli(step["qty"]), to_milli(step.get("restock", step["qty"]))
        if not policy.accepts(qty) or not (restock == 0 or policy.accepts(restock)) or restock > qty:
            raise Refused("invalid")
        for want in self._wants(order.shipped, [], sku, qty):
            split_off(order.shipped, want.qty, want.sku, want.kit)
            one = MILLI_PER_UNIT if want.kit is None else want.kit.parts[want.sku]
            back = min(restock, want.qty * MILLI_PER_UNIT // one)  # in the units of the line
            if want.kit is None or want.sku == list(want.kit.parts)[-1]:
                restock -= back
            back = back * one // MILLI_PER_UNIT
            if back and self.policies[want.sku].track:
                self.row_for(want.sku, place).on_hand += back
        return Result(taken=from_milli(qty))

    def op_reallocate(self, step: Step) -> Result:
        order = self._known_order(step["order"])
        sku, source, target = step["sku"], self.place(step["from"]), self.place(step["to"])
        policy, qty = self.policy(sku), to_milli(step["qty"])
        if not policy.accepts(qty) or source == target:
            raise Refused("invalid")
        there = sum(entry.qty for entry in order.allocated if entry.sku == sku and located(entry) == source)
        wants = self._units_located(order, sku, source, min(there, qty))
        left = qty - min(there, qty)
        for kit, count in kits_located(order.allocated, sku, source):
            count = min(count, left // MILLI_PER_UNIT)
            left -= count * MILLI_PER_UNIT
            placed = {entry.sku for entry in order.allocated if entry.kit is kit and entry.position is not None}
            wants += [Want(part, one * count, None, kit) for part, one in kit.parts.items() if count and part in placed]
        if left:
            raise Refused("exceeds")
        scratch, new = Scratch(), []
        for want in wants:
            if not self.enabled[target] or want.qty > self.free_at(want.sku, target, scratch):
                raise Refused("insufficient", [want.sku])
            for entry in self._from_free(want.sku, target, want.qty, scratch):
                entry.kit = want.kit
                new.append(entry)
        for want in wants:
            at_source = [
                entry
                for entry in order.allocated
                if entry.sku == want.sku and located(entry) == source and want.kit is entry.kit
            ]
            self._give_back(take_from(at_source, want.qty), "allocated")
        self._promise(new, "allocated")
        order.allocated = [entry for entry in order.allocated if entry.qty] + new
        return described(new)

    def _units_located(self, order: Order, sku: str, place: str, qty: int) -> list[Want]:
        """Units at a place, by themselves first, then parts of kits, which stay what they are."""
        there = [entry for entry in order.allocated if entry.sku == sku and located(entry) == place]
        wants: list[Want] = []
        for entry in sorted(there, key=lambda entry: entry.kit is not None):
            part = min(qty, entry.qty)
            qty -= part
            same = next((want for want in wants if want.kit is entry.kit), None)
            if same is not None:
                same.qty += part
            elif part:
                wants.append(Want(sku, part, None, entry.kit))
        return wants

    def _from_free(self, sku: str, place: str, qty: int, scratch: Scratch) -> list[Entry]:
        """Entries over the free saleable units of a place, in removal order; the caller has checked the sum."""
        entries = []
        for row in self.at(sku, place):
            part = min(qty, row.free + scratch.free[row])
            if row.saleable and part > 0:
                entries.append(Entry(sku, part, position=row))
                scratch.free[row] -= part
                qty -= part
        return entries

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
                    entries += self._from_free(part, place, qty * one // MILLI_PER_UNIT, scratch)
                else:
                    entries.append(Entry(part, qty * one // MILLI_PER_UNIT, "untracked"))
        short = list(dict.fromkeys(short))
        if short and (not partial or not entries):
            raise Refused("insufficient", short)
        for entry in entries:
            if entry.position is not None:
                entry.position.on_hand -= entry.qty
        return described(entries, short)

    # Goods

    def op_adjust(self, step: Step) -> Result:
        sku, place = step["sku"], self.place(step["location"])
        policy, delta = self.policy(sku), to_milli(step["delta"])
        if policy.track and sku not in self.kits and not self.rows.get((sku, place)):
            raise Refused("not_found")
        if not policy.accepts(abs(delta)):
            raise Refused("invalid")
        self._must_keep_stock(sku)
        if policy.track:
            self._must_stay_above_floor(sku, self.total(sku, place, "on_hand") + delta)
        self._move_level(sku, place, delta)
        return Result()

    def op_count(self, step: Step) -> Result:
        sku, place = step["sku"], self.place(step["location"])
        policy, counted = self.policy(sku), to_milli(step["on_hand"])
        now = self.total(sku, place, "on_hand")
        new = counted if step.get("book") is None else now + counted - to_milli(step["book"])
        if not policy.accepts(abs(new)) and new != 0:
            raise Refused("invalid")
        self._must_keep_stock(sku)
        if policy.track:
            self._must_stay_above_floor(sku, new)
        if policy.count_floor == "allocated" and new < self.total(sku, place, "allocated"):
            raise Refused("refused")
        if policy.track:
            self.row_for(sku, place)
            self._move_level(sku, place, new - now)
        return Result()

    def _must_keep_stock(self, sku: str) -> None:
        if sku in self.kits:
            raise Refused("refused")

    def _must_stay_above_floor(self, sku: str, level: int) -> None:
        policy = self.policies[sku]
        if not policy.backorder and level < -policy.limit:
            raise Refused("invalid")

    def _move_level(self, sku: str, place: str, delta: int) -> None:
        if not self.policies[sku].track:
            return
        if delta >= 0:
            self.row_for(sku, place).on_hand += delta
            return
        left = -delta
        rows = self.at(sku, place)
        for spare in (lambda row: min(row.free, row.on_hand), lambda row: row.on_hand):  # promised units last
            for row in rows:
                part = max(0, min(left, spare(row)))
                row.on_hand -= part
                left -= part
        if left:
            self.row_for(sku, place).on_hand -= left

    def op_receive(self, step: Step) -> Result:
        sku, place = step["sku"], self.place(step["location"])
        policy, qty = self.policy(sku), to_milli(step["qty"])
        if not policy.accepts(qty):
            raise Refused("invalid")
        self._must_keep_stock(sku)
        if policy.track:
            expected = qty
            for row in self.rows.get((sku, place), []):
                part = min(expected, row.incoming)
                row.incoming -= part
                expected -= part
            self.row_for(sku, place).on_hand += qty
        return Result()

    def op_transfer(self, step: Step) -> Result:
        sku, source, target = step["sku"], self.place(step["from"]), self.place(step["to"])
        policy, qty = self.policy(sku), to_milli(step["qty"])
        if not policy.accepts(qty) or source == target:
            raise Refused("invalid")
        self._must_keep_stock(sku)
        if not policy.track:
            return Result()
        rows = self.at(sku, source)
        if qty > sum(row.free for row in rows):
            raise Refused("insufficient", [sku])
        for row in rows:
            part = max(0, min(qty, row.free))
            qty -= part
            if part:
                row.on_hand -= part
                arrived = self.row_for(sku, target, row.lot)
                arrived.on_hand += part
                arrived.received = arrived.received or row.received
                arrived.expiry = arrived.expiry or row.expiry
        return Result()

    def op_remove_position(self, step: Step) -> Result:
        sku, place = step["sku"], self.place(step["location"])
        self.policy(sku)
        self._must_keep_stock(sku)
        rows = self.rows.get((sku, place))
        if rows is None:
            raise Refused("not_found")
        if not step.get("force") and any(getattr(row, counter) for row in rows for counter in COUNTERS):
            raise Refused("refused")
        del self.rows[sku, place]
        for hold in self.holds.values():
            hold.entries = [entry for entry in hold.entries if entry.position not in rows]
        for order in self.orders.values():
            order.allocated = [entry for entry in order.allocated if entry.position not in rows]
        return Result()

    def op_reorder(self, step: Step) -> Result:
        sku, place = step["sku"], self.place(step["location"])
        policy = self.policy(sku)
        low, high, multiple = to_milli(step["min"]), to_milli(step["max"]), to_milli(step.get("multiple", 1))
        if low > high or low < 0 or multiple <= 0:
            raise Refused("invalid")
        self._must_keep_stock(sku)
        counted = {counter: self.total(sku, place, counter) for counter in COUNTERS}
        forecast = counted["on_hand"] + counted["incoming"] - counted["allocated"]
        qty = 0
        if forecast < low:
            qty = -(-(high - forecast) // multiple) * multiple
        if qty and step.get("order") and policy.track:
            self.row_for(sku, place).incoming += qty
        return Result(values={"qty": from_milli(qty), "forecast": from_milli(forecast)})

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


def asked_of(entry: Entry) -> str:
    """What was asked for when the entry was promised."""
    return str(entry.kit.sku) if entry.kit else entry.sku


def take_from(entries: list[Entry], qty: int) -> list[Entry]:
    """The earliest milli-units of a list as entries of their own, taken off those in the list."""
    parts = []
    for entry in entries:
        part = min(qty, entry.qty)
        if part:
            parts.append(Entry(entry.sku, part, entry.kind, entry.position, entry.channel, entry.owed, entry.kit))
            entry.qty -= part
            qty -= part
    return parts


def split_off(entries: list[Entry], qty: int, sku: str, kit: Any = None) -> list[Entry]:
    """The earliest milli-units of an item (in a kit, if one is given) in a list; the list keeps the rest."""
    meant = [entry for entry in entries if entry.sku == sku and kit in (None, entry.kit)]
    parts = take_from(sorted(meant, key=lambda entry: entry.kit is not None), qty)  # kits stay whole
    entries[:] = [entry for entry in entries if entry.qty]
    return parts


def interleavings(steps: list[Step]) -> list[list[Step]]:
    """Orders in which the steps of a race can take effect: all of up to four steps, else a fixed sample."""
    if len(steps) <= 4:
        return [list(order) for order in permutations(steps)]
    rng = random.Random(len(steps))
    sample = [rng.sample(steps, len(steps)) for _ in range(INTERLEAVINGS_MAX - 2)]
    return [list(steps), list(reversed(steps)), *sample]
