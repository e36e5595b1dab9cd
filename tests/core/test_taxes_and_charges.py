"""Taxes, floors, deposits and charges of the catalog and of sales: what is refused, kept and paid back."""

from __future__ import annotations

from typing import Any

from ringup.v1 import admin_pb2, catalog_pb2, pricing_pb2, promotion_pb2, result_pb2, sale_pb2
from support.core import CoreHarness, card, line, small_shop

PERCENT = 10_000_000
HUGE = 10**12 + 1


def _code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def _tax(name: str, percent: float = 0, **fields: Any) -> catalog_pb2.Tax:
    return catalog_pb2.Tax(name=name, rate_ppb=round(percent * PERCENT), **fields)


def _put_class(shop: CoreHarness, tax_class_id: str, *taxes: catalog_pb2.Tax) -> Any:
    tax_class = catalog_pb2.TaxClass(tax_class_id=tax_class_id, taxes=taxes)
    return shop.send(catalog_pb2.PutTaxClassesRequest(tax_classes=[tax_class]))


def _put_item(shop: CoreHarness, **fields: Any) -> Any:
    item = catalog_pb2.Item(**{"item_id": "milk", "name": "Milk", **fields})
    return shop.send(catalog_pb2.PutItemsRequest(items=[item]))


def _sell(shop: CoreHarness, total: int, *lines: pricing_pb2.BasketLine, **fields: Any) -> Any:
    tenders = [card(total)] if total else []
    return shop.send(sale_pb2.SellRequest(till_id="T1", lines=lines, tenders=tenders, **fields))


def _back(shop: CoreHarness, sale: Any, *lines: tuple[int, int], **fields: Any) -> Any:
    asked = [sale_pb2.ReturnLine(line=number, qty_milli=qty) for number, qty in lines]
    return shop.send(sale_pb2.ReturnLinesRequest(till_id="T1", sale_id=sale.receipt.sale_id, lines=asked, **fields))


def _delivery(amount: int = 490, **fields: Any) -> promotion_pb2.Charge:
    return promotion_pb2.Charge(charge_id="delivery", amount_minor=amount, **fields)


def test_the_ladder_of_an_items_rules() -> None:
    """The first row has every fault; each next row mends what the row before reported."""
    shop = small_shop()
    row: dict[str, Any] = {
        "uom": "u" * 65, "base_units_ppm": -1, "min_price_minor": -1, "deposit_minor": -1,
    }  # fmt: skip
    ladder: list[tuple[str, str, dict[str, Any]]] = [
        ("FIELD_INVALID", "items.uom", {"uom": "case"}),
        ("QTY_INVALID", "items.base_units_ppm", {"base_units_ppm": HUGE}),
        ("QTY_TOO_LARGE", "items.base_units_ppm", {"base_units_ppm": 6_000_000}),
        ("AMOUNT_INVALID", "items.min_price_minor", {"min_price_minor": HUGE}),
        ("AMOUNT_INVALID", "items.deposit_minor", {"deposit_minor": HUGE}),
        ("AMOUNT_TOO_LARGE", "items.min_price_minor", {"min_price_minor": 90}),
        ("AMOUNT_TOO_LARGE", "items.deposit_minor", {"deposit_minor": 25}),
    ]
    for code, field, mend in ladder:
        answer = _put_item(shop, **row)
        assert (_code(answer), answer.problem.field) == (code, field)
        row.update(mend)
    assert _code(_put_item(shop, **row, not_discountable=True)) == "OK"
    found = shop.ask("GetItem", catalog_pb2.GetItemRequest(item_code="milk"), catalog_pb2.GetItemResponse).item
    assert (found.uom, found.base_units_ppm, found.min_price_minor, found.deposit_minor) == ("case", 6_000_000, 90, 25)
    assert found.not_discountable
    _put_item(shop)
    found = shop.ask("GetItem", catalog_pb2.GetItemRequest(item_code="milk"), catalog_pb2.GetItemResponse).item
    assert found == catalog_pb2.Item(item_id="milk", name="Milk"), "an item put again has only what it says"


