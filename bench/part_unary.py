"""sale_unary_vs_echo: durable 10-line sales by unary calls, beside an empty echo of the same bytes.

Both servers run at once with the same gRPC options and are loaded in turn by 64 callers of the light
client.  The ratio says what pricing, stock, journal and sync cost on top of gRPC; it says nothing about a
client library.
"""

from __future__ import annotations

from functools import partial

from bench import unary_load
from bench.measure import Bench, Chart, interleaved, latency_ms
from bench.samples import sale_sample
from bench.servers import cpu_seconds, echo
from bench.shop import SELL_PATH, Ids, body_is_ok, sales
from bench.shop_server import counters, shop_engine
from bench.unary_load import WARM_UP_SECONDS, Load

TITLE = "Unary: durable 10-line sales beside an empty echo of the same bytes"
CALLERS = 64


def run(bench: Bench) -> None:
    """Measure both servers in turn."""
    sample, ids, items = sale_sample(), Ids(10), bench.size(10_000, 200)
    requests, seconds = sales(items, ids), bench.seconds(2)
    with (
        shop_engine(bench.work / "data", items, ids) as engine,
        echo(bench.work, sample.command_bytes, sample.reply, sample.unary_reply) as empty,
    ):
        loads: dict[str, list[Load]] = {"sale_unary": [], "echo_unary": []}
        ports = {"sale_unary": engine.port, "echo_unary": empty.port}

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
        booked, answered = after["commands"] - before["commands"], sum(load.ok for load in loads["sale_unary"])
        assert booked >= answered, f"{answered} sales were answered, {booked} were booked"
        for name, per_s in rates.items():
            bench.put(f"{name}_per_s", per_s)
            bench.put_all(name, latency_ms(s for load in loads[name] for s in load.latencies_s))
        bench.put("sale_unary_per_commit", booked / (after["commits"] - before["commits"]))
        bench.put("sale_unary_server_cpu_us", cpu_s / booked * 1e6)
        # With warm-ups, whose calls the loads do not count: the rounds' shape is known, so their share is.
        echo_calls = sum(load.ok for load in loads["echo_unary"]) * (1 + min(WARM_UP_SECONDS, seconds) / seconds)
        bench.put("echo_unary_server_cpu_us", echo_cpu_s / echo_calls * 1e6)
        bench.put("sale_unary_vs_echo", rates["sale_unary"] / rates["echo_unary"])
        _curve(bench, {name: partial(_rate_at, port, requests.body, bench.seconds(1)) for name, port in ports.items()})


def _rate_at(port: int, next_body: object, seconds: float, callers: int) -> Load:
    return unary_load.closed_loop(port, SELL_PATH, next_body, body_is_ok, callers=callers, seconds=seconds)  # type: ignore[arg-type]


def _curve(bench: Bench, measures: dict[str, partial[Load]]) -> None:
    counts = [1, 4, 16, 64, 256] if not bench.quick else [1, 4]
    rates: dict[str, list[tuple[float | str, float]]] = {name: [] for name in measures}
    p99s: dict[str, list[tuple[float | str, float]]] = {name: [] for name in measures}
    for callers in counts:
        for name, measure in measures.items():
            load = measure(callers)
            rates[name].append((callers, load.per_s))
            bench.put(f"{name}_{callers}_callers_per_s", load.per_s)
            if not load.latencies_s:  # a stall as long as the round: the rate of zero says it
                continue
            p99s[name].append((callers, latency_ms(load.latencies_s)["p99_ms"]))
            bench.put(f"{name}_{callers}_callers_p99_ms", p99s[name][-1][1])
    bench.chart(Chart("unary_rate", "Unary calls", "callers", "answers a second", rates, log_x=True))
    bench.chart(Chart("unary_p99", "Unary calls: p99", "callers", "ms", p99s, log_x=True, log_y=True))
