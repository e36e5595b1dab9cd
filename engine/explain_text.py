"""Amounts, quantities and instants as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from ringup.native.currency import exponent


def money(amount_minor: int, currency: str) -> str:
    """An amount with its currency, exact: 12.34 EUR."""
    digits = exponent(currency)
    sign, size = ("-" if amount_minor < 0 else ""), str(abs(amount_minor)).rjust(digits + 1, "0")
    return f"{sign}{size[:-digits]}.{size[-digits:]} {currency}" if digits else f"{sign}{size} {currency}"


def quantity(milli: int) -> str:
    whole, part = divmod(abs(milli), 1000)
    return ("-" if milli < 0 else "") + f"{whole}" + (f".{part:03}".rstrip("0") if part else "")


def times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


def instant(seconds: int, zone: str | None) -> str:
    """An instant on the store's clock, to the second where it is not at a full minute."""
    shown = datetime.fromtimestamp(seconds, ZoneInfo(zone) if zone else UTC)
    return f"{shown:%Y-%m-%d %H:%M:%S}".removesuffix(":00")
