"""Price rows up to a quantity, and rows that override the base, beside the oracle's price book."""

from __future__ import annotations

import importlib
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringup.v1 import catalog_pb2, pricing_pb2, result_pb2
from support.core import CoreHarness, line, small_shop

ORACLE = Path(__file__).resolve().parents[1] / "oracle"


def _code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def price(shop: CoreHarness, item_id: str, pieces: int, **scope: str) -> int | None:
    """What a unit costs, None where there is no price."""
    request = pricing_pb2.PriceBasketRequest(location_id="S1", lines=[line(item_id, pieces)], **scope)  # type: ignore[arg-type]
    answer = shop.ask("PriceBasket", request, pricing_pb2.PriceBasketResponse)
    return int(answer.basket.lines[0].price_minor) if _code(answer) == "OK" else None


def put(shop: CoreHarness, *rows: catalog_pb2.PriceRow) -> Any:
    return shop.send(catalog_pb2.PutPricesRequest(rows=rows))


def row(price_minor: int, **fields: Any) -> catalog_pb2.PriceRow:
    return catalog_pb2.PriceRow(item_id="milk", price_minor=price_minor, **fields)


def test_a_row_holds_up_to_its_quantity_and_a_contract_before_all_rules() -> None:
    shop = small_shop()
    wholesale = row(90, min_qty_milli=10_000, max_qty_milli=19_000)
    contract = row(100, overrides_base=True, customer_group_id="acme")
    assert _code(put(shop, wholesale, contract, row(80, channel_id="web", customer_group_id="acme"))) == "OK"
    assert [price(shop, "milk", n) for n in (9, 10, 19, 20)] == [119, 90, 90, 119]
    assert price(shop, "milk", 1, channel_id="web", customer_group_id="acme") == 100
    read = shop.ask("GetItem", catalog_pb2.GetItemRequest(item_code="milk"), catalog_pb2.GetItemResponse).price_rows
    assert {(r.price_minor, r.max_qty_milli, r.overrides_base) for r in read} >= {(90, 19_000, False), (100, 0, True)}
    contract.removed = True
    assert _code(put(shop, contract)) == "OK"
    assert price(shop, "milk", 1, channel_id="web", customer_group_id="acme") == 80
    again = shop.refold()
    assert again.digest() == shop.core.digest()


def test_an_override_stands_beside_the_base_row_of_the_same_rules() -> None:
    shop = small_shop()
    assert _code(put(shop, row(99, overrides_base=True))) == "OK"
    assert price(shop, "milk", 1) == 99
    put(shop, row(99, overrides_base=True, removed=True))
    assert price(shop, "milk", 1) == 119


@pytest.mark.parametrize("most", [-1, 9_000, 10**12 + 1])
def test_a_quantity_that_ends_before_it_begins_is_refused(most: int) -> None:
    answer = put(small_shop(), row(90, min_qty_milli=10_000, max_qty_milli=most))
    assert (_code(answer), answer.problem.field) == ("QTY_INVALID", "rows.max_qty_milli")


@pytest.fixture(scope="module")
def oracle() -> Callable[..., Any]:
    """The oracle's book_prices; its modules import each other by their bare names."""
    sys.path.insert(0, str(ORACLE))
    try:
        return importlib.import_module("pricing_book").book_prices  # type: ignore[no-any-return]
    finally:
        sys.path.remove(str(ORACLE))


def test_random_books_have_the_oracle_s_price(oracle: Callable[..., Any]) -> None:
    """Rows by channel and group, quantity and rank; the breaks are one for each set of rules, so that no tie is left
    to the order of a till's book (highest break, latest start), which the oracle does not have."""
    without = 0
    for seed in range(300):
        rng = random.Random(seed)
        shop, rows, book = small_shop(), [], []
        shop.send(catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="A", name="A", untracked=True)]))
        for channel in ("", "web"):
            for group in ("", "vip"):
                for overrides in (False, True):
                    if rng.random() < 0.5:
                        continue
                    low, high = sorted((rng.randrange(1, 9), rng.randrange(1, 9)))
                    amount = rng.randrange(1, 1000)
                    rows.append(
                        catalog_pb2.PriceRow(
                            item_id="A",
                            channel_id=channel,
                            customer_group_id=group,
                            min_qty_milli=low * 1000,
                            max_qty_milli=high * 1000,
                            price_minor=amount,
                            overrides_base=overrides,
                        )
                    )
                    rules = {"channel": channel, "group": group}
                    book.append(
                        {
                            "list": "base",
                            "currency": "EUR",
                            "price_minor": amount,
                            "min_qty": low,
                            "max_qty": high,
                            "overrides_base": overrides,
                            "rules": {k: v for k, v in rules.items() if v},
                        }
                    )
        if not rows or len({(*sorted(b["rules"]), b["overrides_base"]) for b in book}) < len(book):
            continue
        assert _code(put(shop, *rows)) == "OK"
        asked = {"channel": rng.choice(("", "web")), "group": rng.choice(("", "vip"))}
        if asked["channel"] and asked["group"]:  # one rule each would be a tie
            rows_of_one = [b for b in book if len(b["rules"]) == 1]
            if len({b["overrides_base"] for b in rows_of_one}) < len(rows_of_one):
                continue
        qty = rng.randrange(1, 9)
        case = {"currency": "EUR", "price_book": book, "context": {"pricing": {k: v for k, v in asked.items() if v}}}
        expected = oracle({"sku": "A", "qty": qty}, case, None)[0]
        found = price(shop, "A", qty, channel_id=asked["channel"], customer_group_id=asked["group"])
        assert found == expected, (seed, qty, json.dumps(case))
        without += expected is None
    assert 10 < without < 200
