"""Holds and orders in the fold of all movements: what they have, and when it ends."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ringup.engine.movements_counters import (
    ALLOCATED,
    HELD,
    ON_HAND,
    UNAVAILABLE,
    Counters,
    Line,
    earliest,
    lines_of,
    of_item,
    told_by,
)
from ringup.engine.settled_orders import SettledOrders

DUE_SPARE = 1024  # deadlines that are none any more, beside as many as there are


@dataclass(slots=True)
class Order:
    """What an order has; the earliest units come first."""

    allocated: list[Line] = field(default_factory=list)
    shipped: list[Line] = field(default_factory=list)
    deadline_ns: int = 0  # of its pickup; 0: it does not wait

    def packed(self) -> bytes:
        """What is left of an order of which nothing is allocated."""
        lines = [(one.item, one.location, one.lot, one.qty, one.kit, one.is_stock) for one in self.shipped]
        return json.dumps(lines, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def unpacked(cls, packed: bytes) -> Order:
        """The order of these bytes."""
        return cls(
            shipped=[
                Line(item, location, lot, qty, kit, is_stock=is_stock)
                for item, location, lot, qty, kit, is_stock in json.loads(packed)
            ]
        )


class Promises(Counters):
    """Units that are promised: held until a deadline, or allocated to an order."""

    def __init__(self) -> None:
        super().__init__()
        self._holds: dict[bytes, list[Line]] = {}  # live ones
        self._deadlines: dict[bytes, int] = {}  # of live holds that end
        self._orders: dict[str, Order] = {}  # that wait for something
        self._settled = SettledOrders()  # all others
        self._due: list[tuple[int, int, bytes | str]] = []  # a heap: deadline, when set, hold (bytes) or order (str)
        self._due_set = 0
        self._order_at_hand = ""

    # Holds.

    def _new_hold(self, hold_id: bytes, lines: list[Line], deadline_ns: int) -> None:
        self._holds[hold_id] = lines
        for line in lines:
            self._move_line(line, HELD, line.qty)
        self._set_deadline(hold_id, deadline_ns)

    def _set_deadline(self, hold_id: bytes, deadline_ns: int) -> None:
        self._deadlines.pop(hold_id, None)
        if deadline_ns:
            self._deadlines[hold_id] = deadline_ns
            self._wake(deadline_ns, hold_id)

    def _end_hold(self, hold_id: bytes) -> list[Line]:
        """The hold's units are free again; returns them."""
        self._deadlines.pop(hold_id, None)
        lines = self._holds.pop(hold_id, [])
        for line in lines:
            self._move_line(line, HELD, -line.qty)
        return lines

    def _hold_stock(self, request: Any, answer: Any) -> None:
        self._end_hold(answer.hold_id)
        self._new_hold(answer.hold_id, lines_of(answer.takes), answer.deadline_ns)

    def _resize_hold(self, request: Any, answer: Any) -> None:
        items = {take.kit_id or take.item_id for take in answer.takes}
        kept = []
        for line in self._holds[request.hold_id]:
            if (line.kit or line.item) in items:
                self._move_line(line, HELD, -line.qty)
            else:
                kept.append(line)
        new = lines_of(answer.takes)
        for line in new:
            self._move_line(line, HELD, line.qty)
        self._holds[request.hold_id] = kept + new

    def _new_deadline(self, request: Any, answer: Any) -> None:
        self._set_deadline(request.hold_id, answer.deadline_ns)

    def _release_hold(self, request: Any, answer: Any) -> None:
        if not request.HasField("qty_milli"):
            self._end_hold(request.hold_id)
            return
        lines = self._holds[request.hold_id]
        for line, part in told_by(lines, answer.takes) or earliest(lines, request.qty_milli):
            self._move_line(line, HELD, -part)
            line.qty -= part
        self._holds[request.hold_id] = [line for line in lines if line.qty]
        if not self._holds[request.hold_id]:
            self._end_hold(request.hold_id)

    def _commit_hold(self, request: Any, answer: Any) -> None:
        lines = self._end_hold(request.hold_id)
        qty = request.qty_milli if request.HasField("qty_milli") else sum(line.qty for line in lines)
        for line, part in told_by(lines, answer.takes) or earliest(lines, qty):
            self._move_line(line, ON_HAND, -part)

    def _wake(self, deadline_ns: int, who: bytes | str) -> None:
        self._due_set += 1
        heapq.heappush(self._due, (deadline_ns, self._due_set, who))
        if len(self._due) > 2 * (len(self._deadlines) + len(self._orders)) + DUE_SPARE:
            self._due = [one for one in self._due if self._is_due(one[0], one[2])]  # most have ended or were put off
            heapq.heapify(self._due)

    def _is_due(self, deadline_ns: int, who: bytes | str) -> bool:
        """Whether this is still when it ends."""
        if isinstance(who, bytes):
            return self._deadlines.get(who) == deadline_ns
        return who in self._orders and self._orders[who].deadline_ns == deadline_ns

    def _expire(self, now_ns: int) -> None:
        self._kind = "expiry"
        while self._due and self._due[0][0] <= now_ns:
            deadline_ns, _, who = heapq.heappop(self._due)
            if not self._is_due(deadline_ns, who):
                continue
            if isinstance(who, bytes):
                self._end_hold(who)
            else:
                self._cancel_all(self._order(who))
                self._rest()

    # Orders.

    def _order(self, order_id: str) -> Order:
        """An order that was placed; call `_rest` after what is done with it."""
        self._order_at_hand = order_id
        order = self._orders.get(order_id)
        if order is None:
            packed = self._settled.get(order_id)
            if packed is None:
                raise KeyError(order_id)
            order = self._orders[order_id] = Order.unpacked(packed)
        return order

    def _rest(self) -> None:
        """An order that waits for nothing leaves the memory."""
        order_id, self._order_at_hand = self._order_at_hand, ""
        order = self._orders.get(order_id)
        if order is not None and not order.allocated:
            self._settled.put(order_id, order.packed())
            del self._orders[order_id]

    def _allocate(self, order: Order, lines: list[Line]) -> None:
        for line in lines:
            self._move_line(line, ALLOCATED, line.qty)
        order.allocated += lines

    def _free(self, order: Order, line: Line, qty: int) -> None:
        self._move_line(line, ALLOCATED, -qty)
        line.qty -= qty
        line.picked = min(line.picked, line.qty)

    def _sweep(self, order: Order) -> None:
        order.allocated = [line for line in order.allocated if line.qty]
        if not order.allocated:
            order.deadline_ns = 0  # nothing waits for its customer any more

    def _cancel_all(self, order: Order) -> None:
        for line in order.allocated:
            self._free(order, line, line.qty)
        self._sweep(order)

    def _place_order(self, request: Any, answer: Any) -> None:
        if request.hold_id:
            self._end_hold(request.hold_id)
        try:
            order = self._order(request.order_id)
        except KeyError:
            order = self._orders[request.order_id] = Order()
        self._allocate(order, lines_of(answer.takes))

    def _cancel_order(self, request: Any, answer: Any) -> None:
        order = self._order(request.order_id)
        if not request.lines:
            self._cancel_all(order)
        for line, part in told_by(order.allocated, answer.takes):
            self._free(order, line, part)
        for asked in () if answer.takes else request.lines:
            item = self._item(asked.item_id)
            for line, part in earliest(of_item(order.allocated, item), asked.qty_milli):
                self._free(order, line, part)
        self._sweep(order)

    def _ship_order(self, request: Any, answer: Any) -> None:
        self._ship(self._order(request.order_id), request.lines, answer.takes)

    def _hand_over_order(self, request: Any, answer: Any) -> None:
        self._ship(self._order(request.order_id), (), answer.takes)

    def _ship(self, order: Order, asked: Iterable[Any], takes: Iterable[Any]) -> None:
        """Units leave where the answer says; what has no place in it is of items that are not counted."""
        left: Counter[str] = Counter()
        if asked:
            for one in asked:
                left[self._item(one.item_id)] += one.qty_milli
        else:
            for line in order.allocated:
                left[line.item] += line.qty
        for take in takes:
            left[take.item_id] -= take.qty_milli
            self._meet(order, take.item_id, take.location_id, take.lot_id, take.qty_milli, take.kit_id)
        for item, qty in left.items():
            self._meet(order, item, "", "", qty)
        self._sweep(order)

    def _meet(self, order: Order, item: str, location: str, lot: str, qty: int, kit: str = "") -> None:
        """Units that left stand for allocated ones of their kit: of that lot, else of that place, else the earliest."""
        fitting = [line for line in order.allocated if line.item == item and line.kit == kit and line.qty]
        fitting.sort(key=lambda line: (line.location != location, line.location == location and line.lot != lot))
        for line, part in earliest(fitting, qty):
            self._move_line(line, ALLOCATED, -part)
            line.qty -= part
            line.picked = max(0, line.picked - part)
            if location:
                self._move(item, location, lot, ON_HAND, -part)
            order.shipped.append(Line(item, location, lot, part, line.kit, is_stock=line.is_stock))

    def _unship_order(self, request: Any, answer: Any) -> None:
        order = self._order(request.order_id)
        order.deadline_ns = 0
        for line in order.shipped:
            self._move_line(line, ON_HAND, line.qty)
            if not line.is_stock:
                line.location = line.lot = ""
            self._move_line(line, ALLOCATED, line.qty)
        order.allocated += order.shipped
        order.shipped = []

    def _return_order(self, request: Any, answer: Any) -> None:
        order = self._order(request.order_id)
        item = self._item(request.item_id)
        if answer.takes:
            self._return_kits(order, request, answer)
            return
        for line, part in earliest(of_item(order.shipped, item), request.qty_milli):
            line.qty -= part
        order.shipped = [line for line in order.shipped if line.qty]
        restocked = request.restock_milli if request.HasField("restock_milli") else request.qty_milli
        if restocked and self._is_tracked(item):
            self._move(item, request.location_id, "", ON_HAND, restocked)
            if request.bar_reason:
                self._move(item, request.location_id, "", UNAVAILABLE, restocked)

    def _return_kits(self, order: Order, request: Any, answer: Any) -> None:
        for take in answer.takes:
            fitting = [one for one in of_item(order.shipped, take.item_id) if take.kit_id in ("", one.kit)]
            for line, part in earliest(fitting, take.qty_milli):
                line.qty -= part
        order.shipped = [line for line in order.shipped if line.qty]
        for take in answer.restocked:
            self._move(take.item_id, take.location_id, "", ON_HAND, take.qty_milli)
            if request.bar_reason:
                self._move(take.item_id, take.location_id, "", UNAVAILABLE, take.qty_milli)

    def _reallocate_order(self, request: Any, answer: Any) -> None:
        order = self._order(request.order_id)
        moved: Counter[tuple[str, str]] = Counter()
        for take in answer.takes:
            moved[take.item_id, take.kit_id] += take.qty_milli
        for (item, kit), qty in moved.items():
            there = [one for one in of_item(order.allocated, item) if kit in ("", one.kit)]
            there = [one for one in there if one.location == request.from_location_id]
            there.sort(key=lambda one: bool(one.kit))  # units by themselves first
            for line, part in earliest(there, qty):
                self._free(order, line, part)
        order.allocated = [line for line in order.allocated if line.qty]
        self._allocate(order, lines_of(answer.takes))

    def _pick_order(self, request: Any, answer: Any) -> None:
        order = self._order(request.order_id)
        for asked in request.lines:
            item, qty = self._item(asked.item_id), asked.qty_milli
            for line in order.allocated:
                if line.item == item and line.location == request.location_id:
                    part = min(qty, line.qty - line.picked)
                    line.picked += part
                    qty -= part
        if request.short:
            for line in order.allocated:
                if line.location == request.location_id:
                    rest = line.qty - line.picked
                    self._move_line(line, ALLOCATED, -rest)
                    self._move_line(line, UNAVAILABLE, rest)
                    line.qty = line.picked
            order.allocated = [line for line in order.allocated if line.qty]
            self._allocate(order, lines_of(answer.takes))

    def _ready_order(self, request: Any, answer: Any) -> None:
        order = self._order(request.order_id)
        order.deadline_ns = answer.pickup_deadline_ns
        if order.deadline_ns:
            self._wake(order.deadline_ns, request.order_id)
