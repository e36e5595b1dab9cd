"""Growth: what a core's work costs as the shop, its open holds and its journal grow.

In process and by processor time, so that a busy machine does not bend the curves.  Each slope is the cost
at the largest size over the cost at the smallest.  Callers are in the parts `unary` and `session`.
"""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path

from bench.in_process import BareCore, DurableCore
from bench.measure import Bench, Chart
from bench.shop import LOCATION, Ids, holds, item_id, sales, session_request
from ringup.engine.recovery import check, recover
from ringup.v1 import pricing_pb2

TITLE = "Growth: items, open holds, journal"
BATCH = 64
Points = list[tuple[float | str, float]]


def run(bench: Bench) -> None:
    """All curves."""
    _items(bench)
    _holds(bench)
    _journal(bench)


def _cost_us(core: BareCore, requests: list[bytes], each: int) -> float:
    began_s = time.process_time()
    for request in requests:
        core.apply(request)
    return (time.process_time() - began_s) / (len(requests) * each) * 1e6


def _items(bench: Bench) -> None:
    curves: dict[str, Points] = {"price": [], "sale": [], "hold": []}
    for items in (1000, 10_000, 100_000, 1_000_000) if not bench.quick else (300, 600):
        ids, choose = Ids(120), random.Random(items)
        core, batches = BareCore(items, ids), bench.size(150, 3)
        choose_item = partial(choose.randrange, items)
        for name, requests in {
            "sale": sales(items, ids, different=5000),
            "hold": holds(choose_item, ids),
        }.items():
            made = [session_request([requests.command() for _ in range(BATCH)]) for _ in range(batches)]
            curves[name].append((items, _cost_us(core, made, BATCH)))
        curves["price"].append((items, _price_us(core, items, choose, bench.size(5000, 50))))
        for name, points in curves.items():
            bench.put(f"growth_items_{items}_{name}_cpu_us", points[-1][1])
    for name, points in curves.items():
        bench.put(f"growth_items_{name}_slope", points[-1][1] / points[0][1])
    bench.chart(Chart("growth_items", "Cost against items", "items", "us of processor", curves, log_x=True))


def _price_us(core: BareCore, items: int, choose: random.Random, count: int) -> float:
    requests = [
        pricing_pb2.PriceBasketRequest(
            location_id=LOCATION,
            channel_id="till",
            lines=[pricing_pb2.BasketLine(item_id=item_id(i), qty_milli=1000) for i in choose.sample(range(items), 10)],
        ).SerializeToString()
        for _ in range(count)
    ]
    now_ns = core.core.now_ns
    began_s = time.process_time()
    for request in requests:
        core.core.query("PriceBasket", request, now_ns)
    return (time.process_time() - began_s) / count * 1e6


def _holds(bench: Bench) -> None:
    ids, choose, items = Ids(130), random.Random(4), bench.size(100_000, 300)
    core, made = BareCore(items, ids), 0
    points: Points = []
    requests = holds(lambda: choose.randrange(items), ids)
    for open_holds in (1000, 10_000, 100_000, 1_000_000) if not bench.quick else (300, 600):
        while made < open_holds:
            count = min(4096, open_holds - made)
            core.apply(session_request([requests.command() for _ in range(count)]))
            made += count
        batches = [session_request([requests.command() for _ in range(BATCH)]) for _ in range(bench.size(100, 2))]
        points.append((open_holds, _cost_us(core, batches, BATCH)))
        made += len(batches) * BATCH
        assert core.core.row_counts()["holds"] == made
        bench.put(f"growth_holds_{open_holds}_cpu_us", points[-1][1])
    bench.put("growth_holds_slope", points[-1][1] / points[0][1])
    bench.chart(Chart("growth_holds", "Cost of a hold", "open holds", "us of processor", {"": points}, log_x=True))


def _journal(bench: Bench) -> None:
    ids, items = Ids(140), bench.size(10_000, 300)
    directory = Path(bench.work) / "journal"
    core = DurableCore(directory, items, ids)
    requests = sales(items, ids)
    curves: dict[str, Points] = {"replay": [], "check": []}
    journal_bytes = 0
    for mb in (16, 64, 128) if not bench.quick else (1,):
        while journal_bytes < mb * 1_000_000:
            request = session_request([requests.command() for _ in range(512)])
            journal_bytes += len(request) + len(core.apply(request))
        core.flush()
        began_s = time.process_time()
        recovered = recover(core.journal, None)
        curves["replay"].append((mb, time.process_time() - began_s))
        assert recovered.core.digest() == core.core.digest(), "the fold differs from the state"
        began_s = time.process_time()
        assert not check(core.journal, None).damage
        curves["check"].append((mb, time.process_time() - began_s))
        for name, points in curves.items():
            bench.put(f"growth_journal_{mb}_mb_{name}_cpu_s", points[-1][1])
    core.close()
    for name, points in curves.items():
        last_mb, last_s = float(points[-1][0]), points[-1][1]
        bench.put(f"growth_journal_{name}_s_per_gb", last_s / last_mb * 1000)
    bench.chart(Chart("growth_journal", "Fold and check without a checkpoint", "MB", "s of processor", curves))
