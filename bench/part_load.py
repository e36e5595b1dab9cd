"""sale_p99_vs_floor and overload_goodput: 10-line sales that are due at a fixed rate, whatever the server does.

Open loop: latency counts from when a call was due, so that a stall is not hidden (HdrHistogram, three
digits).  The saturation is what 256 callers in a closed loop reach.  Goodput counts answers within a
second of being due; what is refused must be refused at once with RESOURCE_EXHAUSTED, and afterwards the
engine must be as fast as before.  The light client shares the machine with the engine.
"""

from __future__ import annotations

import statistics
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # it has no stubs

from bench import unary_load
from bench.floors import fdatasync_seconds
from bench.measure import Bench, Chart, latency_ms
from bench.samples import sale_sample
from bench.servers import Server, echo
from bench.shop import SELL_PATH, Ids, Requests, body_is_ok, sales
from bench.shop_server import shop_engine

TITLE = "Sales at a fixed rate: latency against load, and twice the load that it can carry"
SATURATING_CALLERS = 256
CONNECTIONS = 64  # of 100 streams each: more calls at once than the engine takes
GOOD_WITHIN_S = 1.0
SHARES = (0.25, 0.5, 0.75, 0.9, 1.0, 1.5)


def histogram_ms(latencies_s: list[float]) -> dict[str, float]:
    """p50_ms, p99_ms and p999_ms by an HdrHistogram from 1 us to 5 minutes."""
    histogram = HdrHistogram(1, 300_000_000, 3)
    for latency_s in latencies_s:
        histogram.record_value(max(1, round(latency_s * 1e6)))
    return {
        name: histogram.get_value_at_percentile(percent) / 1000
        for name, percent in (("p50_ms", 50), ("p99_ms", 99), ("p999_ms", 99.9))
    }


def run(bench: Bench) -> None:
    """Saturation, the curve, the floor at half load, then twice the load and after it."""
    sample, ids, items = sale_sample(), Ids(90), bench.size(10_000, 200)
    requests = sales(items, ids)
    with (
        shop_engine(bench.work / "data", items, ids) as engine,
        echo(bench.work, sample.command_bytes, sample.reply, sample.unary_reply) as empty,
    ):
        peak = _saturation(bench, engine, requests)
        bench.put("load_saturation_per_s", peak)
        _curve(bench, engine, requests, peak)
        _half_load(bench, engine, empty, requests, peak)
        _overload(bench, engine, requests, peak)


def _saturation(bench: Bench, engine: Server, requests: Requests) -> float:
    callers = bench.size(SATURATING_CALLERS, 8)
    rounds = [
        unary_load.closed_loop(
            engine.port, SELL_PATH, requests.body, body_is_ok, callers=callers, seconds=bench.seconds(1.5)
        ).per_s
        for _ in range(bench.rounds(3))
    ]
    return statistics.median(rounds)


def _curve(bench: Bench, engine: Server, requests: Requests, peak: float) -> None:
    curves: dict[str, list[tuple[float | str, float]]] = {"p50": [], "p99": [], "p99.9": []}
    for share in SHARES[: bench.size(len(SHARES), 1)]:
        load = unary_load.open_loop(
            engine.port, SELL_PATH, requests.body, body_is_ok,
            per_s=peak * share, seconds=bench.seconds(2), connections=CONNECTIONS,
        )  # fmt: skip
        found = histogram_ms(load.latencies_s)
        bench.put_all(f"load_{round(share * 100)}", found)
        bench.put(f"load_{round(share * 100)}_refused", load.refused)
        for label, key in (("p50", "p50_ms"), ("p99", "p99_ms"), ("p99.9", "p999_ms")):
            curves[label].append((share, found[key]))
    bench.chart(
        Chart("load_latency", "Latency of a sale against load", "share of saturation", "ms", curves, log_y=True)
    )


def _half_load(bench: Bench, engine: Server, empty: Server, requests: Requests, peak: float) -> None:
    ratios: list[float] = []
    parts: dict[str, list[float]] = {"sale": [], "fdatasync": [], "echo": []}
    for _ in range(bench.rounds(5)):
        syncs = latency_ms(fdatasync_seconds(bench.work / "sync", bench.seconds(0.7)))["p99_ms"]
        alone = unary_load.closed_loop(
            empty.port, SELL_PATH, requests.body, body_is_ok, callers=1, seconds=bench.seconds(0.7)
        )
        load = unary_load.open_loop(
            engine.port, SELL_PATH, requests.body, body_is_ok, per_s=peak / 2, seconds=bench.seconds(1.5)
        )
        one_echo = latency_ms(alone.latencies_s)["p99_ms"]
        sale = histogram_ms(load.latencies_s)["p99_ms"]
        for name, value in (("sale", sale), ("fdatasync", syncs), ("echo", one_echo)):
            parts[name].append(value)
        ratios.append(sale / (syncs + one_echo))
    for name, values in parts.items():
        bench.put(f"half_load_{name}_p99_ms", statistics.median(values))
    bench.put("sale_p99_vs_floor", statistics.median(ratios))


@contextmanager
def _probe(engine: Server, requests: Requests) -> Iterator[Counter[str]]:
    """An ordinary gRPC client beside the load, which sees the status of each call."""
    seen: Counter[str] = Counter()
    stop = threading.Event()
    bodies = [requests.body() for _ in range(2000)]

    def call() -> None:
        with grpc.insecure_channel(engine.target) as channel:
            sell: Any = channel.unary_unary(SELL_PATH)
            for body in bodies:
                if stop.is_set():
                    return
                try:
                    sell(body, timeout=20)
                    seen["OK"] += 1
                except grpc.RpcError as error:
                    seen[error.code().name] += 1
                    print(f"> probe: {error.code().name}: {error.details()}", flush=True)
                stop.wait(0.02)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def _overload(bench: Bench, engine: Server, requests: Requests, peak: float) -> None:
    with _probe(engine, requests) as seen:
        load = unary_load.open_loop(
            engine.port, SELL_PATH, requests.body, body_is_ok,
            per_s=peak * 2, seconds=bench.seconds(5), connections=CONNECTIONS,
        )  # fmt: skip
    if other := {status: count for status, count in seen.items() if status not in ("OK", "RESOURCE_EXHAUSTED")}:
        bench.note(f"An ordinary client expected answers or RESOURCE_EXHAUSTED in the overload, and found {other}")
    bench.put("overload_other_statuses", sum(other.values()))
    good = sum(latency_s <= GOOD_WITHIN_S for latency_s in load.latencies_s)
    after = _saturation(bench, engine, requests)
    bench.put("overload_refused", load.refused)
    bench.put("overload_answered", len(load.latencies_s))
    bench.put("overload_probe", ", ".join(f"{status} {count}" for status, count in sorted(seen.items())))
    bench.put_all("overload_answered", histogram_ms(load.latencies_s))
    if load.refused_latencies_s:
        bench.put_all("overload_refused", histogram_ms(load.refused_latencies_s))
    bench.put("overload_goodput_per_s", good / load.seconds)
    # Beside the saturation before and after: the machine may have become slower meanwhile.
    bench.put("overload_goodput", good / load.seconds / statistics.mean([peak, after]))
    bench.put("overload_recovered", after / peak)
