"""The whole price book through the engine's own commands: lists, rules, currencies, units, and which row wins."""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ringup.clients import Client, Refused, cash, line, price, return_line
from ringup.engine.simulate_case import CaseError
from ringup.engine.simulate_pricing import Answer
from ringup.engine.simulate_request import Clock, price_row
from ringup.v1 import catalog_pb2, gift_card_pb2, pricing_pb2, promotion_pb2, result_pb2, sale_pb2
from support.core import CoreHarness, small_shop
from support.core import cash as cash_tender
from support.core import line as core_line
from support.engine_process import EngineProcess

ORACLE = Path(__file__).resolve().parents[1] / "oracle"
BOOKS = int(os.environ.get("RINGUP_PRICE_BOOKS", "400"))
AT = "2026-03-04T12:00:00"


def code_of(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def attributes(**given: str) -> list[catalog_pb2.PriceAttribute]:
    return [catalog_pb2.PriceAttribute(key=key, value=value) for key, value in given.items()]


def quote(shop: CoreHarness, item_id: str = "milk", pieces: int = 1, **given: str) -> pricing_pb2.PricedLine | str:
    """The line of one item as priced, or the code of the refusal."""
    request = pricing_pb2.PriceBasketRequest(
        location_id="S1", lines=[core_line(item_id, pieces)], price_attributes=attributes(**given)
    )
    answer = shop.ask("PriceBasket", request, pricing_pb2.PriceBasketResponse)
    return answer.basket.lines[0] if code_of(answer) == "OK" else code_of(answer)


def put(shop: CoreHarness, *rows: catalog_pb2.PriceRow) -> Any:
    return shop.send(catalog_pb2.PutPricesRequest(rows=rows))


def select(shop: CoreHarness, how: promotion_pb2.PriceSelection) -> None:
    rules = promotion_pb2.PricingRules(price_selection=how)
    assert code_of(shop.send(promotion_pb2.PutPricingRulesRequest(rules=rules))) == "OK"


def test_rules_lists_and_list_prices() -> None:
    shop = small_shop()
    rows = [
        price("milk", 90, rules={"region": ["AT", "DE"]}),
        price("milk", 80, list_id="wholesale", rules={"region": "DE", "company": "acme"}),
        price("milk", 70, list_id="contract", overrides_base=True, rules={"company": "beta"}),
    ]
    assert code_of(put(shop, *rows)) == "OK"

    def found(**given: str) -> tuple[int, str, int]:
        line = quote(shop, **given)
        assert not isinstance(line, str)
        return line.price_minor, line.price_list_id, line.list_price_minor

    assert found() == (119, "", 0)
    assert found(region="FR", unknown="x") == (119, "", 0)
    assert found(region="AT") == (90, "", 0)
    assert found(company="acme") == (119, "", 0), "all rules must hold"
    assert found(region="DE", company="acme") == (80, "wholesale", 90)
    assert found(region="DE", company="beta") == (70, "contract", 0), "an override is the list price, too"
    read = shop.ask("GetItem", catalog_pb2.GetItemRequest(item_code="milk"), catalog_pb2.GetItemResponse).price_rows
    for row in rows:
        row.base_qty_milli = 1000
        assert row in read
    rows[1].removed = True
    assert code_of(put(shop, rows[1])) == "OK"
    assert found(region="DE", company="acme") == (90, "", 0)
    assert shop.refold().digest() == shop.core.digest()


def test_a_sale_and_its_return_use_the_same_row() -> None:
    shop = small_shop()
    put(shop, price("milk", 80, list_id="b2b", rules={"company": "acme"}))
    request = sale_pb2.SellRequest(
        till_id="T1",
        lines=[core_line("milk", 3)],
        tenders=[cash_tender(240)],
        price_attributes=attributes(company="acme"),
    )
    sale = shop.send(request)
    assert (code_of(sale), sale.receipt.basket.total_minor, sale.receipt.basket.lines[0].price_list_id) == (
        "OK",
        240,
        "b2b",
    )
    kept = shop.send(
        sale_pb2.ReturnLinesRequest(
            till_id="T1",
            sale_id=sale.receipt.sale_id,
            lines=[sale_pb2.ReturnLine(line=0, qty_milli=1000)],
            refund_policy=sale_pb2.REFUND_POLICY_REPRICE_KEPT,
            original_sale=request.SerializeToString(),
        )
    )
    assert (code_of(kept), kept.receipt.basket.total_minor) == ("OK", 80), "what is kept has the contract's price, too"
    assert shop.refold().digest() == shop.core.digest()


def test_units_of_rows_and_items() -> None:
    """A row without a unit prices base units; one in the item's own unit comes before it."""
    shop = small_shop()
    item = catalog_pb2.Item(item_id="bolts", name="Bolts", uom="box", base_units_ppm=100 * 10**6, untracked=True)
    assert code_of(shop.send(catalog_pb2.PutItemsRequest(items=[item]))) == "OK"
    put(shop, price("bolts", 7), price("bolts", 6, min_qty_milli=300_000))
    assert [q.price_minor for n in (1, 2, 3) if not isinstance(q := quote(shop, "bolts", n), str)] == [700, 700, 600]
    put(shop, price("bolts", 640, uom="box"), price("bolts", 599, uom="crate", list_id="crates", min_qty_milli=10**9))
    assert [q.price_minor for n in (1, 3) if not isinstance(q := quote(shop, "bolts", n), str)] == [640, 640]
    put(shop, price("milk", 1, uom="crate"))
    assert quote(shop) == quote(small_shop()), "an item in base units has no crates"


def test_a_quote_tells_what_became_of_each_row() -> None:
    """Only where it is asked for, and only of lines whose price the book gave."""
    shop = small_shop()
    put(
        shop,
        price("milk", 110, location_id="S1"),
        price("milk", 100, channel_id="web"),
        price("milk", 90, customer_group_id="staff", list_id="staff"),
        price("milk", 80, list_id="b2b", rules={"company": "acme"}, min_qty_milli=3000),
        price("milk", 70, list_id="b2b", rules={"company": "beta"}),
        price("milk", 60, currency="USD"),
    )
    override = pricing_pb2.PriceOverride(price_minor=5, reason="dented")
    lines = [core_line("milk", 2), core_line("bread"), core_line("milk", price_override=override)]
    request = pricing_pb2.PriceBasketRequest(
        location_id="S1", customer_group_id="staff", lines=lines, price_attributes=attributes(company="acme")
    )
    plain = shop.ask("PriceBasket", request, pricing_pb2.PriceBasketResponse).basket
    request.explain_prices = True
    told = shop.ask("PriceBasket", request, pricing_pb2.PriceBasketResponse).basket
    outcomes = {
        (
            row.row.price_minor,
            catalog_pb2.PriceOutcome.Name(row.outcome).removeprefix("PRICE_OUTCOME_"),
            row.found,
            row.needed,
        )
        for row in told.lines[0].price_rows
    }
    assert outcomes == {
        (90, "CHOSEN", 0, 0),
        (110, "LIST_PRICE", 0, 0),
        (119, "BEATEN", 119, 90),
        (100, "WRONG_CHANNEL", 0, 0),
        (80, "NEEDS_QTY", 2000, 3000),
        (70, "WRONG_RULE", 0, 0),
        (60, "WRONG_CURRENCY", 0, 0),
    }
    assert {row.key for row in told.lines[0].price_rows} == {"", "company"}
    assert [len(line.price_rows) for line in told.lines] == [7, 1, 0]
    for priced in told.lines:
        priced.ClearField("price_rows")
    assert told == plain


def test_which_of_several_rows_wins_is_a_rule_of_pricing() -> None:
    shop = small_shop()
    put(shop, price("milk", 130, from_ns=10), price("milk", 125, rules={"region": "DE"}))

    def found() -> list[int]:
        return [q.price_minor for given in ({}, {"region": "DE"}) if not isinstance(q := quote(shop, **given), str)]

    assert found() == [130, 125], "the latest, though dearer"
    select(shop, promotion_pb2.PRICE_SELECTION_LOWEST_OF_MOST_RULES)
    assert found() == [119, 125]
    select(shop, promotion_pb2.PRICE_SELECTION_LOWEST)
    assert found() == [119, 119]
    select(shop, promotion_pb2.PRICE_SELECTION_LATEST)
    assert found() == [130, 125]


@pytest.mark.parametrize(
    ("field", "code", "row"),
    [
        ("rows.currency", "FIELD_INVALID", {"currency": "EUX"}),
        ("rows.currency", "FIELD_INVALID", {"currency": "eur"}),
        ("rows.list_id", "FIELD_INVALID", {"list_id": "l" * 65}),
        ("rows.uom", "FIELD_INVALID", {"uom": "\n"}),
        ("rows.rules.key", "FIELD_INVALID", {"rules": {"": "x"}}),
        ("rows.rules.values", "FIELD_INVALID", {"rules": {"region": []}}),
        ("rows.rules.values", "FIELD_INVALID", {"rules": {"region": "v" * 65}}),
        ("rows.rules", "TOO_MANY", {"rules": {f"k{n}": "v" for n in range(9)}}),
        ("rows.rules.values", "TOO_MANY", {"rules": {"region": [f"v{n}" for n in range(65)]}}),
        ("rows.rules.key", "FIELD_INVALID", {"rules": [catalog_pb2.PriceRule(key="a", values=["b"])] * 2}),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_put(field: str, code: str, row: dict[str, Any]) -> None:
    shop = small_shop()
    ask = catalog_pb2.GetItemRequest(item_code="milk")
    before = shop.ask("GetItem", ask, catalog_pb2.GetItemResponse)
    answer = put(shop, price("milk", 1, list_id="new", rules={"new": "new"}), price("milk", 2, **row))
    assert (code_of(answer), answer.problem.field, answer.problem.index) == (code, field, 1)
    assert shop.ask("GetItem", ask, catalog_pb2.GetItemResponse) == before
    assert quote(shop, new="new") == quote(small_shop())


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("price_attributes.key", attributes(region="DE") * 2),
        ("price_attributes.key", [catalog_pb2.PriceAttribute(value="DE")]),
        ("price_attributes.value", attributes(region="")),
        ("price_attributes", attributes(**{f"k{n}": "v" for n in range(17)})),
    ],
)
def test_bad_attributes_are_named(field: str, given: list[catalog_pb2.PriceAttribute]) -> None:
    shop = small_shop()
    basket: dict[str, Any] = {"lines": [core_line("milk")], "price_attributes": given}
    quoted = shop.ask(
        "PriceBasket", pricing_pb2.PriceBasketRequest(location_id="S1", **basket), pricing_pb2.PriceBasketResponse
    )
    sold = shop.send(sale_pb2.SellRequest(till_id="T1", tenders=[cash_tender(119)], **basket))
    assert quoted.problem.field == sold.problem.field == field
    assert code_of(quoted) == code_of(sold) == ("TOO_MANY" if field == "price_attributes" else "FIELD_INVALID")


def test_a_currency_of_a_case_s_row_that_nobody_knows_is_named() -> None:
    from ringup.engine.simulate import load_cases

    row = {"list": "base", "currency": "EUX", "price_minor": 1}
    case = {"id": "c", "currency": "EUR", "items": [], "promotions": [], "price_book": [row], "expect": {}}
    with pytest.raises(CaseError, match=r"price_book\[0\]\.currency: 'EUX' has no known exponent.* nearest"):
        load_cases(json.dumps({"cases": [case]}))


# ---- other currencies


def foreign_shop() -> CoreHarness:
    """The small shop, with rows of milk, lamp and wrap in US dollars, and a canned drink with a deposit."""
    shop = small_shop(cash_increment_minor=5)
    can = catalog_pb2.Item(item_id="can", name="Can", deposit_minor=25, untracked=True)
    levy = catalog_pb2.Tax(name="levy", amount_minor_per_unit=10)
    shop.send(catalog_pb2.PutTaxClassesRequest(tax_classes=[catalog_pb2.TaxClass(tax_class_id="levy", taxes=[levy])]))
    bag = catalog_pb2.Item(item_id="bag", name="Bag", tax_class_id="levy", untracked=True)
    shop.send(catalog_pb2.PutItemsRequest(items=[can, bag]))
    dollars = [price(item, 133, currency="USD") for item in ("milk", "lamp", "wrap", "can", "bag")]
    assert code_of(put(shop, price("can", 100), price("bag", 20), *dollars)) == "OK"
    return shop


def sell(shop: CoreHarness, *lines: pricing_pb2.BasketLine, paid: int, **fields: Any) -> Any:
    return shop.send(sale_pb2.SellRequest(till_id="T1", lines=lines, tenders=[cash_tender(paid)], **fields))


def test_a_sale_in_another_currency_is_priced_paid_and_taken_back_in_it() -> None:
    shop = foreign_shop()
    sale = sell(shop, core_line("milk", 2), paid=300, currency="USD")
    assert code_of(sale) == "OK"
    basket = sale.receipt.basket
    assert (basket.currency, basket.total_minor, sale.receipt.cash_rounding_minor) == ("USD", 266, 0)
    assert sale.receipt.change_minor == 34
    request = pricing_pb2.PriceBasketRequest(location_id="S1", lines=[core_line("milk", 2)], currency="USD")
    assert shop.ask("PriceBasket", request, pricing_pb2.PriceBasketResponse).basket == basket
    one = sale_pb2.ReturnLine(line=0, qty_milli=1000)
    back = sale_pb2.ReturnLinesRequest(till_id="T1", sale_id=sale.receipt.sale_id, lines=[one])
    card_back = sale_pb2.ReturnLinesRequest()
    card_back.CopyFrom(back)
    card_back.refund_method, card_back.refund_reference = sale_pb2.TENDER_METHOD_GIFT_CARD, "card"
    assert code_of(shop.send(card_back)) == "CURRENCY_DIFFERS"
    receipt = shop.send(back).receipt
    assert (receipt.basket.currency, receipt.basket.total_minor, receipt.cash_rounding_minor) == ("USD", 133, 0)
    ours = sell(shop, core_line("milk", 1), paid=120, currency="EUR").receipt
    assert (ours.basket.currency, ours.basket.total_minor, ours.cash_rounding_minor) == ("", 119, 1)
    assert shop.refold().digest() == shop.core.digest()


def test_what_has_its_amount_in_the_engine_s_currency_is_refused_in_another() -> None:
    shop = foreign_shop()
    gift = sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_GIFT_CARD, amount_minor=1, reference="card")
    charge = promotion_pb2.Charge(charge_id="bag", amount_minor=1, tax_class_id="levy")
    card = gift_card_pb2.NewGiftCard(gift_card_id="card", amount_minor=500)
    assert code_of(shop.send(gift_card_pb2.IssueGiftCardsRequest(gift_cards=[card]))) == "OK"
    refused = [
        (sell(shop, core_line("can"), paid=200, currency="USD"), "CURRENCY_DIFFERS", "lines.item_id"),
        (sell(shop, core_line("bag"), paid=200, currency="USD"), "CURRENCY_DIFFERS", "lines.tax_class_id"),
        (
            sell(shop, core_line("milk"), paid=200, currency="USD", charges=[charge]),
            "CURRENCY_DIFFERS",
            "charges.tax_class_id",
        ),
        (
            sell(shop, core_line("milk"), paid=200, currency="USD", redeem=True, customer_id="c"),
            "CURRENCY_DIFFERS",
            "redeem",
        ),
        (sell(shop, core_line("bread"), paid=999, currency="USD"), "PRICE_MISSING", "lines.item_id"),
        (sell(shop, core_line("milk"), paid=999, currency="CHF"), "PRICE_MISSING", "currency"),
        (sell(shop, core_line("milk"), paid=999, currency="usd"), "FIELD_INVALID", "currency"),
        (
            shop.send(sale_pb2.SellRequest(till_id="T1", lines=[core_line("milk")], tenders=[gift], currency="USD")),
            "CURRENCY_DIFFERS",
            "tenders.method",
        ),
    ]
    for answer, code, field in refused:
        assert (code_of(answer), answer.problem.field) == (code, field)
    receipt = sell(shop, core_line("milk"), paid=133, currency="USD").receipt
    assert (receipt.number, receipt.basket.total_minor) == (1, 133), "nothing was booked before"


