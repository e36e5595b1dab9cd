"""Paying in the pricing oracle: gift cards, cash rounding, change, and loyalty points."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pricing_basket import Basket, matches
from pricing_money import decimal_text, exact, exponent, rounded


def cash_rounded(amount: int, rounding: dict[str, Any]) -> int:
    """An amount in coins that exist; returns mirror sales."""
    step = int(rounding["increment_minor"])
    return rounded(Fraction(amount, step), rounding["mode"]) * step


def settle(total: int, tender: dict[str, Any]) -> dict[str, Any]:
    """Gift cards in order, then payments; a payment without an amount takes what the others leave.

    A cash rounding without payments says that all is paid in cash.
    due_minor is what the payments must bring in all: the total less gift cards plus the cash rounding.
    """
    left, used, rest = total, [], []
    for card in tender.get("gift_cards", ()):
        take = max(0, min(card["balance_minor"], left))
        used.append(take)
        rest.append(card["balance_minor"] - take)
        left -= take
    payments = tender.get("payments") or ([{"method": "cash"}] if "cash_rounding" in tender else [])
    known = sum(p["amount_minor"] for p in payments if "amount_minor" in p)
    rounding, change, remainder, remainder_taken = 0, 0, left - known, False
    for payment in payments:
        amount = payment.get("amount_minor")
        if amount is None:
            amount, remainder_taken = (0, True) if remainder_taken else (remainder, True)
        if payment["method"] != "cash":
            continue
        pay = cash_rounded(amount, tender["cash_rounding"]) if "cash_rounding" in tender else amount
        rounding += pay - amount
        if "tendered_minor" in payment:
            change += max(0, payment["tendered_minor"] - pay)
    found: dict[str, Any] = {"due_minor": left + rounding, "cash_rounding_minor": rounding, "change_minor": change}
    if "gift_cards" in tender:
        found |= {"gift_card_used_minor": used, "gift_card_left_minor": rest}
    return found


# ---- loyalty ---------------------------------------------------------------------------------------------------------


@dataclass
class Redemption:
    points: int = 0
    discount: int = 0
    free_item: tuple[str, int] | None = None


def redeem(loyalty: dict[str, Any], value: int) -> Redemption:
    """What points buy: a free item, or money off at most the value of the items; nothing where points are too few."""
    burn, opening = loyalty.get("burn"), loyalty.get("opening_points")
    if not loyalty.get("redeem") or burn is None or opening is None or opening < burn["points"]:
        return Redemption()
    if "free_item" in burn:
        return Redemption(burn["points"], 0, (burn["free_item"]["sku"], burn["free_item"]["qty"]))
    each = burn["value_minor_per_point"]
    discount = max(0, min(burn["points"] * each, value))
    return Redemption(-(-discount // each), discount)


def charged(loyalty: dict[str, Any], redemption: Redemption, discount: int) -> Redemption:
    """The redemption at what it took off in the end: floors may leave less than the points were worth."""
    if redemption.discount == 0:
        return redemption
    return Redemption(-(-discount // loyalty["burn"]["value_minor_per_point"]), discount)


def earned(loyalty: dict[str, Any], basket: Basket, redeemed: int, currency: str) -> Fraction:
    """Points for units bought or for what was paid for items, exact; free items earn nothing."""
    earn = loyalty["earn"]
    target = earn.get("target")
    points: Fraction = exact(earn["points"])
    if earn["per"] == "unit":
        return points * sum((x.qty for x in basket.lines if matches(x, target)), Fraction(0))
    amount = basket.value(target)
    if earn.get("base") == "before_redemption":
        amount += redeemed
    return max(Fraction(0), points * Fraction(amount, 10 ** exponent(currency)))


def points_text(points: Fraction) -> int | str:
    return int(points) if points.denominator == 1 else decimal_text(points)
