"""A price as a person reads it: what applied, how often and where; why the rest did not; what would."""

from __future__ import annotations

from collections.abc import Iterator

from ringup.engine.explain_offers import OUT, offers
from ringup.engine.explain_prices import explain_rows
from ringup.engine.explain_reasons import reason
from ringup.engine.explain_text import money, times
from ringup.engine.simulate_extras import exact, points_text, settle
from ringup.engine.simulate_pricing import Answer
from ringup.engine.simulate_request import Case
from ringup.v1 import promotion_pb2 as pb


def explain(case: Case, zone: str | None = None) -> Iterator[str]:
    """The lines of an explanation; what is not indented or marked sums to the line that begins with "=".

    Raises Unfit for a value that the engine cannot hold.
    """
    answer, currency = Answer(case, zone, explains_prices=True), case["currency"]
    if answer.unpriced:
        for index, (item, (price, _)) in enumerate(zip(case["items"], answer.prices, strict=True)):
            if price is None:
                yield f"{item['qty']} x {item['sku']}: no price"
                yield from explain_rows(answer.book[index].rows, currency, zone)
        return
    yield from _lines(case, answer, zone)
    yield from _promotions(case, answer, zone)
    yield from (f"> {text}" for text in offers(case, answer, zone))
    yield from _beside_the_lines(answer, currency)
    within = [f"{money(tax.tax_minor, currency)} tax {tax.name}" for tax in answer.response.taxes if tax.inclusive]
    yield f"= {money(answer.response.total_minor, currency)}" + (f", of it {' and '.join(within)}" if within else "")
    yield from _payment(case, answer)


def _lines(case: Case, answer: Answer, zone: str | None) -> Iterator[str]:
    currency = case["currency"]
    for index, (item, line) in enumerate(zip(case["items"], answer.response.lines, strict=True)):
        yield f"{item['qty']} x {item['sku']}: {_less(line.gross_minor, line.gross_minor - line.total_minor, currency)}"
        if index in answer.book:
            yield from explain_rows(answer.book[index].rows, currency, zone)


def _less(amount: int, cut: int, currency: str) -> str:
    if cut < 0:
        return f"{money(amount, currency)} and {money(-cut, currency)} more"
    return money(amount, currency) + (f" less {money(cut, currency)}" if cut else "")


def _promotions(case: Case, answer: Answer, zone: str | None) -> Iterator[str]:
    response, currency = answer.response, case["currency"]
    defined = {promotion["id"]: promotion for promotion in case.get("promotions", ())}
    modes = case.get("rules", {}).get("group_modes", {})

    def label(promotion_id: str) -> str:
        name = defined.get(promotion_id, {}).get("name")
        return f"{promotion_id} ({name})" if name else promotion_id

    def why(promotion: pb.ExplainedPromotion) -> str:
        return reason(promotion, currency, defined.get(promotion.promotion_id), zone, modes)

    for promotion in answer.applied():
        gifts = [free for free in response.free_items if free.promotion_id == promotion.promotion_id]
        parts = [f"{free.qty} x {free.item_id} for nothing" for free in gifts]
        if promotion.discount_minor or not gifts:
            parts.insert(0, f"{money(promotion.discount_minor, currency)} ({_where(case, promotion, currency)})")
        yield f"+ {label(promotion.promotion_id)} {times(promotion.applications)}: {', '.join(parts)}"
    if response.redeemed_minor:
        yield f"+ points: {money(response.redeemed_minor, currency)}"
    for free in response.free_items:
        if not free.promotion_id:
            yield f"+ points: {free.qty} x {free.item_id} for nothing"
    for promotion in response.promotions:
        if promotion.outcome != OUT["APPLIED"]:
            yield f"- {label(promotion.promotion_id)}: {why(promotion)}"
    reasons = {p.promotion_id: p for p in response.promotions}
    for coupon in response.coupons:
        if coupon.outcome == OUT["UNKNOWN"]:
            yield f"- coupon {coupon.code}: no promotion has it"
        elif coupon.outcome != OUT["APPLIED"]:
            name = coupon.promotion_id
            yield f"- coupon {coupon.code}: not taken, see {label(name)}" + (
                f": {why(reasons[name])}" if name in reasons else ""
            )
    if response.HasField("search") and not response.search.proven:
        search = response.search
        yield (
            f"? the best mix found gives {money(search.discount_minor, currency)}; none gives more than"
            f" {money(search.bound_minor, currency)}"
        )


def _where(case: Case, promotion: pb.ExplainedPromotion, currency: str) -> str:
    """The units and charges that a promotion made cheaper, equal ones together."""
    runs: dict[tuple[str, int], int] = {}
    parts = []
    for run in promotion.units:
        item = case["items"][run.line]
        if exact(item["qty"]).denominator > 1:
            parts.append(f"{money(run.amount_minor, currency)} on {item['qty']} x {item['sku']}")
        else:
            key = (item["sku"], run.amount_minor)
            runs[key] = runs.get(key, 0) + run.count
    parts += [f"{count} x {sku} at {money(amount, currency)}" for (sku, amount), count in runs.items()]
    if promotion.charge_discount_minor:
        parts.append(f"{money(promotion.charge_discount_minor, currency)} on charges")
    return ", ".join(parts)


def _beside_the_lines(answer: Answer, currency: str) -> Iterator[str]:
    """Charges, deposits and the taxes that are not in the prices."""
    response = answer.response
    for charge in response.charges:
        full = charge.amount_minor + charge.discount_minor
        yield f"{charge.charge_id}: {_less(full, charge.discount_minor, currency)}"
    if response.deposit_minor:
        yield f"deposits: {money(response.deposit_minor, currency)}"
    for tax in response.taxes:
        if tax.tax_minor and not tax.inclusive:
            yield f"tax {tax.name or 'without a name'}: {money(tax.tax_minor, currency)}"


def _payment(case: Case, answer: Answer) -> Iterator[str]:
    """How the total is paid, and the points of the basket."""
    currency, points = case["currency"], answer.response.points
    if "tender" in case:
        paid = settle(answer.response.total_minor, case["tender"])
        for number, used in enumerate(paid["gift_card_used_minor"], 1):
            left = money(paid["gift_card_left_minor"][number - 1], currency)
            yield f"gift card {number}: {money(used, currency)}, {left} left on it"
        if paid["cash_rounding_minor"]:
            yield f"rounded for cash by {money(paid['cash_rounding_minor'], currency)}"
        yield f"to pay: {money(paid['due_minor'], currency)}" + (
            f", change {money(paid['change_minor'], currency)}" if paid["change_minor"] else ""
        )
    if "loyalty" in case:
        parts = [f"{points_text(points.earned_micro)} earned", f"{points_text(points.burned_micro)} spent"]
        if case["loyalty"].get("opening_points") is not None:
            parts.append(f"{points_text(points.balance_micro)} then")
        yield f"points: {', '.join(parts)}"
