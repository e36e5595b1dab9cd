"""Counters of stock by (item, location, lot), moved by what commands were answered: the ground of movements.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ringup.native.plain_sales import PlainSales

COUNTERS = ("on_hand", "held", "allocated", "unavailable")  # of a lot, in this order
ON_HAND, HELD, ALLOCATED, UNAVAILABLE = range(4)
PROBLEMS_MAX = 100

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


def lines_of(takes: Iterable[Any]) -> list[Line]:
    return [
        Line(t.item_id, t.location_id, t.lot_id, t.qty_milli, t.kit_id, is_stock=bool(t.location_id)) for t in takes
    ]


def earliest(lines: list[Line], qty: int) -> list[tuple[Line, int]]:
    """So many units of lines, the first lines first: (line, its part)."""
    parts = []
    for line in lines:
        part = min(qty, line.qty)
        if part > 0:
            parts.append((line, part))
            qty -= part
    return parts


def of_item(lines: list[Line], item: str) -> list[Line]:
    """Lines of an item, those by themselves before those in kits."""
    return sorted((line for line in lines if line.item == item), key=lambda line: line.kit != "")


def told_by(lines: list[Line], takes: Iterable[Any]) -> list[tuple[Line, int]]:
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


class Counters:
    """What all movements move; a counter is read by `positions`, which takes plain sales in first."""

    def __init__(self) -> None:
        self.sequence = 0
        self._positions: Positions = {}
        self.incoming: Counter[tuple[str, str]] = Counter()
        self._causes: Counter[str] = Counter()
        self._moves = 0
        self._receipts = 0  # of all sales and returns but the plain ones
        self._units_sold: Counter[str] = Counter()
        self.problems: list[str] = []  # answers that do not follow from what was before
        self._barcodes: dict[str, str] = {}  # -> item
        self._barcodes_of: dict[str, tuple[str, ...]] = {}
        self._items: set[str] = set()
        self._untracked: set[str] = set()
        self._numbers: dict[str, int] = {}  # till -> its last receipt
        self._kind = ""  # of the command at hand
        self._plain = PlainSales(self._numbers)

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

    def _item(self, text: str) -> str:
        """The item that a request names by its code or by a barcode."""
        return text if text in self._items else self._barcodes.get(text, text)

    def _is_tracked(self, item: str) -> bool:
        return item not in self._untracked
