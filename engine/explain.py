"""A price as a person reads it: what applied, how often and where; why the rest did not; what would."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from ringup.engine.explain_prices import explain_rows
from ringup.engine.explain_text import instant, money, quantity
from ringup.engine.simulate_extras import exact
from ringup.engine.simulate_pricing import Answer
from ringup.engine.simulate_request import Case
from ringup.v1 import promotion_pb2 as pb

UNITS_MORE_MAX = 5
LINES_TRIED_MAX = 20
OUT = {name.removeprefix("PROMOTION_OUTCOME_"): number for name, number in pb.PromotionOutcome.items()}
REACHABLE = {OUT[name] for name in ("SET_INCOMPLETE", "NEEDS_QTY", "NEEDS_VALUE", "NOTHING_TO_GIVE")}


def of_target(target: dict[str, Any] | None) -> str:
    """What a target is about: " of fruit", " of A or B"; nothing for everything."""
    names = [*(target or {}).get("skus", ()), *(target or {}).get("categories", ())]
    if not names:
        return ""
    return f" of {' or '.join(names[:3])}{' ...' if len(names) > 3 else ''}"


def reason(
    promotion: pb.ExplainedPromotion, currency: str, defined: dict[str, Any] | None = None, zone: str | None = None
) -> str:
    """Why a promotion gave nothing, with its numbers; what it asks for comes from its definition, where it is known."""
    found, needed, other = promotion.found, promotion.needed, promotion.other_promotion_id
    conditions = (defined or {}).get("conditions", ())
    failed = conditions[promotion.condition - 1] if 0 < promotion.condition <= len(conditions) else {}
    of = of_target(failed.get("target"))
    texts = {
        "EXPIRED": f"it is over since {instant(needed, zone)}" if needed else "it is over",
        "NOT_STARTED": f"it begins on {instant(needed, zone)}" if needed else "it has not begun",
        "SCHEDULE": "not on this day or at this hour",
        "WRONG_CHANNEL": "not in this channel",
        "WRONG_CUSTOMER": "not for this customer's groups",
        "WRONG_CURRENCY": "its amounts are in another currency",
        "COUPON_MISSING": "its coupon was not presented",
        "USAGE_LIMIT": f"used {found} times of {needed}",
        "CUSTOMER_LIMIT": f"this customer has used it {found} times of {needed}",
        "BUDGET": f"{money(found, currency)} of its budget is left",
        "NEEDS_VALUE": f"{money(needed - found, currency)} more{of} are needed to reach {money(needed, currency)}",
        "ABOVE_VALUE": f"{money(found, currency)}{of} is more than {money(needed, currency)}",
        "NEEDS_QTY": f"needs {quantity(needed - found)} more{of}",
        "ABOVE_QTY": f"{quantity(found)} units{of} are more than {quantity(needed)}",
        "NEEDS_DISTINCT": f"needs {needed - found} more different items{of}",
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
    answer, currency = Answer(case, zone, explains_prices=True), case["currency"]
    response = answer.response
    if answer.unpriced:
        for index, (item, (price, _)) in enumerate(zip(case["items"], answer.prices, strict=True)):
            if price is None:
                yield f"{item['qty']} x {item['sku']}: no price"
                yield from explain_rows(answer.book[index].rows, currency, zone)
        return
    for index, (item, line) in enumerate(zip(case["items"], response.lines, strict=True)):
        cut = line.gross_minor - line.total_minor
        less = f" less {money(cut, currency)}" if cut else ""
        yield f"{item['qty']} x {item['sku']}: {money(line.gross_minor, currency)}{less}"
        if index in answer.book:
            yield from explain_rows(answer.book[index].rows, currency, zone)
    defined = {promotion["id"]: promotion for promotion in case.get("promotions", ())}

    def label(promotion_id: str) -> str:
        name = defined.get(promotion_id, {}).get("name")
        return f"{promotion_id} ({name})" if name else promotion_id

    for promotion in answer.applied():
        where = ", ".join(
            f"{run.count} x {case['items'][run.line]['sku']} at {money(run.amount_minor, currency)}"
            for run in promotion.units
        )
        times = "once" if promotion.applications == 1 else f"{promotion.applications} times"
        gave = money(promotion.discount_minor, currency)
        yield f"+ {label(promotion.promotion_id)} {times}: {gave} ({where or 'charges'})"
    for promotion in response.promotions:
        if promotion.outcome != OUT["APPLIED"]:
            name = promotion.promotion_id
            yield f"- {label(name)}: {reason(promotion, currency, defined.get(name), zone)}"
    reasons = {p.promotion_id: p for p in response.promotions}
    for coupon in response.coupons:
        if coupon.outcome == OUT["UNKNOWN"]:
            yield f"- coupon {coupon.code}: no promotion has it"
        elif coupon.outcome != OUT["APPLIED"]:
            name = coupon.promotion_id
            why = reason(reasons[name], currency, defined.get(name), zone) if name in reasons else "not taken"
            yield f"- coupon {coupon.code}: not taken, see {label(name)}: {why}"
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
    """Offers within reach: "add 1 more A: 2.00 EUR off", found by pricing the larger basket.

    For each promotion that gave nothing, the fewest units of a line that make it apply and the discount grow; of
    several lines the one that gains most, then the cheapest to add.
    """
    currency, before = case["currency"], answer.response.discount_minor
    lines = [(index, item) for index, item in enumerate(case["items"]) if exact(item["qty"]) > 0][:LINES_TRIED_MAX]
    for promotion in answer.response.promotions:
        if promotion.outcome not in REACHABLE:
            continue
        best: tuple[tuple[int, int], str] | None = None
        for index, item in lines:
            for more in _steps(promotion, item, answer.prices[index][0] or 0):
                items = [dict(entry) for entry in case["items"]]
                items[index]["qty"] = _text(exact(item["qty"]) + more)
                trial = Answer({**case, "items": items}, zone, answer.pricer)
                gained = trial.response.discount_minor - before
                if gained <= 0 or promotion.promotion_id not in trial.key_applied():
                    continue
                costs = trial.response.total_minor - answer.response.total_minor
                pays = "for nothing more" if costs == 0 else f"and pay {money(-costs, currency)} less"
                pays = f"for {money(costs, currency)} more" if costs > 0 else pays
                text = (
                    f"add {_shown(more)} more {item['sku']}: {money(gained, currency)} off"
                    f" ({promotion.promotion_id}), {pays}"
                )
                if best is None or (gained, -costs) > best[0]:
                    best = (gained, -costs), text
                break
        if best is not None:
            yield best[1]


def _steps(promotion: pb.ExplainedPromotion, item: dict[str, Any], price_minor: int) -> list[Fraction]:
    """How much more of a line may make a promotion apply, the least first."""
    missing = promotion.needed - promotion.found
    if promotion.outcome == OUT["NEEDS_VALUE"]:
        # What is added may be discounted itself, and then a little more is needed.
        first = -(-missing // price_minor) if price_minor > 0 else UNITS_MORE_MAX + 1
        steps = [Fraction(more) for more in range(first, first + 3)]
    elif promotion.outcome == OUT["NEEDS_QTY"]:
        exact_step = Fraction(missing, 1000)
        steps = [exact_step if exact(item["qty"]).denominator > 1 else Fraction(-(-missing // 1000))]
    elif promotion.outcome == OUT["SET_INCOMPLETE"]:
        steps = [Fraction(missing)]
    else:
        steps = [Fraction(more) for more in range(1, UNITS_MORE_MAX + 1)]
    return [step for step in steps if 0 < step <= UNITS_MORE_MAX]


def _shown(more: Fraction) -> str:
    return str(_text(more))


def _text(number: Fraction) -> Any:
    return int(number) if number.denominator == 1 else str(float(number))
