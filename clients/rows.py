"""Rows of requests from friendly arguments: lines, tenders and prices in one call each.

Where a client's method takes rows, each may be a message of ringup.v1, one of these, or a mapping with
the message's field names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from ringup.v1 import catalog_pb2, pricing_pb2, sale_pb2, stock_pb2

from .amounts import Written, qty

M = TypeVar("M", bound=Message)

PPB = 1_000_000_000


def line(
    item_id: str,
    units: Written = 1,
    *,
    price_override: pricing_pb2.PriceOverride | None = None,
    discounts: Iterable[pricing_pb2.LineDiscount] = (),
) -> pricing_pb2.BasketLine:
    """Return a basket line: line("MILK", 2) is two pieces, line("APPLES", "1.250") is 1.25 kg.

    item_id is the item's code or a barcode; units goes through `qty`, which refuses floats.
    """
    return pricing_pb2.BasketLine(
        item_id=item_id, qty_milli=qty(units), price_override=price_override, discounts=discounts
    )


def stock_line(item_id: str, units: Written = 1) -> stock_pb2.StockLine:
    """Return a quantity of one item to receive, adjust or hold; units goes through `qty`."""
    return stock_pb2.StockLine(item_id=item_id, qty_milli=qty(units))


def return_line(number: int, units: Written = 1, *, scrapped: bool = False) -> sale_pb2.ReturnLine:
    """Return a quantity of line `number` (from 0) of a sale; scrapped goods do not go back on hand."""
    return sale_pb2.ReturnLine(line=number, qty_milli=qty(units), scrapped=scrapped)


def price(item_id: str, price_minor: int, **rules: Any) -> catalog_pb2.PriceRow:
    """Return a price-book row; price_minor buys base_qty_milli (default one unit), rules are its other fields.

    `rules` among them may be a mapping: price("MILK", 99, rules={"region": ["DE", "AT"], "company": "acme"}).
    """
    if isinstance(rules.get("rules"), Mapping):
        given: Mapping[str, str | Iterable[str]] = rules["rules"]
        listed = {key: [values] if isinstance(values, str) else values for key, values in given.items()}
        rules = rules | {"rules": [catalog_pb2.PriceRule(key=key, values=values) for key, values in listed.items()]}
    return _row(catalog_pb2.PriceRow, {"item_id": item_id, "price_minor": price_minor, **rules})


def attributes(given: Mapping[str, str] | None) -> list[catalog_pb2.PriceAttribute]:
    """Return a basket's price attributes from a mapping."""
    return [catalog_pb2.PriceAttribute(key=key, value=value) for key, value in (given or {}).items()]


def percent(rate: Written) -> int:
    """Return a rate in parts per thousand million from per cent: percent("7.7") is 77,000,000."""
    return qty(rate) * (PPB // 100_000)


def cash(amount_minor: int) -> sale_pb2.Tender:
    """Return a cash tender."""
    return sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_CASH, amount_minor=amount_minor)


def card(amount_minor: int, reference: str = "") -> sale_pb2.Tender:
    """Return a card tender; reference is the terminal's receipt, never a card number."""
    return sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_CARD, amount_minor=amount_minor, reference=reference)


def rows(message_class: type[M], given: Iterable[M | Mapping[str, Any]]) -> list[M]:
    """Return each row as a message; a ValueError for an unknown key names the nearest known one."""
    if isinstance(given, Message | Mapping | str):
        raise TypeError(
            f"expected a list of {message_class.__name__}, found one {type(given).__name__}; put it in a list"
        )
    return [_row(message_class, row) for row in given]


def _row(message_class: type[M], row: M | Mapping[str, Any]) -> M:
    if isinstance(row, message_class):
        return row
    name = message_class.__name__
    if not isinstance(row, Mapping):
        raise TypeError(f"expected a {name} or a mapping with its fields, found {type(row).__name__} {row!r}")
    known = list(message_class.DESCRIPTOR.fields_by_name)
    for key in row:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1, 0)
            raise ValueError(f"expected a field of {name}, found {key!r}; did you mean {near[0]!r}?")
    return message_class(**row)
