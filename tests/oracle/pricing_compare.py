"""How a priced case is held against its `expect`: only what is given, each key by its own rule."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def differences(expect: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """A line for each key of `expect` that the answer does not meet; none when all agree."""
    tolerance = expect.get("lines_tolerance_minor", 0)
    found = []
    for key, wanted in expect.items():
        if key == "lines_tolerance_minor":
            continue
        answer = got.get(key, "no such answer")
        if not agrees(key, wanted, answer, tolerance):
            found.append(f"{key}: expected {wanted!r}, found {answer!r}")
    return found


def agrees(key: str, wanted: Any, answer: Any, tolerance: int) -> bool:
    if key in ("line_totals_minor", "line_discounts_minor") and isinstance(answer, list):
        if len(wanted) != len(answer):
            return False
        pairs = [(w, a) for w, a in zip(wanted, answer, strict=True) if w is not None]
        same_sum = len(pairs) < len(wanted) or sum(wanted) == sum(answer)
        return same_sum and all(abs(w - a) <= tolerance for w, a in pairs)
    if key == "not_applied" and isinstance(answer, list):
        # The reasons asked for must be among those given; other promotions may be named beside them.
        return all(entry in answer for entry in wanted)
    if key == "free_items" and isinstance(answer, list):
        return by_sku(wanted) == by_sku(answer)
    if key in ("accepted_coupons", "rejected_coupons") and isinstance(answer, list):
        return sorted(map(str, wanted)) == sorted(map(str, answer))
    if key == "converted" and isinstance(answer, dict):
        return all(answer[name] == value for name, value in wanted.items() if value is not None)
    if key in ("points_earned", "value") and answer != "no such answer":
        return Decimal(str(wanted)) == Decimal(str(answer))
    return bool(wanted == answer)


def by_sku(gifts: list[dict[str, Any]]) -> dict[str, int]:
    """How many of each item: gifts of one item may stand apart or together."""
    found: dict[str, int] = {}
    for gift in gifts:
        found[gift["sku"]] = found.get(gift["sku"], 0) + gift["qty"]
    return found
