"""A price as a person reads it: what applied, how often and where; why the rest did not; what would."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from ringup.engine.simulate_extras import exact
from ringup.engine.simulate_pricing import Answer
from ringup.engine.simulate_request import Case
from ringup.native.currency import exponent
from ringup.v1 import promotion_pb2 as pb

UNITS_MORE_MAX = 5
OUT = {name.removeprefix("PROMOTION_OUTCOME_"): number for name, number in pb.PromotionOutcome.items()}


def money(amount_minor: int, currency: str) -> str:
    """An amount with its currency, exact: 12.34 EUR."""
    digits = exponent(currency)
    sign, size = ("-" if amount_minor < 0 else ""), str(abs(amount_minor)).rjust(digits + 1, "0")
    return f"{sign}{size[:-digits]}.{size[-digits:]} {currency}" if digits else f"{sign}{size} {currency}"


def quantity(milli: int) -> str:
    return f"{milli // 1000}" if milli % 1000 == 0 else f"{milli / 1000:.3f}".rstrip("0")


def reason(promotion: pb.ExplainedPromotion, currency: str) -> str:
    """Why a promotion gave nothing, with its numbers."""
    found, needed, other = promotion.found, promotion.needed, promotion.other_promotion_id
    texts = {
        "EXPIRED": "it is over",
        "NOT_STARTED": "it has not begun",
        "SCHEDULE": "not on this day or at this hour",
        "WRONG_CHANNEL": "not in this channel",
        "WRONG_CUSTOMER": "not for this customer's groups",
        "COUPON_MISSING": "its coupon was not presented",
        "USAGE_LIMIT": f"used {found} times of {needed}",
        "CUSTOMER_LIMIT": f"this customer has used it {found} times of {needed}",
        "BUDGET": f"{money(found, currency)} of its budget is left",
        "NEEDS_VALUE": f"{money(needed - found, currency)} more are needed to reach {money(needed, currency)}",
        "ABOVE_VALUE": f"{money(found, currency)} is more than {money(needed, currency)}",
        "NEEDS_QTY": f"needs {quantity(needed - found)} more",
        "ABOVE_QTY": f"{quantity(found)} units are more than {quantity(needed)}",
        "NEEDS_DISTINCT": f"needs {needed - found} more different items",
        "WRONG_ORDER": f"this is order number {found}, it is for number {needed}",
        "NOTHING_TO_GIVE": "nothing here can be made cheaper by it",
        "EXCLUDED": f"{other} is exclusive and came first",
        "BEATEN": f"beaten by {other or 'a better mix'} by {money(max(found - needed, 0), currency)}",
        "SET_INCOMPLETE": f"a set has {found} of its {needed} units",
    }
    name = pb.PromotionOutcome.Name(promotion.outcome).removeprefix("PROMOTION_OUTCOME_")
    return texts.get(name, name.lower())


def explain(case: Case, zone: str | None = None) -> Iterator[str]:
    """The lines of an explanation."""
    answer, currency = Answer(case, zone), case["currency"]
    response = answer.response
    for item, line in zip(case["items"], response.lines, strict=True):
        cut = line.gross_minor - line.total_minor
        less = f" less {money(cut, currency)}" if cut else ""
        yield f"{item['qty']} x {item['sku']}: {money(line.gross_minor, currency)}{less}"
    for promotion in answer.applied():
        where = ", ".join(
            f"{run.count} x {case['items'][run.line]['sku']} at {money(run.amount_minor, currency)}"
            for run in promotion.units
        )
        times = "once" if promotion.applications == 1 else f"{promotion.applications} times"
        yield f"+ {promotion.promotion_id} {times}: {money(promotion.discount_minor, currency)} ({where or 'charges'})"
    for promotion in response.promotions:
        if promotion.outcome != OUT["APPLIED"]:
            yield f"- {promotion.promotion_id}: {reason(promotion, currency)}"
    for coupon in response.coupons:
        if coupon.outcome == OUT["UNKNOWN"]:
            yield f"- coupon {coupon.code}: no promotion has it"
    for free in response.free_items:
        yield f"+ {free.qty} x {free.item_id} for nothing ({free.promotion_id})"
    if response.HasField("search") and not response.search.proven:
        search = response.search
        yield (
            f"? the best mix found gives {money(search.discount_minor, currency)}; none gives more than"
            f" {money(search.bound_minor, currency)}"
        )
    yield from (f"> {text}" for text in nudges(case, answer, zone))
    yield f"= {money(response.total_minor, currency)}"


def nudges(case: Case, answer: Answer, zone: str | None = None) -> Iterator[str]:
    """Offers within reach: "add 1 more A: 2.00 EUR off", found by pricing the larger basket."""
    near = {
        p.promotion_id: (p.needed - p.found) if p.outcome == OUT["SET_INCOMPLETE"] else -((p.found - p.needed) // 1000)
        for p in answer.response.promotions
        if p.outcome in (OUT["SET_INCOMPLETE"], OUT["NEEDS_QTY"])
    }
    before = answer.response.discount_minor
    for promotion_id, more in near.items():
        if not 0 < more <= UNITS_MORE_MAX:
            continue
        best: tuple[int, str] | None = None
        for index, item in enumerate(case["items"]):
            if exact(item["qty"]) <= 0:
                continue
            items = [dict(entry) for entry in case["items"]]
            items[index]["qty"] = _text(exact(item["qty"]) + more)
            trial = Answer({**case, "items": items}, zone, answer.pricer)
            gained = trial.response.discount_minor - before
            if promotion_id in trial.key_applied() and gained > 0 and (best is None or gained > best[0]):
                best = (gained, item["sku"])
        if best is not None:
            yield f"add {more} more {best[1]}: {money(best[0], case['currency'])} off ({promotion_id})"


def _text(number: Fraction) -> Any:
    return int(number) if number.denominator == 1 else str(float(number))
