"""Orders on the plain stock model: allocated, shipped, returned.

Readings
--------
21. `place` of a known order without `add` is already_done, also when it was cancelled; `add` to an unknown order is
    not_found, to one cancelled as a whole already_done.
22. `cancel` without lines and with nothing left is already_done; with lines beyond what is allocated: exceeds.
23. `ship` beyond what is allocated is exceeds, also when all is shipped already. Lines with a place come first; without
    a place the earliest allocation is shipped first, each from its place.
24. `unship` brings back what was shipped and not returned, to where it left; with nothing to bring back already_done.
25. `return` beyond what was shipped and not returned yet is exceeds; restock beyond qty or below zero is invalid.
26. Untracked items are in holds and orders (so exceeds works) but on no counter.
"""

from __future__ import annotations

from itertools import chain

from stock_holds import HoldModel
from stock_kits import kits_among, kits_located
from stock_result import Result, Step, described
from stock_shipping import ShipPlan, Want, located
from stock_sourcing import Scratch
from stock_state import MILLI_PER_UNIT, Entry, Order, Position, Refused, from_milli, split_off, take_from, to_milli


class OrderModel(HoldModel):
    """Orders, which take holds over."""

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
            for entry in self.from_free(want.sku, target, want.qty, scratch):
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
