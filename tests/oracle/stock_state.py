"""What the plain stock model remembers: positions, promises, policies, and quantities in milli-units.

One piece is 1000 milli-units. Quantities arrive as int, Decimal or decimal text; a float is a mistake of the caller,
because 9.33 as a float is another number.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any

MILLI_PER_UNIT = 1000


class Refused(Exception):
    """A step is refused with one result word; raised before anything is changed."""

    def __init__(self, word: str, short: list[str] | None = None) -> None:
        super().__init__(word)
        self.word = word
        self.short = short or []


def to_milli(value: Any) -> int:
    """Milli-units of a quantity as written in a case.

    Raises Refused("invalid") for more than three decimals or text that is no number, TypeError for a float.
    """
    if isinstance(value, float):
        raise TypeError(f"expected int or Decimal, found float {value!r}: read the file with parse_float=Decimal")
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise Refused("invalid")
    try:
        scaled = Decimal(value) * MILLI_PER_UNIT
        whole = int(scaled)
    except (InvalidOperation, ValueError, OverflowError):
        raise Refused("invalid") from None
    if whole != scaled:
        raise Refused("invalid")
    return whole


def from_milli(qty_milli: int) -> int | Decimal:
    """A quantity as a case writes it: an int when whole, else an exact Decimal."""
    if qty_milli % MILLI_PER_UNIT == 0:
        return qty_milli // MILLI_PER_UNIT
    return (Decimal(qty_milli) / MILLI_PER_UNIT).normalize()


@dataclass(eq=False)
class Position:
    """One row of stock: an item at a place, in a lot or in none. Counters in milli-units."""

    sku: str
    location: str
    number: int  # order of creation, the tie-break of every removal order
    lot: str | None = None
    received: str | None = None
    expiry: str | None = None
    saleable: bool = True
    on_hand: int = 0
    allocated: int = 0
    held: int = 0
    incoming: int = 0

    @property
    def free(self) -> int:
        return self.on_hand - self.allocated - self.held


@dataclass(eq=False)
class Entry:
    """Units promised to a hold or an order, or shipped for one.

    kind "stock" stands on a position, "preorder" on the quota of a channel, "untracked" on nothing.
    owed: promised beyond the stock that was free at that time.
    """

    sku: str
    qty: int
    kind: str = "stock"
    position: Position | None = None
    channel: str | None = None
    owed: bool = False
    kit: Any = None  # the kit that these are a part of


@dataclass
class Scope:
    """Where a step looks for units: places in the order in which they are asked."""

    places: list[str]
    channel: str
    most_available: bool = False
    first: str | None = None  # the collection point, asked before all others
    by_channel: bool = False  # taken from the channel's own list, not named by the step


@dataclass
class Hold:
    scope: Scope
    entries: list[Entry]
    deadline: int | None
    state: str = "open"  # open, committed, released, ordered, expired


@dataclass
class Order:
    allocated: list[Entry] = field(default_factory=list)
    shipped: list[Entry] = field(default_factory=list)
    cancelled: bool = False


@dataclass
class Policy:
    """Policies of one item, quantities in milli-units."""

    track: bool = True
    backorder: bool = False  # may go below zero without limit
    limit: int = 0  # or down to this many units below zero
    backorder_at: str | None = None
    safety: int = 0
    decimals: bool | None = None  # None: not said
    min_qty: int | None = None
    max_qty: int | None = None
    step: int | None = None
    removal: str = "fifo"
    count_floor: str | None = None
    preorder: dict[str, Any] | None = None
    kit: dict[str, Any] | None = None  # parts of one kit, as written
    kit_apart: bool = False

    def update(self, written: dict[str, Any]) -> None:
        """Take over the policies named in a case; the others stay. Refused("invalid") for one that is unknown."""
        known = {item.name for item in fields(self)} - {"limit"}
        new: dict[str, Any] = {}
        for name, value in written.items():
            if name not in known:
                raise Refused("invalid")
            if name == "backorder":
                new["backorder"] = value is True
                new["limit"] = to_milli(value["limit"]) if isinstance(value, dict) else 0
            elif name == "safety":
                new[name] = to_milli(value or 0)
            elif name in ("min_qty", "max_qty", "step"):
                new[name] = to_milli(value or 0) or None  # zero binds nothing
            else:
                new[name] = value
        for name, value in new.items():
            setattr(self, name, value)
        if self.decimals is None and any(
            (new.get(name) or 0) % MILLI_PER_UNIT for name in ("limit", "safety", "min_qty", "max_qty", "step")
        ):
            self.decimals = True

    def accepts(self, qty_milli: int) -> bool:
        """A quantity this item can be moved in: more than none, and whole units unless it is sold by measure."""
        return qty_milli > 0 and ((self.decimals and not self.kit) or qty_milli % MILLI_PER_UNIT == 0)

    def sells(self, qty_milli: int) -> bool:
        """A quantity this item can be asked for by a buyer."""
        return (
            self.accepts(qty_milli)
            and (self.min_qty is None or qty_milli >= self.min_qty)
            and (self.max_qty is None or qty_milli <= self.max_qty)
            and (not self.step or qty_milli % self.step == 0)
        )

    def most_sellable(self, available_milli: int) -> int:
        """The largest quantity not above available_milli that a buyer may take in part; 0 for none."""
        grain = self.step or (1 if self.decimals and not self.kit else MILLI_PER_UNIT)
        if self.max_qty is not None:
            available_milli = min(available_milli, self.max_qty)
        qty_milli = available_milli - available_milli % grain
        return qty_milli if qty_milli > 0 and self.sells(qty_milli) else 0


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
