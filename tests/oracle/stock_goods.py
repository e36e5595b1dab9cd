"""Goods on the plain stock model: counted, received, moved, reordered.

Readings
--------
27. `adjust` may go below what is promised, as a count may: goods that are gone are gone. `count_floor` binds `count`.
28. The lower bound of `adjust` and `count` is zero, minus the limit of a limited backorder; none with backorder true.
29. `receive` lowers incoming by what arrives, not below zero.
30. `transfer` and `reallocate` need free units: at `from`, and at `to`. From a place to itself is invalid.
31. `remove_position` with force takes the promises on the position with it: holds and orders lose those units.
"""

from __future__ import annotations

from stock_result import Result, Step
from stock_sourcing import Stockroom
from stock_state import Refused, from_milli, to_milli

COUNTERS = ("on_hand", "allocated", "held", "incoming")


class GoodsModel(Stockroom):
    """What moves goods without a promise."""

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
