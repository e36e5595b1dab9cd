"""`ringup explain` and `ringup promo check`: reasons with numbers, offers within reach, and what to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringup.engine.cli import app
from ringup.engine.explain import explain
from ringup.engine.explain_text import money
from ringup.engine.promotion_checks import check_case
from ringup.v1 import promotion_pb2

THREE_FOR_TWO = {"type": "multibuy_cheapest_free", "target": {"skus": ["A"]}, "qty": 3}
OFF = {"type": "item_percent_off", "percent": 10, "target": {"all": True}}


def _case(promotions: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "currency": "EUR",
        "items": [{"sku": "A", "qty": 2, "unit_price_minor": 200}, {"sku": "B", "qty": 1, "unit_price_minor": 500}],
        "promotions": [{"conditions": [], **promotion} for promotion in promotions],
        "coupons": [],
        "expect": {},
        **fields,
    }


def test_money_is_written_in_the_digits_of_its_currency() -> None:
    assert (money(-1205, "EUR"), money(5, "EUR"), money(1205, "CLP"), money(1, "KWD")) == (
        "-12.05 EUR",
        "0.05 EUR",
        "1205 CLP",
        "0.001 KWD",
    )


def test_an_incomplete_set_is_named_with_what_would_complete_it() -> None:
    lines = list(explain(_case([{"id": "three", "benefits": [THREE_FOR_TWO]}])))
    assert "- three: a set has 2 of its 3 units" in lines
    assert "> add 1 more A: 2.00 EUR off (three), for nothing more" in lines
    assert lines[-1] == "= 9.00 EUR"


def test_what_applied_says_where_and_what_did_not_says_why() -> None:
    needs = [{"type": "min_subtotal", "amount_minor": 2000}]
    lines = list(
        explain(
            _case(
                [
                    {"id": "tenth", "benefits": [OFF]},
                    {"id": "big", "benefits": [OFF], "conditions": needs},
                    {"id": "card", "benefits": [OFF], "coupon": "CARD"},
                ],
                coupons=["OTHER"],
            )
        )
    )
    assert "+ tenth once: 0.90 EUR (2 x A at 0.20 EUR, 1 x B at 0.50 EUR)" in lines
    assert "- big: 11.90 EUR more needed to reach 20.00 EUR" in lines
    assert "- card: its coupon was not presented" in lines
    assert "- coupon OTHER: no promotion has it" in lines


def test_reasons_name_what_is_missing_and_offers_what_would_do() -> None:
    fruit = {"categories": ["fruit"]}
    coffee = {"target": {"skus": ["coffee"]}, "qty": 1}
    case = _case(
        [
            {"id": "second", "benefits": [{"type": "buy_get", "buy": coffee, "get": {**coffee, "percent": 50}}]},
            {"id": "five", "name": "5 off 25", "benefits": [{"type": "order_amount_off", "amount_minor": 500}]}
            | {"conditions": [{"type": "min_subtotal", "amount_minor": 2500}]},
            {"id": "kilo", "benefits": [{"type": "item_percent_off", "percent": 20, "target": fruit}]}
            | {"conditions": [{"type": "min_qty", "qty": 3, "target": fruit}]},
            {"id": "soon", "benefits": [OFF], "window": {"from": "2026-11-28T08:00"}},
            {"id": "gone", "benefits": [OFF], "window": {"to": "2026-11-01"}, "coupon": "GONE"},
        ],
        at="2026-11-21T10:00",
        items=[
            {"sku": "coffee", "qty": 1, "unit_price_minor": 800},
            {"sku": "apples", "category": ["fruit"], "qty": "1.250", "unit_price_minor": 300},
        ],
        coupons=["GONE"],
    )
    lines = list(explain(case))
    assert "- second: a set has 1 of its 2 units" in lines, "the one coffee cannot be bought and got"
    assert "> add 1 more coffee: 4.00 EUR off (second), for 4.00 EUR more" in lines
    assert "- five (5 off 25): 13.25 EUR more needed to reach 25.00 EUR" in lines
    # Two more would reach 25.00 if the second coffee were not cheaper.
    assert "> add 3 more coffee: 13.00 EUR off (five), for 11.00 EUR more" in lines
    assert "- kilo: needs 1.75 more of fruit" in lines
    assert "> add 1.75 more apples: 1.80 EUR off (kilo), for 3.45 EUR more" in lines
    assert "- soon: it begins on 2026-11-28 08:00" in lines
    assert "- gone: it is over since 2026-11-01 00:00" in lines
    assert "- coupon GONE: not taken, see gone: it is over since 2026-11-01 00:00" in lines


@pytest.mark.parametrize(
    ("promotions", "kind", "ids"),
    [
        (
            [
                {
                    "id": "p",
                    "benefits": [OFF],
                    "conditions": [
                        {"type": "min_subtotal", "amount_minor": 500},
                        {"type": "max_subtotal", "amount_minor": 400},
                    ],
                }
            ],
            "PROMOTION_NEVER",
            ("p", ""),
        ),
        ([{"id": "p", "benefits": [OFF], "limits": {"max_uses": 0}}], "never_applies", ("p", "")),
        (
            [{"id": "all", "benefits": [OFF], "exclusive": True}, {"id": "p", "benefits": [THREE_FOR_TWO]}],
            "shadowed",
            ("p", "all"),
        ),
        (
            [{"id": "p", "benefits": [{"type": "item_amount_off", "amount_minor": 300, "target": {"skus": ["A"]}}]}],
            "cut_short",
            ("p", ""),
        ),
        (
            [
                {"id": "p", "benefits": [OFF]},
                {"id": "q", "benefits": [{"type": "item_amount_off", "amount_minor": 50, "target": {"all": True}}]},
            ],
            "order_open",
            ("p", "q"),
        ),
        ([{"id": "p", "benefits": [OFF]}], None, ()),
    ],
)
def test_findings_before_promotions_are_published(
    promotions: list[dict[str, Any]], kind: str | None, ids: tuple[str, ...], tmp_path: Path
) -> None:
    case = _case(promotions)
    findings = check_case(case).findings
    names = [promotion_pb2.FindingKind.Name(f.kind).removeprefix("FINDING_KIND_").lower() for f in findings]
    assert names == ([kind] if kind and kind != "PROMOTION_NEVER" else [])
    assert [(f.promotion_id, f.other_promotion_id) for f in findings] == ([ids] if names else [])
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": [case]}))
    result = CliRunner().invoke(app, ["promo", "check", str(path)])
    assert result.exit_code == (2 if kind == "PROMOTION_NEVER" else 1 if kind else 0)
    assert (kind or "") in result.output
    assert CliRunner().invoke(app, ["explain", str(path)]).exit_code == 0


def test_an_amount_as_large_as_may_be_is_no_date() -> None:
    """What is needed was read as an instant as well, and no calendar has that year."""
    needs = [{"type": "min_subtotal", "amount_minor": 10**15}]
    lines = list(explain(_case([{"id": "p", "benefits": [OFF], "conditions": needs}])))
    assert "- p: 9999999999991.00 EUR more needed to reach 10000000000000.00 EUR" in lines


def test_explain_says_when_no_case_has_the_id(tmp_path: Path) -> None:
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": [_case([])]}))
    assert CliRunner().invoke(app, ["explain", str(path), "--case", "x"]).exit_code == 2


def test_each_row_of_the_price_book_says_what_became_of_it() -> None:
    book = [
        {"list": "base", "currency": "EUR", "price_minor": 1000},
        {"list": "base", "currency": "EUR", "price_minor": 900, "min_qty": 10},
        {"list": "b2b", "currency": "EUR", "price_minor": 800, "rules": {"region": ["AT", "DE"]}},
        {"list": "b2b", "currency": "EUR", "price_minor": 700, "rules": {"company": "acme"}},
        {"list": "base", "currency": "USD", "price_minor": 600},
        {"list": "sale", "currency": "EUR", "price_minor": 500, "from": "2026-03-01", "overrides_base": True},
        {"list": "sale", "currency": "EUR", "price_minor": 400, "to": "2026-01-01", "max_qty": 1},
        {"list": "sale", "currency": "EUR", "price_minor": 300, "uom": "box"},
        {"list": "small", "currency": "EUR", "price_minor": 950, "max_qty": 1},
        {"list": "open", "currency": "EUR", "price_minor": 990},
    ]
    asked = {"at": "2026-02-01", "context": {"pricing": {"region": "DE"}}, "price_book": book}
    lines = list(explain(_case([], items=[{"sku": "A", "qty": 2}], **asked)))
    assert lines[:2] == ["2 x A: 16.00 EUR", "  8.00 EUR by list b2b, region AT or DE"]
    assert sorted(lines[2:-1]) == sorted(
        [
            "  not 10.00 EUR by base list: the list price",
            "  not 9.00 EUR by base list: from 10, here 2",
            "  not 7.00 EUR by list b2b, company acme: its company is another",
            "  not 6.00 USD by base list: it is in USD",
            "  not 5.00 EUR by list sale, overrides the base: it begins on 2026-03-01 00:00",
            "  not 4.00 EUR by list sale: it is over since 2026-01-01 00:00",
            "  not 3.00 EUR per box by list sale: the item is not sold by box",
            "  not 9.50 EUR by list small: up to 1, here 2",
            "  not 9.90 EUR by list open: another row comes first, at 8.00 EUR",
        ]
    )
    nothing = list(explain(_case([], items=[{"sku": "A", "qty": 2}], **asked | {"price_book": book[1:2]})))
    assert nothing == ["2 x A: no price", "  not 9.00 EUR by base list: from 10, here 2"]