def test_promotions_with_amounts_stay_in_their_currency() -> None:
    """Ten percent hold in any money; an amount, a threshold or a price range does not."""
    shop = foreign_shop()
    everything = promotion_pb2.Target(all=True)
    dear = promotion_pb2.Target(all=True, unit_price_min_minor=1)

    def percent(target: promotion_pb2.Target) -> promotion_pb2.Benefit:
        return promotion_pb2.Benefit(
            type=promotion_pb2.BENEFIT_TYPE_ITEM_PERCENT_OFF, rate_ppb=100_000_000, target=target
        )

    amount = promotion_pb2.Benefit(type=promotion_pb2.BENEFIT_TYPE_ORDER_AMOUNT_OFF, amount_minor=50, target=everything)
    threshold = promotion_pb2.Condition(type=promotion_pb2.CONDITION_TYPE_MIN_SUBTOTAL, amount_minor=1)
    promotions = [
        promotion_pb2.Promotion(promotion_id="tenth", benefits=[percent(everything)]),
        promotion_pb2.Promotion(promotion_id="dear", benefits=[percent(dear)]),
        promotion_pb2.Promotion(promotion_id="amount", benefits=[amount]),
        promotion_pb2.Promotion(promotion_id="big", benefits=[percent(everything)], conditions=[threshold]),
        promotion_pb2.Promotion(
            promotion_id="budget", benefits=[percent(everything)], limits=promotion_pb2.Limits(budget_minor=9)
        ),
    ]
    assert code_of(shop.send(promotion_pb2.PutPromotionsRequest(promotions=promotions))) == "OK"

    def outcomes(currency: str) -> dict[str, str]:
        request = pricing_pb2.PriceBasketRequest(
            location_id="S1", lines=[core_line("wrap", 10)], currency=currency, explain_all=True
        )
        basket = shop.ask("PriceBasket", request, pricing_pb2.PriceBasketResponse).basket
        return {
            one.promotion_id: promotion_pb2.PromotionOutcome.Name(one.outcome).removeprefix("PROMOTION_OUTCOME_")
            for one in basket.promotions
        }

    assert set(outcomes("").values()) == {"APPLIED"}
    assert outcomes("USD") == dict.fromkeys(("dear", "amount", "big", "budget"), "WRONG_CURRENCY") | {
        "tenth": "APPLIED"
    }


