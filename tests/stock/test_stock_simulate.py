"""`ringup simulate` on stock cases: exact decimals in and out, and files that are not of the format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ringup.engine.cli import app
from ringup.engine.simulate import load_cases, run_cases
from ringup.engine.simulate_case import CaseError
from ringup.engine.simulate_stock import run_case

CASE: dict[str, Any] = {
    "id": "ham",
    "source": "ringup",
    "kind": "decimals",
    "setup": {
        "locations": ["shop"],
        "skus": {"ham": {"decimals": True}},
        "stock": [{"sku": "ham", "location": "shop", "on_hand": 9.33}],
    },
    "steps": [
        {"op": "receive", "sku": "ham", "location": "shop", "qty": 0.17},
        {"op": "check", "sku": "ham", "qty": 9.501, "expect": {"result": "insufficient"}},
    ],
    "expect": {"levels": [{"sku": "ham", "location": "shop", "on_hand": 9.5}]},
}  # fmt: skip


def test_decimals_are_exact_from_the_file_to_the_report() -> None:
    (outcome,) = run_cases(load_cases(json.dumps({"cases": [CASE]})))
    assert outcome.ok, outcome.differs
    assert '"on_hand": 9.5}' in outcome.as_json()
    assert json.loads(outcome.as_json())["got"] == CASE["expect"]


def test_a_row_of_levels_may_name_what_is_available_there() -> None:
    for available, agrees in ((9.5, True), (9.25, False)):
        rows = [{"sku": "ham", "location": "shop", "on_hand": 9.5, "available": available}]
        (outcome,) = run_cases(load_cases(json.dumps({"cases": [{**CASE, "expect": {"levels": rows}}]})))
        assert outcome.ok == agrees


@pytest.mark.parametrize(
    ("kind", "row", "found"),
    [
        ("available", {"sku": "hma", "available": 9}, 0),
        ("available", {"sku": "ham", "channel": "moon", "available": 9}, None),
        ("preorders", {"sku": "hma", "channel": "all", "available": 9}, None),
        ("levels", {"sku": "ham", "location": "moon", "available": 9}, None),
    ],
)
def test_a_row_about_what_nobody_knows_does_not_agree_by_itself(kind: str, row: dict[str, Any], found: Any) -> None:
    (outcome,) = run_cases(load_cases(json.dumps({"cases": [{**CASE, "expect": {kind: [row]}}]})))
    assert outcome.got == {kind: [{**row, "available": found}]}
    assert not outcome.ok


def test_what_differs_is_said_in_the_units_of_the_case() -> None:
    wrong = {**CASE, "expect": {"levels": [{"sku": "ham", "location": "shop", "on_hand": 9.25}]}}
    (outcome,) = run_cases(load_cases(json.dumps({"cases": [wrong]})))
    assert not outcome.ok
    assert outcome.differs[0].startswith("levels: expected")
    assert outcome.got == {"levels": [{"sku": "ham", "location": "shop", "on_hand": pytest.approx(9.5)}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stesp": [], "id": "x"}, r"case number 1 \(x\): unknown key 'stesp', nearest is 'steps'"),
        (
            {"setup": {"locations": ["shop"], "stock": [{"sku": "ham", "location": "shpo", "on_hand": 1}]}},
            "nearest is 'shop'",
        ),
        ({"steps": [{"op": "hodl", "ref": "a", "lines": []}]}, "step 0: op: .*nearest is 'hold'"),
        ({"steps": [{"op": "hold", "ref": "a", "LINES": []}]}, "unknown key 'LINES', nearest is 'lines'"),
        ({"steps": [{"op": "hold", "ref": "a"}]}, "step 0 hold: expected the key 'lines'"),
        ({"steps": [{"op": "tick", "seconds": "many"}]}, "expected a number, found 'many'"),
        ({"steps": [{"op": "tick", "seconds": 1, "expect": {"result": "okay"}}]}, "result: .*nearest is 'ok'"),
        ({"steps": [{"op": "race", "steps": [{"op": "tick", "seconds": 1}]}]}, "a step on stock"),
        ({"steps": [{"op": "hold", "ref": "a", "lines": [], "mode": "part"}]}, "mode: .*nearest is 'partial'"),
        ({"steps": [{"op": "place", "order": "a", "add": "yes"}]}, "add: expected true or false, found 'yes'"),
        ({"steps": [{"op": "tick", "seconds": 1, "expect": {"take": [{"place": "a", "qty": 1}]}}]}, "key 'place'"),
        ({"steps": [{"op": "set_policy", "sku": "ham", "policy": {"safty": 1}}]}, "nearest is 'safety'"),
        (
            {"setup": {"locations": ["shop"], "skus": {"ham": {"backorder": {"limt": 1}}}}},
            "unknown key 'limt', nearest is 'limit'",
        ),
        (
            {"setup": {"locations": ["shop"], "stock": [{"sku": "ham", "location": "shop", "on_hand": 0.0001}]}},
            "on_hand: expected at most three decimals",
        ),
        (
            {
                "setup": {
                    "locations": ["shop"],
                    "stock": [{"sku": "ham", "location": "shop", "on_hand": 1, "expiry": "soon"}],
                }
            },
            "expiry: expected a date",
        ),
        ({"expect": {"levels": [{"sku": "ham", "on_hand": "many"}]}}, "on_hand: expected a number, found 'many'"),
        ({"expect": {"levels": [{"sku": "ham"}, {"on_hand": 1}]}}, "levels 1: expected the key 'sku'"),
        ({"stesp": [], "steps": None}, r"case number 1 \(ham\): unknown key 'stesp', nearest is 'steps'"),
        ({"setup": "x" * 9999}, "setup: expected an object, found 'x{79}[.]{3}$"),
        ({"expect": {"level": []}}, "unknown key 'level', nearest is 'levels'"),
        ({"expect": []}, r"expected an object, found \[\]"),
    ],
)
def test_a_file_that_is_not_of_the_format_names_case_and_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CaseError, match=message):
        load_cases(json.dumps({"cases": [{**CASE, **change}]}))


def written(folder: Path, name: str, *cases: dict[str, Any], begin: str = "", line_end: str = "\n") -> str:
    path = folder / name
    path.write_bytes((begin + json.dumps({"cases": cases}, indent=1).replace("\n", line_end)).encode())
    return str(path)


def test_several_files_are_one_report_and_cases_of_both_kinds_may_be_mixed(tmp_path: Path) -> None:
    price = {
        "id": "priced",
        "currency": "EUR",
        "items": [{"sku": "A", "qty": 2, "unit_price_minor": 1000}],
        "promotions": [],
        "coupons": [],
        "expect": {"total_minor": 2000},
    }
    first = written(tmp_path, "first.json", CASE, price)
    second = written(tmp_path, "second.json", price, CASE, price)
    result = CliRunner().invoke(app, ["simulate", first, second, "--json"])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert [line.get("id") for line in lines] == ["ham", "priced", "priced", "ham", "priced", None]
    assert lines[-1] == {"cases": 5, "ok": 5, "differ": 0}


def test_one_wrong_file_of_several_is_named_and_nothing_is_run(tmp_path: Path) -> None:
    files = [written(tmp_path, "good.json", CASE), written(tmp_path, "bad.json", {**CASE, "stesp": []})]
    result = CliRunner().invoke(app, ["simulate", *files])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "bad.json: case number 1 (ham): unknown key 'stesp', nearest is 'steps'" in result.stderr


def test_a_file_may_begin_with_a_byte_order_mark_and_end_lines_with_cr(tmp_path: Path) -> None:
    file = written(tmp_path, "windows.json", CASE, begin="\ufeff", line_end="\r\n")
    for arguments, given in (([file], None), (["-"], Path(file).read_bytes())):
        result = CliRunner().invoke(app, ["simulate", *arguments], input=given)
        assert (result.exit_code, result.stdout) == (0, "1 cases: 1 agree, 0 differ\n")


def test_null_is_not_asserted() -> None:
    steps = [{"op": "query", "sku": "ham", "expect": {"on_hand": None, "held": 0}}]
    rows = [{"sku": "ham", "location": "shop", "on_hand": None, "held": 0}]
    (outcome,) = run_cases(load_cases(json.dumps({"cases": [{**CASE, "steps": steps, "expect": {"levels": rows}}]})))
    assert outcome.ok, outcome.differs


def test_a_setup_may_have_more_items_than_a_request() -> None:
    setup = {"locations": ["shop"], "skus": {f"s{n}": {"safety": 1} for n in range(12_000)}}
    rows = [{"sku": "s11999", "available": 0}]
    case = {"id": "wide", "setup": setup, "steps": [], "expect": {"available": rows}}
    assert run_case(case) == ({"available": rows}, [])


def test_a_setup_that_the_engine_refuses_is_reported() -> None:
    setup = {"locations": ["shop"], "skus": {"ham": {"min_qty": -1}}}
    (outcome,) = run_cases(load_cases(json.dumps({"cases": [{**CASE, "setup": setup}]})))
    assert "PutStockPolicies refused the setup: RESULT_CODE_QTY_INVALID" in outcome.differs[0]


def test_dates_of_lots_may_be_any_day_and_goods_that_come_in_say_their_lot() -> None:
    """An expiry of 9999-12-31, as many systems write never, once ended the run with a traceback."""
    ends = {"never": "9999-12-31", "far": "2400-01-01", "old": "1800-01-01", "epoch": "1970-01-01"}
    ends |= {"soon": "2026-01-01T00:00:00+02:00", "first": "0001-01-01T00:00:00+14:00"}
    place = {"sku": "ham", "location": "shop"}
    stock: list[dict[str, Any]] = [{**place, "on_hand": 1, "lot": lot, "expiry": end} for lot, end in ends.items()]
    steps: list[dict[str, Any]] = [
        {"op": "receive", **place, "qty": 2, "lot": "late", "expiry": "9998-01-01"},
        {"op": "adjust", **place, "delta": -1, "reason": "damaged", "lot": "late"},
        {"op": "receive", **place, "qty": 3, "lot": "bad", "saleable": False},
        {"op": "count", **place, "on_hand": 5, "lot": "bad"},
        {"op": "receive", **place, "qty": 1},
    ]
    for lot in ("first", "old", "epoch", "soon", "far", "late", "never"):
        sale = {"op": "sell", "location": "shop", "lines": [{"sku": "ham", "qty": 1}]}
        steps.append({**sale, "expect": {"take": [{"lot": lot, "qty": 1}]}})
    steps.append({"op": "query", "sku": "ham", "expect": {"available": 1, "on_hand": 6}})
    setup = {"locations": ["shop"], "skus": {"ham": {"removal": "fefo"}}, "stock": [*stock, {**place, "on_hand": 0}]}
    (outcome,) = run_cases(load_cases(json.dumps({"cases": [{**CASE, "setup": setup, "steps": steps, "expect": {}}]})))
    assert outcome.ok, outcome.differs
