"""What a case can ask beside the price of its basket: barcodes, tenders, points, other currencies.

All arithmetic is on integers and fractions; a number that came as a JSON float is read as its author
wrote it.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ringup.engine.simulate_request import ROUNDINGS, Unfit, scaled
from ringup.native import tender as tender_core
from ringup.native.currency import convert_minor
from ringup.native.embedded_codes import read_code
from ringup.v1 import loyalty_pb2 as pb


def exact(number: Any) -> Fraction:
    return Fraction(number) if isinstance(number, int) else Fraction(str(number))


def decimal_text(number: Fraction) -> str:
    text = f"{Decimal(number.numerator) / Decimal(number.denominator):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# ---- barcodes

LENGTHS = {"ean13": 13, "ean8": 8, "upca": 12, "upc": 12, "itf14": 14} | {f"gtin{n}": n for n in (8, 12, 13, 14)}


def read_barcode(barcode: dict[str, Any]) -> dict[str, str]:
    """{value, base_code} of a code under a pattern, or {error: invalid} for a code that does not scan."""
    size = LENGTHS.get(re.sub("[^a-z0-9]", "", barcode.get("symbology", "").lower()), 0)
    try:
        found = read_code(barcode["code"].encode(), barcode["pattern"].encode(), size)
    except ValueError as error:
        raise Unfit(f"barcode.{error}") from None
    return {"error": "invalid"} if found is None else {"value": found[0], "base_code": found[1]}


# ---- tenders


def settle(total: int, tender: dict[str, Any]) -> dict[str, Any]:
    """Gift cards in order, then payments; one without an amount takes what the others leave.

    Only what is paid in cash is rounded.  due_minor is what the payments bring in all.
    """
    cards = [card["balance_minor"] for card in tender.get("gift_cards", ())]
    payments = tender.get("payments") or ([{"method": "cash"}] if "cash_rounding" in tender else [])
    rule = tender.get("cash_rounding", {"increment_minor": 1, "mode": "half_up"})
    due, rounding, change, used = tender_core.settle(
        total,
        cards,
        [(p["method"] == "cash", p.get("amount_minor"), p.get("tendered_minor")) for p in payments],
        rule["increment_minor"],
        ROUNDINGS[rule["mode"]] - 1,  # the core counts from zero
    )
    return {
        "due_minor": due,
        "cash_rounding_minor": rounding,
        "change_minor": change,
        "gift_card_used_minor": used,
        "gift_card_left_minor": [balance - taken for balance, taken in zip(cards, used, strict=True)],
    }


# ---- points


def program(loyalty: dict[str, Any]) -> pb.LoyaltyProgram:
    """The loyalty program of a case."""
    earn, burn = loyalty["earn"], loyalty.get("burn", {})
    target, reward = earn.get("target") or {}, burn.get("free_item", {})
    return pb.LoyaltyProgram(
        earn_basis=pb.EARN_BASIS_UNIT if earn["per"] == "unit" else pb.EARN_BASIS_CURRENCY_UNIT,
        earn_points_micro=scaled(earn["points"], 10**6, "loyalty.earn.points"),
        item_ids=target.get("skus", ()),
        categories=target.get("categories", ()),
        earn_before_redemption=earn.get("base") == "before_redemption",
        burn_points=burn.get("points", 0),
        value_minor_per_point=0 if reward else burn.get("value_minor_per_point", 0),
        reward_item_id=reward.get("sku", ""),
        reward_qty=reward.get("qty", 0),
    )


def points_text(points_micro: int) -> int | str:
    """Points as a case writes them: whole, or a decimal text."""
    whole, rest = divmod(points_micro, 10**6)
    return whole if rest == 0 else decimal_text(Fraction(points_micro, 10**6))


# ---- other currencies


def converted(amount: int, rate: Any, ours: str, theirs: str) -> int:
    """An amount shown in another currency, at `rate` units of it for one of ours."""
    at = exact(rate)
    try:
        return convert_minor(amount, at.numerator, at.denominator, ours, theirs)
    except (ValueError, OverflowError) as error:
        raise Unfit(str(error)) from None
