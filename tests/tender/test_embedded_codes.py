"""Codes with a price or a quantity in them: read by patterns, sold, looked up; never a number that is not there."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ringup.engine.simulate_extras import read_barcode
from ringup.engine.simulate_request import Unfit
from ringup.v1 import admin_pb2, catalog_pb2, pricing_pb2, result_pb2
from support.core import CoreHarness, small_shop

ORACLE = Path(__file__).resolve().parents[1] / "oracle"
WEIGHT, PRICE, PIECES = "21.....{NNDDD}.", "23......{NNDD}.", "29..{NNN}."


def _code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def with_check(body: str) -> str:
    """A code's digits with the check digit of GS1 General Specifications 7.9."""
    return body + str(-sum(int(d) * (3, 1)[i % 2] for i, d in enumerate(reversed(body))) % 10)


def pattern(text: str, value: int, symbology: int = catalog_pb2.SYMBOLOGY_EAN_13) -> catalog_pb2.CodePattern:
    return catalog_pb2.CodePattern(pattern=text, value=value, symbology=symbology)  # type: ignore[arg-type]


@pytest.fixture
def shop() -> CoreHarness:
    """Cheese is weighed (12345), ham is priced in the shop (123450), eggs come in trays (EAN 8)."""
    shop = small_shop()
    patterns = [
        pattern(WEIGHT, catalog_pb2.CODE_VALUE_QUANTITY),
        pattern(PRICE, catalog_pb2.CODE_VALUE_PRICE),
        pattern(PIECES, catalog_pb2.CODE_VALUE_QUANTITY, catalog_pb2.SYMBOLOGY_EAN_8),
    ]
    items = [
        catalog_pb2.Item(item_id="cheese", name="Cheese", measured=True, barcodes=[with_check("211234500000")]),
        catalog_pb2.Item(
            item_id="ham", name="Ham", measured=True, untracked=True, barcodes=[with_check("231234500000")]
        ),
        catalog_pb2.Item(item_id="egg", name="Egg", untracked=True, barcodes=[with_check("2901000")]),
    ]
    for answer in shop.batch(
        catalog_pb2.PutCodePatternsRequest(patterns=patterns),
        catalog_pb2.PutItemsRequest(items=items),
        catalog_pb2.PutPricesRequest(rows=[catalog_pb2.PriceRow(item_id="egg", price_minor=25)]),
    ):
        assert _code(answer) == "OK", answer
    return shop


def price(shop: CoreHarness, code: str, qty_milli: int = 0, **fields: Any) -> Any:
    line = pricing_pb2.BasketLine(item_id=code, qty_milli=qty_milli, **fields)
    request = pricing_pb2.PriceBasketRequest(location_id="S1", lines=[line])
    return shop.ask("PriceBasket", request, pricing_pb2.PriceBasketResponse)


def priced_line(shop: CoreHarness, code: str, qty_milli: int = 0, **fields: Any) -> tuple[str, int, int]:
    answer = price(shop, code, qty_milli, **fields)
    assert _code(answer) == "OK", answer
    line = answer.basket.lines[0]
    return line.item_id, line.qty_milli, line.total_minor


def test_a_code_gives_item_and_weight_or_price_or_pieces(shop: CoreHarness) -> None:
    assert priced_line(shop, with_check("211234501250")) == ("cheese", 1250, 2363)  # 18.90 a kilo
    assert priced_line(shop, with_check("211234501250"), 2000) == ("cheese", 2500, 4725)  # two such packs
    assert priced_line(shop, with_check("2901012")) == ("egg", 12_000, 300)
    assert priced_line(shop, with_check("231234501234")) == ("ham", 1000, 1234)
    shop.send(catalog_pb2.PutPricesRequest(rows=[catalog_pb2.PriceRow(item_id="ham", price_minor=2468)]))
    assert priced_line(shop, with_check("231234501234"), 3000) == ("ham", 1500, 3702)  # what its price says it weighs
    override = pricing_pb2.PriceOverride(price_minor=1000, reason="last day")
    assert priced_line(shop, with_check("211234501250"), price_override=override) == ("cheese", 1250, 1250)
    assert priced_line(shop, "cheese", 500)[1] == 500, "a code without a value is what it was"


@pytest.mark.parametrize(
    ("code", "qty_milli", "outcome", "field"),
    [
        ("2112345012507", 0, "BARCODE_INVALID", "lines.item_id"),  # its check digit is 6
        (with_check("211234500000"), 0, "QTY_INVALID", "lines.qty_milli"),  # the item's own barcode says no weight
        (with_check("211234501250"), 1500, "QTY_INVALID", "lines.qty_milli"),  # one and a half packs
        (with_check("219999901250"), 0, "ITEM_UNKNOWN", "lines.item_id"),  # nobody has this base code
        (with_check("221234501250"), 0, "ITEM_UNKNOWN", "lines.item_id"),  # no pattern begins with 22
        ("21123450125X6", 0, "ITEM_UNKNOWN", "lines.item_id"),
        ("211234501250", 0, "ITEM_UNKNOWN", "lines.item_id"),  # one digit short
        ("milk", 0, "QTY_INVALID", "lines.qty_milli"),
        (with_check("2901012"), 10**12, "QTY_TOO_LARGE", "lines.qty_milli"),
    ],
)
def test_what_does_not_scan_is_refused(shop: CoreHarness, code: str, qty_milli: int, outcome: str, field: str) -> None:
    answer = price(shop, code, qty_milli)
    assert (_code(answer), answer.problem.field) == (outcome, field)


