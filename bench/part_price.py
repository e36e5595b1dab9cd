"""price_vs_oscar, price_vs_python, price_promotions_growth, price_items_growth.

One basket of 10 lines with 10 promotions that match, from request bytes to answer bytes; the peers
price the same basket under the same offers to the same total.  django-oscar keeps offers and lines in
a database (here SQLite in memory) and loads them for each price: that is how it works, and part of
its time.  The plain-Python oracle reads its case as dictionaries.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

from bench import kernels_pricing as kernels
from bench.measure import Bench, Chart, Skipped, interleaved
from bench.peer_oscar import OscarShop

TITLE = "The price of a basket"
ORACLE = "tests/oracle"
SCANS = 50
Points = list[tuple[float | str, float]]


def run(bench: Bench) -> None:
    """Growth first, then the peers, each with our own price beside it."""
    counts = (10, 100, 1_000, bench.size(10_000, 2_000))
    growth = kernels.promotion_growth(bench.rounds(9), bench.size(3_000, 100), counts)
    for count, seconds in growth.items():
        bench.put(f"price_{count}_promotions_us", seconds * 1e6)
    bench.put("price_promotions_growth", growth[counts[-1]] / growth[10])
    points: Points = [(count, seconds * 1e6) for count, seconds in growth.items()]
    bench.growth("price_promotions", points)
    bench.chart(
        Chart("price_promotions", "A price of 10 lines, 10 matching", "promotions active", "us", {"": points},
              log_x=True)
    )  # fmt: skip
    sizes = (1_000, 10_000, 100_000, 1_000_000) if not bench.quick else (1_000, 20_000)
    items = kernels.item_growth(bench.rounds(9), sizes, bench.size(2_000, 100))
    for count, seconds in items.items():
        bench.put(f"quote_{count}_items_us", seconds * 1e6)
    bench.put("price_items_growth", items[sizes[-1]] / items[sizes[0]])
    points = [(count, seconds * 1e6) for count, seconds in items.items()]
    bench.growth("price_items", points)
    bench.chart(
        Chart("price_items", "A price of 10 random lines of the catalogue", "items", "us", {"": points}, log_x=True)
    )
    _scan_by_scan(bench)
    _beside_peers(bench)


def _beside_peers(bench: Bench) -> None:
    """Each peer's price and ours in turn, after a round that is not counted; the ratio is that of the two medians."""
    measures: dict[str, Callable[[], float]] = {"ringup": lambda: _ours(bench), "python": _oracle()}
    try:
        shop = OscarShop()
        measures["oscar"] = lambda: _oscar(shop)
    except Skipped as why:
        bench.put("skipped_price_vs_oscar", str(why))
        bench.note(f"A peer is missing: {why}")
    interleaved(1, measures)
    found = interleaved(bench.rounds(5), measures)
    for name, seconds in found.items():
        bench.put(f"price_{name}_us", seconds * 1e6)
    for name in ("python", "oscar"):
        if name in found:
            bench.put(f"price_vs_{name}", found[name] / found["ringup"])
    bars: list[tuple[float | str, float]] = [(name, seconds * 1e6) for name, seconds in found.items()]
    bench.chart(Chart("price_peers", "A price of 10 lines, 10 promotions", "", "us", {"": bars}, bars=True, log_y=True))


def _oscar(shop: OscarShop) -> float:
    """Seconds of one price, which must be the same total."""
    seconds, total = shop.seconds_per_price(1)
    expected = kernels.expected_total_minor()
    assert total == expected, f"django-oscar prices the basket at {total}, expected {expected}"
    return seconds


def _scan_by_scan(bench: Bench) -> None:
    """A basket that grows line by line, priced anew at each scan, under 10 and under 1,000 promotions."""
    curves: dict[str, Points] = {}
    for promotions in (10, 1_000):
        each_us = [seconds * 1e6 for seconds in kernels.scan_by_scan(bench.rounds(99), SCANS, promotions)]
        points: Points = [(number + 1, us) for number, us in enumerate(each_us)]
        for scan in (1, 10, SCANS):
            bench.put(f"price_scan_{scan}_of_{SCANS}_{promotions}_promotions_us", each_us[scan - 1])
        bench.put(f"price_{SCANS}_scans_{promotions}_promotions_us", sum(each_us))
        if promotions == 10:
            bench.put("price_scan_by_scan_us", sum(each_us[:10]))
            bench.growth("price_scans", points)
        curves[f"{promotions} promotions active"] = points
    bench.chart(Chart("price_scans", "A basket priced again at each scan", "lines so far", "us", curves))


def _ours(bench: Bench) -> float:
    return kernels.seconds_per_price([kernels.pricer_with(kernels.LINES)], bench.rounds(3), bench.size(3_000, 100))[0]


def _oracle() -> Callable[[], float]:
    """A measure of the plain-Python oracle: seconds for the same basket and offers."""
    sys.path.insert(0, ORACLE)
    try:
        price_case: Any = importlib.import_module("pricing_oracle").price_case
    finally:
        sys.path.remove(ORACLE)
    case = {
        "currency": "EUR",
        "coupons": [],
        "items": [
            {
                "sku": f"s{n}",
                "category": ["food", f"aisle {n}"],
                "qty": kernels.UNITS,
                "unit_price_minor": kernels.price_minor(n),
                "tax_class": "std",
            }
            for n in range(kernels.LINES)
        ],
        "promotions": [
            {
                "id": f"p{n}",
                "conditions": [],
                "benefits": [
                    {"type": "multibuy_cheapest_free", "target": {"skus": [f"s{n}"]}, "qty": kernels.UNITS}
                    if n % 2
                    else {"type": "item_percent_off", "target": {"skus": [f"s{n}"]}, "percent": 10}
                ],
            }
            for n in range(kernels.LINES)
        ],
        "tax": {
            "mode": "inclusive",
            "rates": {"std": [{"name": "VAT", "percent": 19}]},
            "round_at": "line",
            "rounding": "half_up",
        },
    }

    def measure() -> float:
        began = time.perf_counter()
        total = price_case(case)["total_minor"]
        took_s = time.perf_counter() - began
        assert total == kernels.expected_total_minor(), f"the oracle prices the basket at {total}"
        return took_s

    return measure
