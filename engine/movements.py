"""Stock counters folded from what was asked and answered, without the core.

`verify` sets them beside the core's own.  The two share no code: here a sale takes what its receipt
says, a hold takes what its answer says it took, and a release gives back what this fold remembers
of the hold.  Nothing is planned here: which place or lot units come from stands in the answers.

Counters are kept by (item, location, lot); units of a lot that are barred as a whole and units that are
not count together.  What is on its way (incoming) is kept by (item, location).

Plain sales, which are most of a journal, are read in place (native/plain_sales.pyx, which shares nothing with the core
either) and laid on the counters together, before anything looks at one; all else is read with protobuf.

Memory: about 0.5 KB a position, 0.3 KB an item with a barcode, 1 KB a live hold or an order that waits for something;
nothing for a sale, and of an order that waits for nothing what SQLite's cache takes (settled_orders.py).
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ringup.engine.record import Record
from ringup.engine.settled_orders import SettledOrders
from ringup.native.plain_sales import PlainSales
from ringup.v1 import result_pb2, session_pb2

COUNTERS = ("on_hand", "held", "allocated", "unavailable")  # of a lot, in this order
ON_HAND, HELD, ALLOCATED, UNAVAILABLE = range(4)
PROBLEMS_MAX = 100
DUE_SPARE = 1024  # deadlines that are none any more, beside as many as there are
OK = result_pb2.RESULT_CODE_OK


Positions = dict[tuple[str, str], dict[str, list[int]]]  # (item, location) -> lot -> COUNTERS


@dataclass(slots=True)
class Line:
    """Units promised to a hold or an order, or shipped for one."""

    item: str
    location: str  # "": preordered or untracked, no counter stands for them
    lot: str
    qty: int  # thousandths
    kit: str = ""  # the kit that these are a part of
    picked: int = 0
    is_stock: bool = True  # of shipped units: they were allocated at a place


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


def _lines(takes: Iterable[Any]) -> list[Line]:
    return [
        Line(t.item_id, t.location_id, t.lot_id, t.qty_milli, t.kit_id, is_stock=bool(t.location_id)) for t in takes
    ]


class Movements:
    """The fold; feed it the journal's records in order, from the first one on."""

    def __init__(self) -> None:
        self.sequence = 0
        self._positions: Positions = {}
        self.incoming: Counter[tuple[str, str]] = Counter()
        self._causes: Counter[str] = Counter()
        self._moves = 0
        self._receipts = 0  # of all sales and returns but the plain ones
        self._units_sold: Counter[str] = Counter()
        self.problems: list[str] = []  # answers that do not follow from what was before
        self.unknown: Counter[str] = Counter()  # commands that this fold does not know, by kind
        self._barcodes: dict[str, str] = {}  # -> item
        self._barcodes_of: dict[str, tuple[str, ...]] = {}
        self._items: set[str] = set()
        self._untracked: set[str] = set()
        self._numbers: dict[str, int] = {}  # till -> its last receipt
        self._holds: dict[bytes, list[Line]] = {}  # live ones
        self._deadlines: dict[bytes, int] = {}  # of live holds that end
        self._orders: dict[str, Order] = {}  # that wait for something
        self._settled = SettledOrders()  # all others
        self._due: list[tuple[int, int, bytes | str]] = []  # a heap: deadline, when set, hold (bytes) or order (str)
        self._due_set = 0
        self._kind = ""  # of the command at hand
        self._order_at_hand = ""
        self._plain = PlainSales(self._numbers)
        self._gaps_told = 0

    def items(self) -> list[str]:
        """All items that there ever were, in order."""
        return sorted(self._items)

    def take(self, record: Record, replies: bytes | None = None) -> None:
        """Fold one batch; `replies` stand in for the record's own, where a version writes more into them."""
        assert record.sequence == self.sequence + 1, f"expected batch {self.sequence + 1}, found {record.sequence}"
        self.sequence = record.sequence
        self._expire(record.now_ns)
        plain, is_plain_read = self._plain, HANDLERS.get("sell") is Movements._sell  # who replaces it means all sales
        plain.begin(record.commands, record.replies if replies is None else replies)
        while True:
            pair = plain.next(is_plain_read)
            for till, number, last in plain.gaps[self._gaps_told :]:
                self._kind = "sell"
                self._gap(till, number, last)
                self._gaps_told += 1
            if pair is None:
                return
            command, reply = session_pb2.Command.FromString(pair[0]), session_pb2.CommandReply.FromString(pair[1])
            kind = command.WhichOneof("body")
            if kind is None or reply.WhichOneof("body") != kind:
                continue  # malformed, or a resend: its first answer was taken in where it stands
            answer = getattr(reply, kind)
            if answer.code != OK:
                continue
            handler = HANDLERS.get(kind)
            if handler is not None:
                self._kind = kind
                try:
                    handler(self, getattr(command, kind), answer)
                except KeyError as unknown:
                    self._problem(f"it was answered OK, but {unknown} is no live hold, order or lot by then")
                if self._order_at_hand:
                    self._rest()
            elif kind in UNKNOWN:
                self.unknown[kind] += 1

    # What was folded.

    @property
    def positions(self) -> Positions:
        """All counters that ever moved."""
        self._settle()
        return self._positions

    @property
    def causes(self) -> Counter[str]:
        """What changed on hand over all positions, by the kind of command."""
        self._settle()
        return self._causes

    @property
    def moves(self) -> int:
        """Changes of a counter."""
        self._settle()
        return self._moves

    @property
    def units_sold(self) -> Counter[str]:
        """By item, less what came back, in thousandths; also untracked items."""
        self._settle()
        return self._units_sold

    @property
    def receipts(self) -> int:
        """Sales and returns."""
        return self._receipts + self._plain.receipts

    def _settle(self) -> None:
        """Lay what plain sales took since the last time on the counters; before anything reads one."""
        if not self._plain.sums:
            return
        kind, self._kind = self._kind, "sell"
        for place, items in self._plain.taken().items():
            for item, sold in items.items():
                self._units_sold[item] += sold.qty_milli
                if item not in self._untracked:
                    self._move(item, place, "", ON_HAND, -sold.qty_milli)
                    self._moves += sold.sales - 1
        self._kind = kind

    # Counters.

    def _move(self, item: str, location: str, lot: str, counter: int, qty: int) -> None:
        if not qty:
            return
        lots = self._positions.setdefault((item, location), {})
        counters = lots.get(lot)
        if counters is None:
            counters = lots[lot] = [0, 0, 0, 0]
        counters[counter] += qty
        self._moves += 1
        if counter == ON_HAND:
            self._causes[self._kind] += qty

    def _move_line(self, line: Line, counter: int, qty: int) -> None:
        if line.location:
            self._move(line.item, line.location, line.lot, counter, qty)

    def _total(self, item: str, location: str, counter: int) -> int:
        return sum(counters[counter] for counters in self.positions.get((item, location), {}).values())

    def _problem(self, text: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(f"batch {self.sequence} ({self._kind}): {text}")

    def _said(self, position: Any) -> None:
        """An answer tells counters: they must be the ones that were folded."""
        key = (position.item_id, position.location_id)
        said = (position.on_hand_milli, position.held_milli, position.allocated_milli, position.unavailable_milli)
        for at, (name, found) in enumerate(zip(COUNTERS, said, strict=True)):
            expected = self._total(*key, at)
            if expected != found:
                self._problem(f"{name} of {key[0]} at {key[1]} must be {expected}, the answer says {found}")
        on_its_way = self.incoming[key]
        if on_its_way != position.incoming_milli:
            self._problem(
                f"incoming of {key[0]} at {key[1]} must be {on_its_way}, the answer says {position.incoming_milli}"
            )

    def _set_lots(self, position: Any, change: int) -> None:
        """Units of no stated lot went: how many must fit, of which lots the answer says."""
        key = (position.item_id, position.location_id)
        lots = self.positions.setdefault(key, {})
        if not set(lots) - {""}:
            self._move(*key, "", ON_HAND, change)
            return
        said: Counter[str] = Counter()
        for lot in position.lots:
            said[lot.lot_id] += lot.on_hand_milli
        if not position.lots:
            said[""] = position.on_hand_milli
        before = self._total(*key, ON_HAND)
        if said.total() != before + change:
            self._problem(
                f"on_hand of {key[0]} at {key[1]} was {before} and changed by {change}, the answer says {said.total()}"
            )
        for name in {*lots, *said}:
            now = lots[name][ON_HAND] if name in lots else 0
            self._move(*key, name, ON_HAND, said[name] - now)

    # The catalogue.

    def _put_items(self, request: Any, answer: Any) -> None:
        self._settle()  # or what is untracked from now on would not be counted up to now
        for item in request.items:
            self._items.add(item.item_id)
            (self._untracked.add if item.untracked else self._untracked.discard)(item.item_id)
            barcodes = tuple(item.barcodes)
            for gone in self._barcodes_of.pop(item.item_id, ()):
                del self._barcodes[gone]
            if barcodes:
                self._barcodes_of[item.item_id] = barcodes
                self._barcodes.update(dict.fromkeys(barcodes, item.item_id))

    def _item(self, text: str) -> str:
        """The item that a request names by its code or by a barcode."""
        return text if text in self._items else self._barcodes.get(text, text)

    def _is_tracked(self, item: str) -> bool:
        return item not in self._untracked

    # Sales.

    def _receipt(self, receipt: Any) -> None:
        self._receipts += 1
        last = self._numbers.get(receipt.till_id, 0)
        if receipt.number != last + 1:
            self._gap(receipt.till_id, receipt.number, last)
        self._numbers[receipt.till_id] = receipt.number

    def _gap(self, till: str, number: int, last: int) -> None:
        self._problem(f"receipt {number} of till {till} follows receipt {last}")

    def _sell(self, request: Any, answer: Any) -> None:
        receipt = answer.receipt
        self._receipt(receipt)
        place = receipt.location_id
        need: dict[str, int] = {}
        kits = {part.kit_id for part in answer.kit_parts}
        for part in answer.kit_parts:
            if part.item_id not in self._untracked:
                need[part.item_id] = need.get(part.item_id, 0) + part.qty_milli
        for line in receipt.basket.lines:
            self._units_sold[line.item_id] += line.qty_milli
            if line.item_id not in self._untracked and line.item_id not in kits:
                need[line.item_id] = need.get(line.item_id, 0) + line.qty_milli
        for hold_id in request.hold_ids:
            for held in self._end_hold(hold_id):
                used = min(need.get(held.item, 0), held.qty) if held.location else 0
                if used:
                    need[held.item] -= used
                    self._move_line(held, ON_HAND, -used)
        for take in answer.takes:
            self._move(take.item_id, take.location_id, take.lot_id, ON_HAND, -take.qty_milli)
            need[take.item_id] = need.get(take.item_id, 0) - take.qty_milli
        for item, qty in need.items():
            self._move(item, place, "", ON_HAND, -qty)

    def _return_lines(self, request: Any, answer: Any) -> None:
        self._receipt(answer.receipt)
        kits = {part.kit_id for part in answer.kit_parts}
        for asked, line in zip(request.lines, answer.receipt.basket.lines, strict=False):
            self._units_sold[line.item_id] -= line.qty_milli
            if not asked.scrapped and self._is_tracked(line.item_id) and line.item_id not in kits:
                self._move(line.item_id, answer.receipt.location_id, "", ON_HAND, line.qty_milli)
        for part in answer.kit_parts:
            if self._is_tracked(part.item_id):
                self._move(part.item_id, answer.receipt.location_id, "", ON_HAND, part.qty_milli)

    def _sell_stock(self, request: Any, answer: Any) -> None:
        for line in _lines(answer.takes):
            self._move_line(line, ON_HAND, -line.qty)

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
        self._new_hold(answer.hold_id, _lines(answer.takes), answer.deadline_ns)

    def _resize_hold(self, request: Any, answer: Any) -> None:
        items = {take.kit_id or take.item_id for take in answer.takes}
        kept = []
        for line in self._holds[request.hold_id]:
            if (line.kit or line.item) in items:
                self._move_line(line, HELD, -line.qty)
            else:
                kept.append(line)
        new = _lines(answer.takes)
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
        for line, part in _told(lines, answer.takes) or _earliest(lines, request.qty_milli):
            self._move_line(line, HELD, -part)
            line.qty -= part
        self._holds[request.hold_id] = [line for line in lines if line.qty]
        if not self._holds[request.hold_id]:
            self._end_hold(request.hold_id)

    def _commit_hold(self, request: Any, answer: Any) -> None:
        lines = self._end_hold(request.hold_id)
        qty = request.qty_milli if request.HasField("qty_milli") else sum(line.qty for line in lines)
        for line, part in _told(lines, answer.takes) or _earliest(lines, qty):
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
        self._allocate(order, _lines(answer.takes))

    def _cancel_order(self, request: Any, answer: Any) -> None:
        order = self._order(request.order_id)
        if not request.lines:
            self._cancel_all(order)
        for line, part in _told(order.allocated, answer.takes):
            self._free(order, line, part)
        for asked in () if answer.takes else request.lines:
            item = self._item(asked.item_id)
            for line, part in _earliest(_of_item(order.allocated, item), asked.qty_milli):
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
        for line, part in _earliest(fitting, qty):
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
        for line, part in _earliest(_of_item(order.shipped, item), request.qty_milli):
            line.qty -= part
        order.shipped = [line for line in order.shipped if line.qty]
        restocked = request.restock_milli if request.HasField("restock_milli") else request.qty_milli
        if restocked and self._is_tracked(item):
            self._move(item, request.location_id, "", ON_HAND, restocked)
            if request.bar_reason:
                self._move(item, request.location_id, "", UNAVAILABLE, restocked)

    def _return_kits(self, order: Order, request: Any, answer: Any) -> None:
        for take in answer.takes:
            fitting = [one for one in _of_item(order.shipped, take.item_id) if take.kit_id in ("", one.kit)]
            for line, part in _earliest(fitting, take.qty_milli):
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
            there = [one for one in _of_item(order.allocated, item) if kit in ("", one.kit)]
            there = [one for one in there if one.location == request.from_location_id]
            for line, part in _earliest(there, qty):
                self._free(order, line, part)
        order.allocated = [line for line in order.allocated if line.qty]
        self._allocate(order, _lines(answer.takes))

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
            self._allocate(order, _lines(answer.takes))

    def _ready_order(self, request: Any, answer: Any) -> None:
        order = self._order(request.order_id)
        order.deadline_ns = answer.pickup_deadline_ns
        if order.deadline_ns:
            self._wake(order.deadline_ns, request.order_id)

    # Goods.

    def _receive_stock(self, request: Any, answer: Any) -> None:
        for line, position in zip(request.lines, answer.positions, strict=True):
            if self._is_tracked(position.item_id):
                key = (position.item_id, position.location_id)
                self.incoming[key] -= min(self.incoming[key], line.qty_milli)
                self._move(*key, line.lot_id, ON_HAND, line.qty_milli)
        self._said_all(answer.positions)

    def _said_all(self, positions: Any) -> None:
        for position in positions:
            if self._is_tracked(position.item_id):
                self._said(position)

    def _adjust_stock(self, request: Any, answer: Any) -> None:
        loose: dict[str, list[int]] = {}
        named: set[str] = set()
        last = {}
        for line, position in zip(request.lines, answer.positions, strict=True):
            if not self._is_tracked(position.item_id):
                continue
            last[position.item_id] = position
            if line.lot_id:
                named.add(position.item_id)
                self._move(position.item_id, position.location_id, line.lot_id, ON_HAND, line.qty_milli)
            else:
                loose.setdefault(position.item_id, []).append(line.qty_milli)
        for item, changes in loose.items():
            position, change = last[item], sum(changes)
            if min(changes) >= 0 or (change >= 0 and item not in named):
                self._move(item, position.location_id, "", ON_HAND, change)
            else:
                self._set_lots(position, change)
        self._said_all(last.values())

    def _count_stock(self, request: Any, answer: Any) -> None:
        position = answer.position
        if not self._is_tracked(position.item_id):
            return
        key = (position.item_id, position.location_id)
        if request.HasField("book_milli"):
            change = request.on_hand_milli - request.book_milli
        elif request.lot_id:
            change = self._count_of_lot(request, position)
        else:
            change = request.on_hand_milli - self._total(*key, ON_HAND)
        if request.lot_id or change >= 0:
            self._move(*key, request.lot_id, ON_HAND, change)
        else:
            self._set_lots(position, change)
        self._said(position)

    def _count_of_lot(self, request: Any, position: Any) -> int:
        """A count of a lot is of its part for sale, where there is one: how much that changes the lot."""
        parts = sorted((lot for lot in position.lots if lot.lot_id == request.lot_id), key=lambda lot: lot.barred)
        if not parts or parts[0].on_hand_milli != request.on_hand_milli:
            found = parts[0].on_hand_milli if parts else "no such lot"
            self._problem(f"lot {request.lot_id} was counted at {request.on_hand_milli}, the answer says {found}")
        lots = self.positions.get((position.item_id, position.location_id), {})
        before = lots[request.lot_id][ON_HAND] if request.lot_id in lots else 0
        return int(sum(part.on_hand_milli for part in parts)) - before

    def _transfer_stock(self, request: Any, answer: Any) -> None:
        for take in answer.takes:
            self._move(take.item_id, take.location_id, take.lot_id, ON_HAND, -take.qty_milli)
            self._move(take.item_id, request.to_location_id, take.lot_id, ON_HAND, take.qty_milli)

    def _remove_position(self, request: Any, answer: Any) -> None:
        key = (self._item(request.item_id), request.location_id)
        self._causes[self._kind] -= self._total(*key, ON_HAND)
        self._positions.pop(key, None)
        self.incoming.pop(key, None)
        for hold_id, lines in self._holds.items():
            if any((line.item, line.location) == key for line in lines):
                self._holds[hold_id] = [line for line in lines if (line.item, line.location) != key]
        for order in self._orders.values():
            if any((line.item, line.location) == key for line in order.allocated):
                order.allocated = [line for line in order.allocated if (line.item, line.location) != key]

    def _bar_stock(self, request: Any, answer: Any) -> None:
        for line, position in zip(request.lines, answer.positions, strict=True):
            if self._is_tracked(position.item_id):
                self._move(position.item_id, position.location_id, line.lot_id, UNAVAILABLE, line.qty_milli)
        self._said_all(answer.positions)

    def _expect_stock(self, request: Any, answer: Any) -> None:
        for line, position in zip(request.lines, answer.positions, strict=True):
            if self._is_tracked(position.item_id):
                self.incoming[position.item_id, position.location_id] += line.qty_milli
                self._moves += 1
        self._said_all(answer.positions)

    def _reorder_stock(self, request: Any, answer: Any) -> None:
        item = self._item(request.item_id)
        if request.order and self._is_tracked(item):
            self.incoming[item, request.location_id] += answer.qty_milli
            self._moves += 1


def _earliest(lines: list[Line], qty: int) -> list[tuple[Line, int]]:
    """So many units of lines, the first lines first: (line, its part)."""
    parts = []
    for line in lines:
        part = min(qty, line.qty)
        if part > 0:
            parts.append((line, part))
            qty -= part
    return parts


def _of_item(lines: list[Line], item: str) -> list[Line]:
    """Lines of an item, those by themselves before those in kits."""
    return sorted((line for line in lines if line.item == item), key=lambda line: line.kit != "")


def _told(lines: list[Line], takes: Iterable[Any]) -> list[tuple[Line, int]]:
    """The units that an answer tells, among the lines that have them: (line, its part)."""
    parts: list[tuple[Line, int]] = []
    for take in takes:
        marks = (take.item_id, take.location_id, take.lot_id, take.kit_id)
        there = [line for line in lines if (line.item, line.location, line.lot, line.kit) == marks]
        left = take.qty_milli
        for line in there:
            part = min(left, line.qty - sum(other for one, other in parts if one is line))
            if part > 0:
                parts.append((line, part))
                left -= part
        if left:
            raise KeyError(f"{take.qty_milli} of {take.item_id} at {take.location_id}")
    return parts


Handler = Callable[[Movements, Any, Any], None]
HANDLERS: dict[str, Handler] = {
    "put_items": Movements._put_items,
    "sell": Movements._sell,
    "return_lines": Movements._return_lines,
    "sell_stock": Movements._sell_stock,
    "hold_stock": Movements._hold_stock,
    "resize_hold": Movements._resize_hold,
    "extend_hold": Movements._new_deadline,
    "pay_hold": Movements._new_deadline,
    "release_hold": Movements._release_hold,
    "commit_hold": Movements._commit_hold,
    "place_order": Movements._place_order,
    "cancel_order": Movements._cancel_order,
    "ship_order": Movements._ship_order,
    "hand_over_order": Movements._hand_over_order,
    "unship_order": Movements._unship_order,
    "return_order": Movements._return_order,
    "reallocate_order": Movements._reallocate_order,
    "pick_order": Movements._pick_order,
    "ready_order": Movements._ready_order,
    "receive_stock": Movements._receive_stock,
    "adjust_stock": Movements._adjust_stock,
    "count_stock": Movements._count_stock,
    "transfer_stock": Movements._transfer_stock,
    "remove_position": Movements._remove_position,
    "bar_stock": Movements._bar_stock,
    "expect_stock": Movements._expect_stock,
    "reorder_stock": Movements._reorder_stock,
}


def _tells_units(kind: str) -> bool:
    answer = session_pb2.CommandReply.DESCRIPTOR.fields_by_name[kind].message_type
    return answer is not None and any(one.message_type and one.message_type.name in UNITS for one in answer.fields)


UNITS = ("Take", "Position", "Receipt")  # an answer with one of these is about stock
UNKNOWN = frozenset(
    one.name for one in session_pb2.Command.DESCRIPTOR.fields if one.name not in HANDLERS and _tells_units(one.name)
)
