"""A tax that is rounded over the basket is laid on its lines one named tax at a time, by exact remainders.

What a line got shows in its refund; `pricing_oracle` says with fractions what that must be.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ringup.engine.simulate_pricing import Answer

ORACLE = Path(__file__).resolve().parents[1] / "oracle"
KEYS = ("total_minor", "tax_minor", "tax_by_name_minor", "refund_minor")


@pytest.fixture(scope="module")
def price_case() -> Callable[..., dict[str, Any]]:
    sys.path.insert(0, str(ORACLE))
    try:
        price: Callable[..., dict[str, Any]] = importlib.import_module("pricing_oracle").price_case
        return price
    finally:
        sys.path.remove(str(ORACLE))


def case_of(lines: list[tuple[str, int]], rates: dict[str, Any], refunded: int, **tax: Any) -> dict[str, Any]:
    """A basket of (tax class, price) lines of one piece each, of which one line comes back."""
    items = [
        {"sku": f"S{at}", "qty": 1, "unit_price_minor": price, "tax_class": tax_class}
        for at, (tax_class, price) in enumerate(lines)
    ]
    return {
        "id": "shares",
        "source": "ringup",
        "kind": "tax",
        "currency": "EUR",
        "items": items,
        "promotions": [],
        "tax": {"mode": "exclusive", "round_at": "total", "rates": rates, **tax},
        "refund": {"lines": [{"sku": f"S{refunded}", "qty": 1}]},
        "expect": {},
    }


def refunds(
    price_case: Callable[..., dict[str, Any]], lines: list[tuple[str, int]], rates: Any, **tax: Any
) -> list[int]:
    """What each line refunds, after engine and oracle were found to agree."""
    found = []
    for refunded in range(len(lines)):
        case = case_of(lines, rates, refunded, **tax)
        expected, answer = price_case(case), Answer(case)
        assert {key: answer.get(key) for key in KEYS} == {key: expected[key] for key in KEYS}, case
        found.append(expected["refund_minor"])
    return found


def test_each_named_tax_sums_to_itself_over_the_lines(price_case: Callable[..., dict[str, Any]]) -> None:
    """CITY is 0.40 on each line and 0.80 in all: its one goes to the first; STATE is 1.00, shared the same way.

    Shared together, 0.90 a line, the first line would have had one of the two and the second the other.
    """
    rates = {"a": [{"name": "CITY", "percent": 4}, {"name": "STATE", "percent": 5}]}
    assert refunds(price_case, [("a", 10), ("a", 10)], rates) == [12, 10]


@pytest.mark.parametrize("seed", range(12))
def test_random_taxes_are_shared_as_the_oracle_shares_them(
    seed: int, price_case: Callable[..., dict[str, Any]]
) -> None:
    """Names that classes share, names that stand twice in one class, taxes inside the price and by piece."""
    rng = random.Random(seed)
    for _ in range(8):
        rates: dict[str, Any] = {}
        for tax_class in "abc":
            rates[tax_class] = [
                {"name": rng.choice(("V", "V", "W", "X")), "percent": rng.choice((1, 5, 7, 8.875, 19))}
                for _ in range(rng.randint(1, 3))
            ]
            if rng.random() < 0.4:
                rates[tax_class].append({"name": "IN", "percent": rng.choice((5, 7, 20)), "mode": "inclusive"})
            if rng.random() < 0.3:
                rates[tax_class].append({"name": rng.choice("VY"), "amount_minor_per_unit": rng.randint(1, 5)})
        lines = [(rng.choice("abc"), rng.randint(1, 200)) for _ in range(rng.randint(2, 5))]
        rounding = rng.choice(("half_up", "half_even", "up", "down"))
        refunds(price_case, lines, rates, rounding=rounding)


def close_remainders() -> tuple[dict[str, Any], list[tuple[str, int]]]:
    """Two lines of one tax whose remainders differ by less than 2^-60, the second line's being the larger."""
    rng = random.Random(1)
    while True:
        inside = [rng.randrange(1_100_000_001, 1_200_000_000, 2) for _ in range(2)]  # 1 + the tax inside, in 10^-9
        try:
            first = -pow(inside[1], -1, inside[0]) % inside[0]
            second = (1 + first * inside[1]) // inside[0]
            prices = [
                pow(10_000_000, -1, over) * rest % over for rest, over in ((first, inside[0]), (second, inside[1]))
            ]
        except ValueError:  # no inverse: the numbers have a common factor
            continue
        same = (first << 60) // inside[0] == (second << 60) // inside[1]
        if same and 0.3 < first / inside[0] < 0.7:
            break
    assert first * inside[1] + 1 == second * inside[0]
    rates = {
        name: [
            {"name": f"IN-{name}", "percent": f"{(over - 10**9) / 10**7:.7f}", "mode": "inclusive"},
            {"name": "ECO", "percent": 1},
        ]
        for name, over in zip("ab", inside, strict=True)
    }
    return rates, list(zip("ab", prices, strict=True))


def test_remainders_are_compared_exactly(price_case: Callable[..., dict[str, Any]]) -> None:
    """As fractions of 2^-60 they were once equal, and the first line got what the second has more right to."""
    rates, lines = close_remainders()
    added = [refund - price for refund, (_, price) in zip(refunds(price_case, lines, rates), lines, strict=True)]
    exact = [
        price * 10_000_000 // (10**9 + int(float(rates[name][0]["percent"]) * 10**7 + 0.5)) for name, price in lines
    ]
    assert added == [exact[0], exact[1] + 1]
    assert (
        refunds(price_case, lines[::-1], rates)
        == [price + part for part, (_, price) in zip(added, lines, strict=True)][::-1]
    )
