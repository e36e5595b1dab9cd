"""Kits on the plain stock model: which parts they have, how many can be promised, and where their parts come from.

Readings
--------
35. A kit keeps no stock: it is promised as its parts, kits among them opened. Goods operations on it are refused.
36. Of a kit's own policies min_qty, max_qty and step count; how much there is of a part is said by the part's.
37. Every kit is promised at one place: first kits that a place has whole, by the order of places, then kits of which
    parts may be owed, also by the order of places; a part is owed where its kit is, or at its `backorder_at`.
    Preordered and untracked parts bind no kit to a place. `kit_apart` sources each part as an item of its own.
38. In one request kits are promised before plain items; lines that name a place still come first.
39. A hold or an order keeps the parts it took when the kit changes. `qty` of release and commit counts a kit as one.
40. A line about a kit of an order means whole kits that the order has; one about an item its units, those by
    themselves before those in kits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stock_state import MILLI_PER_UNIT, Entry, Refused, Scope, to_milli

if TYPE_CHECKING:
    from stock_sourcing import Scratch, Stockroom

KIT_DEPTH_MAX = 4
KIT_PARTS_MAX = 100


@dataclass(eq=False)
class Kit:
    """A kit as it was at one time: a new one is made when its parts change."""

    sku: str
    parts: dict[str, int]  # milli-units of plain items
    apart: bool


def opened(policies: dict[str, Any], sku: str, times: int = 1, depth: int = 0) -> dict[str, int]:
    """The plain parts of so many kits. Refused("invalid") for a kit in itself or too many kits in kits."""
    if depth > KIT_DEPTH_MAX:
        raise Refused("invalid")
    parts: dict[str, int] = {}
    for part, written in policies[sku].kit.items():
        if part not in policies:
            raise Refused("not_found")
        qty = to_milli(written) * times
        if qty <= 0 or not policies[part].accepts(qty):
            raise Refused("invalid")
        inner = opened(policies, part, qty // MILLI_PER_UNIT, depth + 1) if policies[part].kit else {part: qty}
        for name, more in inner.items():
            parts[name] = parts.get(name, 0) + more
    if len(parts) > KIT_PARTS_MAX:
        raise Refused("invalid")
    return parts


def binding(room: Stockroom, kit: Kit) -> list[str]:
    """Parts whose goods must lie where the kit is promised."""
    return [sku for sku in kit.parts if room.policies[sku].track and room.policies[sku].preorder is None]


def may_owe(room: Stockroom, sku: str) -> bool:
    return bool(room.policies[sku].backorder or room.policies[sku].limit)


def open_for(room: Stockroom, kit: Kit, place: str) -> bool:
    return all(room.open_places(sku, [place]) for sku in binding(room, kit))


def kits_at(room: Stockroom, kit: Kit, place: str, scratch: Scratch | None, owing: bool) -> int | None:
    """Kits that the goods of a place make; None is unlimited."""
    if not open_for(room, kit, place):
        return 0
    counts = [
        max(0, room.free_at(sku, place, scratch)) // kit.parts[sku]
        for sku in binding(room, kit)
        if not (owing and may_owe(room, sku))
    ]
    return min(counts) if counts else None


def together(room: Stockroom, kit: Kit) -> bool:
    return not kit.apart and bool(binding(room, kit))


def kit_count(room: Stockroom, kit: Kit, scope: Scope, scratch: Scratch | None) -> int | None:
    """Whole kits that can be promised in a scope; None is unlimited."""
    limits = [
        available // qty
        for sku, qty in kit.parts.items()
        if (available := room.available(sku, scope, scratch)) is not None
    ]
    if together(room, kit):
        here = [kits_at(room, kit, place, scratch, owing=True) for place in scope.places]
        if None not in here:
            limits.append(sum(count or 0 for count in here))
    return min(limits) if limits else None


def short_parts(room: Stockroom, kit: Kit, count: int, scope: Scope, scratch: Scratch) -> list[str]:
    """Parts of which there is too little for so many kits; all that bind to a place when only that is in the way."""
    short = []
    for sku, qty in kit.parts.items():
        available = room.available(sku, scope, scratch)
        if available is not None and available < qty * count:
            short.append(sku)
    return short or [sku for sku in binding(room, kit) if not may_owe(room, sku)]


def take_kits(room: Stockroom, kit: Kit, count: int, scope: Scope, scratch: Scratch) -> list[Entry]:
    """Entries of so many kits, one kit after the other."""
    entries: list[Entry] = []
    bound = binding(room, kit) if together(room, kit) else []
    for sku, qty in kit.parts.items():
        if sku not in bound:
            entries += room.take(sku, qty * count, scope, scratch)
    if bound:
        places = kit_places(room, kit, scope)
        for _ in range(count):
            entries += one_kit(room, kit, bound, places, scratch)
    for entry in entries:
        entry.kit = kit
    return entries


def kit_places(room: Stockroom, kit: Kit, scope: Scope) -> list[str]:
    places = list(scope.places)
    if scope.most_available:
        made = {}
        for place in places:
            made[place] = min(
                max(0, sum(row.on_hand - row.allocated for row in room.at(sku, place) if row.saleable))
                // kit.parts[sku]
                for sku in binding(room, kit)
            )
        places.sort(key=lambda place: -made[place])
    if scope.first in places:
        places.sort(key=lambda place: place != scope.first)
    return places


def one_kit(room: Stockroom, kit: Kit, bound: list[str], places: list[str], scratch: Scratch) -> list[Entry]:
    for owing in (False, True):
        for place in places:
            if kits_at(room, kit, place, scratch, owing) == 0:
                continue
            entries: list[Entry] = []
            for sku in bound:
                free = room.from_free(sku, place, kit.parts[sku], scratch)
                rest = kit.parts[sku] - sum(entry.qty for entry in free)
                entries += free + room.owed(sku, room.policies[sku].backorder_at or place, rest, scratch)
            return entries
    raise AssertionError(f"{kit.sku}: {places} were said to have one more")


def whole_kits(entries: list[Entry], kit: Kit) -> int:
    """Kits of which all parts are among the entries."""
    have = dict.fromkeys(kit.parts, 0)
    for entry in entries:
        if entry.kit is kit:
            have[entry.sku] += entry.qty
    return min(have[sku] // qty for sku, qty in kit.parts.items())


def kits_among(entries: list[Entry], sku: str) -> list[tuple[Kit, int]]:
    """(kit, how many) of every version of a kit among the entries, in the order in which they were promised."""
    kits = {id(entry.kit): entry.kit for entry in entries if entry.kit is not None and entry.kit.sku == sku}
    return [(kit, whole_kits(entries, kit)) for kit in kits.values()]


def kits_located(entries: list[Entry], sku: str, place: str) -> list[tuple[Kit, int]]:
    """As `kits_among`, with what lies at one place; parts that lie nowhere do not count."""
    found = []
    for kit, _ in kits_among(entries, sku):
        have: dict[str, int] = {}
        for entry in entries:
            if entry.kit is kit and entry.position is not None:
                have.setdefault(entry.sku, 0)
                have[entry.sku] += entry.qty if entry.position.location == place else 0
        found.append((kit, min((have[part] // kit.parts[part] for part in have), default=0)))
    return found