def test_an_item_is_found_by_its_code_with_a_value(shop: CoreHarness) -> None:
    def get(code: str) -> Any:
        return shop.ask("GetItem", catalog_pb2.GetItemRequest(item_code=code), catalog_pb2.GetItemResponse)

    weighed, priced, plain = get(with_check("211234501250")), get(with_check("231234500000")[:-1] + "0"), get("cheese")
    assert (weighed.item.item_id, weighed.code_qty_milli, weighed.HasField("code_price_minor")) == (
        "cheese",
        1250,
        False,
    )
    assert _code(priced) == "BARCODE_INVALID"
    priced = get(with_check("231234501234"))
    assert (priced.item.item_id, priced.code_price_minor, priced.HasField("code_qty_milli")) == ("ham", 1234, False)
    assert not plain.HasField("code_qty_milli")
    assert _code(get(with_check("219999901250"))) == "ITEM_UNKNOWN"


def test_a_price_must_fit_the_currency(shop: CoreHarness) -> None:
    """12.34 is no amount of yen, 12.00 is."""
    items = ("milk", "bread", "lamp", "cheese", "wrap", "egg")
    rows = [catalog_pb2.PriceRow(item_id=item, removed=True) for item in items]
    assert _code(shop.send(catalog_pb2.PutPricesRequest(rows=rows))) == "OK"  # a book with prices keeps its currency
    shop.send(admin_pb2.PutSettingsRequest(settings=admin_pb2.Settings(currency="JPY")))
    assert _code(price(shop, with_check("231234501234"))) == "BARCODE_INVALID"
    assert priced_line(shop, with_check("231234501200"))[2] == 12


def test_the_ladder_of_patterns(shop: CoreHarness) -> None:
    quantity = catalog_pb2.CODE_VALUE_QUANTITY
    listed = shop.ask("ListCodePatterns", catalog_pb2.ListCodePatternsRequest(), catalog_pb2.ListCodePatternsResponse)
    assert [p.pattern for p in listed.patterns] == [WEIGHT, PRICE, PIECES]
    rows = [
        ("TOO_MANY", "patterns", 0, [pattern("", 9, 9)] * 65),
        ("FIELD_INVALID", "patterns.symbology", 0, [pattern("", 9, 9)]),
        ("FIELD_INVALID", "patterns.value", 0, [pattern("", 9)]),
        ("FIELD_INVALID", "patterns.value", 0, [pattern("", 0)]),
        *(
            ("FIELD_INVALID", "patterns.pattern", 1, [pattern(WEIGHT, quantity), pattern(text, quantity)])
            for text in (
                *(
                    "",
                    "21.....{}.....",
                    "21.....{NNDDD.",
                    "21.....NNDDD}.",
                    "21.....{NDNDD}.",
                    "21.....{NNDDD}..",
                    "2{N}",
                ),
                *(
                    "21.....{NN}{DDD}.",
                    "21..........",
                    "21......{NNDDD}",
                    "2100000000{N}é",
                    "." * 60,
                    "{NNNNNNNNNNNNNNNN}",
                ),
            )
        ),
    ]
    for expected, field, index, patterns in rows:
        answer = shop.send(catalog_pb2.PutCodePatternsRequest(patterns=patterns))
        assert (_code(answer), answer.problem.field, answer.problem.index) == (expected, field, index), patterns
    assert shop.core.row_counts()["code_patterns"] == 3
    again = shop.refold()
    again.rebuild()
    assert priced_line(CoreHarness(again), with_check("211234501250")) == ("cheese", 1250, 2363)
    assert _code(shop.send(catalog_pb2.PutCodePatternsRequest())) == "OK"
    assert _code(price(shop, with_check("211234501250"), 1000)) == "ITEM_UNKNOWN"


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    """The oracle's barcodes; its modules import each other by their bare names."""
    sys.path.insert(0, str(ORACLE))
    try:
        return importlib.import_module("pricing_book")
    finally:
        sys.path.remove(str(ORACLE))


def test_codes_read_as_in_the_oracle(oracle: ModuleType) -> None:
    """Random patterns and codes, most of which fit; a few digits are then changed, lost or doubled."""
    rng = random.Random(5)
    invalid = 0
    for _ in range(5000):
        symbology, size = rng.choice((("EAN-13", 13), ("ean8", 8), ("UPC-A", 12), ("itf14", 14), ("code128", 11)))
        checked = symbology != "code128"
        whole, decimals = rng.randrange(4), rng.randrange(3)
        at = rng.randrange(size - whole - decimals)
        flat = "".join(rng.choice(("0", "1", "2", ".", ".")) for _ in range(size))
        inside = "{" + "N" * whole + "D" * decimals + "}" if whole + decimals else ""
        text = flat[:at] + inside + flat[at + whole + decimals :]
        if checked:
            text = text[:-1] + rng.choice((".", ""))
        body = "".join(c if c.isdigit() else str(rng.randrange(10)) for c in flat)
        body = (
            body[:at] + "".join(str(rng.randrange(10)) for _ in range(whole + decimals)) + body[at + whole + decimals :]
        )
        code = with_check(body[: size - 1]) if checked else body
        for _ in range(rng.choice((0, 0, 1, 2))):
            spot = rng.randrange(len(code)) if code else 0
            code = code[:spot] + rng.choice(("", "7", "x", "00")) + code[spot + 1 :]
        barcode = {"code": code, "pattern": text, "symbology": symbology}
        expected = oracle.read_barcode(barcode)
        if len(code) > len(text.replace("{", "").replace("}", "")) + checked:
            expected = {"error": "invalid"}  # longer than the pattern: the oracle looks at its beginning only
        assert read_barcode(barcode) == expected, barcode
        invalid += "error" in expected
    assert 1000 < invalid < 4000


def test_a_pattern_that_is_none_says_where() -> None:
    with pytest.raises(Unfit, match="wrong at 8"):
        read_barcode({"code": "2112345012506", "pattern": "21.....{XX}.", "symbology": "ean13"})
