"""reserve_client_vs_redis and _vs_postgres: 512 callers, each answered singly and durably.

The engine's callers share the client library's Session stream (client included, in Python); Redis is
loaded by redis-benchmark with 512 clients that call a checking script, PostgreSQL by pgbench with the
client count that suits it best: both load generators are the peers' own, in C.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

from bench import session_load
from bench.measure import Bench, Chart, Skipped, interleaved, latency_ms
from bench.peer_reserve import (
    POSTGRES_ONE,
    REDIS_ONE,
    best_clients,
    redis_benchmark,
    redis_stock,
    redis_taken,
)
from bench.peers import postgres, redis_server
from bench.shop import Ids, holds, is_ok
from bench.shop_server import booked, counters, shop_engine
from bench.unary_load import Load

TITLE = "Reservations by 512 callers, each answered singly, beside Redis and PostgreSQL"
CALLERS = 512
POSTGRES_CLIENTS = (16, 64, 128, 256)


def run(bench: Bench) -> None:
    """Measure the engine and both peers in turn."""
    items, seconds, ids = bench.size(100_000, 500), bench.seconds(2), Ids(40)
    choose = random.Random(9)
    requests = holds(lambda: choose.randrange(items), ids, different=20_000)
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(shop_engine(bench.work / "data", items, ids))
        callers = bench.size(CALLERS, 16)
        loads: list[Load] = []

        def measure() -> float:
            loads.append(
                session_load.closed_loop(engine.target, requests.command, is_ok, callers=callers, seconds=seconds)
            )
            return loads[-1].per_s

        measures: dict[str, Callable[[], float]] = {"ringup": measure}
        try:
            measures["redis"] = _redis(bench, stack, items)
        except Skipped as why:
            missing["redis"] = str(why)
        try:
            measures["postgres"] = _postgres(bench, stack, items, seconds)
        except Skipped as why:
            missing["postgres"] = str(why)
        before = counters(engine.target)
        interleaved(1, measures)  # a round that is not counted: pages, caches and connections are warm in all others
        found = interleaved(bench.rounds(5), measures)
        booked(engine.target, before, answered=sum(load.answered for load in loads))
    bench.put_all("reserve_client_ringup", latency_ms(s for load in loads[1:] for s in load.latencies_s))
    for name, per_s in found.items():
        bench.put(f"reserve_client_{name}_per_s", per_s)
    for name in ("redis", "postgres"):
        if name in found:
            bench.put(f"reserve_client_vs_{name}", found["ringup"] / found[name])
        else:
            bench.put(f"skipped_reserve_client_vs_{name}", missing[name])
            bench.note(f"A peer is missing: {missing[name]}")
    bench.chart(
        Chart("reserve_client", "Reservations, 512 callers", "", "a second", {"": list(found.items())}, bars=True)
    )


def _redis(bench: Bench, stack: contextlib.ExitStack, items: int) -> Callable[[], float]:
    server = stack.enter_context(redis_server(bench.work))
    redis_stock(server, items)
    with server.connect() as connection:
        script = str(connection.script_load(REDIS_ONE))
    requests, clients = bench.size(60_000, 500), bench.size(CALLERS, 16)

    def measure() -> float:
        before = redis_taken(server, items)
        per_s = redis_benchmark(
            server, requests, "EVALSHA", script, "1", "stock:__rand_int__", clients=clients, keys=items
        )
        taken = redis_taken(server, items) - before
        assert taken >= requests, f"expected {requests} pieces, found {taken}"
        return per_s

    return measure


def _postgres(bench: Bench, stack: contextlib.ExitStack, items: int, seconds: float) -> Callable[[], float]:
    server = stack.enter_context(postgres(bench.work))
    server.make_stock(items)
    script = POSTGRES_ONE.format(first=1, last=items)
    best, tried = best_clients(server, script, seconds, POSTGRES_CLIENTS[: bench.size(4, 1)])
    for clients, per_s in tried.items():
        bench.put(f"reserve_client_postgres_{clients}_clients_per_s", per_s)
    bench.put("reserve_client_postgres_clients", best)
    return lambda: server.pgbench(script, best, seconds).per_s
