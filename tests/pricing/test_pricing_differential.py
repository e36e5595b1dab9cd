"""The kernel against the plain-Python oracle: the same answer to every key, on random baskets.

RINGUP_PRICING_CASES multiplies the number of cases (1,500 by default).
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringup.engine.simulate_pricing import Answer

ORACLE = Path(__file__).resolve().parents[1] / "oracle"
TIMES = int(os.environ.get("RINGUP_PRICING_CASES", "1"))
KEYS = (
    *("total_minor", "net_minor", "subtotal_minor", "discount_minor", "line_totals_minor", "line_discounts_minor"),
    *("unit_discounts_minor", "charges_minor", "tax_minor", "tax_by_name_minor", "applied", "rejected_coupons"),
    *("accepted_coupons", "discount_by_promotion_minor", "free_items", "deposit_total_minor", "due_minor"),
    *("cash_rounding_minor", "change_minor", "points_earned", "points_burned", "points_balance", "refund_minor"),
)


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


@pytest.mark.parametrize("level", ["item", "sets", "tax", "full", "wide"])
def test_kernel_and_oracle_agree_on_every_key(level: str, oracle: Any) -> None:
    random_case, price_case = oracle
    for seed in range(300 * TIMES):
        case = random_case(random.Random(seed), level)
        expected = price_case(case)
        answer = Answer(case)
        differing = {k: (expected[k], answer.get(k)) for k in KEYS if k in expected and expected[k] != answer.get(k)}
        assert not differing, (seed, differing, json.dumps(case))


def limited(case: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The case with caps, budgets and limits of applications on some of its promotions, often tight ones."""
    for promotion in case["promotions"]:
        limits = promotion.setdefault("limits", {})
        if rng.random() < 0.4:
            limits["budget_minor"] = rng.choice((0, 1, 50, 99, 250, 500, 1000))
            limits["budget_spent_minor"] = rng.choice((0, 0, 30))
            limits["on_exceed"] = rng.choice(("skip", "cap"))
        if rng.random() < 0.3:
            limits["max_applications"] = rng.randint(0, 3)
        for benefit in promotion["benefits"]:
            if benefit["type"] in ("item_percent_off", "cheapest_percent_off") and rng.random() < 0.5:
                benefit["cap_minor"] = rng.choice((1, 33, 99, 100, 333, 1000))
        if len(case["promotions"]) < 4 and rng.random() < 0.2:  # a second benefit shares uses and budget
            promotion["benefits"].append(rng.choice(case["promotions"])["benefits"][0])
    return case


def test_price_books_and_oracle_agree(oracle: Any) -> None:
    random_book, price_case = sys.modules["pricing_random"].random_book, oracle[1]
    priced = 0
    for seed in range(300 * TIMES):
        case = random_book(random.Random(seed))
        expected, answer = price_case(case), Answer(case)
        for key in ("unit_price_minor", "list_price_minor", "total_minor"):
            assert answer.get(key) == expected.get(key), (seed, key, json.dumps(case))
        priced += expected["unit_price_minor"] is not None
    assert 100 * TIMES < priced < 300 * TIMES


def after_a_set(case: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The case with a set in the catalog stage: its units are in no other set, and open to single offers."""
    target = rng.choice(({"all": True}, {"skus": ["A", "B"]}, {"categories": ["x"]}))
    part = {"target": target, "qty": 1}
    benefit = rng.choice(
        (
            {"type": "bundle_fixed_price", "qty": 2, "price_minor": rng.choice((300, 700, 1200)), "target": target},
            {"type": "buy_get", "buy": part, "get": {**part, "percent": 50}},
            {"type": "multibuy_cheapest_free", "qty": 2, "target": target},
        )
    )
    limits = {"max_applications": rng.randint(1, 2)}
    case["promotions"].append({"id": "shelf", "benefits": [benefit], "stage": "catalog", "limits": limits})
    return case


@pytest.mark.parametrize("changed", [lambda case, rng: case, limited, after_a_set], ids=["plain", "limits", "catalog"])
def test_the_best_deal_is_what_brute_force_finds(oracle: Any, changed: Callable[..., dict[str, Any]]) -> None:
    """Every mix of offers on at most 8 units, proven to be the best.

    Left out: an amount per line, which the search may also lay on a part of a line.
    """
    random_case, price_case = oracle
    searched = 0
    for seed in range(100 * TIMES):
        rng = random.Random(seed)
        case = changed(random_case(rng, "best"), rng)
        if any(b.get("apply") == "per_line" for p in case["promotions"] for b in p["benefits"]):
            continue
        searched += 1
        found = Answer(case).response
        assert found.discount_minor == price_case(case)["discount_minor"], (seed, json.dumps(case))
        assert found.search.proven or not found.search.nodes, (seed, json.dumps(case))
        for promotion in case["promotions"]:
            limits = promotion.get("limits", {})
            given = sum(p.discount_minor for p in found.promotions if p.promotion_id == promotion["id"])
            if "budget_minor" in limits:
                assert given <= max(limits["budget_minor"] - limits["budget_spent_minor"], 0), (seed, json.dumps(case))
    assert searched > 50 * TIMES
