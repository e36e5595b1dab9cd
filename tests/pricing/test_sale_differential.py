"""Quote, sale and returns of a real core against the plain-Python oracle, on random baskets.

Each case of the oracle's generator is made into what a shop can have (an item has one price, floor and unit),
published by commands and sold.  RINGUP_PRICING_CASES multiplies the number of cases (480 by default).
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ringup.engine.simulate_request import Clock, ppb, promotion, rules
from ringup.v1 import admin_pb2, catalog_pb2, pricing_pb2, promotion_pb2, result_pb2, sale_pb2, stock_pb2
from support.core import CoreHarness, card

ORACLE = Path(__file__).resolve().parents[1] / "oracle"
TIMES = int(os.environ.get("RINGUP_PRICING_CASES", "1"))
PER_ITEM = ("unit_price_minor", "tax_class", "min_price_minor", "discountable", "deposit_minor", "uom", "uom_factor")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PROVISO = {"max_uses", "used", "cancelled_uses", "release_on_cancel", "budget_spent_minor"}


@pytest.fixture(scope="module")
def oracle() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(random_case, price_case) of the oracle, whose modules import each other by their bare names."""
    sys.path.insert(0, str(ORACLE))
    try:
        return (
            importlib.import_module("pricing_random").random_case,
            importlib.import_module("pricing_oracle").price_case,
        )
    finally:
        sys.path.remove(str(ORACLE))


