"""The answer of the plain stock model to a step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stock_state import Entry, from_milli

Step = dict[str, Any]


@dataclass
class Result:
    """The answer to a step. Quantities as a case writes them: int, Decimal, or "unlimited"."""

    word: str = "ok"
    take: list[dict[str, Any]] = field(default_factory=list)
    taken: int | Any = 0
    backordered: int | Any = 0
    short: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)  # query, reorder, race

    @property
    def locations_used(self) -> int:
        return len({unit["location"] for unit in self.take})


def described(entries: list[Entry], short: list[str] | None = None) -> Result:
    """The result of a step that promised or took these entries."""
    take: dict[tuple[str, str, str | None], int] = {}
    for entry in entries:
        if entry.position is not None:
            key = (entry.sku, entry.position.location, entry.position.lot)
            take[key] = take.get(key, 0) + entry.qty
    return Result(
        "partial" if short else "ok",
        [
            {"sku": sku, "location": place, **({"lot": lot} if lot else {}), "qty": from_milli(qty)}
            for (sku, place, lot), qty in take.items()
        ],
        from_milli(sum(entry.qty for entry in entries)),
        from_milli(sum(entry.qty for entry in entries if entry.owed)),
        short or [],
    )
