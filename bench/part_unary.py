"""sale_unary_vs_echo: durable 10-line sales by unary calls, beside empty echoes of the same bytes.

The servers run at once with the same limits and are loaded in turn by 64 callers of the light client: the engine,
an echo on grpcio's server, and one on the engine's own, which is the floor of the engine where libnghttp2 is
there: what pricing, stock, journal and sync cost on top of it.  It says nothing about a client library.  1 to
1,000 callers are in `growth_callers`.
"""

from __future__ import annotations

from functools import partial

from bench import unary_load
from bench.measure import Bench, Chart, interleaved, latency_ms
from bench.samples import sale_sample
from bench.servers import cpu_seconds, echo, own_echo
from bench.shop import SELL_PATH, Ids, body_is_ok, sales
from bench.shop_server import booked, counters, shop_engine
from bench.unary_load import Load

TITLE = "Unary: durable 10-line sales beside an empty echo of the same bytes"
CALLERS = 64


def run(bench: Bench) -> None:
    """Measure both servers in turn."""
    sample, ids, items = sale_sample(), Ids(10), bench.size(10_000, 200)
    requests, seconds = sales(items, ids), bench.seconds(2)
    with (
        shop_engine(bench.work / "data", items, ids) as engine,
        echo(bench.work, sample.command_bytes, sample.reply, sample.unary_reply) as empty,
        own_echo(bench.work, sample.command_bytes, sample.reply, sample.unary_reply) as own,
    ):
        ports = {"sale_unary": engine.port, "echo_unary": empty.port}
        if own is not None:
            ports["own_echo_unary"] = own.port
        loads: dict[str, list[Load]] = {name: [] for name in ports}

        def measure(name: str) -> float:
            load = unary_load.closed_loop(
                ports[name], SELL_PATH, requests.body, body_is_ok, callers=CALLERS, seconds=seconds
            )
            assert not load.refused, f"{load.refused} calls were refused"
            loads[name].append(load)
            return load.per_s

        before, cpu_before_s = counters(engine.target), cpu_seconds(engine.pid)
        echo_cpu_before_s = cpu_seconds(empty.pid)
        rates = interleaved(bench.rounds(5), {name: partial(measure, name) for name in ports})
        after, cpu_s = counters(engine.target), cpu_seconds(engine.pid) - cpu_before_s
        echo_cpu_s = cpu_seconds(empty.pid) - echo_cpu_before_s
        sold = booked(engine.target, before, answered=sum(load.answered for load in loads["sale_unary"]))
        for name, per_s in rates.items():
            bench.put(f"{name}_per_s", per_s)
            bench.put_all(name, latency_ms(s for load in loads[name] for s in load.latencies_s))
        bench.put("sale_unary_per_commit", sold / (after["commits"] - before["commits"]))
        bench.put("sale_unary_server_cpu_us", cpu_s / sold * 1e6)
        echoes = sum(load.answered for load in loads["echo_unary"])
        bench.put("echo_unary_server_cpu_us", echo_cpu_s / echoes * 1e6)
        bench.put("sale_unary_vs_echo", rates["sale_unary"] / rates["echo_unary"])
        if own is not None:
            bench.put("sale_unary_vs_own_echo", rates["sale_unary"] / rates["own_echo_unary"])
    bench.chart(Chart("unary", "Unary calls, 64 callers", "", "answers a second", {"": list(rates.items())}, bars=True))
