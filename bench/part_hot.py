"""hot_vs_uniform and hot_vs_postgres: 64 callers on one hot item.

The engine with all callers on one item, with callers spread over 100,000 items, and PostgreSQL with 64
clients on one row.  The engine has one writer, so a hot item costs nothing more; a row lock held over a
sync does.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from functools import partial

from bench import session_load
from bench.measure import Bench, Chart, Skipped, interleaved, latency_ms
from bench.peer_reserve import POSTGRES_ONE
from bench.peers import Postgres, postgres
from bench.shop import Ids, Requests, holds, is_ok
from bench.shop_server import shop_engine
from bench.unary_load import Load

TITLE = "One hot item, 64 callers, beside 100,000 items and PostgreSQL"
CALLERS = 64


def run(bench: Bench) -> None:
    """Measure in turn."""
    items, seconds, ids = bench.size(100_000, 500), bench.seconds(1), Ids(50)
    choose = random.Random(11)
    kinds: dict[str, Requests] = {
        "uniform": holds(lambda: choose.randrange(items), ids),
        "hot": holds(lambda: 7, ids),
    }
    loads: dict[str, list[Load]] = {name: [] for name in kinds}
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(shop_engine(bench.work / "data", items, ids))

        def measure(name: str) -> float:
            load = session_load.closed_loop(engine.target, kinds[name].command, is_ok, callers=CALLERS, seconds=seconds)
            loads[name].append(load)
            return load.per_s

        measures: dict[str, Callable[[], float]] = {name: partial(measure, name) for name in kinds}
        missing = ""
        try:
            server = stack.enter_context(postgres(bench.work))
            server.make_stock(items)
            measures["postgres_hot"] = partial(_postgres, server, 7, 7, seconds)
            measures["postgres_uniform"] = partial(_postgres, server, 1, items, seconds)
        except Skipped as why:
            missing = str(why)
        found = interleaved(bench.rounds(10), measures)
    for name, per_s in found.items():
        bench.put(f"reserve_{name}_per_s", per_s)
    for name, all_loads in loads.items():
        bench.put_all(f"reserve_{name}", latency_ms(s for load in all_loads for s in load.latencies_s))
    bench.put("hot_vs_uniform", found["hot"] / found["uniform"])
    if missing:
        bench.put("skipped_hot_vs_postgres", missing)
        bench.note(f"A peer is missing: {missing}")
    else:
        bench.put("hot_vs_postgres", found["hot"] / found["postgres_hot"])
    bench.chart(
        Chart("hot", "Reservations, 64 callers", "", "a second", {"": list(found.items())}, bars=True, log_y=True)
    )


def _postgres(server: Postgres, first: int, last: int, seconds: float) -> float:
    return server.pgbench(POSTGRES_ONE.format(first=first, last=last), CALLERS, seconds).per_s