def shop_case(case: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The case as a shop can have it: no return lines, one look for each item, nothing used yet; and more taxes."""
    case["items"] = [item for item in case["items"] if float(item["qty"]) > 0] or [case["items"][0] | {"qty": 2}]
    looks: dict[str, dict[str, Any]] = {}
    for item in case["items"]:
        if item["sku"] not in looks:
            looks[item["sku"]] = {key: item[key] for key in PER_ITEM if key in item}
            if rng.random() < 0.15:
                looks[item["sku"]] |= {"uom": "case", "uom_factor": rng.choice((6, "0.5", 12))}
        for key in PER_ITEM:
            item.pop(key, None)
        item |= looks[item["sku"]]
    for one in case["promotions"]:
        if "limits" in one:
            one["limits"] = {key: value for key, value in one["limits"].items() if key not in PROVISO}
    if rng.random() < 0.25:
        gift = {"type": "free_item", "sku": "GIFT", "qty": rng.randint(1, 2)}
        case["promotions"].append({"id": "gift", "conditions": [], "benefits": [gift]})
    if rng.random() < 0.2:
        case.setdefault("charges", []).append({"id": "voucher", "amount_minor": -rng.choice((10, 50))})
    if rng.random() < 0.2:
        case.setdefault("charges", []).append({"id": "wrap", "amount_minor": 150, "tax_class": "red"})
    case["at"] = NOW.isoformat()
    if "tax" in case and rng.random() < 0.4:
        date_rates(case["tax"]["rates"], rng)
    return case


def date_rates(rates: dict[str, list[dict[str, Any]]], rng: random.Random) -> None:
    """Rates that change, ended or have not begun."""
    for listed in rates.values():
        for number, rate in enumerate(list(listed)):
            when = (NOW + timedelta(days=rng.choice((-3, 0, 3)))).isoformat()
            match rng.randrange(4):
                case 0 if "percent" in rate:
                    listed.insert(number + 1, rate | {"percent": 16, "from": when})
                    rate["to"] = when
                    return
                case 1:
                    rate["from"] = when
                case 2:
                    rate["to"] = when


class Shop:
    """A core with the goods, taxes, promotions and rules of a case."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.case, self.core = case, CoreHarness()
        self.clock = Clock(case["at"], None)
        self.core.now_ns = self.clock.at_ns()
        self.ids = [charge["id"] for charge in case.get("charges", ())]
        self.send(admin_pb2.PutSettingsRequest(settings=admin_pb2.Settings(currency=case["currency"])))
        if case.get("tax"):
            self.send(catalog_pb2.PutTaxClassesRequest(tax_classes=self.tax_classes()))
        self.send(catalog_pb2.PutLocationsRequest(locations=[catalog_pb2.Location(location_id="S1")]))
        self.send(catalog_pb2.PutTillsRequest(tills=[catalog_pb2.Till(till_id="T1", location_id="S1")]))
        self.send(catalog_pb2.PutItemsRequest(items=self.items()))
        rows = {
            item["sku"]: catalog_pb2.PriceRow(
                item_id=item["sku"], price_minor=item["unit_price_minor"], uom=item.get("uom", "")
            )
            for item in case["items"]
        }
        self.send(catalog_pb2.PutPricesRequest(rows=rows.values()))
        stock = [stock_pb2.StockLine(item_id=sku, qty_milli=10**6) for sku in (*rows, "GIFT")]
        self.send(stock_pb2.ReceiveStockRequest(location_id="S1", lines=stock))
        self.send(promotion_pb2.PutPricingRulesRequest(rules=rules(case)))
        if case["promotions"]:
            published = [promotion(one, self.clock, self.ids) for one in case["promotions"]]
            self.send(promotion_pb2.PutPromotionsRequest(promotions=published))

    def send(self, request: Any) -> Any:
        answer = self.core.send(request)
        assert answer.code == result_pb2.RESULT_CODE_OK, answer
        return answer

    def tax_classes(self) -> list[catalog_pb2.TaxClass]:
        tax = self.case["tax"]
        return [
            catalog_pb2.TaxClass(
                tax_class_id=tax_class,
                taxes=[
                    catalog_pb2.Tax(
                        name=rate["name"],
                        rate_ppb=ppb(rate.get("percent", 0)),
                        amount_minor_per_unit=rate.get("amount_minor_per_unit", 0),
                        inclusive=rate.get("mode", tax["mode"]) == "inclusive",
                        on=rate.get("on", ()),
                        from_ns=self.clock.ns_of(rate.get("from")),
                        to_ns=self.clock.ns_of(rate.get("to")),
                    )
                    for rate in rates
                ],
            )
            for tax_class, rates in tax["rates"].items()
        ]

    def tax_class(self, entry: dict[str, Any]) -> str:
        classes = self.case.get("tax", {}).get("rates", {})
        return str(entry["tax_class"]) if entry.get("tax_class") in classes else ""

    def items(self) -> list[catalog_pb2.Item]:
        found = {
            item["sku"]: catalog_pb2.Item(
                item_id=item["sku"],
                name=item["sku"],
                categories=item["category"],
                tax_class_id=self.tax_class(item),
                measured=True,
                min_price_minor=item.get("min_price_minor", 0),
                not_discountable=not item.get("discountable", True),
                deposit_minor=item.get("deposit_minor", 0),
                uom=item.get("uom", ""),
                base_units_ppm=round(float(item.get("uom_factor", 0)) * 10**6),
            )
            for item in self.case["items"]
        }
        return [*found.values(), catalog_pb2.Item(item_id="GIFT", name="A present")]

    def basket(self) -> dict[str, Any]:
        return {
            "channel_id": "till",
            "lines": [
                pricing_pb2.BasketLine(item_id=item["sku"], qty_milli=round(float(item["qty"]) * 1000))
                for item in self.case["items"]
            ],
            "coupons": self.case["coupons"],
            "charges": [
                promotion_pb2.Charge(
                    charge_id=charge["id"], amount_minor=charge["amount_minor"], tax_class_id=self.tax_class(charge)
                )
                for charge in self.case.get("charges", ())
            ],
        }

    def quote(self) -> pricing_pb2.PriceBasketResponse:
        request = pricing_pb2.PriceBasketRequest(location_id="S1", **self.basket())
        answer: pricing_pb2.PriceBasketResponse = self.core.ask("PriceBasket", request, pricing_pb2.PriceBasketResponse)
        return answer

    def sell(self, total: int) -> sale_pb2.Receipt:
        tenders = [card(total)] if total else []
        request = sale_pb2.SellRequest(till_id="T1", tenders=tenders, expected_total_minor=total, **self.basket())
        receipt: sale_pb2.Receipt = self.send(request).receipt
        return receipt

    def back(self, sale: sale_pb2.Receipt, *lines: tuple[int, int], charges: list[str] | None = None) -> Any:
        request = sale_pb2.ReturnLinesRequest(
            till_id="T1",
            sale_id=sale.sale_id,
            lines=[sale_pb2.ReturnLine(line=number, qty_milli=qty) for number, qty in lines],
            charge_ids=charges or (),
        )
        return self.send(request).receipt.basket

    def turn_over(self) -> None:
        """Replace all items and taxes: what was sold must not care."""
        if self.case.get("tax"):
            other = catalog_pb2.Tax(name="OTHER", rate_ppb=ppb(3), inclusive=True)
            classes = [catalog_pb2.TaxClass(tax_class_id=one, taxes=[other]) for one in self.case["tax"]["rates"]]
            self.send(catalog_pb2.PutTaxClassesRequest(tax_classes=classes))
        items = [catalog_pb2.Item(item_id=item["sku"], name="new", deposit_minor=999) for item in self.case["items"]]
        self.send(catalog_pb2.PutItemsRequest(items=items))


def told(basket: pricing_pb2.PricedBasket) -> dict[str, Any]:
    """A basket in the words of the cases."""
    lines = [line for line in basket.lines if not line.promotion_id]
    applied = [p for p in basket.promotions if p.outcome == promotion_pb2.PROMOTION_OUTCOME_APPLIED]
    seen = {coupon.code: coupon.outcome == promotion_pb2.PROMOTION_OUTCOME_APPLIED for coupon in basket.coupons}
    return {
        "total_minor": basket.total_minor,
        "subtotal_minor": basket.subtotal_minor,
        "discount_minor": basket.discount_minor,
        "line_totals_minor": [line.total_minor for line in lines],
        "line_discounts_minor": [line.gross_minor - line.total_minor for line in lines],
        "charges_minor": basket.charges_minor,
        "tax_minor": sum(tax.tax_minor for tax in basket.taxes),
        "tax_by_name_minor": by_name(basket),
        "deposit_total_minor": basket.deposit_minor,
        "applied": [p.promotion_id for p in sorted(applied, key=lambda p: p.turn)],
        "discount_by_promotion_minor": {p.promotion_id: p.discount_minor for p in applied},
        "free_items": [{"sku": free.item_id, "qty": free.qty} for free in basket.free_items],
        "accepted_coupons": [code for code, accepted in seen.items() if accepted],
    }


def by_name(basket: pricing_pb2.PricedBasket) -> dict[str, int]:
    found: dict[str, int] = {}
    for tax in basket.taxes:
        found[tax.name] = found.get(tax.name, 0) + tax.tax_minor
    return found


@pytest.mark.parametrize("level", ["item", "sets", "tax", "full"])
def test_quote_sale_and_oracle_agree_and_returns_give_all_back(level: str, oracle: Any) -> None:
    random_case, price_case = oracle
    seen: Counter[str] = Counter()
    for seed in range(120 * TIMES):
        rng = random.Random(seed)
        case = shop_case(random_case(rng, level), rng)
        expected = price_case(case)
        shop = Shop(case)
        quote = shop.quote()
        if expected["total_minor"] < 0:
            assert quote.code == result_pb2.RESULT_CODE_AMOUNT_INVALID, (seed, json.dumps(case))
            continue
        assert quote.code == result_pb2.RESULT_CODE_OK, (seed, quote, json.dumps(case))
        found = told(quote.basket)
        differing = {key: (expected[key], found[key]) for key in found if expected[key] != found[key]}
        assert not differing, (seed, differing, json.dumps(case))
        sale = shop.sell(quote.basket.total_minor)
        assert told(sale.basket) == found, (seed, "a quote and a sale are one function")
        check_gifts(shop, sale)
        first = first_return(case, rng)
        if first:
            back = case | {"refund": {"lines": [{"sku": case["items"][0]["sku"], "qty": first}]}}
            check_returns(shop, sale, rng, (first, price_case(back)["refund_minor"]))
        else:
            check_returns(shop, sale, rng)
        seen.update(
            {
                "charges": bool(sale.basket.charges),
                "gifts": bool(sale.basket.free_items),
                "deposits": sale.basket.deposit_minor > 0,
                "taxes": len(sale.basket.taxes) > 1,
            }
        )
        assert shop.core.refold().digest() == shop.core.core.digest()
    if level == "full":
        assert min(seen.values()) >= 5, seen


def check_gifts(shop: Shop, sale: sale_pb2.Receipt) -> None:
    """What promotions give stands on the receipt at no price and is taken from stock."""
    lines = [line for line in sale.basket.lines if line.promotion_id]
    assert [(x.item_id, x.qty_milli, x.promotion_id) for x in lines] == [
        (free.item_id, free.qty * 1000, free.promotion_id) for free in sale.basket.free_items
    ]
    assert not any(line.gross_minor or line.total_minor or line.deposit_minor for line in lines)
    assert on_hand(shop, "GIFT") == 10**6 - sum(line.qty_milli for line in lines)


def on_hand(shop: Shop, item_id: str) -> int:
    request = stock_pb2.GetAvailabilityRequest(item_ids=[item_id], location_id="S1")
    answer = shop.core.ask("GetAvailability", request, stock_pb2.GetAvailabilityResponse)
    return int(answer.positions[0].on_hand_milli)


def first_return(case: dict[str, Any], rng: random.Random) -> int:
    """How many pieces of the first line to take back first, to hold against the oracle; 0 for none.

    A tax rounded over the whole basket is shared out name by name here, all added taxes together in the oracle.
    """
    taxes = case.get("tax", {"rates": {}})
    several = any(len(listed) > 1 for listed in taxes["rates"].values()) and taxes["round_at"] == "total"
    return 0 if several or not isinstance(case["items"][0]["qty"], int) else rng.randint(1, case["items"][0]["qty"])


def check_returns(shop: Shop, sale: sale_pb2.Receipt, rng: random.Random, first: tuple[int, int] | None = None) -> None:
    """Parts in any order, some after all items and taxes were replaced, sum to what was paid, tax by tax."""
    parts: list[tuple[int, int]] = []
    for number, line in enumerate(sale.basket.lines):
        pieces, rest = divmod(line.qty_milli, 1000)
        parts += [(number, 1000)] * pieces + ([(number, rest)] if rest else [])
    rng.shuffle(parts)
    charges = [charge.charge_id for charge in sale.basket.charges]
    refunded = deposits = 0
    taxes: dict[tuple[str, int, bool], tuple[int, int]] = {}
    turn = rng.randrange(len(parts) + 1)
    if first is not None and len(parts) > first[0] and sale.basket.charges_minor >= 0:
        for _ in range(first[0]):
            parts.remove((0, 1000))
        basket = shop.back(sale, (0, first[0] * 1000))
        refunded, deposits = basket.total_minor, basket.deposit_minor
        add_taxes(taxes, basket)
        assert refunded == first[1]
    while parts:
        if len(parts) <= turn:
            shop.turn_over()
            turn = -1
        # A charge below zero can only go back together with what it was for.
        take = len(parts) if sale.basket.charges_minor < 0 else rng.randint(1, len(parts))
        now, parts = parts[:take], parts[take:]
        basket = shop.back(sale, *now, charges=[] if parts else charges)
        refunded += basket.total_minor
        deposits += basket.deposit_minor
        add_taxes(taxes, basket)
    paid: dict[tuple[str, int, bool], tuple[int, int]] = {}
    add_taxes(paid, sale.basket)
    assert (refunded, deposits, taxes) == (sale.basket.total_minor, sale.basket.deposit_minor, paid)
    assert on_hand(shop, "GIFT") == 10**6


def add_taxes(found: dict[tuple[str, int, bool], tuple[int, int]], basket: pricing_pb2.PricedBasket) -> None:
    for tax in basket.taxes:
        key = (tax.name, tax.rate_ppb, tax.inclusive)
        base, amount = found.get(key, (0, 0))
        found[key] = (base + tax.base_minor, amount + tax.tax_minor)
