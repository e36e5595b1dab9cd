"""Price books and embedded barcodes: where a shelf price or a weight comes from."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from pricing_money import exact, rounded
from pricing_when import within

Row = dict[str, Any]
LOWEST = ("lowest", "lowest_price", "lowest_wins", "cheapest", "minimal", "min", "best")


def rules_match(row: Row, context: dict[str, Any]) -> bool:
    """All rules of a row hold; a list means any of its values."""
    for key, wanted in row.get("rules", {}).items():
        values = wanted if isinstance(wanted, list) else [wanted]
        if context.get(key) not in values:
            return False
    return True


def in_own_unit(row: Row, item: dict[str, Any]) -> bool:
    return "uom" in row and row["uom"] == item.get("uom")


def row_price(row: Row, item: dict[str, Any], case: dict[str, Any], zone: str | None) -> int | None:
    """The price per unit of the item that a row gives, or None where the row does not match.

    A row in the item's own unit of measure counts that unit; any other row counts and prices base units, and a row
    that names a unit does not match an item that is sold in base units.
    """
    factor = exact(item.get("uom_factor", 1))
    qty = exact(item["qty"])
    if in_own_unit(row, item):
        price = int(row["price_minor"])
    elif "uom" in row and factor == 1:
        return None
    else:
        qty *= factor
        price = rounded(row["price_minor"] * factor)
    if row["currency"] != case["currency"]:
        return None
    low, high = row.get("min_qty"), row.get("max_qty")
    if (low is not None and abs(qty) < low) or (high is not None and abs(qty) > high):
        return None
    if within(case.get("at"), row.get("from"), row.get("to"), zone) is not None:
        return None
    if not rules_match(row, case.get("context", {}).get("pricing", {})):
        return None
    return price


def book_prices(item: dict[str, Any], case: dict[str, Any], zone: str | None) -> tuple[int | None, int | None]:
    """(unit price, list price) of an item from the case's price book.

    Of the matching rows the one with most rules wins, then a row in the item's own unit, then the lowest price; rows
    that override base stand before all base rows. The list price is the best base row's, or the unit price itself
    where an override replaced the base or where there is no base row.
    """
    matching = [(row, row_price(row, item, case, zone)) for row in case.get("price_book", ())]
    found: list[tuple[Row, int]] = [(row, price) for row, price in matching if price is not None]
    if not found:
        return None, None

    def most_rules(rows: list[tuple[Row, int]]) -> int:
        return min(
            rows,
            key=lambda pair: (
                -len(pair[0].get("rules", {})),
                not in_own_unit(pair[0], item),
                pair[1],
            ),
        )[1]

    overrides = [pair for pair in found if pair[0].get("overrides_base")]
    if overrides:
        price = most_rules(overrides)
        return price, price
    if case.get("rules", {}).get("price_selection") in LOWEST:
        price = min(pair[1] for pair in found)
    else:
        price = most_rules(found)
    base = [pair for pair in found if pair[0]["list"] == "base"]
    return price, most_rules(base) if base else price


# ---- barcodes --------------------------------------------------------------------------------------------------------

CHECKED_LENGTHS = {"ean13": 13, "ean8": 8, "upca": 12, "upc": 12, "itf14": 14}
CHECKED_LENGTHS |= {f"gtin{length}": length for length in (8, 12, 13, 14)}


def check_digit(body: str) -> str:
    """GS1 modulo-10 check digit: weights 3, 1, 3, ... from the right."""
    total = sum(int(d) * (3 if i % 2 == 0 else 1) for i, d in enumerate(reversed(body)))
    return str(-total % 10)


def read_barcode(barcode: dict[str, Any]) -> dict[str, str]:
    """{value, base_code} of a code under a pattern, or {error: invalid}."""
    code, pattern = barcode["code"], barcode["pattern"]
    symbology = re.sub("[^a-z0-9]", "", barcode["symbology"].lower())
    length = CHECKED_LENGTHS.get(symbology)
    if not re.fullmatch("[0-9]+", code):
        return {"error": "invalid"}
    if length is not None and (len(code) != length or check_digit(code[:-1]) != code[-1]):
        return {"error": "invalid"}
    group = re.search(r"\{(N*)(D*)\}", pattern)
    flat = pattern if group is None else pattern[: group.start()] + group[0][1:-1] + pattern[group.end() :]
    if len(code) < len(flat):
        return {"error": "invalid"}
    for want, digit in zip(flat, code, strict=False):
        if want.isdigit() and want != digit:
            return {"error": "invalid"}
    if group is None:
        return {"value": "0", "base_code": code}
    start, whole, decimals = group.start(), len(group[1]), len(group[2])
    digits = code[start : start + whole + decimals]
    value = str(int(digits[:whole] or "0")) + ("." + digits[whole:] if decimals else "")
    zeroed = code[:start] + "0" * len(digits) + code[start + len(digits) :]
    if length is not None:
        zeroed = zeroed[:-1] + check_digit(zeroed[:-1])
    return {"value": value, "base_code": zeroed}


def converted_minor(amount: int, rate: Fraction, from_exponent: int, to_exponent: int) -> int:
    """An amount shown in another currency at `rate` units of it for one unit of ours."""
    return rounded(amount * rate * Fraction(10) ** (to_exponent - from_exponent))