def test_the_ladder_of_a_tax_class() -> None:
    shop = small_shop()
    rows: list[tuple[str, str, list[catalog_pb2.Tax]]] = [
        ("FIELD_INVALID", "taxes.name", [_tax("")]),
        ("AMOUNT_INVALID", "taxes.rate_ppb", [_tax("A", 100.1)]),
        ("AMOUNT_INVALID", "taxes.rate_ppb", [_tax("A", -1)]),
        ("AMOUNT_INVALID", "taxes.amount_minor_per_unit", [_tax("A", amount_minor_per_unit=-1)]),
        ("AMOUNT_INVALID", "taxes.amount_minor_per_unit", [_tax("A", 1, amount_minor_per_unit=5)]),
        ("AMOUNT_TOO_LARGE", "taxes.amount_minor_per_unit", [_tax("A", amount_minor_per_unit=HUGE)]),
        ("TIME_INVALID", "taxes.from_ns", [_tax("A", 1, from_ns=-1)]),
        ("TIME_INVALID", "taxes.to_ns", [_tax("A", 1, from_ns=9, to_ns=9)]),
        ("TAX_UNKNOWN", "taxes.on", [_tax("A", 1, on=["B"])]),
        ("FIELD_INVALID", "taxes.on", [_tax("A", 1), _tax("B", amount_minor_per_unit=1, on=["A"])]),
        ("TAX_CYCLIC", "taxes.on", [_tax("A", 1, on=["A"])]),
        ("TAX_CYCLIC", "taxes.on", [_tax("A", 1, on=["B"]), _tax("B", 1, on=["C"]), _tax("C", 1, on=["A"])]),
        ("TIME_INVALID", "taxes.from_ns", [_tax("A", 1, to_ns=10), _tax("A", 2, from_ns=9)]),
        ("TIME_INVALID", "taxes.from_ns", [_tax("A", 1), _tax("A", 2)]),
        ("AMOUNT_TOO_LARGE", "taxes.rate_ppb", [_tax(n, 12.3456789, on=list("ABC"[:i])) for i, n in enumerate("ABCD")]),
        ("TOO_MANY", "taxes", [_tax(str(n), 1) for n in range(9)]),
    ]
    for code, field, taxes in rows:
        answer = _put_class(shop, "std", *taxes)
        assert (_code(answer), answer.problem.field) == (code, f"tax_classes.{field}"), taxes
    assert shop.core.row_counts()["tax_sets"] == 3
    taxes = [_tax("A", 5, to_ns=10), _tax("A", 7, from_ns=10, inclusive=True), _tax("B", 1, on=["A"], to_ns=99)]
    assert _code(_put_class(shop, "new", *taxes)) == "OK"
    answer = shop.ask("ListTaxClasses", catalog_pb2.ListTaxClassesRequest(), catalog_pb2.ListTaxClassesResponse)
    assert list(answer.tax_classes[-1].taxes) == taxes
    sets = shop.core.row_counts()["tax_sets"]
    assert _code(_put_class(shop, "new", *taxes)) == "OK"
    assert shop.core.row_counts()["tax_sets"] == sets, "the same class again adds nothing"


def test_a_tax_may_be_on_one_that_stands_after_it() -> None:
    shop = small_shop()
    _put_class(shop, "std", _tax("LUXURY", 10, on=["DUTY"]), _tax("DUTY", 20))
    basket = _sell(shop, 1237, line("lamp"), line("milk")).receipt.basket
    assert [(t.name, t.base_minor, t.tax_minor) for t in basket.taxes] == [
        ("VAT added", 1000, 80),
        ("DUTY", 119, 24),
        ("LUXURY", 119, 14),
    ]


def test_the_ladder_of_charges() -> None:
    shop = small_shop()
    charge = promotion_pb2.Charge
    rows: list[tuple[str, str, list[promotion_pb2.Charge]]] = [
        ("FIELD_INVALID", "charges.charge_id", [charge()]),
        ("FIELD_INVALID", "charges.charge_id", [_delivery(1), _delivery(2)]),
        ("FIELD_INVALID", "charges.tax_class_id", [_delivery(tax_class_id="x" * 65)]),
        ("AMOUNT_TOO_LARGE", "charges.amount_minor", [_delivery(HUGE)]),
        ("AMOUNT_TOO_LARGE", "charges.amount_minor", [_delivery(-HUGE)]),
        ("TAX_CLASS_UNKNOWN", "charges.tax_class_id", [_delivery(tax_class_id="none")]),
        ("AMOUNT_INVALID", "charges.amount_minor", [_delivery(-120)]),
        ("TOO_MANY", "charges", [charge(charge_id=str(n)) for n in range(65)]),
    ]
    for code, field, charges in rows:
        answer = _sell(shop, 119, line("milk"), charges=charges)
        assert (_code(answer), answer.problem.field) == (code, field), charges
    assert shop.core.row_counts()["sale_charges"] == 0
    assert _code(_sell(shop, 0, line("milk"), charges=[_delivery(-119)])) == "OK"


