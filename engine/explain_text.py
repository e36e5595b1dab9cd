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
    return f"{milli // 1000}" if milli % 1000 == 0 else f"{milli / 1000:.3f}".rstrip("0")


def instant(seconds: int, zone: str | None) -> str:
    """An instant on the store's clock."""
    return f"{datetime.fromtimestamp(seconds, ZoneInfo(zone) if zone else UTC):%Y-%m-%d %H:%M}"
