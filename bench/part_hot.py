"""hot_vs_uniform and hot_vs_postgres: 64 callers on one hot item, and on 100,000 items evenly and by Zipf's law.

The engine through the client library, PostgreSQL by pgbench with 64 clients (prepared UPDATE, synchronous_commit
on), Redis by redis-benchmark with 64 (a checking script, appendfsync always; it draws no Zipf).  The engine has one
writer, so a hot item costs nothing more; a row lock held over a sync does.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable
from functools import partial

from bench import session_load
from bench.measure import Bench, Chart, Skipped, in_pairs, interleaved, latency_ms
from bench.peer_reserve import POSTGRES_ONE, POSTGRES_ZIPF, REDIS_ONE, redis_benchmark, redis_stock
from bench.peers import Postgres, postgres, redis_server
from bench.shop import Ids, Requests, holds, is_ok
from bench.shop_server import booked, counters, shop_engine
from bench.unary_load import Load

TITLE = "Reservations by 64 callers: one hot item, 100,000 items evenly and by Zipf's law"
CALLERS = 64
HOT = 7
ZIPF_EXPONENT = 1.001  # the least that pgbench takes
ROUNDS = 5
PAIRS = 16
PAIR_SECONDS = 0.6
Measures = dict[str, Callable[[], float]]


def zipf(items: int, choose: random.Random) -> Callable[[], int]:
    """Items by Zipf's law, ranks in random places: item of rank r is drawn in proportion to r ** -ZIPF_EXPONENT."""
    totals = list(itertools.accumulate(rank**-ZIPF_EXPONENT for rank in range(1, items + 1)))
    places = list(range(items))
    choose.shuffle(places)
    return lambda: choose.choices(places, cum_weights=totals)[0]


def run(bench: Bench) -> None:
    """Measure in turn."""
    items, seconds, ids = bench.size(100_000, 500), bench.seconds(1), Ids(50)
    choose = random.Random(11)
    kinds: dict[str, Requests] = {
        "uniform": holds(lambda: choose.randrange(items), ids, different=20_000),
        "zipf": holds(zipf(items, choose), ids, different=20_000),
        "hot": holds(lambda: HOT, ids),
    }
    loads: dict[str, list[Load]] = {name: [] for name in kinds}
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(shop_engine(bench.work / "data", items, ids))

        def measure(name: str, seconds: float) -> float:
            load = session_load.closed_loop(engine.target, kinds[name].command, is_ok, callers=CALLERS, seconds=seconds)
            loads[name].append(load)
            return load.per_s

        measures: Measures = {name: partial(measure, name, seconds) for name in kinds}
        for name, peer in (("postgres", _postgres), ("redis", _redis)):
            try:
                measures |= peer(bench, stack, items, seconds)
            except Skipped as why:
                missing[name] = str(why)
        before = counters(engine.target)
        interleaved(1, measures)  # a round that is not counted: pages, caches and connections are warm in all others
        found = interleaved(bench.rounds(ROUNDS), measures)
        hot, uniform = (partial(measure, name, bench.seconds(PAIR_SECONDS)) for name in ("hot", "uniform"))
        hot_vs_uniform = in_pairs(bench.rounds(PAIRS), hot, uniform)
        booked(engine.target, before, answered=sum(load.answered for all_loads in loads.values() for load in all_loads))
    for name, per_s in found.items():
        bench.put(f"reserve_{name}_per_s", per_s)
    for name, all_loads in loads.items():
        bench.put_all(f"reserve_{name}", latency_ms(s for load in all_loads[1:] for s in load.latencies_s))
    bench.put("hot_vs_uniform", hot_vs_uniform)
    bench.put("zipf_vs_uniform", found["zipf"] / found["uniform"])
    for peer_name in ("postgres", "redis"):
        for kind in kinds:
            if peer_name in missing:
                bench.put(f"skipped_{kind}_vs_{peer_name}", missing[peer_name])
            elif (key := f"{peer_name}_{kind}") in found:
                bench.put(f"{kind}_vs_{peer_name}", found[kind] / found[key])
    for reason in missing.values():
        bench.note(f"A peer is missing: {reason}")
    bench.chart(
        Chart("hot", "Reservations, 64 callers", "", "a second", {"": list(found.items())}, bars=True, log_y=True)
    )


def _postgres(bench: Bench, stack: contextlib.ExitStack, items: int, seconds: float) -> Measures:
    server = stack.enter_context(postgres(bench.work))
    server.make_stock(items)
    scripts = {
        "postgres_uniform": POSTGRES_ONE.format(first=1, last=items),
        "postgres_zipf": POSTGRES_ZIPF.format(last=items, exponent=ZIPF_EXPONENT),
        "postgres_hot": POSTGRES_ONE.format(first=HOT, last=HOT),
    }
    return {name: partial(_pgbench, server, script, seconds) for name, script in scripts.items()}


def _pgbench(server: Postgres, script: str, seconds: float) -> float:
    return server.pgbench(script, CALLERS, seconds).per_s


def _redis(bench: Bench, stack: contextlib.ExitStack, items: int, seconds: float) -> Measures:
    server = stack.enter_context(redis_server(bench.work))
    redis_stock(server, items)
    with server.connect() as connection:
        script = str(connection.script_load(REDIS_ONE))
    requests = bench.size(10_000, 500)

    def measure(key: str) -> float:
        return redis_benchmark(server, requests, "EVALSHA", script, "1", key, clients=CALLERS, keys=items)

    return {
        "redis_uniform": partial(measure, "stock:__rand_int__"),
        "redis_hot": partial(measure, f"stock:{HOT:012}"),
    }
