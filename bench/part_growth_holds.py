"""What a reservation costs with 1 k to 1 M open ones, and what it costs when they expire, a million at once too.

In process and by processor time.  Expiry is part of a batch, with its events: the time of that batch is how long the
engine stands still when so many holds have the same deadline.
"""

from __future__ import annotations

import random
import time

from bench.costs import BATCH, ROUNDS, assert_done, command_us
from bench.in_process import BareCore
from bench.measure import Bench, Chart
from bench.shop import LOCATION, Ids, Requests, holds, item_id, session_request
from ringup.v1 import stock_pb2

TITLE = "Growth: reservations with 1 k to 1 M open ones, and the expiry of a million"
PER_QUERY = 1000
TTL_NS = 600_000_000_000  # of bench.shop.holds
Points = list[tuple[float | str, float]]


def run(bench: Bench) -> None:
    """Open more and more; at each size measure a hold.  Then expire as many at once, in a core of its own."""
    ids, choose, items = Ids(130), random.Random(4), bench.size(100_000, 300)
    sizes = (1000, 10_000, 100_000, 1_000_000) if not bench.quick else (300, 600)
    requests = holds(lambda: choose.randrange(items), ids, different=20_000)
    core, points = BareCore(items, ids), list[tuple[float | str, float]]()
    made = 0
    for open_holds in sizes:
        _open(core, requests, open_holds - made)
        batches = bench.size(15, 2)
        made = open_holds + bench.rounds(ROUNDS) * batches * BATCH
        points.append((open_holds, command_us(bench, core, requests, batches)))
        bench.put(f"growth_holds_{open_holds}_cpu_us", points[-1][1])
    held = held_pieces(core, items)
    assert held == made, f"{made} holds were answered, {held} pieces are held"
    bench.growth("growth_holds", points)
    expiry: Points = []
    core = BareCore(items, ids)
    for count in sizes:
        _open(core, requests, count)
        held = held_pieces(core, items)
        assert held == count, f"expected {count} pieces held, found {held}"
        began_s = time.perf_counter()
        core.expire(TTL_NS + 1)
        took_s = time.perf_counter() - began_s
        left = held_pieces(core, items)
        assert not left, f"expected that all {count} holds expire, found {left} pieces held"
        expiry.append((count, took_s / count * 1e6))
        bench.put(f"expire_{count}_holds_ms", took_s * 1000)
        bench.put(f"expire_{count}_holds_each_us", expiry[-1][1])
    bench.growth("expire_each", expiry)
    bench.chart(
        Chart("growth_holds", "A reservation, and its expiry, with many open", "open holds", "us each",
              {"reserve": points, "expire": expiry}, log_x=True)
    )  # fmt: skip


def held_pieces(core: BareCore, items: int) -> int:
    """Pieces held in all, as the core answers: each hold here has one."""
    held_milli = 0
    for start in range(0, items, PER_QUERY):
        ids = [item_id(index) for index in range(start, min(items, start + PER_QUERY))]
        request = stock_pb2.GetAvailabilityRequest(item_ids=ids, location_id=LOCATION).SerializeToString()
        answer = stock_pb2.GetAvailabilityResponse.FromString(
            core.core.query("GetAvailability", request, core.core.now_ns)
        )
        assert len(answer.positions) == len(ids), answer.problem
        held_milli += sum(position.held_milli for position in answer.positions)
    return held_milli // 1000


def _open(core: BareCore, requests: Requests, count: int) -> None:
    while count > 0:
        batch = min(4096, count)
        assert_done(core.apply(session_request([requests.command() for _ in range(batch)])), batch)
        count -= batch