def test_a_charge_is_paid_back_once_and_only_when_asked_for() -> None:
    shop = small_shop()
    sale = _sell(shop, 119 + 500 + 40, line("milk"), charges=[_delivery(500, tax_class_id="added")])
    assert _code(sale) == "OK"
    (charge,) = sale.receipt.basket.charges
    assert (charge.charge_id, charge.amount_minor, charge.tax_added_minor) == ("delivery", 500, 40)
    _put_class(shop, "added", _tax("NEW", 50))
    assert _back(shop, sale, (0, 1000)).receipt.basket.total_minor == 119
    assert _code(_back(shop, sale, charge_ids=["parcel"])) == "LINE_UNKNOWN"
    assert _code(_back(shop, sale, charge_ids=["delivery", "delivery"])) == "RETURN_EXCEEDS"
    back = _back(shop, sale, charge_ids=["delivery"]).receipt.basket
    assert (back.total_minor, back.charges_minor, [t.name for t in back.taxes]) == (540, 500, ["VAT added"])
    again = _back(shop, sale, charge_ids=["delivery"])
    assert (_code(again), again.problem.field) == ("RETURN_EXCEEDS", "charge_ids")


def test_a_voucher_does_not_go_back_alone() -> None:
    """A charge below zero paid back by itself would be money that the customer owes."""
    shop = small_shop()
    sale = _sell(shop, 100, line("milk"), charges=[promotion_pb2.Charge(charge_id="voucher", amount_minor=-19)])
    alone = _back(shop, sale, charge_ids=["voucher"])
    assert (_code(alone), alone.problem.field, alone.problem.found) == ("AMOUNT_INVALID", "charge_ids", -19)
    assert _back(shop, sale, (0, 1000), charge_ids=["voucher"]).receipt.basket.total_minor == 100


def test_a_return_shows_the_taxes_that_were_paid() -> None:
    """A return after the class was replaced showed the new class's tax table."""
    shop = small_shop()
    sale = _sell(shop, 238, line("milk", 2))
    _put_class(shop, "std", _tax("GST", 3), _tax("PST", 4))
    assert [(t.name, t.tax_minor) for t in _sell(shop, 128, line("milk")).receipt.basket.taxes] == [
        ("GST", 4),
        ("PST", 5),
    ]
    back = _back(shop, sale, (0, 1000)).receipt.basket
    assert [(t.name, t.rate_ppb, t.base_minor, t.tax_minor) for t in back.taxes] == [("VAT std", 190_000_000, 100, 19)]


def test_a_deposit_beyond_the_limit_of_a_total_is_refused() -> None:
    shop = small_shop()
    _put_item(shop, deposit_minor=10**12)
    answer = _sell(shop, 1, pricing_pb2.BasketLine(item_id="milk", qty_milli=1001 * 1000))
    assert (_code(answer), answer.problem.field) == ("AMOUNT_TOO_LARGE", "lines.deposit_minor")


def test_a_tax_by_quantity_beyond_the_limit_is_refused() -> None:
    shop = small_shop()
    _put_class(shop, "std", _tax("ECO", amount_minor_per_unit=10**12))
    answer = _sell(shop, 1, line("milk", 10**6))
    assert (_code(answer), answer.problem.field) == ("AMOUNT_TOO_LARGE", "lines.tax")


def test_a_gift_that_is_not_there_is_refused_with_its_name() -> None:
    shop = small_shop()
    shop.send(catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="mug", name="A mug")]))
    gift = promotion_pb2.Benefit(type=promotion_pb2.BENEFIT_TYPE_FREE_ITEM, item_id="mug", qty=1)
    published = promotion_pb2.Promotion(promotion_id="gift", benefits=[gift])
    assert _code(shop.send(promotion_pb2.PutPromotionsRequest(promotions=[published]))) == "OK"
    answer = _sell(shop, 119, line("milk"))
    assert (_code(answer), answer.problem.field) == ("STOCK_INSUFFICIENT", "free_items")
    assert answer.problem.subject == "mug"


def test_a_book_with_prices_keeps_its_currency() -> None:
    shop = small_shop()
    yen = admin_pb2.PutSettingsRequest(settings=admin_pb2.Settings(currency="JPY"))
    answer = shop.send(yen)
    assert (_code(answer), answer.problem.field) == ("CURRENCY_IN_USE", "settings.currency")
    euro = admin_pb2.PutSettingsRequest(settings=admin_pb2.Settings(currency="EUR", cash_increment_minor=5))
    assert _code(shop.send(euro)) == "OK"
    rows = [catalog_pb2.PriceRow(item_id=item, removed=True) for item in ("milk", "bread", "lamp", "cheese", "wrap")]
    shop.send(catalog_pb2.PutPricesRequest(rows=rows))
    assert _code(shop.send(admin_pb2.PutSettingsRequest(settings=yen.settings))) == "OK"
