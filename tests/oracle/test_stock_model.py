"""The plain stock model agrees with every case of our own, and its invariants hold on random walks.

RINGUP_STOCK_WALKS sets how many walks of 150 steps are made (default 25).
"""

from __future__ import annotations

import copy
import json
import os
import random
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

ORACLE = Path(__file__).resolve().parent
sys.path.insert(0, str(ORACLE))
import stock_cases  # noqa: E402  (a sibling: tests are no package)
import stock_random  # noqa: E402
from stock_goods import COUNTERS  # noqa: E402
from stock_model import StockModel  # noqa: E402
from stock_state import Policy, Refused, from_milli, to_milli  # noqa: E402

FILES = sorted((ORACLE.parent / "cases" / "stock").glob("*.json"))
CASES = [case for path in FILES for case in stock_cases.load_cases(path)]
WALKS = int(os.environ.get("RINGUP_STOCK_WALKS", "25"))
CHANGING = {"ok", "partial"}


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_model_agrees_with_the_case(case):
    assert stock_cases.run_case(case)["differs"] == []


def test_cases_cover_every_operation_result_and_policy():
    steps = [step for case in CASES for step in case["steps"]]
    steps += [inner for step in steps for inner in step.get("steps", [])]
    policies = {name for case in CASES for policy in case["setup"].get("skus", {}).values() for name in policy}
    assert len(CASES) >= 120
    assert len({case["id"] for case in CASES}) == len(CASES)
    assert {case["source"] for case in CASES} == {"ringup"}
    assert {step["op"] for step in steps} == set(stock_cases.REQUIRED)
    assert {step.get("expect", {}).get("result", "ok") for step in steps} == stock_cases.RESULT_WORDS
    assert policies == set(Policy.__dataclass_fields__) - {"limit"}


def test_a_wrong_expectation_is_reported():
    case = copy.deepcopy(next(case for case in CASES if case["id"] == "ringup-order-place"))
    case["steps"][0]["expect"]["taken"] = 2
    case["expect"]["levels"][0]["allocated"] = 9
    differs = stock_cases.run_case(case)["differs"]
    assert differs[0] == "step 0 place: taken: expected 2, found 3"
    assert len(differs) == 2
    assert differs[1].startswith("levels: expected")


def test_a_misspelt_key_is_named_with_its_neighbour():
    case = copy.deepcopy(next(case for case in CASES if case["id"] == "ringup-check-exact"))
    case["steps"][0]["qyt"] = 1
    with pytest.raises(ValueError, match="unknown key 'qyt', nearest is 'qty'"):
        stock_cases.validate(case)


@given(st.integers(-(10**15), 10**15))
def test_milli_units_round_trip(qty_milli):
    written = from_milli(qty_milli)
    assert to_milli(written) == qty_milli
    assert json.loads(stock_cases.to_json([written]), parse_float=Decimal) == [written]


@pytest.mark.parametrize("value", [Decimal("0.0001"), "one", True, None, Decimal("NaN"), Decimal("Infinity"), [1]])
def test_no_quantity(value):
    with pytest.raises(Refused, match="invalid"):
        to_milli(value)


def test_a_float_is_a_mistake_of_the_caller():
    with pytest.raises(TypeError, match="parse_float=Decimal"):
        to_milli(0.5)


class Books:
    """What must be true after every step of a walk, kept apart from the model's own arithmetic."""

    def __init__(self, model: StockModel) -> None:
        self.model = model
        self.on_hand = self.shelf()
        self.loose: set[tuple[str, str]] = set()  # places where the shelf was set down or may owe
        for sku, policy in model.policies.items():
            if policy.backorder or policy.limit:
                self.loose |= {(sku, place) for place in model.enabled}

    def shelf(self) -> dict[str, int]:
        return {sku: to_milli(self.model.levels(sku)["on_hand"]) for sku in self.model.policies}

    def after(self, step, word, before):
        model = self.model
        if word not in CHANGING:
            assert model.digest() == before, f"{word} changed something: {step}"
        if step["op"] in ("adjust", "count"):
            self.loose.add((step["sku"], step["location"]))
        if step["op"] == "set_policy" and step["policy"].get("backorder"):
            self.loose |= {(step["sku"], place) for place in model.enabled}
        promised = {"held": {}, "allocated": {}}
        for hold in model.holds.values():
            assert not hold.entries or hold.state == "open"
            assert hold.state != "open" or hold.deadline is None or hold.deadline > model.now
            add_up(promised["held"], hold.entries)
        for order in model.orders.values():
            add_up(promised["allocated"], order.allocated)
        for (sku, place), rows in model.rows.items():
            for row in rows:
                assert row.held == promised["held"].pop(id(row), 0)
                assert row.allocated == promised["allocated"].pop(id(row), 0)
                assert min(row.held, row.allocated, row.incoming) >= 0
                assert model.policies[sku].track or (row.held, row.allocated) == (0, 0)
            if (sku, place) not in self.loose:
                assert sum(row.free for row in rows) >= 0, (sku, place, step)
        assert promised == {"held": {}, "allocated": {}}, "a promise on a row that is gone"
        self.goods_are_conserved(step, word)

    def goods_are_conserved(self, step, word):
        now = self.shelf()
        moved = {sku: now[sku] - self.on_hand[sku] for sku in now if now[sku] != self.on_hand[sku]}
        self.on_hand = now
        if word not in CHANGING:
            assert moved == {}
        elif step["op"] in ("receive", "adjust"):
            expected = to_milli(step.get("qty", step.get("delta")))
            assert moved in ({step["sku"]: expected}, {})
            assert moved or not self.model.policies[step["sku"]].track
        elif step["op"] in ("commit", "ship", "sell"):
            assert all(delta < 0 for delta in moved.values())
        elif step["op"] in ("unship", "return"):
            assert all(delta > 0 for delta in moved.values())
        elif step["op"] not in ("count", "remove_position", "set_policy"):
            assert moved == {}


