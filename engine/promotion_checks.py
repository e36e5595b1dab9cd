"""What to look at before promotions are published: never true, shadowed, below a floor, order left open.

Works on a pricing case (promotions beside items); every finding names the promotions and gives a
basket that shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ringup.engine.simulate_pricing import Answer
from ringup.engine.simulate_request import Case, Clock, Unfit

Promotion = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """One thing to look at."""

    kind: str  # never_true, shadowed, below_floor, order_open, unsound
    promotion_ids: tuple[str, ...]
    text: str
    basket: str

    def __str__(self) -> str:
        return f"{self.kind}: {', '.join(self.promotion_ids)}: {self.text} (example: {self.basket})"


def check_promotions(case: Case) -> list[Finding]:
    """All findings, in the order of the promotions."""
    return [
        *_never_true(case),
        *_shadowed(case),
        *_below_floor(case),
        *_order_open(case),
    ]


def _ranges(promotion: Promotion) -> dict[str, tuple[float, float]]:
    """(at least, at most) of each thing that conditions ask for."""
    found: dict[str, tuple[float, float]] = {}
    for condition in promotion.get("conditions", ()):
        kind, of = condition["type"], repr(condition.get("target"))
        value = float(condition.get("qty", condition.get("amount_minor", condition.get("n", 0))))
        name = {"min_subtotal": "subtotal", "max_subtotal": "subtotal", "nth_order": "order"}.get(
            kind, f"quantity {of}"
        )
        low, high = found.get(name, (0.0, float("inf")))
        if kind in ("min_subtotal", "min_qty"):
            found[name] = (max(low, value), high)
        elif kind in ("max_subtotal", "max_qty"):
            found[name] = (low, min(high, value))
        elif kind == "nth_order":
            found[name] = (max(low, value), min(high, value))
    return found


def _never_true(case: Case) -> Iterator[Finding]:
    clock = Clock(case.get("at"), None)
    for promotion in case["promotions"]:
        for name, (low, high) in _ranges(promotion).items():
            if low > high:
                text = f"{name} must be at least {low:g} and at most {high:g}"
                yield Finding("never_true", (promotion["id"],), text, "any")
        window = promotion.get("window", {})
        try:
            begins, ends = clock.ns_of(window.get("from")), clock.ns_of(window.get("to"))
        except Unfit as error:
            yield Finding("unsound", (promotion["id"],), str(error), "any")
            continue
        if window.get("to") is not None and begins >= ends:
            yield Finding("never_true", (promotion["id"],), "it ends before it begins", "any")
        limits = promotion.get("limits", {})
        if 0 in (limits.get("max_uses"), limits.get("max_applications"), limits.get("budget_minor")):
            yield Finding("never_true", (promotion["id"],), "a limit of zero", "any")


def _always(promotion: Promotion) -> bool:
    gates = ("coupon", "channels", "customer_groups", "window", "schedule", "limits")
    return not promotion.get("conditions") and not any(promotion.get(gate) for gate in gates)


def _basket(case: Case, skus: list[str]) -> str:
    return " + ".join(f"1 x {sku}" for sku in skus) or "any"


def _alone(case: Case, promotions: list[Promotion], item: dict[str, Any], qty: int) -> Answer:
    return Answer({**case, "items": [{**item, "qty": qty}], "promotions": promotions})


def _shadowed(case: Case) -> Iterator[Finding]:
    """One that an unconditional exclusive, or an earlier member of a `first` group, always keeps out."""
    modes = case.get("rules", {}).get("group_modes", {})
    ranked = sorted(case["promotions"], key=lambda p: -p.get("priority", 0))
    for later_at, later in enumerate(ranked):
        for earlier in ranked[:later_at] if later.get("exclusive") else ranked:
            if earlier is later or not _always(earlier) or earlier.get("stage") != later.get("stage"):
                continue
            exclusive = earlier.get("exclusive") and not later.get("exclusive")
            exclusive = exclusive or (earlier.get("exclusive") and ranked.index(earlier) < later_at)
            grouped = (
                earlier.get("group") is not None
                and earlier.get("group") == later.get("group")
                and modes.get(earlier["group"]) == "first"
                and ranked.index(earlier) < later_at
            )
            if not (exclusive or grouped):
                continue
            touched = [i for i in case["items"] if _gives(case, later, i)]
            if touched and all(_gives(case, earlier, item) for item in touched):
                text = f"{earlier['id']} always comes first"
                yield Finding("shadowed", (later["id"],), text, _basket(case, [touched[0]["sku"]]))
                break


def _gives(case: Case, promotion: Promotion, item: dict[str, Any]) -> bool:
    bare = {k: v for k, v in promotion.items() if k in ("id", "benefits", "stage")}
    return any(_alone(case, [bare], item, qty).key_applied() for qty in (1, 2, 3, 6, 12))


def _below_floor(case: Case) -> Iterator[Finding]:
    """An amount or price that a floor, or zero, will cut short."""
    for promotion in case["promotions"]:
        for benefit in promotion["benefits"]:
            if benefit["type"] not in ("item_amount_off", "item_fixed_price", "item_percent_off"):
                continue
            for item in case["items"]:
                price, floor = item.get("unit_price_minor") or 0, item.get("min_price_minor", 0)
                if not _gives(case, promotion, item):
                    continue
                wanted = {
                    "item_amount_off": price - benefit.get("amount_minor", 0),
                    "item_fixed_price": benefit.get("price_minor", 0),
                    "item_percent_off": price - price * float(benefit.get("percent", 0)) / 100,
                }[benefit["type"]]
                if wanted < floor:
                    text = f"would sell {item['sku']} for {wanted:g}, its floor is {floor}"
                    yield Finding("below_floor", (promotion["id"],), text, _basket(case, [item["sku"]]))


def _order_open(case: Case) -> Iterator[Finding]:
    """Two of one priority whose order changes a price."""
    if case.get("selection", "priority") != "priority":
        return
    listed = case["promotions"]
    for index, first in enumerate(listed):
        for second in listed[index + 1 :]:
            if first.get("priority", 0) != second.get("priority", 0) or first.get("stage") != second.get("stage"):
                continue
            for item in case["items"]:
                pair = [{k: v for k, v in p.items() if k in ("id", "benefits", "stage")} for p in (first, second)]
                if any(_order_matters(case, pair, item, qty) for qty in (1, 3)):
                    text = "have the same priority, and their order changes the price"
                    yield Finding("order_open", (first["id"], second["id"]), text, _basket(case, [item["sku"]]))
                    break


def _order_matters(case: Case, pair: list[Promotion], item: dict[str, Any], qty: int) -> bool:
    first, second = (_alone(case, order, item, qty).response.total_minor for order in (pair, pair[::-1]))
    return first != second
