"""Where units come from: scopes, availability, the order of places and lots, and plans that change nothing.

A plan is made on a Scratch, which stands for changes that are not made yet: units of a hold that is being replaced
count as free again, units planned for an earlier line no longer do. Only a plan that fits is applied.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from stock_kits import Kit, kit_count, opened, short_parts, take_kits
from stock_state import MILLI_PER_UNIT, Entry, Hold, Order, Policy, Position, Refused, Scope, to_milli

UNLIMITED = None


class Scratch:
    """Free units and preorder units as they would be once the plan so far were carried out."""

    def __init__(self) -> None:
        self.free: defaultdict[Position, int] = defaultdict(int)
        self.preordered: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.new_rows: dict[tuple[str, str], Position] = {}  # rows that a plan would add, to owe units

    def give_back(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind == "stock" and entry.position is not None:
                self.free[entry.position] += entry.qty
            elif entry.kind == "preorder" and entry.channel is not None:
                self.preordered[entry.sku, entry.channel] -= entry.qty


class Stockroom:
    """State, and every question that can be asked without changing it. Quantities in milli-units."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.enabled: dict[str, bool] = {}
        for place in setup["locations"]:
            if isinstance(place, str):
                self.enabled[place] = True
            else:
                self.enabled[place["id"]] = place.get("enabled", True)
        self.channels: dict[str, dict[str, Any]] = setup.get("channels") or {"all": {"locations": list(self.enabled)}}
        for name, channel in self.channels.items():
            for place in channel["locations"]:
                if place not in self.enabled:
                    raise ValueError(f"channel {name!r}: expected one of {list(self.enabled)}, found {place!r}")
        self.policies: dict[str, Policy] = {}
        for sku, written in setup.get("skus", {}).items():
            self.policies[sku] = Policy()
            self.policies[sku].update(written)
        self.rows: dict[tuple[str, str], list[Position]] = {}
        self.row_count = 0
        self.holds: dict[str, Hold] = {}
        self.orders: dict[str, Order] = {}
        self.preordered: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.now = 0
        for row in setup.get("stock", []):
            self._add_row(row)
            policy = self.policies[row["sku"]]
            if any(to_milli(row.get(name, 0)) % MILLI_PER_UNIT for name in ("on_hand", "incoming")):
                policy.decimals = policy.decimals is not False
        for policy in list(self.policies.values()):
            for part in policy.kit or {}:
                self.policies.setdefault(part, Policy())
        self.kits: dict[str, Kit] = {}
        self.open_kits()

    def open_kits(self) -> None:
        """Open every kit again: those that are what they were stay the same. Refused for a kit that cannot be one."""
        kits: dict[str, Kit] = {}
        for sku, policy in self.policies.items():
            if policy.kit:
                kit = Kit(sku, opened(self.policies, sku), policy.kit_apart)
                old = self.kits.get(sku)
                same = old is not None and (old.parts, old.apart) == (kit.parts, kit.apart)
                kits[sku] = old if same and old is not None else kit
                rows = [row for (name, _), rows in self.rows.items() if name == sku for row in rows]
                if old is None and any(row.on_hand or row.incoming or row.held or row.allocated for row in rows):
                    raise Refused("refused")
        self.kits = kits

    def _add_row(self, row: dict[str, Any]) -> None:
        if row["location"] not in self.enabled:
            raise ValueError(f"stock: expected one of {list(self.enabled)}, found location {row['location']!r}")
        self.policies.setdefault(row["sku"], Policy())
        lot, saleable = row.get("lot"), row.get("saleable", True)
        position = self.find(row["sku"], row["location"], lot, saleable)
        if position is None:
            position = self.add_position(row["sku"], row["location"], lot, saleable)
            position.received, position.expiry = row.get("received"), row.get("expiry")
        position.on_hand += to_milli(row["on_hand"])
        position.incoming += to_milli(row.get("incoming", 0))

    # Positions

    def add_position(self, sku: str, place: str, lot: str | None, saleable: bool) -> Position:
        position = Position(sku, place, 0, lot=lot, saleable=saleable)
        self.attach(position)
        return position

    def attach(self, position: Position) -> None:
        """Make a planned row, or one that was removed, part of the stock; no effect on one that is."""
        rows = self.rows.setdefault((position.sku, position.location), [])
        if position not in rows:
            self.row_count += 1
            position.number = self.row_count
            rows.append(position)

    def at(self, sku: str, place: str) -> list[Position]:
        """All rows of the item at the place, in the order in which the item's removal policy empties them."""
        rows = self.rows.get((sku, place), [])
        return in_removal_order(rows, self.policies[sku].removal)

    def find(self, sku: str, place: str, lot: str | None, saleable: bool | None = None) -> Position | None:
        for position in self.rows.get((sku, place), []):
            if position.lot == lot and saleable in (None, position.saleable):
                return position
        return None

    def row_for(self, sku: str, place: str, lot: str | None = None) -> Position:
        """The row that goods without further marks go to; made when missing, saleable as the place is."""
        found = self.find(sku, place, lot, True) or self.find(sku, place, lot)
        if found is not None:
            return found
        rows = self.rows.get((sku, place), [])
        return self.add_position(sku, place, lot, not rows or any(row.saleable for row in rows))

    def owing_row(self, sku: str, place: str, scratch: Scratch) -> Position:
        """The row that carries units owed beyond stock: no lot can owe. A new one is not attached yet."""
        found = self.find(sku, place, None, True)
        return found or scratch.new_rows.setdefault((sku, place), Position(sku, place, 0))

    def total(self, sku: str, place: str, counter: str) -> int:
        return sum(getattr(row, counter) for row in self.rows.get((sku, place), []))

    # What a step names

    def policy(self, sku: str) -> Policy:
        if sku not in self.policies:
            raise Refused("not_found")
        return self.policies[sku]

    def place(self, name: str) -> str:
        if name not in self.enabled:
            raise Refused("not_found")
        return name

    def scope(self, step: dict[str, Any]) -> Scope:
        """The scope of a step: its location, its locations, else its channel, else the first channel."""
        channel = step.get("channel", next(iter(self.channels)))
        if channel not in self.channels:
            raise Refused("not_found")
        by_channel = most_available = False
        if "location" in step:
            places = [self.place(step["location"])]
        elif "locations" in step:
            places = [self.place(name) for name in dict.fromkeys(step["locations"])]
        else:
            places = list(self.channels[channel]["locations"])
            most_available = self.channels[channel].get("sourcing") == "most_available"
            by_channel = True
        first = step.get("collection_point")
        if first is not None:
            self.place(first)
            places = [first] + [name for name in places if name != first]
        return Scope(places, channel, most_available, first, by_channel)

    # How much there is

    def open_places(self, sku: str, places: list[str]) -> list[str]:
        """Places that count for a sale: enabled, and not all of the item there barred from sale."""
        usable = []
        for place in places:
            rows = self.rows.get((sku, place), [])
            if self.enabled[place] and (not rows or any(row.saleable for row in rows)):
                usable.append(place)
        return usable

    def free_at(self, sku: str, place: str, scratch: Scratch | None = None) -> int:
        """Sum of free over the saleable rows of a place; below zero where more is promised than is there."""
        rows = [row for row in self.rows.get((sku, place), []) if row.saleable]
        if scratch is None:
            return sum(row.free for row in rows)
        planned = scratch.new_rows.get((sku, place))
        rows += [planned] if planned else []
        return sum(row.free + scratch.free[row] for row in rows)

    def available(self, sku: str, scope: Scope, scratch: Scratch | None = None) -> int | None:
        """Milli-units that can be promised in a scope; None is unlimited."""
        policy = self.policies[sku]
        if sku in self.kits:
            count = kit_count(self, self.kits[sku], scope, scratch)
            return UNLIMITED if count is None else count * MILLI_PER_UNIT
        if not policy.track:
            return UNLIMITED
        if policy.preorder is not None:
            return self.preorder_left(sku, scope.channel, scratch)
        places = self.open_places(sku, scope.places)
        if not places:
            return 0
        if policy.backorder:
            return UNLIMITED
        free = sum(self.free_at(sku, place, scratch) for place in places)
        debtor = policy.backorder_at
        if policy.limit and debtor is not None and debtor not in places:
            free += min(0, self.free_at(sku, debtor, scratch))  # or the limit would never be used up
        return max(0, free - policy.safety + policy.limit)

    def preorder_taken(self, sku: str, channel: str | None = None, scratch: Scratch | None = None) -> int:
        taken = 0
        for name in self.channels if channel is None else [channel]:
            taken += self.preordered[sku, name] + (scratch.preordered[sku, name] if scratch else 0)
        return taken

    def preorder_left(self, sku: str, channel: str, scratch: Scratch | None = None) -> int | None:
        quota = self.policies[sku].preorder or {}
        limits = []
        if quota.get("total") is not None:
            limits.append(to_milli(quota["total"]) - self.preorder_taken(sku, None, scratch))
        if (quota.get("channels") or {}).get(channel) is not None:
            limits.append(to_milli(quota["channels"][channel]) - self.preorder_taken(sku, channel, scratch))
        return max(0, min(limits)) if limits else UNLIMITED

    # Which units are taken

    def sourcing_order(self, sku: str, scope: Scope) -> list[str]:
        places = self.open_places(sku, scope.places)
        if scope.most_available:
            stock = {}
            for place in places:
                rows = [row for row in self.rows.get((sku, place), []) if row.saleable]
                stock[place] = sum(row.on_hand - row.allocated for row in rows)
            places.sort(key=lambda place: -stock[place])  # stable: ties stay in channel order
        if scope.first in places:
            places.sort(key=lambda place: place != scope.first)
        return places

    def demand(self, lines: list[dict[str, Any]]) -> dict[tuple[str, str | None], int]:
        """Milli-units by (item, place named by the line), summed; lines that name a place come first.

        Refused("not_found") for unknown names, then Refused("invalid") for a quantity that is not sold.
        """
        for line in lines:
            self.policy(line["sku"])
            if "location" in line:
                self.place(line["location"])
        if not lines:
            raise Refused("invalid")
        wanted: dict[tuple[str, str | None], int] = {}
        whole: defaultdict[str, int] = defaultdict(int)
        for line in sorted(lines, key=lambda line: ("location" not in line, line["sku"] not in self.kits)):
            qty = to_milli(line["qty"])
            if not self.policies[line["sku"]].accepts(qty):
                raise Refused("invalid")
            key = (line["sku"], line.get("location"))
            wanted[key] = wanted.get(key, 0) + qty
            whole[line["sku"]] += qty
        for sku, qty in whole.items():
            if not self.policies[sku].sells(qty):
                raise Refused("invalid")
        return wanted

    def plan(
        self, wanted: dict[tuple[str, str | None], int], scope: Scope, scratch: Scratch, partial: bool
    ) -> tuple[list[Entry], list[str]]:
        """Entries that meet a demand, and the items that were short.

        Refused("insufficient") when something is short and the demand is all or nothing, or when nothing is there.
        """
        entries: list[Entry] = []
        short: list[str] = []
        for (sku, named), asked in wanted.items():
            part = scope if named is None else Scope([named], scope.channel)
            qty = asked
            available = self.available(sku, part, scratch)
            if available is not None and asked > available:
                if sku in self.kits:
                    short += short_parts(self, self.kits[sku], asked // MILLI_PER_UNIT, part, scratch)
                else:
                    short.append(sku)
                qty = self.policies[sku].most_sellable(available) if partial else 0
            if qty:
                taken = self.take(sku, qty, part, scratch)
                entries += taken
        short = list(dict.fromkeys(short))
        if short and (not partial or not entries):
            raise Refused("insufficient", short)
        return entries, short

    def take(self, sku: str, qty: int, scope: Scope, scratch: Scratch) -> list[Entry]:
        policy = self.policies[sku]
        if sku in self.kits:
            return take_kits(self, self.kits[sku], qty // MILLI_PER_UNIT, scope, scratch)
        if not policy.track:
            return [Entry(sku, qty, "untracked")]
        if policy.preorder is not None:
            scratch.preordered[sku, scope.channel] += qty
            return [Entry(sku, qty, "preorder", channel=scope.channel)]
        entries: list[Entry] = []
        order = self.sourcing_order(sku, scope)
        for place in order:
            entries += self.from_free(sku, place, qty - sum(entry.qty for entry in entries), scratch)
        return entries + self.owed(sku, policy.backorder_at or order[0], qty - sum(e.qty for e in entries), scratch)

    def from_free(self, sku: str, place: str, qty: int, scratch: Scratch) -> list[Entry]:
        """Entries over at most so many of the free saleable units of a place, in removal order."""
        entries = []
        for row in self.at(sku, place):
            part = min(qty, row.free + scratch.free[row])
            if row.saleable and part > 0:
                entries.append(Entry(sku, part, position=row))
                scratch.free[row] -= part
                qty -= part
        return entries

    def owed(self, sku: str, place: str, qty: int, scratch: Scratch) -> list[Entry]:
        """An entry of units beyond what a place has; none for zero."""
        if qty == 0:
            return []
        row = self.owing_row(sku, place, scratch)
        scratch.free[row] -= qty
        return [Entry(sku, qty, position=row, owed=True)]


def in_removal_order(rows: list[Position], removal: str) -> list[Position]:
    """fifo: first received first; lifo: last received first; fefo: first to expire first. Undated rows come last."""
    rows = sorted(rows, key=lambda row: row.number)
    if removal == "lifo":
        dated = [row for row in reversed(rows) if row.received is not None]
        dated.sort(key=lambda row: row.received or "", reverse=True)
        return dated + [row for row in reversed(rows) if row.received is None]
    if removal == "fefo":
        return sorted(rows, key=lambda row: (row.expiry is None, row.expiry or "", row.received or "~"))
    return sorted(rows, key=lambda row: (row.received is None, row.received or ""))
