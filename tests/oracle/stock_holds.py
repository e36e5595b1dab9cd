"""Holds on the plain stock model: units kept for a basket until a deadline.

Readings
--------
16. A hold that is over (committed, released, expired, ordered) does not bind its ref: `hold` opens a new one.
17. `resize` replaces the lines of the items it names, in the scope of the hold; other items stay as they are.
18. `release` and `commit` with qty take the earliest units first. A hold with nothing left is released.
19. Committing owed units takes on_hand below zero: they are gone on paper until goods are received.
20. `place` with lines and hold: the hold's units count as available, what the lines do not need is given back.
"""

from __future__ import annotations

from typing import Any

from stock_kits import whole_kits
from stock_result import Result, Step, described
from stock_sourcing import Scratch, Stockroom
from stock_state import MILLI_PER_UNIT, Entry, Hold, Refused, asked_of, take_from, to_milli

CLOSED_WORDS = {
    "expired": "expired",
    "committed": "already_done",
    "released": "already_done",
    "ordered": "already_done",
}


class HoldModel(Stockroom):
    """Holds, and the counters that promises are on."""

    def op_hold(self, step: Step) -> Result:
        scope = self.scope(step)
        wanted = self.demand(step["lines"])
        self._stocked_where_named(wanted, step.get("location"))
        deadline = self._deadline(step.get("ttl"))
        old = self._open_hold_or_none(step["ref"])
        scratch = Scratch()
        scratch.give_back(old.entries if old else [])
        entries, short = self.plan(wanted, scope, scratch, step.get("mode") == "partial")

        if old is not None:
            self._give_back(old.entries, "held")
        self._promise(entries, "held")
        self.holds[step["ref"]] = Hold(scope, entries, deadline)
        return described(entries, short)

    def op_resize(self, step: Step) -> Result:
        hold = self._known_hold(step["ref"])
        wanted = self.demand(step["lines"])
        self._stocked_where_named(wanted, None)
        self._must_be_open(hold)
        named = {sku for sku, _ in wanted}
        old = [entry for entry in hold.entries if asked_of(entry) in named]
        scratch = Scratch()
        scratch.give_back(old)
        entries, _ = self.plan(wanted, hold.scope, scratch, partial=False)

        self._give_back(old, "held")
        self._promise(entries, "held")
        hold.entries = [entry for entry in hold.entries if asked_of(entry) not in named] + entries
        return described(entries)

    def op_extend(self, step: Step) -> Result:
        hold = self._known_hold(step["ref"])
        deadline = self._deadline(step["ttl"])
        self._must_be_open(hold)
        hold.deadline = deadline
        return Result()

    def op_release(self, step: Step) -> Result:
        hold = self._known_hold(step["ref"])
        part = self._part_of_hold(hold, step)
        self._give_back(part, "held")
        if not any(entry.qty for entry in hold.entries):
            hold.state = "released"
        return described([])

    def op_commit(self, step: Step) -> Result:
        hold = self._known_hold(step["ref"])
        part = self._part_of_hold(hold, step)
        for entry in part:
            if entry.position is not None:
                entry.position.held -= entry.qty
                entry.position.on_hand -= entry.qty
        self._give_back(hold.entries, "held")
        hold.entries, hold.state = [], "committed"
        return described(part)

    def _deadline(self, ttl: Any) -> int | None:
        if ttl is None:
            return None
        if to_milli(ttl) <= 0:
            raise Refused("invalid")
        return self.now + to_milli(ttl)

    def _stocked_where_named(self, wanted: dict[tuple[str, str | None], int], location: str | None) -> None:
        for sku, named in wanted:
            place = named or location
            for part in self.kits[sku].parts if sku in self.kits else [sku]:
                policy = self.policies[part]
                needs = policy.track and policy.preorder is None and self.enabled.get(place, False)
                if needs and not self.rows.get((part, place)):
                    raise Refused("not_found")

    def _open_hold_or_none(self, ref: str) -> Hold | None:
        hold = self.holds.get(ref)
        return hold if hold is not None and hold.state == "open" else None

    def _known_hold(self, ref: str) -> Hold:
        if ref not in self.holds:
            raise Refused("not_found")
        return self.holds[ref]

    def _must_be_open(self, hold: Hold) -> None:
        if hold.state != "open":
            raise Refused(CLOSED_WORDS[hold.state])

    def _part_of_hold(self, hold: Hold, step: Step) -> list[Entry]:
        """The earliest `qty` units of an open hold, split off it; all of them without qty."""
        kits = list({id(entry.kit): entry.kit for entry in hold.entries if entry.kit}.values())
        held = sum(entry.qty for entry in hold.entries if entry.kit is None)
        held += sum(whole_kits(hold.entries, kit) * MILLI_PER_UNIT for kit in kits)
        asked = step.get("qty") is not None
        qty = to_milli(step["qty"]) if asked else held
        if asked and (
            qty <= 0
            or (kits and qty % MILLI_PER_UNIT)
            or not all(self.policies[entry.sku].accepts(qty) for entry in hold.entries if entry.kit is None)
        ):
            raise Refused("invalid")
        self._must_be_open(hold)
        if qty > held:
            raise Refused("exceeds")
        if not asked:
            parts, hold.entries = hold.entries, []
            return parts
        parts, counted = [], []
        for entry in list(hold.entries):
            if entry.kit is None:
                part = min(qty, entry.qty)
                qty -= part
                parts += take_from([entry], part)
            elif entry.kit not in counted:  # a kit is one unit, wherever its parts are
                counted.append(entry.kit)
                count = min(qty // MILLI_PER_UNIT, whole_kits(hold.entries, entry.kit))
                qty -= count * MILLI_PER_UNIT
                of_kit = [other for other in hold.entries if other.kit is entry.kit]
                for sku, one in entry.kit.parts.items():
                    parts += take_from([other for other in of_kit if other.sku == sku], one * count)
        hold.entries = [entry for entry in hold.entries if entry.qty]
        return parts

    # Promises, on the counter "held" or "allocated"

    def _promise(self, entries: list[Entry], counter: str) -> None:
        for entry in entries:
            if entry.position is not None:
                self.attach(entry.position)
                setattr(entry.position, counter, getattr(entry.position, counter) + entry.qty)
            elif entry.kind == "preorder" and entry.channel is not None:
                self.preordered[entry.sku, entry.channel] += entry.qty

    def _give_back(self, entries: list[Entry], counter: str) -> None:
        for entry in entries:
            if entry.position is not None:
                setattr(entry.position, counter, getattr(entry.position, counter) - entry.qty)
            elif entry.kind == "preorder" and entry.channel is not None:
                self.preordered[entry.sku, entry.channel] -= entry.qty
