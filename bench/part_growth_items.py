"""What a price, a sale and a reservation cost with 1 k to 1 M items, each with a price and a stock position.

In process and by processor time.  `_slope` is the exponent of growth (0 flat, 1 proportional), `_last_over_first`
the cost at the largest size over that at the smallest.  Start and memory over the same sizes are in `start`.
"""

from __future__ import annotations

import random

from bench.costs import baskets, command_us, quote_us, sample_of
from bench.in_process import BareCore
from bench.measure import Bench, Chart
from bench.shop import Ids, holds, sales

TITLE = "Growth: price, sale and reservation with 1 k to 1 M items and positions"
Points = list[tuple[float | str, float]]


def run(bench: Bench) -> None:
    """One core a size."""
    curves: dict[str, Points] = {"price": [], "sale": [], "hold": []}
    for items in (1000, 10_000, 100_000, 1_000_000) if not bench.quick else (300, 600):
        bench.step(f"{items} items")
        ids, choose = Ids(120), random.Random(items)
        core, batches = BareCore(items, ids), bench.size(60, 3)
        quotes = baskets(sample_of(choose, items), bench.size(3000, 50))
        curves["price"].append((items, quote_us(bench, core, quotes)))
        curves["sale"].append((items, command_us(bench, core, sales(items, ids, different=5000), batches)))
        reserving = holds(lambda items=items, choose=choose: choose.randrange(items), ids, different=20_000)  # type: ignore[misc]  # bound now
        curves["hold"].append((items, command_us(bench, core, reserving, batches)))
        for name, points in curves.items():
            bench.put(f"growth_items_{items}_{name}_cpu_us", points[-1][1])
    for name, points in curves.items():
        bench.growth(f"growth_items_{name}", points)
    bench.chart(
        Chart("growth_items", "Cost against items and positions", "items", "us of processor", curves, log_x=True)
    )
