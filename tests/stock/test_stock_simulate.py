"""`ringup simulate` on stock cases: exact decimals in and out, and files that are not of the format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringup.engine.simulate import load_cases, run_cases
from ringup.engine.simulate_case import CaseError

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
        ({"steps": [{"op": "hold", "ref": "a"}]}, "step 0 hold: expected the key 'lines'"),
        ({"steps": [{"op": "tick", "seconds": "many"}]}, "expected a number, found 'many'"),
        ({"steps": [{"op": "tick", "seconds": 1, "expect": {"result": "okay"}}]}, "result: .*nearest is 'ok'"),
        ({"steps": [{"op": "race", "steps": [{"op": "tick", "seconds": 1}]}]}, "a step that changes stock"),
        ({"expect": {"level": []}}, "unknown key 'level', nearest is 'levels'"),
        ({"expect": []}, "expected an object, found list"),
    ],
)
def test_a_file_that_is_not_of_the_format_names_case_and_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CaseError, match=message):
        load_cases(json.dumps({"cases": [{**CASE, **change}]}))


def test_a_setup_that_the_engine_refuses_is_reported() -> None:
    setup = {"locations": ["shop"], "skus": {"ham": {"min_qty": -1}}}
    (outcome,) = run_cases(load_cases(json.dumps({"cases": [{**CASE, "setup": setup}]})))
    assert "PutStockPolicies refused the setup: RESULT_CODE_QTY_INVALID" in outcome.differs[0]
