"""Amounts and quantities as people read them.  Integers in, text out."""

from __future__ import annotations


def format_money(amount_minor: int, digits: int = 2, *, decimal_mark: str = ".", group_mark: str = "") -> str:
    """`format_money(-123456, 2, decimal_mark=",", group_mark=".")` -> `"-1.234,56"`; digits 0 has no mark."""
    sign = "-" if amount_minor < 0 else ""
    text = str(abs(amount_minor)).rjust(digits + 1, "0")
    whole, fraction = (text[:-digits], text[-digits:]) if digits else (text, "")
    if group_mark:
        head = len(whole) % 3
        groups = [whole[:head]] if head else []
        groups += [whole[at : at + 3] for at in range(head, len(whole), 3)]
        whole = group_mark.join(groups)
    return f"{sign}{whole}{decimal_mark}{fraction}" if digits else f"{sign}{whole}"


def format_qty(qty_milli: int, *, decimal_mark: str = ".") -> str:
    """`format_qty(3000)` -> `"3"`, `format_qty(345)` -> `"0.345"`, `format_qty(1500)` -> `"1.5"`."""
    sign = "-" if qty_milli < 0 else ""
    whole, milli = divmod(abs(qty_milli), 1000)
    fraction = f"{milli:03}".rstrip("0")
    return f"{sign}{whole}{decimal_mark}{fraction}" if fraction else f"{sign}{whole}"


def format_rate(rate_ppm: int, *, decimal_mark: str = ".") -> str:
    """`format_rate(190_000)` -> `"19%"`, `format_rate(77_500)` -> `"7.75%"`."""
    whole, rest = divmod(rate_ppm, 10_000)
    fraction = f"{rest:04}".rstrip("0")
    return f"{whole}{decimal_mark}{fraction}%" if fraction else f"{whole}%"
