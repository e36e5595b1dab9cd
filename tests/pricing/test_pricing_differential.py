"""The kernel against the plain-Python oracle: the same answer to every key, on random baskets.

RINGUP_PRICING_CASES multiplies the number of cases (1,200 by default).
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
    *("cash_rounding_minor", "change_minor"),
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


@pytest.mark.parametrize("level", ["item", "sets", "tax", "full"])
def test_kernel_and_oracle_agree_on_every_key(level: str, oracle: Any) -> None:
    random_case, price_case = oracle
    for seed in range(300 * TIMES):
        case = random_case(random.Random(seed), level)
        expected = price_case(case)
        answer = Answer(case)
        differing = {k: (expected[k], answer.get(k)) for k in KEYS if k in expected and expected[k] != answer.get(k)}
        assert not differing, (seed, differing, json.dumps(case))


def test_the_best_deal_is_what_brute_force_finds(oracle: Any) -> None:
    """Every mix of offers on at most 8 units.

    Left out: an amount per line, which the search may also lay on a part of a line, and a limit that
    two sets of one promotion would share.
    """
    random_case, price_case = oracle
    searched = 0
    for seed in range(100 * TIMES):
        case = random_case(random.Random(seed), "best")
        if any(
            b.get("apply") == "per_line" or (len(p["benefits"]) > 1 and "max_applications" in p.get("limits", {}))
            for p in case["promotions"]
            for b in p["benefits"]
        ):
            continue
        searched += 1
        found = Answer(case).response
        assert found.discount_minor == price_case(case)["discount_minor"], (seed, json.dumps(case))
        assert found.search.bound_minor >= found.search.discount_minor
    assert searched > 50 * TIMES