# ---- beside the oracle


@pytest.fixture(scope="module")
def oracle() -> Callable[..., Any]:
    """The oracle's book_prices; its modules import each other by their bare names."""
    sys.path.insert(0, str(ORACLE))
    try:
        return importlib.import_module("pricing_book").book_prices  # type: ignore[no-any-return]
    finally:
        sys.path.remove(str(ORACLE))


def random_book(rng: random.Random) -> dict[str, Any]:
    """A case with rows of every kind for one item."""
    rows = []
    for _ in range(rng.randint(1, 6)):
        row: dict[str, Any] = {
            "list": rng.choice(["base", "base", "vip", "b2b"]),
            "currency": rng.choice(["EUR", "EUR", "EUR", "USD"]),
            "price_minor": rng.choice([900, 950, 1000, 1100, 1200]),
        }
        if rng.random() < 0.4:
            row["min_qty"] = rng.choice([1, 2, 5, 10])
        if rng.random() < 0.2:
            row["max_qty"] = rng.choice([10, 19])
        if rng.random() < 0.2:
            row["from"] = rng.choice(["2026-03-01", AT])
        if rng.random() < 0.2:
            row["to"] = rng.choice([AT, "2026-03-05"])
        rules = {
            "group": rng.choice(["gold", ["gold", "silver"], "silver"]),
            "region": rng.choice(["north", ["north", "south"]]),
            "company": rng.choice(["acme", "beta"]),
        }
        row["rules"] = {key: rules[key] for key in rules if rng.random() < 0.3}
        row["overrides_base"] = rng.random() < 0.2
        if rng.random() < 0.2:
            row["uom"] = "tonne"
        rows.append(row)
    item: dict[str, Any] = {"sku": "A", "qty": rng.choice([1, 2, 5, 10])}
    if rng.random() < 0.4:
        item |= {"uom": rng.choice(["tonne", "kg"]), "uom_factor": rng.choice([1, 1000, "0.001"])}
    asked = {"group": rng.choice(["gold", "silver"]), "region": rng.choice(["north", "south"]), "company": "acme"}
    case = {"id": "b", "currency": "EUR", "items": [item], "promotions": [], "price_book": rows, "expect": {}, "at": AT}
    case["context"] = {"pricing": {key: asked[key] for key in asked if rng.random() < 0.6}}
    case["rules"] = {"price_selection": rng.choice(["lowest", "most_rules"])}
    return case


