"""The best deal in the worst case: baskets of 20, 40 and 100 units in which every offer overlaps others.

Each unit is an item of its own and stands in several sets ("3 of these for the price", "the cheapest of 3
free", 25 % off a pair), so that nothing can be grouped, taken apart or dropped.  Measures time, nodes of the
search, whether the answer is proven, and the gap to the bound where it is not; beside it what taking
promotions in the order of the rules gives (`priority`).  Real baskets overlap far less: see `peak`.
"""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass

from bench.measure import Bench, Chart, percentile
from ringup.native.pricing_simulate import Pricer
from ringup.v1 import promotion_pb2 as pb

TITLE = "The best deal: worst-case overlapping baskets of 20, 40 and 100 units"
UNITS = (20, 40, 100)
NODES = (0, 50_000)  # the engine's own budget (5,000), and a generous one
QUARTER_PPB = 250_000_000
SET_SIZE, SETS_PER_UNIT = 7, 2
Points = list[tuple[float | str, float]]


@dataclass(frozen=True, slots=True)
class Found:
    """One basket's answer."""

    seconds: float
    nodes: int
    proven: bool
    discount_minor: int
    gap: float
    """(bound - found) / bound: 0 is the best there is."""


def basket(units: int, seed: int) -> tuple[list[pb.SimulatedLine], list[pb.Promotion]]:
    """One unit each of `units` items, and twice as many unit-places in overlapping sets of seven."""
    rng = random.Random(seed)
    lines = [
        pb.SimulatedLine(item_id=f"u{n}", qty_milli=1000, price_minor=rng.randrange(199, 5999)) for n in range(units)
    ]
    promotions = []
    for number in range(units * SETS_PER_UNIT // SET_SIZE):
        target = pb.Target(item_ids=[f"u{n}" for n in sorted(rng.sample(range(units), SET_SIZE))])
        kind = number % 3
        if kind == 0:
            benefit = pb.Benefit(
                type=pb.BENEFIT_TYPE_BUNDLE_FIXED_PRICE, target=target, qty=3, amount_minor=rng.randrange(1500, 4000)
            )
        elif kind == 1:
            benefit = pb.Benefit(type=pb.BENEFIT_TYPE_MULTIBUY_CHEAPEST_FREE, target=target, qty=3)
        else:
            benefit = pb.Benefit(type=pb.BENEFIT_TYPE_BUNDLE_PERCENT_OFF, target=target, qty=2, rate_ppb=QUARTER_PPB)
        promotions.append(pb.Promotion(promotion_id=f"p{number}", benefits=[benefit]))
    return lines, promotions


def pricer_for(promotions: list[pb.Promotion], selection: pb.SelectionMode, nodes_max: int) -> Pricer:
    """A pricer with the promotions published."""
    pricer = Pricer()
    rules = pb.PricingRules(selection=selection, search_nodes_max=nodes_max)
    answer = pricer.publish(pb.SimulateRequest(promotions=promotions, rules=rules).SerializeToString())
    found = pb.SimulateResponse.FromString(answer)
    assert found.code == 1, found.problem
    return pricer


def solve(pricer: Pricer, lines: list[pb.SimulatedLine], times: int) -> Found:
    """Price one basket; the fastest of `times`."""
    request, took_s = pb.SimulateRequest(lines=lines).SerializeToString(), []
    for _ in range(times):
        began_s = time.perf_counter()
        answer = pricer.price(request)
        took_s.append(time.perf_counter() - began_s)
    found = pb.SimulateResponse.FromString(answer)
    assert found.code == 1, found.problem
    search = found.search
    assert found.subtotal_minor - found.discount_minor == found.total_minor
    assert search.discount_minor <= search.bound_minor, "more was found than the bound allows"
    assert not search.proven or search.discount_minor == search.bound_minor, "proven, but below the bound"
    gap = 1 - search.discount_minor / search.bound_minor if search.bound_minor else 0.0
    return Found(min(took_s), search.nodes, search.proven, found.discount_minor, gap)


def run(bench: Bench) -> None:
    """Twenty baskets a size, each under two budgets and by priority."""
    curves: dict[str, Points] = {}
    seeds = range(bench.size(20, 2))
    for nodes_max in NODES:
        name = f"{nodes_max // 1000}k_nodes" if nodes_max else "default"
        curves[name] = []
        for units in UNITS:
            bench.step(f"{units} units, {name}")
            found, gains = [], []
            for seed in seeds:
                lines, promotions = basket(units, seed)
                best = solve(pricer_for(promotions, pb.SELECTION_MODE_BEST_DEAL, nodes_max), lines, bench.size(3, 1))
                by_order = solve(pricer_for(promotions, pb.SELECTION_MODE_PRIORITY, 0), lines, 1)
                assert best.discount_minor >= by_order.discount_minor, f"seed {seed}: the order of rules gives more"
                found.append(best)
                gains.append(best.discount_minor / max(1, by_order.discount_minor))
            key = f"best_deal_{units}_units_{name}"
            times_ms = sorted(one.seconds * 1000 for one in found)
            bench.put(f"{key}_p50_ms", percentile(times_ms, 50))
            bench.put(f"{key}_max_ms", times_ms[-1])
            bench.put(f"{key}_nodes_p50", statistics.median(one.nodes for one in found))
            bench.put(f"{key}_nodes_max", max(one.nodes for one in found))
            bench.put(f"{key}_proven_share", sum(one.proven for one in found) / len(found))
            bench.put(f"{key}_gap_mean", statistics.fmean(one.gap for one in found))
            bench.put(f"{key}_gap_max", max(one.gap for one in found))
            bench.put(f"{key}_over_priority", statistics.fmean(gains))
            curves[name].append((units, times_ms[-1]))
    bench.chart(
        Chart("best_deal", "The slowest of 20 worst-case baskets", "units", "ms", curves, log_x=True, log_y=True)
    )
