"""Offers within reach: "add 1 more A: 2.00 EUR off", each found by pricing the larger basket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from ringup.engine.explain_text import money
from ringup.engine.simulate_extras import decimal_text, exact
from ringup.engine.simulate_pricing import Answer
from ringup.engine.simulate_request import Case
from ringup.v1 import promotion_pb2 as pb

UNITS_MORE_MAX = 5
LINES_TRIED_MAX = 20
OUT = {name.removeprefix("PROMOTION_OUTCOME_"): number for name, number in pb.PromotionOutcome.items()}
REACHABLE = {OUT[name] for name in ("SET_INCOMPLETE", "NEEDS_QTY", "NEEDS_VALUE", "NOTHING_TO_GIVE")}
# One more set of these is an offer also where there is one already.
SETS = {
    *("multibuy_cheapest_free", "buy_get", "bundle_fixed_price", "bundle_percent_off", "bundle_amount_off"),
    *("quantity_group", "free_item"),
}


def offers(case: Case, answer: Answer, zone: str | None = None) -> Iterator[str]:
    """For each promotion, the fewest units of a line that make it apply, or apply once more, and the discount grow.

    Of several lines it is the one that gains most, then the cheapest to add.
    """
    sets = {p["id"] for p in case.get("promotions", ()) if any(b["type"] in SETS for b in p["benefits"])}
    lines = [(index, item) for index, item in enumerate(case["items"]) if exact(item["qty"]) > 0][:LINES_TRIED_MAX]
    currency = case["currency"]
    trials: dict[tuple[int, Fraction], Answer] = {}

    def with_more(index: int, more: Fraction) -> Answer:
        if (index, more) not in trials:
            items = [dict(entry) for entry in case["items"]]
            items[index]["qty"] = _text(exact(items[index]["qty"]) + more)
            trials[index, more] = Answer({**case, "items": items}, zone, answer.pricer)
        return trials[index, more]

    before = _worth(answer)
    for promotion in answer.response.promotions:
        again = promotion.outcome in (OUT["APPLIED"], OUT["BEATEN"]) and promotion.promotion_id in sets
        if promotion.outcome not in REACHABLE and not again:
            continue
        best: tuple[tuple[int, int, int], str] | None = None
        for index, item in lines:
            for more in _steps(promotion, item):
                trial = with_more(index, more)
                gained, gifts = _worth(trial) - before, _gifts(trial, promotion) - _gifts(answer, promotion)
                grows = gained > 0 or (gained == 0 and bool(gifts))
                if trial.unpriced or not grows or _applications(trial, promotion) <= promotion.applications:
                    continue
                costs = trial.response.total_minor - answer.response.total_minor
                rank = gained, sum(gifts.values()), -costs
                if best is None or rank > best[0]:
                    what = [f"{money(gained, currency)} off"] if gained else []
                    what += [f"{count} x {sku} for nothing" for sku, count in gifts.items()]
                    text = f"{_text(more)} more {item['sku']}: {' and '.join(what)}"
                    best = rank, f"add {text} ({_name(promotion)}), {_paid(costs, currency)}"
                break
        if best is not None:
            yield best[1]


def _worth(answer: Answer) -> int:
    """What all promotions take off, of charges as well."""
    return int(answer.response.discount_minor + sum(charge.discount_minor for charge in answer.response.charges))


def _applications(answer: Answer, promotion: pb.ExplainedPromotion) -> int:
    return next((p.applications for p in answer.applied() if p.promotion_id == promotion.promotion_id), 0)


def _gifts(answer: Answer, promotion: pb.ExplainedPromotion) -> Counter[str]:
    gifts: Counter[str] = Counter()
    for free in answer.response.free_items:
        if free.promotion_id == promotion.promotion_id:
            gifts[free.item_id] += free.qty
    return gifts


def _name(promotion: pb.ExplainedPromotion) -> str:
    return promotion.promotion_id + (" once more" if promotion.applications else "")


def _paid(costs: int, currency: str) -> str:
    if costs == 0:
        return "for nothing more"
    return f"for {money(costs, currency)} more" if costs > 0 else f"and pay {money(-costs, currency)} less"


def _steps(promotion: pb.ExplainedPromotion, item: dict[str, Any]) -> list[Fraction]:
    """How much more of a line may make a promotion apply, the least first.

    What is added may be discounted itself or count in other units, so that more is needed than is missing.
    """
    if exact(item["qty"]).denominator == 1:
        return [Fraction(more) for more in range(1, UNITS_MORE_MAX + 1)]
    if promotion.outcome == OUT["NEEDS_QTY"]:
        missing = Fraction(promotion.needed - promotion.found, 1000) / exact(item.get("uom_factor", 1))
        return [missing] if 0 < missing <= UNITS_MORE_MAX and (missing * 1000).denominator == 1 else []
    return []


def _text(number: Fraction) -> Any:
    return int(number) if number.denominator == 1 else decimal_text(number)
