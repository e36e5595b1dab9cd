"""Random valid pricing cases, the same for the same seed: small baskets on which promotions overlap.

`random_case(rng, level)` draws one case, `random_book(rng)` a question to a price book. Levels, each holding what the
ones before hold:

| level | what it adds |
|---|---|
| item | one to three promotions on items and orders, priority mode, no limits |
| sets | bundles, multibuys, buy-gets, quantity groups, conditions, catalog stage, exclusives and groups |
| full | taxes, charges, deposits, floors, returns, weights, coupons, limits, tenders, rounding rules |
| wide | every other rule: gates by time and customer, units of measure, markups, points, refunds, price books |

and apart from them `best`: at most 8 units, overlapping offers on units, selection best_deal; `crowd`: the same on up
to 24 units of few kinds; `tax`: one order discount at most, every tax setting.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

LEVELS = ("item", "sets", "full", "wide", "best", "crowd", "tax")
SKUS = ("A", "B", "C", "D")
CATEGORIES = {"A": ["x"], "B": ["x", "y"], "C": ["y"], "D": ["z"]}
PRICES = (99, 100, 105, 250, 333, 499, 1000, 1001, 1999, 5000)
PERCENTS = (5, 7, 10, 12.5, 15, 20, 25, 33, 50, 100)
AMOUNTS = (1, 10, 33, 50, 100, 199, 250, 500, 1500)

Make = Callable[[random.Random], dict[str, Any]]


def target(rng: random.Random) -> dict[str, Any]:
    draw = rng.random()
    if draw < 0.4:
        return {"all": True}
    if draw < 0.7:
        return {"skus": sorted(rng.sample(SKUS, rng.randint(1, 3)))}
    return {"categories": sorted(rng.sample(("x", "y", "z"), rng.randint(1, 2)))}


def narrow_target(rng: random.Random) -> dict[str, Any]:
    """A target with the limits that only item benefits know."""
    found = target(rng)
    draw = rng.random()
    if draw < 0.15:
        found |= {"max_units": rng.randint(1, 3), "pick": rng.choice(("cheapest", "dearest", "as_listed"))}
    elif draw < 0.25:
        found["max_units_per_line"] = rng.randint(1, 2)
    elif draw < 0.35:
        found["unit_price_min"] = rng.choice(PRICES)
    elif draw < 0.45:
        found["unit_price_max"] = rng.choice(PRICES)
    elif draw < 0.5:
        found["exclude_discounted"] = True
    return found


def item_percent(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "item_percent_off", "percent": rng.choice(PERCENTS), "target": narrow_target(rng)}
    if rng.random() < 0.15:
        found["cap_minor"] = rng.choice(AMOUNTS)
    if rng.random() < 0.15:
        found["base"] = "original"
    return found


def item_amount(rng: random.Random) -> dict[str, Any]:
    apply = rng.choice(("per_unit", "per_unit", "per_line"))
    return {
        "type": "item_amount_off",
        "amount_minor": rng.choice(AMOUNTS),
        "apply": apply,
        "target": narrow_target(rng),
    }


def item_fixed(rng: random.Random) -> dict[str, Any]:
    return {"type": "item_fixed_price", "price_minor": rng.choice(PRICES), "target": target(rng)}


def cheapest(rng: random.Random) -> dict[str, Any]:
    return {
        "type": "cheapest_percent_off",
        "percent": rng.choice(PERCENTS),
        "units": rng.randint(1, 2),
        "target": {"all": True},
    }


def first_then(rng: random.Random) -> dict[str, Any]:
    first, further = rng.choice(AMOUNTS), rng.choice(AMOUNTS)
    return {"type": "first_then_amount", "first_minor": first, "additional_minor": further, "target": {"all": True}}


def order_percent(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "order_percent_off", "percent": rng.choice(PERCENTS), "target": target(rng)}
    if rng.random() < 0.2:
        found["cap_minor"] = rng.choice(AMOUNTS)
    return found


def order_amount(rng: random.Random) -> dict[str, Any]:
    return {"type": "order_amount_off", "amount_minor": rng.choice(AMOUNTS), "target": target(rng)}


def order_total(rng: random.Random) -> dict[str, Any]:
    return {"type": "order_fixed_total", "total_minor": rng.choice((500, 1000, 2500))}


def quantity_break(rng: random.Random) -> dict[str, Any]:
    steps = sorted(rng.sample(range(2, 8), 2))
    prices = sorted(rng.sample(PRICES, 2), reverse=True)
    tiers = [{"min_qty": n, "unit_price_minor": price} for n, price in zip(steps, prices, strict=True)]
    return {"type": "quantity_break", "target": {"skus": sorted(rng.sample(SKUS, rng.randint(1, 2)))}, "tiers": tiers}


def tiered_percent(rng: random.Random) -> dict[str, Any]:
    basis = rng.choice(("order_subtotal", "eligible_qty"))
    key, steps = ("min_minor", (1000, 4000)) if basis == "order_subtotal" else ("min_qty", (2, 4))
    tiers = [{key: step, "percent": percent} for step, percent in zip(steps, (5, 12), strict=True)]
    return {
        "type": "tiered_percent",
        "basis": basis,
        "base_percent": rng.choice((0, 2)),
        "target": target(rng),
        "tiers": tiers,
    }


def tiered_amount(rng: random.Random) -> dict[str, Any]:
    tiers = [{"min_minor": 500, "amount_minor": 50}, {"min_minor": 3000, "amount_minor": 400}]
    return {
        "type": "tiered_amount",
        "basis": "line_subtotal",
        "base_minor": rng.choice((0, 10)),
        "target": {"all": True},
        "tiers": tiers,
    }


def bundle_price(rng: random.Random) -> dict[str, Any]:
    price = rng.choice((150, 300, 999, 1500, 2500))
    if rng.random() < 0.4:
        wanted = [{"qty": rng.randint(1, 2), "target": target(rng)} for _ in range(2)]
        return {"type": "bundle_fixed_price", "components": wanted, "price_minor": price, "repeat": rng.random() < 0.7}
    found: dict[str, Any] = {"type": "bundle_fixed_price", "qty": rng.randint(2, 3), "price_minor": price}
    found |= {"target": target(rng), "repeat": rng.random() < 0.7}
    if rng.random() < 0.5:
        found["pick"] = rng.choice(("cheapest", "dearest"))
    return found


def bundle_off(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"target": target(rng), "qty": rng.randint(2, 3), "repeat": rng.random() < 0.7}
    if rng.random() < 0.5:
        return {"type": "bundle_percent_off", "percent": rng.choice(PERCENTS)} | found
    return {"type": "bundle_amount_off", "amount_minor": rng.choice(AMOUNTS)} | found


def multibuy(rng: random.Random) -> dict[str, Any]:
    return {"type": "multibuy_cheapest_free", "qty": rng.randint(2, 4), "target": target(rng)}


def buy_get(rng: random.Random) -> dict[str, Any]:
    get = {
        "target": target(rng),
        "qty": 1,
        "percent": rng.choice((30, 50, 100)),
        "pick": rng.choice(("cheapest", "dearest")),
    }
    found = {"type": "buy_get", "buy": {"target": target(rng), "qty": rng.randint(1, 2)}, "get": get}
    return found | {"repeat": rng.random() < 0.7}


def quantity_group(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "quantity_group", "group_size": rng.randint(2, 3), "pick": "as_listed"}
    found |= {"amount_minor": rng.choice(AMOUNTS)} if rng.random() < 0.5 else {"percent": rng.choice(PERCENTS)}
    return found | {"target": {"all": True}}


def free_item(rng: random.Random) -> dict[str, Any]:
    each = {"qty": rng.randint(1, 3), "target": {"skus": [rng.choice(SKUS)]}}
    return {"type": "free_item", "sku": "GIFT", "qty": rng.randint(1, 2), "for_each": each}


def on_charge(rng: random.Random) -> dict[str, Any]:
    kind = rng.choice(("percent", "amount", "price"))
    if kind == "percent":
        return {"type": "charge_percent_off", "charge": "ship", "percent": rng.choice(PERCENTS)}
    if kind == "amount":
        return {"type": "charge_amount_off", "charge": "ship", "amount_minor": rng.choice(AMOUNTS)}
    return {"type": "charge_fixed_price", "charge": "ship", "price_minor": rng.choice((0, 100, 199))}


def markup(rng: random.Random) -> dict[str, Any]:
    return {"type": "item_markup_percent", "percent": rng.choice(PERCENTS), "target": target(rng)}


def order_amount_wide(rng: random.Random) -> dict[str, Any]:
    found = order_amount(rng)
    if rng.random() < 0.4:
        found["value_tax"] = "incl"
    elif rng.random() < 0.5:
        found["include_charges"] = ["ship"]
    if rng.random() < 0.3:
        found["target"]["exclude_discounted"] = True
    return found


def tiered_wide(rng: random.Random) -> dict[str, Any]:
    """Both kinds of tiers on each basis."""
    basis = rng.choice(("order_subtotal", "line_subtotal", "eligible_qty"))
    key, steps = ("min_qty", (2, 4)) if basis == "eligible_qty" else ("min_minor", (1000, 4000))
    give, gifts = rng.choice((("percent", (5, 12)), ("amount_minor", (50, 400))))
    return {
        "type": "tiered_percent" if give == "percent" else "tiered_amount",
        "basis": basis,
        "target": target(rng),
        "tiers": [{key: step, give: gift} for step, gift in zip(steps, gifts, strict=True)],
    }


def buy_get_wide(rng: random.Random) -> dict[str, Any]:
    found = buy_get(rng)
    found["get"]["qty"] = rng.randint(1, 2)
    if rng.random() < 0.5:
        found["consume"] = rng.choice(("cheapest", "dearest", "as_listed"))
    return found


def cheapest_wide(rng: random.Random) -> dict[str, Any]:
    found = cheapest(rng) | {"target": target(rng)}
    return found | ({"cap_minor": rng.choice(AMOUNTS)} if rng.random() < 0.4 else {})


def group_wide(rng: random.Random) -> dict[str, Any]:
    return quantity_group(rng) | {"target": target(rng), "pick": rng.choice(("cheapest", "dearest", "as_listed"))}


def first_then_wide(rng: random.Random) -> dict[str, Any]:
    return first_then(rng) | {"target": narrow_target(rng)}


def free_once(rng: random.Random) -> dict[str, Any]:
    return {"type": "free_item", "sku": rng.choice(("GIFT", "A")), "qty": rng.randint(1, 2)}


ITEM: tuple[Make, ...] = (
    item_percent,
    item_amount,
    item_fixed,
    cheapest,
    first_then,
    order_percent,
    order_amount,
    order_total,
    quantity_break,
    tiered_percent,
    tiered_amount,
)
SETS: tuple[Make, ...] = (bundle_price, bundle_off, multibuy, buy_get, quantity_group)
ON_UNITS: tuple[Make, ...] = (*SETS, item_percent, item_amount, item_fixed, cheapest)
EXTRA: tuple[Make, ...] = (free_item, on_charge)
WIDE: tuple[Make, ...] = (
    markup,
    order_amount_wide,
    tiered_wide,
    buy_get_wide,
    cheapest_wide,
    group_wide,
    first_then_wide,
    free_once,
)


def condition(rng: random.Random) -> dict[str, Any]:
    kind = rng.choice(("min_subtotal", "max_subtotal", "min_qty", "max_qty", "min_line_qty", "min_value", "contains"))
    if kind in ("min_subtotal", "max_subtotal"):
        found: dict[str, Any] = {"type": kind, "amount_minor": rng.choice((500, 1000, 3000))}
        if kind == "min_subtotal" and rng.random() < 0.3:
            found["base"] = "original"
        return found
    if kind == "min_value":
        return {"type": kind, "amount_minor": rng.choice((300, 1000)), "target": target(rng)}
    if kind == "contains":
        return {"type": kind, "target": {"skus": sorted(rng.sample(SKUS, 2))}}
    if kind == "min_line_qty":
        return {"type": kind, "qty": rng.randint(1, 3)}
    return {"type": kind, "qty": rng.randint(1, 5), "target": target(rng)}


def condition_wide(rng: random.Random) -> dict[str, Any]:
    kind = rng.choice(("distinct", "nth_order", "min_subtotal", "max_subtotal", "min_line_qty"))
    if kind == "distinct":
        return {"type": kind, "count": rng.randint(1, 3), "target": target(rng)}
    if kind == "nth_order":
        return {"type": kind, "n": rng.randint(1, 3)}
    if kind == "min_line_qty":
        return {"type": kind, "qty": rng.randint(1, 3), "target": target(rng)}
    found = {"type": kind, "amount_minor": rng.choice((500, 1000, 3000)), "tax": rng.choice(("excl", "incl"))}
    return found | ({"base": "original"} if rng.random() < 0.3 else {})


def gates(rng: random.Random) -> dict[str, Any]:
    """When, where and for whom a promotion holds."""
    found: dict[str, Any] = {}
    if rng.random() < 0.4:
        found["window"] = rng.choice(
            (
                {"from": "2026-03-02"},
                {"to": "2026-03-05"},
                {"from": "2026-03-04T12:00:00", "to": "2026-03-05T12:00:00"},
                {"from": "2026-03-01", "to": "2026-03-31"},
            )
        )
    if rng.random() < 0.3:
        found["schedule"] = {"days": rng.sample(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 4)}
        if rng.random() < 0.5:
            found["schedule"]["times"] = rng.choice(([["08:00", "12:00"]], [["12:00", "18:00"], ["22:00", "23:30"]]))
    if rng.random() < 0.3:
        found["channels"] = rng.sample(("web", "till", "app"), 2)
    if rng.random() < 0.3:
        found["customer_groups"] = rng.sample(("gold", "staff", "b2b"), rng.randint(1, 2))
    return found


def limits_wide(rng: random.Random) -> dict[str, Any]:
    found = limits(rng)
    if rng.random() < 0.5:
        found |= {"max_uses_per_customer": 2, "customer_used": rng.randint(0, 2)}
    return found


def context(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"channel": rng.choice(("web", "till"))}
    if rng.random() < 0.7:
        found["customer"] = {
            "id": "c1",
            "groups": rng.sample(("gold", "staff", "b2b"), rng.randint(0, 2)),
            "completed_orders": rng.randint(0, 2),
        }
    return found


def loyalty(rng: random.Random) -> dict[str, Any]:
    earn: dict[str, Any] = {"per": rng.choice(("unit", "currency_unit")), "points": rng.choice((1, 2, "0.5"))}
    if rng.random() < 0.3:
        earn["target"] = {"skus": sorted(rng.sample(SKUS, 2))}
    if rng.random() < 0.2:
        earn["base"] = "before_redemption"
    found: dict[str, Any] = {"earn": earn, "opening_points": rng.choice((0, 50, 1000))}
    if rng.random() < 0.6:
        found["burn"] = {"points": rng.choice((10, 100))}
        found["burn"] |= rng.choice(
            ({"value_minor_per_point": rng.choice((1, 5))}, {"free_item": {"sku": "A", "qty": 1}})
        )
        found["redeem"] = rng.random() < 0.8
    return found


def refund(rng: random.Random, items: list[dict[str, Any]]) -> dict[str, Any]:
    kept = [x for x in items if isinstance(x["qty"], int) and x["qty"] > 0]
    chosen = {x["sku"]: rng.randint(1, x["qty"]) for x in rng.sample(kept, min(len(kept), rng.randint(1, 2)))}
    found: dict[str, Any] = {"lines": [{"sku": sku, "qty": qty} for sku, qty in chosen.items()]}
    return found | ({"policy": "reprice_kept"} if rng.random() < 0.5 else {})


def limits(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rng.random() < 0.4:
        found["max_applications"] = rng.randint(1, 2)
    if rng.random() < 0.4:
        found |= {"budget_minor": rng.choice((100, 500, 2000)), "budget_spent_minor": rng.choice((0, 50, 100))}
        if rng.random() < 0.4:
            found["on_exceed"] = "skip"
    if rng.random() < 0.3:
        found |= {"max_uses": 10, "used": rng.choice((9, 10)), "cancelled_uses": 1}
        found["release_on_cancel"] = rng.random() < 0.5
    return found


OF_A_BASE = {
    *("order_percent_off", "item_markup_percent", "bundle_percent_off", "buy_get", "quantity_group", "tiered_percent"),
    *("cheapest_percent_off", "charge_percent_off"),
}


def promotion(rng: random.Random, number: int, makers: tuple[Make, ...], level: str) -> dict[str, Any]:
    benefits = [rng.choice(makers)(rng) for _ in range(2 if rng.random() < 0.1 else 1)]
    if any(b["type"] == "item_markup_percent" for b in benefits):
        benefits = benefits[:1]  # what a markup adds and another benefit takes off again is neither given nor not
    for benefit in benefits:
        if benefit["type"] in OF_A_BASE and rng.random() < 0.1:
            benefit["base"] = "original"
    found: dict[str, Any] = {"id": f"p{number}", "conditions": [], "benefits": benefits}
    if rng.random() < 0.5:
        found["priority"] = rng.randint(0, 5)
    if level == "item":
        return found
    if rng.random() < 0.3:
        found["conditions"] = [condition(rng)]
    if level in ("best", "crowd"):
        if rng.random() < 0.15:
            found["limits"] = {"max_applications": rng.randint(1, 2)}
        return found
    if rng.random() < 0.15:
        found["group"] = rng.choice(("g", "h"))
    elif rng.random() < 0.1:
        found["exclusive"] = True
    if rng.random() < 0.1:
        found["benefits"] = [{"type": "item_percent_off", "percent": rng.choice((5, 10, 20)), "target": target(rng)}]
        found["stage"] = "catalog"
    if level == "wide":
        found |= gates(rng)
        if rng.random() < 0.2:
            found["conditions"].append(condition_wide(rng))
        if rng.random() < 0.2:
            found["limits"] = limits_wide(rng)
        if rng.random() < 0.1:
            found["manual"] = True
        if rng.random() < 0.1:
            found["coupon"] = rng.choice(("SAVE", "MORE"))
        if rng.random() < 0.1:
            found["funded_by"] = rng.choice(("vendor", "store"))
    if level == "full":
        if rng.random() < 0.25:
            found["limits"] = limits(rng)
        if rng.random() < 0.2:
            found["coupon"] = rng.choice(("SAVE", "MORE"))
        if rng.random() < 0.1:
            found["funded_by"] = "vendor"
    return found


def item(rng: random.Random, level: str, line: int) -> dict[str, Any]:
    sku = rng.choice(SKUS)
    most = {"best": 2, "crowd": 6}.get(level, 4)
    found: dict[str, Any] = {"sku": sku, "category": CATEGORIES[sku], "qty": rng.randint(1, most)}
    found["unit_price_minor"] = rng.choice(PRICES)
    if level in ("full", "wide", "tax"):
        if rng.random() < 0.8:
            found["tax_class"] = rng.choice(("std", "red"))
        if rng.random() < 0.1 and line > 0:
            found["qty"] = -rng.randint(1, 2)
        elif rng.random() < 0.1:
            found["qty"] = rng.choice(("0.5", "1.25", "0.333"))
    if level == "wide" and rng.random() < 0.1:
        found |= {"uom": "case", "uom_factor": rng.choice((2, 6, "0.5"))}
    if level in ("full", "wide"):
        if rng.random() < 0.15:
            found["min_price_minor"] = found["unit_price_minor"] * rng.randint(50, 95) // 100
        if rng.random() < 0.1:
            found["discountable"] = False
        if rng.random() < 0.1 and isinstance(found["qty"], int):
            found["deposit_minor"] = rng.choice((8, 15, 25))
    return found


def tax(rng: random.Random) -> dict[str, Any]:
    std: list[dict[str, Any]] = [{"name": "VAT", "percent": rng.choice((19, 20, 8.875))}]
    if rng.random() < 0.3:
        std.append({"name": "LOCAL", "percent": rng.choice((1, 2.5, 9.975))})
        if rng.random() < 0.5:
            std[1]["on"] = ["VAT"]
    if rng.random() < 0.2:
        std.append({"name": "ECO", "amount_minor_per_unit": rng.choice((3, 10))})
    red = [{"name": rng.choice(("VAT", "RED")), "percent": rng.choice((5, 7))}]
    found: dict[str, Any] = {"mode": rng.choice(("inclusive", "exclusive")), "rates": {"std": std, "red": red}}
    if found["mode"] == "exclusive" and rng.random() < 0.2:
        red[0]["mode"] = "inclusive"
    found |= {"round_at": rng.choice(("unit", "line", "total")), "rounding": "half_up"}
    if rng.random() < 0.2:
        found["round_target"] = "net"
    if rng.random() < 0.2:
        found["base"] = "before_discount"
    return found


def tax_wide(rng: random.Random) -> dict[str, Any]:
    """Any mix of taxes in a class: inside the price and on top, dated, compound, per unit, without a name."""
    found: dict[str, Any] = {"mode": rng.choice(("inclusive", "exclusive")), "rates": {}}
    for name in ("std", "red"):
        rates: list[dict[str, Any]] = []
        for number in range(rng.randint(1, 3)):
            rate: dict[str, Any] = {"name": f"T{number}" if rng.random() < 0.5 else f"{name}{number}"}
            rate |= (
                {"percent": rng.choice((1, 5, 7.7, 19, "8.875"))}
                if rng.random() < 0.8
                else {"amount_minor_per_unit": rng.choice((1, 3, 10))}
            )
            if rng.random() < 0.4:
                rate["mode"] = rng.choice(("inclusive", "exclusive"))
            if number and rng.random() < 0.4:
                rate["on"] = [rates[rng.randrange(number)]["name"]]
            if rng.random() < 0.2:
                rate |= rng.choice(({"from": "2026-03-04"}, {"to": "2026-03-04"}))
            rates.append(rate)
        found["rates"][name] = rates
    found |= {"round_at": rng.choice(("unit", "line", "total")), "rounding": rng.choice(("half_up", "down", "up"))}
    if rng.random() < 0.2:
        found["round_target"] = "net"
    if rng.random() < 0.2:
        found["base"] = "before_discount"
    return found


def tender(rng: random.Random) -> dict[str, Any]:
    step, mode = rng.choice((5, 10, 50)), rng.choice(("half_up", "half_down", "up", "down"))
    payments: list[dict[str, Any]] = [{"method": "cash"}]
    if rng.random() < 0.4:
        payments.insert(0, {"method": "card", "amount_minor": rng.choice((100, 123))})
    found: dict[str, Any] = {"payments": payments, "cash_rounding": {"increment_minor": step, "mode": mode}}
    if rng.random() < 0.3:
        found["gift_cards"] = [{"balance_minor": rng.choice((100, 777))} for _ in range(rng.randint(1, 2))]
    return found


def rules(rng: random.Random, level: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if level in ("sets", "full", "wide"):
        found["group_modes"] = {"g": "best", "h": "first"}
    if level in ("full", "wide"):
        if rng.random() < 0.3:
            found["percent_round_at"] = rng.choice(("unit", "line", "set"))
        if rng.random() < 0.2:
            found["rounding"] = "down"
        if rng.random() < 0.2:
            found["price_round"] = "after_discount"
    return found


def random_case(rng: random.Random, level: str) -> dict[str, Any]:
    """One valid case of the level; `expect` is empty. The same rng state draws the same case."""
    if level not in LEVELS:
        raise ValueError(f"level: expected one of {LEVELS}, found {level!r}")
    full = ITEM + SETS * 2 + EXTRA
    makers = {"item": ITEM, "sets": ITEM + SETS * 2, "full": full, "wide": full + WIDE * 3, "tax": ITEM[5:7]}
    count = rng.randint(0, 1) if level == "tax" else rng.randint(1, 4)
    found: dict[str, Any] = {"id": f"random-{level}-{rng.getrandbits(32):08x}", "source": "ringup", "kind": "random"}
    found |= {"currency": rng.choice(("EUR", "EUR", "CLP", "KWD")), "coupons": []}
    found["items"] = [item(rng, level, line) for line in range(rng.randint(1, 4))]
    found["promotions"] = [promotion(rng, n, makers.get(level, ON_UNITS), level) for n in range(count)]
    chosen = rules(rng, level)
    if chosen:
        found["rules"] = chosen
    if level in ("best", "crowd"):
        found["selection"] = "best_deal"
    if level == "tax" or (level in ("full", "wide") and rng.random() < 0.6):
        found["tax"] = tax(rng)
    if level == "wide":
        found["context"] = context(rng)
        if rng.random() < 0.8:
            found["at"] = rng.choice(("2026-03-02T09:00:00", "2026-03-04T12:00:00", "2026-03-05T23:00:00"))
        if rng.random() < 0.2:
            found["loyalty"] = loyalty(rng)
        if rng.random() < 0.3 and any(isinstance(x["qty"], int) and x["qty"] > 0 for x in found["items"]):
            found["refund"] = refund(rng, found["items"])
    if level in ("full", "wide"):
        if rng.random() < 0.4:
            found["charges"] = [{"id": "ship", "amount_minor": rng.choice((300, 499)), "tax_class": "std"}]
        if rng.random() < 0.6:
            found["coupons"] = rng.sample(("SAVE", "MORE", "NONE"), rng.randint(1, 2))
        if rng.random() < 0.4:
            found["tender"] = tender(rng)
    found["expect"] = {}
    return found


def random_book(rng: random.Random) -> dict[str, Any]:
    """One valid case that asks a price book for the price of one item."""
    rows = []
    for _ in range(rng.randint(1, 6)):
        row: dict[str, Any] = {"list": rng.choice(("base", "base", "vip", "b2b"))}
        row |= {"currency": rng.choice(("EUR", "EUR", "EUR", "USD")), "price_minor": rng.choice((900, 950, 1000, 1100))}
        optional: dict[str, Any] = {
            "min_qty": rng.choice((1, 2, 5, 10)),
            "max_qty": rng.choice((4, 9)),
            "from": rng.choice(("2026-03-01", "2026-03-04T12:00:00")),
            "to": rng.choice(("2026-03-04", "2026-03-05")),
            "overrides_base": True,
            "uom": "tonne",
        }
        row |= {key: value for key, value in optional.items() if rng.random() < 0.25}
        rules: dict[str, Any] = {
            "group": rng.choice(("gold", ["gold", "silver"], "silver")),
            "region": rng.choice(("north", ["north", "south"])),
            "company": rng.choice(("acme", "beta")),
        }
        rules = {key: value for key, value in rules.items() if rng.random() < 0.3}
        rows.append(row | ({"rules": rules} if rules else {}))
    sold: dict[str, Any] = {"sku": "A", "qty": rng.choice((1, 2, 5, 10, "0.5"))}
    if rng.random() < 0.4:
        sold |= {"uom": rng.choice(("tonne", "kg")), "uom_factor": rng.choice((1, 1000, "0.001"))}
    asked: dict[str, Any] = {"group": rng.choice(("gold", "silver")), "region": "north", "company": "acme"}
    asked = {key: value for key, value in asked.items() if rng.random() < 0.5}
    found: dict[str, Any] = {"id": "random-book", "currency": "EUR", "items": [sold], "price_book": rows, "expect": {}}
    if rng.random() < 0.7:
        found["at"] = rng.choice(("2026-03-02T09:00:00", "2026-03-04T12:00:00", "2026-03-04T00:00:00"))
    if asked:
        found["context"] = {"pricing": asked}
    if rng.random() < 0.2:
        found["rules"] = {"price_selection": "lowest"}
    return found
