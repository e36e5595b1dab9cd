"""Where the units of a shipment leave from, worked out on the plain stock model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stock_sourcing import Scratch, Stockroom
from stock_state import Entry, Order, Position, Refused


@dataclass
class Want:
    """Units of an order that a step is about: of an item, or of an item in one kit; at a place, if one is named."""

    sku: str
    qty: int
    location: str | None = None
    kit: Any = None


def located(entry: Entry) -> str | None:
    return entry.position.location if entry.position is not None else None


class ShipPlan:
    """Which units leave from where for one shipment, worked out before anything leaves.

    A move is (entry of the order that is met, row the goods leave from or None, milli-units).
    """

    def __init__(self, model: Stockroom, order: Order) -> None:
        self.model = model
        self.entries = sorted(order.allocated, key=lambda entry: entry.kit is not None)  # kits stay whole
        self.left = {id(entry): entry.qty for entry in order.allocated}
        self.gone: dict[Position, int] = {}  # on_hand that leaves
        self.freed = Scratch()
        self.kit: Any = None  # the kit that the want at hand is about
        self.moves: list[tuple[Entry, Position | None, int]] = []

    def moves_for(self, wants: list[Want]) -> list[tuple[Entry, Position | None, int]]:
        """All moves, in the order of the wants. Refused("insufficient") when one cannot be met."""
        for want in wants:
            sku, qty = want.sku, want.qty
            self.kit = want.kit
            if want.kit is not None and qty > sum(
                self.left[id(entry)] for entry in self.entries if self._meant(entry, sku)
            ):
                self.kit = None  # units named before were taken from the kit; those by themselves stand in
            if not self.model.policies[sku].track:
                self._meet(sku, None, None, qty)
            elif want.location is not None:
                self._leave(sku, want.location, qty)
            else:
                for place, part in self._where_allocated(sku, qty):
                    self._leave(sku, place, part)
        return self.moves

    def _meant(self, entry: Entry, sku: str) -> bool:
        return entry.sku == sku and self.kit in (None, entry.kit)

    def _where_allocated(self, sku: str, qty: int) -> list[tuple[str, int]]:
        parts = []
        for entry in self.entries:
            part = min(qty, self.left[id(entry)]) if self._meant(entry, sku) else 0
            qty -= part
            place = located(entry)
            if part and place is not None:
                parts.append((place, part))
            elif part and entry.kind == "preorder":
                parts += self._where_free(sku, entry.channel or "", part)
        return parts

    def _where_free(self, sku: str, channel: str, qty: int) -> list[tuple[str, int]]:
        parts = []
        for place in self.model.open_places(sku, self.model.channels[channel]["locations"]):
            part = max(0, min(qty, self.model.free_at(sku, place, self.freed)))
            parts.append((place, part))
            qty -= part
        if qty:
            raise Refused("insufficient", [sku])
        return parts

    def _leave(self, sku: str, place: str, qty: int) -> None:
        """Ship from a place: first what the order has there and is there, then other free units of the place."""
        for entry in self.entries:
            row = entry.position
            if self._meant(entry, sku) and row is not None and row.location == place:
                there = max(0, row.on_hand - self.gone.get(row, 0))
                qty -= self._move(entry, row, min(qty, there))
        for row in self.model.at(sku, place):
            part = max(0, min(qty, row.free + self.freed.free[row], row.on_hand - self.gone.get(row, 0)))
            if row.saleable and part:
                self._meet(sku, place, row, part)
                self.freed.free[row] -= part
                qty -= part
        if qty:
            raise Refused("insufficient", [sku])

    def _meet(self, sku: str, place: str | None, row: Position | None, qty: int) -> None:
        """Let units of a row stand for allocated ones: those at the same place first, then the earliest."""
        for entry in sorted(self.entries, key=lambda entry: located(entry) != place):
            if self._meant(entry, sku):
                part = self._move(entry, row, qty)
                qty -= part
                if entry.position is not None:
                    self.freed.free[entry.position] += part

    def _move(self, entry: Entry, row: Position | None, qty: int) -> int:
        part = min(qty, self.left[id(entry)])
        if part > 0:
            self.left[id(entry)] -= part
            self.moves.append((entry, row, part))
            if row is not None:
                self.gone[row] = self.gone.get(row, 0) + part
        return max(0, part)
