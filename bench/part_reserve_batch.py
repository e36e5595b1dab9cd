"""reserve_batch_vs_best: durable reservations in process, 1,024 a commit, beside three databases.

The engine's core and journal without a network (begin, apply, encode, one synced append), beside each
peer in its own best batch form: PostgreSQL one set-based UPDATE, Redis the better of one script call and
a pipeline, SQLite one transaction in process.  Measures the engine room; says nothing about callers.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from collections.abc import Callable

from bench.in_process import DurableCore
from bench.measure import Bench, Chart, Skipped, interleaved, rate
from bench.peer_reserve import POSTGRES_BATCH, RedisBatches, SqliteStock, redis_benchmark, redis_stock
from bench.peers import postgres, redis_server
from bench.shop import Ids, holds, session_request

TITLE = "Reservations in batches of 1,024 a commit, beside PostgreSQL, Redis and SQLite"
BATCH = 1024


def run(bench: Bench) -> None:
    """Measure all in turn."""
    items, count, seconds = bench.size(100_000, 500), bench.size(BATCH, 64), bench.seconds(2)
    with contextlib.ExitStack() as stack:
        measures: dict[str, Callable[[], float]] = {}
        cpu_us: list[float] = []
        measures["ringup"] = _engine(bench, stack, items, count, seconds, cpu_us)
        sqlite = SqliteStock(bench.work / "sqlite.db", items, count)
        stack.callback(sqlite.close)
        measures["sqlite"] = lambda: rate(sqlite.step, seconds)
        missing = []
        try:
            measures |= _redis(bench, stack, items, count, seconds)
        except Skipped as why:
            missing.append(str(why))
        try:
            server = stack.enter_context(postgres(bench.work))
            server.make_stock(items)
            script = POSTGRES_BATCH.format(items=items, count=count)
            measures["postgres"] = lambda: server.pgbench(script, 1, seconds).per_s * count
        except Skipped as why:
            missing.append(str(why))
        found = interleaved(bench.rounds(5), measures)
    for name, per_s in found.items():
        bench.put(f"reserve_batch_{name}_per_s", per_s)
    # On a machine that others use, the processor time says what a quiet one would do.
    bench.put("reserve_batch_ringup_cpu_us", statistics.median(cpu_us))
    bench.chart(
        Chart(
            "reserve_batch", "Durable reservations, 1,024 a commit", "", "a second",
            {"": [(name, per_s) for name, per_s in found.items()]}, bars=True,
        )
    )  # fmt: skip
    for reason in missing:
        bench.note(f"A peer is missing: {reason}")
    if missing:
        bench.put("skipped_reserve_batch", "; ".join(missing))
    else:
        best = max(per_s for name, per_s in found.items() if name != "ringup")
        bench.put("reserve_batch_vs_best", found["ringup"] / best)


def _engine(
    bench: Bench, stack: contextlib.ExitStack, items: int, count: int, seconds: float, cpu_us: list[float]
) -> Callable[[], float]:
    ids, choose = Ids(30), random.Random(6)
    core = DurableCore(bench.work / "journal", items, ids)
    stack.callback(core.close)
    requests = holds(lambda: choose.randrange(items), ids)

    def measure() -> float:
        # Made before the clock runs: a client makes its own bytes.
        batches = [session_request([requests.command() for _ in range(count)]) for _ in range(bench.size(300, 3))]
        before, done = core.core.row_counts()["holds"], 0
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        for batch in batches:
            core.apply(batch)
            done += count
            if time.perf_counter() - began_s > seconds:
                break
        core.flush()
        took_s, took_cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        assert core.core.row_counts()["holds"] - before == done, "not all reservations were booked"
        cpu_us.append(took_cpu_s / done * 1e6)
        return done / took_s

    return measure


def _redis(
    bench: Bench, stack: contextlib.ExitStack, items: int, count: int, seconds: float
) -> dict[str, Callable[[], float]]:
    server = stack.enter_context(redis_server(bench.work))
    redis_stock(server, items)
    batches = RedisBatches(server, items, count)
    stack.callback(batches.close)

    def pipelined() -> float:
        """Plain DECR by redis-benchmark, a batch in each pipeline: the reply is the check, no Python in the way."""
        return redis_benchmark(
            server, bench.size(200_000, 1000), "DECR", "stock:__rand_int__", clients=1, pipeline=count, keys=items
        )

    return {"redis_script": lambda: rate(batches.step, seconds), "redis_pipeline": pipelined}
