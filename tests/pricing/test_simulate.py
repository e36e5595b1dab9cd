"""`ringup simulate`: every case of the collection agrees; a wrong file is named by case and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringup.engine.cli import app
from ringup.engine.simulate import run_cases
from ringup.engine.simulate_case import CaseError, check_case

CASES = Path(__file__).resolve().parents[1] / "cases" / "pricing"
RUNNER = CliRunner()


def _case(**fields: Any) -> dict[str, Any]:
    return {
        "id": "c1",
        "source": "ringup",
        "kind": "test",
        "currency": "EUR",
        "items": [{"sku": "A", "qty": 2, "unit_price_minor": 1000}],
        "promotions": [],
        "coupons": [],
        "expect": {"total_minor": 2000},
        **fields,
    }


def _promotion(benefit: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "p", "conditions": [], "benefits": [benefit], **fields}


@pytest.mark.parametrize("path", sorted(CASES.glob("*.json")), ids=lambda path: path.stem)
def test_every_case_of_the_collection_agrees(path: Path) -> None:
    cases = json.loads(path.read_text())["cases"]
    assert cases
    for index, case in enumerate(cases):
        check_case(case, f"case {index}")
    assert [(o.id, o.differs) for o in run_cases(cases) if not o.ok] == []


def _run(tmp_path: Path, document: Any, *options: str) -> Any:
    path = tmp_path / "cases.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return RUNNER.invoke(app, ["simulate", str(path), *options])


def test_exit_0_and_a_summary_when_all_agree(tmp_path: Path) -> None:
    result = _run(tmp_path, {"cases": [_case()]}, "--json")
    first, summary = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 0
    assert first == {"id": "c1", "ok": True, "got": {"total_minor": 2000}, "differs": []}
    assert summary == {"cases": 1, "ok": 1, "differ": 0}


def test_exit_1_names_what_differs(tmp_path: Path) -> None:
    result = _run(tmp_path, {"cases": [_case(expect={"total_minor": 1999})]})
    assert result.exit_code == 1
    assert "total_minor: expected 1999, found 2000" in result.stdout


OFF = {"type": "item_percent_off", "percent": 10, "target": {"all": True}}


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (_case(curency="EUR"), "case 'c1'.curency: unknown key; the nearest known key is 'currency'"),
        (
            _case(promotions=[_promotion({**OFF, "type": "item_percent"})]),
            "the nearest known type is 'item_percent_off'",
        ),
        (_case(promotions=[_promotion({**OFF, "percnt": 1})]), "benefits[0].percnt: unknown key"),
        (_case(promotions=[_promotion({**OFF, "percent": -1})]), "expected a percent from 0 to 100, found -1"),
        (_case(promotions=[_promotion({**OFF, "percent": 101})]), "expected a percent from 0 to 100, found 101"),
        (_case(promotions=[_promotion({**OFF, "target": {}})]), "an empty target"),
        (_case(promotions=[_promotion({**OFF, "target": {"skus": []}})]), "an empty target"),
        (
            _case(promotions=[_promotion(OFF, conditions=[{"type": "min_quantity", "qty": 1}])]),
            "unknown condition type",
        ),
        (_case(items=[{"sku": "A"}]), "items[0]: the key 'qty' is missing"),
        (_case(items=[{"sku": "A", "qty": 1, "unit_price_minor": 10**16}]), "expected at most 10^15"),
        (_case(items=[{"sku": "A", "qty": "many", "unit_price_minor": 1}]), "expected a number or a decimal text"),
        (_case(coupons=["x" * 1_000_000]), "at most 4,096 bytes, found 1,000,000"),
        (
            _case(items=[{"sku": "A", "qty": 1, "unit_price_minor": 1}] * 100_000),
            "at most 2,000 entries, found 100,000",
        ),
        (_case(items=[{"sku": "\ud800", "qty": 1, "unit_price_minor": 1}]), "expected a text of whole characters"),
        (_case(tax={"mode": "inclusive", "rates": {"\ud800": []}}), "expected a text of whole characters"),
        (_case(items=[{"sku": "A", "qty": "1_0", "unit_price_minor": 1}]), "expected a number or a decimal text"),
        (_case(items=[{"sku": "A", "qty": "\u0663", "unit_price_minor": 1}]), "expected a number or a decimal text"),
        (_case(at="0001-01-01"), ".at: expected a time between 1971 and 2261"),
        (_case(at="yesterday"), ".at: expected an ISO time"),
        (_case(promotions=[_promotion(OFF, window={"to": "2026-13-01"})]), "window.to: expected an ISO time"),
        (_case(items=[{"sku": "A", "qty": 1, "uom_factor": 0}]), "uom_factor: expected a number above zero"),
        (_case(allocate={"amount_minor": 1, "weights": [2, -1]}), "weights[1]: expected a number not below zero"),
        (_case(allocate={"amount_minor": 1, "weights": []}), "weights: expected one weight or more"),
        (_case(refund={"lines": [{"sku": "A", "qty": -1}]}), "qty: expected a number not below zero"),
        (_case(expect={"total": 1}), "the nearest known key is 'total_minor'"),
        (_case(selection="bestdeal"), "perhaps best_deal"),
        (_case(currency="EURO"), "'EURO' has no known exponent (ISO 4217); the nearest known one is"),
        (
            _case(promotions=[_promotion(OFF, schedule={"times": [["09:00", "12:00"], ["11:00", "13:00"]]})]),
            "the times of its schedule overlap",
        ),
        (_case(promotions=[_promotion(OFF, schedule={"days": ["someday"]})]), "expected mon, tue, ... sun"),
        (
            _case(promotions=[_promotion(OFF, schedule={"times": [["09:00", "09:00"]]})]),
            'a whole day is ["00:00", "24:00"]',
        ),
        (_case(promotions=[_promotion({**OFF, "target": {"skus": ["A", ""]}})]), "skus[1]: expected a name, found ''"),
        (
            _case(promotions=[_promotion({"type": "multibuy_cheapest_free", "qty": "2.5"})]),
            "qty: expected a whole number of units above zero, found '2.5'",
        ),
        (
            _case(
                tax={
                    "mode": "exclusive",
                    "rates": {"s": [{"percent": 5, "name": "gst"}, {"percent": 9, "on": ["gts"]}]},
                }
            ),
            "tax.rates.s[1].on: expected names of taxes of this class, found 'gts'; the nearest is 'gst'",
        ),
        (
            _case(
                promotions=[
                    _promotion(
                        {"type": "free_item", "sku": gift, "qty": 1, "for_each": {"qty": 1, "target": {"skus": [sku]}}},
                        id=gift,
                    )
                    for sku, gift in (("A", "B"), ("B", "C"), ("C", "A"))
                ]
            ),
            "free items in a circle",
        ),
    ],
)
def test_exit_2_names_the_case_and_the_key(tmp_path: Path, case: dict[str, Any], message: str) -> None:
    result = _run(tmp_path, {"cases": [_case(id="c0"), case]})
    assert result.exit_code == 2
    assert message in result.output
    assert "c1" in result.output
    assert "agree" not in result.output, "nothing is priced when the file is not valid"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"cases": 1}', '{"cases": [1]}', '{"cases": [NaN]}', "[" * 100_000]
    + [f'{{"cases": [{{"id": "c", "items": {"[" * depth}{"]" * depth}}}]}}' for depth in (400, 900)],
    ids=lambda text: text[:30] + str(len(text)),
)
def test_bytes_that_are_no_cases_are_refused(tmp_path: Path, text: str) -> None:
    assert _run(tmp_path, text).exit_code == 2


def test_a_byte_order_mark_and_dos_line_ends_are_no_fault(tmp_path: Path) -> None:
    text = "\ufeff" + json.dumps({"cases": [_case()]}, indent=1).replace("\n", "\r\n")
    path = tmp_path / "cases.json"
    path.write_bytes(text.encode())
    assert RUNNER.invoke(app, ["simulate", str(path)]).exit_code == 0
    assert RUNNER.invoke(app, ["simulate", "-"], input=text).exit_code == 0


def test_what_a_case_does_not_ask_for_has_no_answer(tmp_path: Path) -> None:
    """An `expect` about points, shares or a refund that the case says nothing of once ended in a traceback."""
    keys = ("parts", "points_earned", "points_burned", "points_balance", "refund_minor")
    wanted = [_case(id=key, expect={key: [1] if key == "parts" else 1}) for key in keys]
    no_price = {"items": [{"sku": "A", "qty": 1}], "refund": {"lines": [{"sku": "A", "qty": 1}]}}
    wanted.append(_case(id="unpriced", **no_price, expect={"refund_minor": 1}))
    result = _run(tmp_path, {"cases": wanted}, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()][:-1]
    assert result.exit_code == 1
    assert [list(line["got"].values()) for line in lines] == [[None]] * 6


def test_only_refused_promotions_are_listed_as_not_applied(tmp_path: Path) -> None:
    """Beaten, excluded, without its code, without anything to give: nothing refused these."""
    promotions = [
        _promotion(OFF, id="spent", limits={"max_uses": 1, "used": 1}),
        _promotion(OFF, id="code", coupon="K"),
        _promotion({**OFF, "target": {"skus": ["Z"]}}, id="elsewhere"),
        _promotion({**OFF, "percent": 20}, id="best", group="g"),
        _promotion(OFF, id="beaten", group="g"),
    ]
    rules = {"group_modes": {"g": "best"}}
    cases = [
        _case(id="all", promotions=promotions, rules=rules, expect={"applied": ["best"], "not_applied": []}),
        _case(id="none", promotions=promotions[1:], rules=rules, expect={"applied": ["best"], "not_applied": []}),
    ]
    result = _run(tmp_path, {"cases": cases}, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines[0]["got"]["not_applied"] == [{"id": "spent", "reason": "usage_limit"}]
    assert lines[1]["ok"]


def test_a_promotion_without_benefits_gives_nothing(tmp_path: Path) -> None:
    empty = {"id": "p", "conditions": [], "benefits": [], "coupon": "K", "limits": {"max_uses": 1, "used": 1}}
    expect = {"applied": [], "rejected_coupons": [{"code": "K", "reason": "usage_limit"}], "total_minor": 2000}
    assert _run(tmp_path, {"cases": [_case(promotions=[empty], coupons=["K"], expect=expect)]}).exit_code == 0


def test_a_percent_with_more_digits_than_the_engine_keeps(tmp_path: Path) -> None:
    """A third as a float: 300 * 33.333333333333336 % = 100.0000...: 100."""
    third = _case(
        items=[{"sku": "A", "qty": 1, "unit_price_minor": 300}],
        promotions=[_promotion({**OFF, "percent": 100 / 3})],
        expect={"total_minor": 200},
    )
    assert _run(tmp_path, {"cases": [third]}).exit_code == 0


def test_values_that_fit_no_engine_fail_their_case_alone(tmp_path: Path) -> None:
    """A currency to convert to that nobody knows, and amounts beyond the limits of a line."""
    converted = {"currency": "QQQ", "rate": "2", "unit_minor": 1, "total_minor": 1}
    cases = [
        _case(id="currency", expect={"converted": converted}),
        _case(id="amount", items=[{"sku": "A", "qty": 10**9, "unit_price_minor": 10**12}]),
        _case(id="good"),
    ]
    result = _run(tmp_path, {"cases": cases}, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert [line.get("ok") for line in lines[:3]] == [False, False, True]
    assert "QQQ" in lines[0]["differs"][0]
    assert "AMOUNT_TOO_LARGE" in lines[1]["differs"][0]


def test_what_no_basket_can_have_is_told_in_words(tmp_path: Path) -> None:
    """More comes back than was sold, something else comes back, a window ends before it begins."""
    window = {"from": "2025-02-01", "to": "2025-01-01"}
    cases = [
        _case(
            id="more", refund={"lines": [{"sku": "A", "qty": 1}, {"sku": "A", "qty": 2}]}, expect={"refund_minor": 0}
        ),
        _case(id="else", refund={"lines": [{"sku": "B", "qty": 1}]}, expect={"refund_minor": 0}),
        _case(id="window", promotions=[_promotion(OFF, window=window)]),
    ]
    result = _run(tmp_path, {"cases": cases}, "--json")
    assert [json.loads(line)["differs"] for line in result.stdout.splitlines()[:3]] == [
        ["refund.lines[1].qty: expected at most 1 of 'A', found 2"],
        ["refund.lines[0].sku: expected an item of the case, found 'B'"],
        ["window of 'p': expected an end after its beginning 2025-02-01, found 2025-01-01"],
    ]


def test_counts_may_be_decimal_texts(tmp_path: Path) -> None:
    """Quantities are whole numbers or decimal texts, in a promotion as in an item."""
    target = {"all": True, "max_units": "3"}
    free = {"type": "multibuy_cheapest_free", "qty": "3.0", "target": target}
    break_ = {"type": "quantity_break", "tiers": [{"min_qty": "6", "unit_price_minor": 900}]}
    case = _case(
        items=[{"sku": "A", "qty": "6", "unit_price_minor": 1000}],
        promotions=[_promotion(break_, id="break", priority=1), _promotion(free)],
        expect={"applied": ["break", "p"], "total_minor": 4500},
    )
    assert _run(tmp_path, {"cases": [case]}).exit_code == 0


def test_a_refund_of_everything_by_repricing_keeps_what_charges_cost(tmp_path: Path) -> None:
    """Delivery was free, so nothing of it is kept; a tax on it is part of what is kept."""
    free = {"type": "charge_percent_off", "charge": "d", "percent": 100}
    refund = {"lines": [{"sku": "A", "qty": 2}], "policy": "reprice_kept"}
    tax = {"mode": "exclusive", "rates": {"s": [{"percent": 20}]}}
    charges = [{"id": "d", "amount_minor": 300, "tax_class": "s"}]
    cases = [
        _case(id="free", promotions=[_promotion(free)], charges=charges, tax=tax, refund=refund)
        | {"expect": {"total_minor": 2000, "refund_minor": 2000}},
        _case(id="paid", charges=charges, tax=tax, refund=refund)
        | {"expect": {"total_minor": 2360, "refund_minor": 2000}},
    ]
    assert _run(tmp_path, {"cases": cases}).exit_code == 0


def test_a_time_without_a_zone_is_the_store_s_clock(tmp_path: Path) -> None:
    """09:30 in Berlin's summer is 07:30 UTC: the window by UTC has begun at 07:15."""
    window = {"from": "2025-07-01T07:15:00Z", "to": "2025-07-02T00:00"}
    case = _case(at="2025-07-01T09:30", promotions=[_promotion(OFF, window=window)], expect={"total_minor": 1800})
    assert _run(tmp_path, {"cases": [case]}, "--zone", "Europe/Berlin").exit_code == 0
    case["at"] = "2025-07-01T09:00"
    assert _run(tmp_path, {"cases": [case]}, "--zone", "Europe/Berlin").exit_code == 1