def test_random_books_through_the_commands_and_through_simulate(oracle: Callable[..., Any]) -> None:
    """The same book put with PutPrices, quoted with PriceBasket, and priced as a case: all as the oracle says.

    Rows that are one and the same to PutPrices, where the later replaces the earlier, are left out.
    """
    priced = 0
    for seed in range(BOOKS):
        case = random_book(random.Random(seed))
        clock = Clock(case["at"], None)
        kept, messages = [], {}
        for row in case["price_book"]:
            message = price_row(row, "EUR", clock)
            if message is None:
                continue
            same = catalog_pb2.PriceRow.FromString(message.SerializeToString())
            same.ClearField("price_minor")
            same.ClearField("to_ns")
            same.ClearField("max_qty_milli")
            same.rules.sort(key=lambda rule: rule.key)
            if messages.setdefault(same.SerializeToString(deterministic=True), message) is message:
                message.item_id = "A"
                kept.append(row)
        case["price_book"] = kept
        item = case["items"][0]
        wanted = oracle(item, case, None)
        answer = Answer(case)
        assert (answer.get("unit_price_minor"), answer.get("list_price_minor")) == wanted, (seed, json.dumps(case))
        shop = small_shop()
        shop.now_ns = clock.at_ns()
        factor = round(1e6 * float(item.get("uom_factor", 1)))
        goods = catalog_pb2.Item(item_id="A", name="A", untracked=True, uom=item.get("uom", ""), base_units_ppm=factor)
        shop.send(catalog_pb2.PutItemsRequest(items=[goods]))
        assert not messages or code_of(put(shop, *messages.values())) == "OK"
        lowest = case["rules"]["price_selection"] == "lowest"
        select(
            shop, promotion_pb2.PRICE_SELECTION_LOWEST if lowest else promotion_pb2.PRICE_SELECTION_LOWEST_OF_MOST_RULES
        )
        found = quote(shop, "A", item["qty"], **case["context"]["pricing"])
        if isinstance(found, str):
            assert (found, wanted) == ("PRICE_MISSING", (None, None)), (seed, json.dumps(case))
            continue
        priced += 1
        assert (found.price_minor, found.list_price_minor or found.price_minor) == wanted, (seed, json.dumps(case))
    assert BOOKS // 4 < priced < BOOKS


