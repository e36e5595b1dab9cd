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

from collections import Counter
from collections.abc import Callable
from typing import Any

from ringup.engine.movements_counters import ON_HAND, UNAVAILABLE, lines_of
from ringup.engine.movements_promises import Promises
from ringup.engine.record import Record
from ringup.v1 import result_pb2, session_pb2

OK = result_pb2.RESULT_CODE_OK


class Movements(Promises):
    """The fold; feed it the journal's records in order, from the first one on."""

    def __init__(self) -> None:
        super().__init__()
        self.unknown: Counter[str] = Counter()  # commands that this fold does not know, by kind
        self._receipts_after = 0  # receipts are numbered above it

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
            for till, number, last in plain.gaps:
                self._kind = "sell"
                self._gap(till, number, last)
            plain.gaps.clear()
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

    # Sales.

    def _receipt(self, receipt: Any) -> None:
        self._receipts += 1
        last = self._numbers.get(receipt.till_id, 0)
        if receipt.number != last + 1:
            self._gap(receipt.till_id, receipt.number, last)
        self._numbers[receipt.till_id] = receipt.number

    def _put_settings(self, request: Any, answer: Any) -> None:
        self._receipts_after = max(self._receipts_after, request.settings.receipts_after)

    def _gap(self, till: str, number: int, last: int) -> None:
        if last < self._receipts_after and number == self._receipts_after + 1:
            return  # numbers that were left out
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
        for line in lines_of(answer.takes):
            self._move_line(line, ON_HAND, -line.qty)

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


Handler = Callable[[Movements, Any, Any], None]
HANDLERS: dict[str, Handler] = {
    "put_settings": Movements._put_settings,
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
