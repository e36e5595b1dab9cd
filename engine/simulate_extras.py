"""What a case can ask beside the price of its basket: price books, barcodes, tenders, points, other currencies.

All arithmetic is on integers and fractions; a number that came as a JSON float is read as its author
wrote it.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ringup.engine.simulate_request import ROUNDINGS, Case, Clock, Unfit, scaled
from ringup.native import tender as tender_core
from ringup.native.currency import convert_minor
from ringup.native.embedded_codes import read_code
from ringup.v1 import loyalty_pb2 as pb


def exact(number: Any) -> Fraction:
    return Fraction(number) if isinstance(number, int) else Fraction(str(number))


def rounded(value: Fraction, mode: str = "half_up") -> int:
    """To a whole number; symmetric around zero but for ceiling and floor."""
    whole, rest = divmod(abs(value), 1)
    sign = -1 if value < 0 else 1
    half = Fraction(1, 2)
    up = {
        "half_up": rest >= half,
        "half_down": rest > half,
        "half_even": rest > half or (rest == half and whole % 2 == 1),
        "up": rest > 0,
        "down": False,
        "ceiling": rest > 0 and sign > 0,
        "floor": rest > 0 and sign < 0,
    }[mode]
    return sign * (int(whole) + up)


def decimal_text(number: Fraction) -> str:
    text = f"{Decimal(number.numerator) / Decimal(number.denominator):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# ---- price books


def _row_price(row: dict[str, Any], item: dict[str, Any], case: Case, clock: Clock) -> int | None:
    """The price of one of the item's units by a row, or None when the row does not match.

    A row in the item's own unit counts and prices that unit, a row without a unit the base unit; a row in
    another unit is about base units when the item is not sold in those itself, else it does not match.
    """
    if row.get("sku", item["sku"]) != item["sku"] or (row.get("currency") or case["currency"]).upper() != (
        case["currency"].upper()
    ):
        return None
    factor, qty = exact(item.get("uom_factor", 1)), abs(exact(item["qty"]))
    if "uom" in row and row["uom"] == item.get("uom"):
        price = int(row["price_minor"])
    elif "uom" in row and factor == 1:  # the item is sold in base units, the row prices another unit
        return None
    else:
        qty *= factor
        price = rounded(row["price_minor"] * factor)
    low, high = row.get("min_qty"), row.get("max_qty")
    if (low is not None and qty < exact(low)) or (high is not None and qty > exact(high)):
        return None
    if clock.at is not None:
        now = clock.at_ns()
        if row.get("from") is not None and now < clock.ns_of(row["from"]):
            return None
        if row.get("to") is not None and now >= clock.ns_of(row["to"]):
            return None
    asked = case.get("context", {}).get("pricing", {})
    for key, wanted in row.get("rules", {}).items():
        if asked.get(key) not in (wanted if isinstance(wanted, list) else [wanted]):
            return None
    return price


def book_prices(item: dict[str, Any], case: Case, clock: Clock) -> tuple[int | None, int | None]:
    """(unit price, list price) by the price book; (None, None) when no row matches.

    Most rules win, then a row in the item's own unit, then the lowest price.  A row that overrides
    the base stands before all others and is the list price too.
    """
    rows = [(row, _row_price(row, item, case, clock)) for row in case.get("price_book", ())]
    found = [(row, price) for row, price in rows if price is not None]
    if not found:
        return None, None

    def best(rows: list[tuple[dict[str, Any], int]]) -> int:
        return min(rows, key=lambda p: (-len(p[0].get("rules", {})), p[0].get("uom") != item.get("uom"), p[1]))[1]

    over = [pair for pair in found if pair[0].get("overrides_base")]
    if over:
        return best(over), best(over)
    base = [pair for pair in found if pair[0].get("list", "base") == "base"]
    if case.get("rules", {}).get("price_selection", "").startswith(("lowest", "cheapest", "best", "min")):
        price = min(price for _, price in found)
    else:
        price = best(found)
    return price, best(base) if base else price


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
