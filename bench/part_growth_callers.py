"""Sales by 1 to 1,000 callers, by unary calls and through the Session stream, beside one sync and one echo.

Closed loop: each caller calls again as soon as it is answered.  `_slope` is the exponent of the rate's growth
with the callers (1: twice the callers, twice the sales; 0: no more).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bench import session_load, unary_load
from bench.floors import fdatasync_seconds
from bench.measure import Bench, Chart, latency_ms
from bench.samples import sale_sample
from bench.servers import Server, echo
from bench.shop import SELL_PATH, Ids, Requests, body_is_ok, is_ok, sales
from bench.shop_server import booked, counters, shop_engine
from bench.unary_load import Load

TITLE = "Growth: sales by 1 to 1,000 callers"
COUNTS = (1, 4, 16, 64, 256, 1000)
Points = list[tuple[float | str, float]]


def run(bench: Bench) -> None:
    """Both ways and their echoes, one caller to a thousand."""
    sample, ids, items = sale_sample(), Ids(145), bench.size(10_000, 200)
    requests, seconds = sales(items, ids), bench.seconds(1)
    with (
        shop_engine(bench.work / "data", items, ids) as engine,
        echo(bench.work, sample.command_bytes, sample.reply, sample.unary_reply) as empty,
    ):
        ways: dict[str, Callable[[int], Load]] = {
            "session": partial(_session, engine, requests, seconds),
            "unary": partial(_unary, engine, requests, seconds),
            "session_echo": partial(_session, empty, requests, seconds),
            "unary_echo": partial(_unary, empty, requests, seconds),
        }
        rates: dict[str, Points] = {name: [] for name in ways}
        p99s: dict[str, Points] = {name: [] for name in ways}
        before, answered = counters(engine.target), 0
        for callers in COUNTS if not bench.quick else COUNTS[:2]:
            for name, measure in ways.items():
                load = measure(callers)
                answered += load.answered * (not name.endswith("echo"))
                key = f"growth_callers_{name}_{callers}"
                bench.put(f"{key}_per_s", load.per_s)
                rates[name].append((callers, load.per_s))
                if load.latencies_s:  # else a stall as long as the round: the rate of zero says it
                    at = latency_ms(load.latencies_s)
                    bench.put_all(key, at)
                    p99s[name].append((callers, at["p99_ms"]))
        booked(engine.target, before, answered=answered)
        syncs = latency_ms(fdatasync_seconds(bench.work / "sync", bench.seconds(1)))
    one_echo = bench.record.values["growth_callers_session_echo_1_p50_ms"]
    assert isinstance(one_echo, float)
    bench.put("growth_callers_floor_p50_ms", syncs["p50_ms"] + one_echo)
    for name, points in rates.items():
        bench.growth(f"growth_callers_{name}", [point for point in points if point[1]])
    bench.chart(Chart("growth_callers_rate", "Sales and echoes", "callers", "a second", rates, log_x=True, log_y=True))
    bench.chart(Chart("growth_callers_p99", "Their p99", "callers", "ms", p99s, log_x=True, log_y=True))


def _session(server: Server, requests: Requests, seconds: float, callers: int) -> Load:
    return session_load.closed_loop(server.target, requests.command, is_ok, callers=callers, seconds=seconds)


def _unary(server: Server, requests: Requests, seconds: float, callers: int) -> Load:
    return unary_load.closed_loop(server.port, SELL_PATH, requests.body, body_is_ok, callers=callers, seconds=seconds)