def add_up(total, entries):
    for entry in entries:
        assert entry.qty > 0
        if entry.position is not None:
            total[id(entry.position)] = total.get(id(entry.position), 0) + entry.qty


@pytest.mark.parametrize("seed", range(WALKS))
def test_invariants_hold_on_a_random_walk(seed):
    case = stock_random.random_case(random.Random(seed), 150)
    stock_cases.validate(case)
    model = StockModel(case["setup"])
    books = Books(model)
    for step in case["steps"]:
        before = model.digest()
        word = model.do(step).word
        books.after(step, word, before)


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.data())
def test_check_foretells_place(rng, data):
    """What check says of one line is what place answers for it."""
    case = stock_random.random_case(rng, 40)
    model = StockModel(case["setup"])
    for step in case["steps"]:
        model.do(step)
    sku = data.draw(st.sampled_from(stock_random.SKUS))
    qty = data.draw(st.integers(-1, 20))
    scope = data.draw(st.sampled_from([{}, {"channel": "till"}, {"location": "a"}, {"locations": ["c", "b"]}]))
    foretold = model.do({"op": "check", "sku": sku, "qty": qty, **scope}).word
    assert model.do({"op": "place", "order": "new", "lines": [{"sku": sku, "qty": qty}], **scope}).word == foretold


@pytest.mark.parametrize("seed", range(5))
def test_cancel_undoes_place_and_release_undoes_hold(seed):
    rng = random.Random(seed)
    case = stock_random.random_case(rng, 60)
    model = StockModel(case["setup"])
    for step in case["steps"]:
        model.do(step)
    for _ in range(20):
        lines = stock_random.Walk(rng, case["setup"]).lines()
        before = {sku: model.levels(sku) for sku in model.policies}
        if model.do({"op": "hold", "ref": "undo", "lines": lines}).word == "ok":
            assert model.do({"op": "release", "ref": "undo"}).word == "ok"
        order = f"undo-{rng.random()}"
        if model.do({"op": "place", "order": order, "lines": lines}).word == "ok":
            assert model.do({"op": "ship", "order": order}).word in ("ok", "insufficient")
            model.do({"op": "unship", "order": order})
            assert model.do({"op": "cancel", "order": order}).word == "ok"
        assert {sku: model.levels(sku) for sku in model.policies} == before


def test_random_cases_are_the_same_for_the_same_seed_and_hit_everything():
    first = [stock_random.random_case(random.Random(seed), 150) for seed in range(12)]
    again = [stock_random.random_case(random.Random(seed), 150) for seed in range(12)]
    assert first == again
    assert first[0]["steps"] != first[1]["steps"]
    words = set()
    passed = set()
    for case in first:
        assert case["expect"] == {}
        for step, expect in zip(case["steps"], stock_random.expectations(case)["steps"], strict=True):
            words.add(expect["result"])
            if expect["result"] == "ok":
                passed.add(step["op"])
    assert words == stock_cases.RESULT_WORDS
    assert passed == set(stock_cases.REQUIRED)


@pytest.mark.parametrize("seed", range(6))
def test_expectations_hold_when_the_case_goes_through_a_file(seed):
    """Written as JSON and read back, a random case agrees with itself, its races in every order."""
    case = stock_random.with_expectations(stock_random.random_case(random.Random(seed), 80))
    again = json.loads(stock_cases.to_json({"cases": [case]}), parse_float=Decimal)["cases"][0]
    stock_cases.validate(again)
    assert stock_cases.run_case(again)["differs"] == []
    assert {name for row in again["expect"]["totals"] for name in row} == {"sku", *COUNTERS}
