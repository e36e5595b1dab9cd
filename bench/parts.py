"""The parts of the benchmark: their order, how long each takes, and which ones a name means."""

from __future__ import annotations

import difflib

# Seconds that each takes on two quiet cores: what the time left is reckoned with, and what keeps the whole under
# 20 minutes (tests/bench).  In the order in which they run: the floors first, what fills the disk last.
SECONDS_BY_PART: dict[str, int] = {
    "floors": 30,
    "unary": 30,
    "session": 42,
    "reserve_batch": 95,
    "reserve_client": 60,
    "hot": 75,
    "sales_postgres": 45,
    "journal": 50,
    "start": 45,
    "price": 45,
    "best_deal": 20,
    "load_unary": 110,
    "load_session": 65,
    "flash": 25,
    "peak": 65,
    "growth_items": 40,
    "growth_promotions": 8,
    "growth_holds": 30,
    "growth_callers": 40,
    "growth_journal": 170,
}
PARTS = tuple(SECONDS_BY_PART)
PART_SECONDS_MAX = 300
TOTAL_SECONDS_MAX = 20 * 60

# Names for several parts, beside the beginnings of names (`reserve`, `load`, `growth`).
GROUPS: dict[str, tuple[str, ...]] = {
    "all": PARTS,
    "sale": ("unary", "session", "sales_postgres"),
    "stock": ("reserve_batch", "reserve_client", "hot", "flash", "growth_holds"),
    "pricing": ("price", "best_deal", "growth_promotions"),
    "peers": ("reserve_batch", "reserve_client", "hot", "sales_postgres", "flash", "price"),
}


class UnknownPart(Exception):
    """A name that means no part; the message names the nearest one that does."""


def chosen(names: str) -> list[str]:
    """The parts that a comma-separated list of parts, groups and beginnings of parts means, in running order."""
    found: set[str] = set()
    for name in filter(None, (one.strip() for one in names.split(","))):
        parts = GROUPS.get(name) or ((name,) if name in PARTS else tuple(p for p in PARTS if p.startswith(name)))
        if not parts:
            known = [*PARTS, *GROUPS]
            nearest = difflib.get_close_matches(name, known, 1, cutoff=0.4)
            meant = f"did you mean {nearest[0]!r}?  " if nearest else ""
            raise UnknownPart(
                f"expected a part, the beginning of one or a group, found {name!r}; {meant}"
                f"Parts: {', '.join(PARTS)}; groups: {', '.join(GROUPS)}"
            )
        found.update(parts)
    if not found:
        raise UnknownPart(f"expected at least one name, found {names!r}; leave it out for all parts")
    return [name for name in PARTS if name in found]
