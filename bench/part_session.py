"""session_sales_per_s: durable, priced 10-line sales through the client library's Session stream.

Each caller waits for its own answer; the client batches by itself.  Client and engine share this machine's
cores, so the figure includes the client.  The same load on an empty echo is the floor beside it.
Also reservations of one piece, which `reserve_client` compares with peers; 1 to 1,000 callers are in
`growth_callers`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

from bench import session_load
from bench.measure import Bench, Chart, interleaved, latency_ms
from bench.samples import sale_sample
from bench.servers import cpu_seconds, echo
from bench.shop import Ids, holds, is_ok, sales
from bench.shop_server import booked, counters, shop_engine
from bench.unary_load import Load

TITLE = "Session: durable 10-line sales and reservations through the client library"
CALLERS = 512


def run(bench: Bench) -> None:
    """Measure sales, reservations and the echo in turn."""
    sample, ids, items = sale_sample(), Ids(20), bench.size(100_000, 500)
    choose = random.Random(5)
    selling, holding = sales(items, ids), holds(lambda: choose.randrange(items), ids)
    with (
        shop_engine(bench.work / "data", items, ids) as engine,
        echo(bench.work, sample.command_bytes, sample.reply, sample.unary_reply) as empty,
    ):
        loads: dict[str, list[Load]] = {"session_sales": [], "session_holds": [], "session_echo": []}
        targets: dict[str, tuple[str, Callable[[], bytes]]] = {
            "session_sales": (engine.target, selling.command),
            "session_holds": (engine.target, holding.command),
            "session_echo": (empty.target, selling.command),
        }
        batches = {"session_sales": [0, 0], "session_holds": [0, 0]}
        cpu_s = {name: [0.0, 0.0] for name in batches}  # of the engine, of the client

        def measure(name: str) -> float:
            target, next_command = targets[name]
            counted = name in batches
            before = counters(target) if counted else {}
            engine_cpu_s, client_cpu_s = cpu_seconds(engine.pid), time.process_time()
            load = session_load.closed_loop(target, next_command, is_ok, callers=CALLERS, seconds=bench.seconds(2))
            if counted:
                batches[name][0] += booked(target, before, answered=load.answered)
                batches[name][1] += counters(target)["commits"] - before["commits"]
                cpu_s[name][0] += cpu_seconds(engine.pid) - engine_cpu_s
                cpu_s[name][1] += time.process_time() - client_cpu_s
            loads[name].append(load)
            return load.per_s

        rates = interleaved(bench.rounds(5), {name: partial(measure, name) for name in targets})
        for name, per_s in rates.items():
            bench.put(f"{name}_per_s", per_s)
            bench.put_all(name, latency_ms(s for load in loads[name] for s in load.latencies_s))
        for name, (commands, commits) in batches.items():
            bench.put(f"{name}_per_commit", commands / commits)
            bench.put(f"{name}_engine_cpu_us", cpu_s[name][0] / commands * 1e6)
            bench.put(f"{name}_client_cpu_us", cpu_s[name][1] / commands * 1e6)
        bench.put("session_sales_vs_echo", rates["session_sales"] / rates["session_echo"])
    bench.chart(Chart("session", "Session, 512 callers", "", "answers a second", {"": list(rates.items())}, bars=True))
