"""The pricing oracle against the written cases, and the laws of pricing as properties of the oracle.

RINGUP_EXAMPLES sets how many random baskets each law sees (100 by default).
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

HERE = Path(__file__).resolve().parent
CASES = HERE.parent / "cases" / "pricing"


def load(name: str) -> Any:
    """A plain module beside this test, by its file."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


price_case = load("pricing_oracle").price_case
random_case = load("pricing_random").random_case
differences = load("pricing_compare").differences

EXAMPLES = settings(max_examples=int(os.environ.get("RINGUP_EXAMPLES", "100")), deadline=None)
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)
LEVELS = st.sampled_from(["item", "sets", "full", "best", "crowd", "tax"])


def all_cases() -> list[Any]:
    files = [(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(CASES.glob("*.json"))]
    return [pytest.param(case, id=f"{stem}:{case['id']}") for stem, file in files for case in file["cases"]]


@pytest.mark.parametrize("case", all_cases())
def test_written_case(case: dict[str, Any]) -> None:
    assert differences(case["expect"], price_case(case)) == []


def test_the_comparison_sees_a_wrong_cent() -> None:
    """The control of the test above: an answer off by one is a difference."""
    case = json.loads((CASES / "item_discounts.json").read_text(encoding="utf-8"))["cases"][0]
    got = price_case(case)
    assert differences(case["expect"], {**got, "total_minor": got["total_minor"] + 1}) != []
    assert differences({"no_such_key": 1}, got) != []
    assert differences({"line_totals_minor": [1, None]}, {"line_totals_minor": [2, 3]}) != []


def test_there_are_enough_cases_and_each_explains_itself() -> None:
    cases = [param.values[0] for param in all_cases()]
    assert len(cases) >= 350
    assert len({case["id"] for case in cases}) == len(cases)
    assert all(case["note"] and case["expect"] for case in cases)


# ---- laws ------------------------------------------------------------------------------------------------------------


@EXAMPLES
@given(seed=SEEDS, level=LEVELS)
def test_the_parts_sum_to_the_whole(seed: int, level: str) -> None:
    case = random_case(random.Random(seed), level)
    got = price_case(case)
    items = got["subtotal_minor"] - got["discount_minor"]
    assert sum(got["line_totals_minor"]) == items
    assert sum(got["line_discounts_minor"]) == got["discount_minor"]
    assert [sum(units) for units in got["unit_discounts_minor"]] == got["line_discounts_minor"]
    charge_discount = sum(c["amount_minor"] for c in case.get("charges", [])) - got["charges_minor"]
    assert sum(got["discount_by_promotion_minor"].values()) == got["discount_minor"] + charge_discount
    assert sum(got["tax_by_name_minor"].values()) == got["tax_minor"]
    assert got["total_minor"] == got["net_minor"] + got["tax_minor"] + got["deposit_total_minor"]


@EXAMPLES
@given(seed=SEEDS, level=LEVELS)
def test_no_unit_is_sold_below_its_floor_or_above_its_price(seed: int, level: str) -> None:
    case = random_case(random.Random(seed), level)
    got = price_case(case)
    for item, discounts in zip(case["items"], got["unit_discounts_minor"], strict=True):
        for discount in discounts:
            assert discount >= 0
            if isinstance(item["qty"], int):
                assert item["unit_price_minor"] - discount >= item.get("min_price_minor", 0)


@EXAMPLES
@given(seed=SEEDS, level=LEVELS)
def test_a_promotion_that_touches_nothing_changes_nothing(seed: int, level: str) -> None:
    case = random_case(random.Random(seed), level)
    before = price_case(case)
    stranger = {
        "id": "stranger",
        "priority": 9,
        "conditions": [],
        "benefits": [{"type": "item_percent_off", "percent": 50, "target": {"skus": ["NOT-THERE"]}}],
    }
    case["promotions"].insert(0, stranger)
    after = price_case(case)
    assert after == before


@EXAMPLES
@given(seed=SEEDS, level=st.sampled_from(["best", "crowd"]))
def test_the_order_of_lines_does_not_change_the_best_deal(seed: int, level: str) -> None:
    rng = random.Random(seed)
    case = random_case(rng, level)
    for promotion in case["promotions"]:
        for benefit in promotion["benefits"]:
            # A target that takes only some of equal units takes them by their place in the list.
            for key in ("max_units_per_line", "max_units", "pick"):
                benefit.get("target", {}).pop(key, None)
    total = price_case(case)["discount_minor"]
    rng.shuffle(case["items"])
    assert price_case(case)["discount_minor"] == total


@EXAMPLES
@given(seed=SEEDS, level=st.sampled_from(["best", "crowd"]))
def test_one_more_unit_never_makes_the_best_deal_smaller(seed: int, level: str) -> None:
    """Where nothing is exclusive, no condition sets an upper limit and no offer looks at the cheapest of the basket."""
    rng = random.Random(seed)
    case = random_case(rng, level)
    for promotion in case["promotions"]:
        promotion["conditions"] = [c for c in promotion["conditions"] if not c["type"].startswith("max")]
        promotion["benefits"] = [b for b in promotion["benefits"] if b["type"] != "cheapest_percent_off"]
    less = price_case(case)["discount_minor"]
    case["items"].append(
        {"sku": rng.choice("ABCD"), "category": ["x"], "qty": 1, "unit_price_minor": rng.randint(1, 2000)}
    )
    assert price_case(case)["discount_minor"] >= less


@EXAMPLES
@given(seed=SEEDS)
def test_the_best_deal_is_never_worse_than_any_one_promotion(seed: int) -> None:
    case = random_case(random.Random(seed), "best")
    best = price_case(case)["discount_minor"]
    for promotion in case["promotions"]:
        alone = {**case, "promotions": [promotion]}
        assert best >= price_case(alone)["discount_minor"]


@EXAMPLES
@given(seed=SEEDS, level=LEVELS)
def test_a_case_is_drawn_and_priced_the_same_each_time(seed: int, level: str) -> None:
    case, again = random_case(random.Random(seed), level), random_case(random.Random(seed), level)
    assert case == again
    text = json.dumps(case, sort_keys=True)
    assert price_case(case) == price_case(again)
    assert json.dumps(case, sort_keys=True) == text, "pricing must not change the case"


@EXAMPLES
@given(seed=SEEDS)
def test_what_was_paid_is_what_a_full_return_pays_back(seed: int) -> None:
    case = random_case(random.Random(seed), "full")
    case["items"] = [item for item in case["items"] if isinstance(item["qty"], int) and item["qty"] > 0]
    case.pop("charges", None)  # delivery was rendered: a return of goods does not pay it back
    assume(case["items"])
    case["refund"] = {"lines": [{"sku": item["sku"], "qty": item["qty"]} for item in case["items"]]}
    got = price_case(case)
    assert got["refund_minor"] == got["total_minor"]


def plain_best(offers: list[Any], units: frozenset[int], left: tuple[int, ...], purses: Any) -> int:
    """The best mix by taking every offer or not, in the listed order: no memory, no grouping, no order of units."""
    if not offers:
        return 0
    first, rest = offers[0], offers[1:]
    best = plain_best(rest, units, left, purses)
    if first.units <= units:
        worth, after = load("pricing_best").spend(first, left, purses)
        if worth > 0:
            best = max(best, worth + plain_best(rest, units - first.units, after, purses))
    return best


@settings(max_examples=max(20, EXAMPLES.max_examples // 5), deadline=None)
@given(seed=SEEDS)
def test_the_search_agrees_with_trying_every_subset_of_offers(seed: int) -> None:
    best, basket_module = load("pricing_best"), load("pricing_basket")
    case = random_case(random.Random(seed), "best")
    case["items"] = [{**item, "qty": 1} for item in case["items"]]
    promotions = [{**p, "conditions": []} for p in case["promotions"]]
    basket = basket_module.open_basket(case, [item["unit_price_minor"] for item in case["items"]])
    context = load("pricing_benefits").Context(lambda tax_class: 1)
    purses = best.Purses()
    offers = best.offers_of(promotions, basket, purses, context, free_pick=False)
    assume(len(offers) <= 18)
    wanted = plain_best(offers, frozenset(range(len(basket.units))), tuple(purses.left), purses)
    found = best.best_mix(promotions, basket, context, free_pick=False)
    assert sum(effect.worth for effect in found) == wanted


# ---- the generator ---------------------------------------------------------------------------------------------------


def test_random_cases_reach_every_benefit_and_most_of_them_give_something() -> None:
    """A law over baskets on which nothing happens would prove nothing."""
    benefits = load("pricing_benefits").BENEFITS
    gave: set[str] = set()
    touched = 0
    for seed in range(400):
        case = random_case(random.Random(seed), "full")
        got = price_case(case)
        touched += bool(got["applied"])
        for promotion in case["promotions"]:
            if promotion["id"] in got["applied"]:
                gave |= {benefit["type"] for benefit in promotion["benefits"]}
    assert gave == set(benefits) - {"item_markup_percent"}, "a markup would break the law that prices only fall"
    assert touched > 200


def test_random_cases_hold_every_rule_the_levels_promise() -> None:
    text = json.dumps(
        [random_case(random.Random(seed), level) for level in ("full", "best", "tax") for seed in range(300)]
    )
    words = "exclusive group stage coupon funded_by budget_minor max_uses on_exceed min_price_minor deposit_minor"
    words += " discountable gift_cards cash_rounding round_target before_discount amount_minor_per_unit best_deal"
    words += " percent_round_at"
    assert [word for word in words.split() if f'"{word}"' not in text] == []


def test_an_empty_basket_costs_its_charges() -> None:
    case = {"id": "empty", "currency": "EUR", "items": [], "promotions": [], "coupons": [], "expect": {}}
    assert price_case(case)["total_minor"] == 0
    assert price_case({**case, "charges": [{"id": "ship", "amount_minor": 500}]})["total_minor"] == 500


# ---- the store's clock -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "days", "times", "applies"),
    [
        # Central Europe, 2026-03-29: 01:30 UTC is 03:30 summer time; the hour from 02:00 does not exist.
        ("2026-03-29T01:30:00Z", ["sun"], ["03:00", "04:00"], True),
        ("2026-03-29T01:30:00Z", ["sun"], ["02:00", "03:00"], False),
        ("2026-03-29T00:30:00Z", ["sun"], ["01:00", "02:00"], True),
        # 2026-10-25: 02:30 comes twice, at 00:30 and at 01:30 UTC.
        ("2026-10-25T00:30:00Z", ["sun"], ["02:00", "03:00"], True),
        ("2026-10-25T01:30:00Z", ["sun"], ["02:00", "03:00"], True),
        ("2026-10-25T02:30:00Z", ["sun"], ["02:00", "03:00"], False),
        # Late on Saturday in UTC is already Sunday in the store.
        ("2026-03-28T23:30:00Z", ["sun"], ["00:00", "01:00"], True),
        ("2026-03-28T23:30:00Z", ["sat"], ["00:00", "24:00"], False),
    ],
)
def test_a_schedule_follows_the_wall_clock_of_the_store(
    at: str, days: list[str], times: list[str], applies: bool
) -> None:
    case = one_percent_case(at, {"schedule": {"days": days, "times": [times]}})
    assert (price_case(case, "Europe/Berlin")["discount_minor"] == 100) is applies


@pytest.mark.parametrize(
    ("at", "applies"),
    [
        ("2026-03-29T00:59:59Z", False),
        ("2026-03-29T01:00:00Z", True),  # 03:00 summer time, the window's first instant
        ("2026-03-29T03:00:00", True),
        ("2026-03-29T01:59:59", False),
    ],
)
def test_a_window_without_a_zone_is_in_the_store_time(at: str, applies: bool) -> None:
    case = one_percent_case(at, {"window": {"from": "2026-03-29T03:00:00"}})
    assert (price_case(case, "Europe/Berlin")["discount_minor"] == 100) is applies


def one_percent_case(at: str, when: dict[str, Any]) -> dict[str, Any]:
    benefit = {"type": "item_percent_off", "percent": 10, "target": {"all": True}}
    return {
        "id": "clock",
        "currency": "EUR",
        "at": at,
        "items": [{"sku": "A", "qty": 1, "unit_price_minor": 1000}],
        "promotions": [{"id": "p", "conditions": [], "benefits": [benefit], **when}],
        "coupons": [],
        "expect": {},
    }