# ---- over the wire


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path / "data") as engine:
        yield engine


def test_a_client_puts_a_book_quotes_sells_and_takes_back(engine: EngineProcess) -> None:
    with Client(engine.target) as till:
        till.put_settings(currency="EUR")
        till.put_locations([{"location_id": "STORE", "name": "High Street"}])
        till.put_tills([{"till_id": "T1", "location_id": "STORE"}])
        till.put_items(
            [{"item_id": "BOLT", "name": "Bolts", "uom": "box", "base_units_ppm": 100_000_000, "untracked": True}]
        )
        till.put_prices(
            [
                price("BOLT", 10),
                price(
                    "BOLT", 800, uom="box", list_id="contract", rules={"company": ["acme", "beta"], "region": "north"}
                ),
            ]
        )
        with pytest.raises(Refused, match=r"rows\[1\]\.currency"):
            till.put_prices([price("BOLT", 1), price("BOLT", 9, currency="XYZ")])
        anybody = till.price_basket(location_id="STORE", lines=[line("BOLT", 2)])
        assert (anybody.total_minor, anybody.lines[0].price_list_id) == (2000, "")
        known = {"company": "acme", "region": "north"}
        basket = till.price_basket(location_id="STORE", lines=[line("BOLT", 2)], price_attributes=known)
        first = basket.lines[0]
        assert (basket.total_minor, first.price_list_id, first.list_price_minor) == (1600, "contract", 1000)
        sale = till.sell(till_id="T1", lines=[line("BOLT", 2)], tenders=[cash(1600)], price_attributes=known)
        assert sale.basket == basket
        till.put_prices([price("BOLT", 99)])
        back = till.return_lines(till_id="T1", sale=sale, lines=[return_line(0)])
        assert back.basket.total_minor == 800
        till.put_prices([price("BOLT", 1100, currency="USD", uom="box")])
        dollars = till.sell(till_id="T1", lines=[line("BOLT")], tenders=[cash(1100)], currency="USD")
        assert (dollars.basket.currency, dollars.basket.total_minor) == ("USD", 1100)


def test_a_time_of_the_store_s_clock_reaches_the_rows() -> None:
    """A row from noon in Berlin holds from eleven UTC in winter."""
    case = {
        "id": "c",
        "currency": "EUR",
        "items": [{"sku": "A", "qty": 1}],
        "promotions": [],
        "price_book": [
            {"list": "base", "price_minor": 1000},
            {"list": "base", "price_minor": 900, "from": "2026-01-10T12:00:00"},
        ],
        "expect": {},
    }
    asked = {"2026-01-10T10:59:59+00:00": 1000, "2026-01-10T11:00:00+00:00": 900}
    for at, wanted in asked.items():
        assert datetime.fromisoformat(at).tzinfo is not None
        assert Answer(case | {"at": at}, "Europe/Berlin").get("unit_price_minor") == wanted