def test_gifts_and_codes_agree_in_any_order(tmp_path: Path) -> None:
    gift = {"type": "free_item", "sku": "G", "qty": 1}
    promotions = [_promotion(gift, id="a", coupon="K"), _promotion({**gift, "qty": 2}, id="b", coupon="L")]
    base = _case(promotions=promotions, coupons=["K", "L", "X", "Y"])
    agrees = [
        {"free_items": [{"sku": "G", "qty": 3}], "accepted_coupons": ["L", "K"]},
        {"rejected_coupons": [{"code": code, "reason": "unknown"} for code in ("Y", "X")]},
    ]
    differs = [
        {"free_items": [{"sku": "G", "qty": 2}]},
        {"accepted_coupons": ["L"]},
        {"rejected_coupons": [{"code": "X", "reason": "unknown"}, {"code": "X", "reason": "unknown"}]},
    ]
    result = _run(tmp_path, {"cases": [{**base, "expect": expect} for expect in agrees + differs]}, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()][:-1]
    assert [line["ok"] for line in lines] == [True, True, False, False, False]
    assert lines[2]["got"] == {"free_items": [{"sku": "G", "qty": 1}, {"sku": "G", "qty": 2}]}


def test_amounts_of_another_currency_are_asserted_one_by_one(tmp_path: Path) -> None:
    converted = {"currency": "USD", "rate": "1.1"}
    cases = [
        _case(id="total", expect={"converted": converted | {"total_minor": 2200}}),
        _case(id="null", expect={"converted": converted | {"unit_minor": None, "total_minor": 2200}}),
        _case(id="wrong", expect={"converted": converted | {"unit_minor": 1}}),
    ]
    result = _run(tmp_path, {"cases": cases}, "--json")
    assert [json.loads(line).get("ok") for line in result.stdout.splitlines()][:-1] == [True, True, False]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_terminal_without_unicode_gets_the_same_lines(tmp_path: Path, options: tuple[str, ...]) -> None:
    """The letters of an id that such a terminal cannot show once ended in a traceback after half of the cases."""
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": [_case(id="\u20ac \U0001f600", expect={"total_minor": 1})]}))
    runner = CliRunner(charset="latin-1")
    result = runner.invoke(app, ["simulate", str(path), *options])
    assert result.exit_code == 1
    assert "total_minor: expected 1, found 2000" in result.stdout
    if options:
        assert json.loads(result.stdout.splitlines()[0])["id"] == "\u20ac \U0001f600"


def test_a_window_without_an_end_may_say_so_with_a_far_year(tmp_path: Path) -> None:
    window = {"from": "0001-01-01T00:00:00+05:00", "to": "9999-12-31T23:59:59-05:00"}
    case = _case(at="2025-07-01T09:30", promotions=[_promotion(OFF, window=window)], expect={"total_minor": 1800})
    assert _run(tmp_path, {"cases": [case]}).exit_code == 0
    over = _case(at="2025-07-01T09:30", promotions=[_promotion(OFF, window={"to": "1960-12-31"})])
    assert _run(tmp_path, {"cases": [over]}).exit_code == 0, "it ended before all clocks"


@pytest.mark.parametrize("zone", ["Mars/Base", "../etc", "Europe"])
def test_a_zone_that_is_none_is_named(tmp_path: Path, zone: str) -> None:
    result = _run(tmp_path, {"cases": [_case()]}, "--zone", zone)
    assert result.exit_code == 2
    assert f"expected a time zone like Europe/Berlin, found '{zone}'" in result.output


def test_check_case_takes_what_the_collection_has() -> None:
    with pytest.raises(CaseError, match="expected an object"):
        check_case([], "case number 1")
