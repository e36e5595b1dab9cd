"""sale_p99_vs_floor and overload_goodput: 10-line sales that are due at a fixed rate, whatever the server does.

Open loop: latency counts from when a call was due, so that a stall is not hidden (HdrHistogram, three
digits).  The rate is raised until goodput, answers within a second of being due, falls: its best is the
peak.  Then twice the peak in turn with the peak, by the same client: what is refused must be refused at
once with RESOURCE_EXHAUSTED, and afterwards the engine must be as fast as before.  The same for an empty
echo of the same bytes: what grpcio keeps of its own peak.  The light client shares the machine with the server.
"""

from __future__ import annotations

import statistics
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc

from bench import unary_load
from bench.floors import fdatasync_seconds
from bench.measure import Bench, latency_ms
from bench.open_curve import Curve, Drive, curve, histogram_ms, overload
from bench.samples import sale_sample
from bench.servers import Server, echo, own_echo
from bench.shop import SELL_PATH, Ids, Requests, body_is_ok, sales
from bench.shop_server import booked, counters, shop_engine
from bench.unary_load import Load

TITLE = "Unary sales at a fixed rate: latency against load, and twice the load that it can carry"
GUESS_CALLERS = 64
SHOWN_MAX = 3
ECHO_SHARES = (0.5, 0.7, 0.85, 1.0)  # of the echo's closed loop, where its peak is looked for


def run(bench: Bench) -> None:
    """A first guess, the curve, the floor at half load, then twice the load and after it."""
    sample, ids, items = sale_sample(), Ids(90), bench.size(10_000, 200)
    requests = sales(items, ids)
    with (
        shop_engine(bench.work / "data", items, ids) as engine,
        echo(bench.work, sample.command_bytes, sample.reply, sample.unary_reply) as empty,
        own_echo(bench.work, sample.command_bytes, sample.reply, sample.unary_reply) as own,
    ):
        before, loads = counters(engine.target), [_guess(bench, engine, requests)]

        def offer(server: Server, per_s: float, seconds: float) -> Load:
            return unary_load.open_loop(server.port, SELL_PATH, requests.body, body_is_ok, per_s=per_s, seconds=seconds)

        def drive(per_s: float, seconds: float) -> Load:
            loads.append(offer(engine, per_s, seconds))
            return loads[-1]

        bench.put("load_unary_closed_loop_per_s", loads[0].per_s)
        found = curve(bench, "load_unary", "Unary sales", drive, loads[0].per_s)
        drive_echo = partial(offer, empty)
        loaded = {"sale": drive, "loaded_echo": drive_echo}
        if own is not None:
            loaded["loaded_own_echo"] = partial(offer, own)
        _half_load(bench, empty, requests, loaded, found.peak_per_s / 2)
        with _probe(engine, requests) as seen:
            overload(bench, "overload", drive, found)
        _echo_overload(bench, drive_echo, _guess(bench, empty, requests).per_s)
        answered = seen.pop("OK", 0)
        booked(
            engine.target, before, answered=sum(one.answered for one in loads) + answered,
            unanswered=sum(one.unanswered for one in loads) + sum(seen.values()),
        )  # fmt: skip
    bench.put("overload_probe_ok", answered)
    for status, count in sorted(seen.items()):
        bench.put(f"overload_probe_{status.lower()}", count)
    if other := {status: count for status, count in seen.items() if status != "RESOURCE_EXHAUSTED"}:
        bench.note(f"An ordinary client expected answers or RESOURCE_EXHAUSTED in the overload, and found {other}")
    bench.put("overload_other_statuses", sum(other.values()))


def _guess(bench: Bench, engine: Server, requests: Requests) -> Load:
    return unary_load.closed_loop(
        engine.port, SELL_PATH, requests.body, body_is_ok,
        callers=bench.size(GUESS_CALLERS, 8), seconds=bench.seconds(2),
    )  # fmt: skip


def _half_load(bench: Bench, empty: Server, requests: Requests, loaded: dict[str, Drive], per_s: float) -> None:
    """p99 of a sale beside one sync and one echo, and beside echoes under the same load, in turn."""
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(bench.rounds(5)):
        sync = latency_ms(fdatasync_seconds(bench.work / "sync", bench.seconds(0.7)))["p99_ms"]
        alone = unary_load.closed_loop(
            empty.port, SELL_PATH, requests.body, body_is_ok, callers=1, seconds=bench.seconds(0.7)
        )
        one_echo = latency_ms(alone.latencies_s)["p99_ms"]
        p99_ms = {
            name: histogram_ms(of(per_s, bench.seconds(1.5)).latencies_s)["p99_ms"] for name, of in loaded.items()
        }
        for name, value in {"fdatasync": sync, "echo": one_echo, "floor": sync + one_echo, **p99_ms}.items():
            found[name].append(value)
        for name in found.keys() & {"floor", "loaded_own_echo"}:
            found[f"over_{name}"].append(p99_ms["sale"] / found[name][-1])
    for name in loaded.keys() | {"fdatasync", "echo", "floor"}:
        bench.put(f"half_load_{name}_p99_ms", statistics.median(found[name]))
    bench.put("half_load_per_s", per_s)
    bench.put("sale_p99_vs_floor", statistics.median(found["over_floor"]))
    if "loaded_own_echo" in loaded:
        bench.put("sale_p99_vs_loaded_own_echo", statistics.median(found["over_loaded_own_echo"]))


def _echo_overload(bench: Bench, drive: Drive, guess_per_s: float) -> None:
    """What grpcio itself keeps of its peak at twice that load, where nothing stands behind it."""
    peak = max(
        (drive(guess_per_s * share, bench.seconds(2)) for share in ECHO_SHARES), key=lambda load: load.good_per_s
    )
    found = Curve(peak.due / peak.seconds, peak.good_per_s)
    overload(bench, "overload_echo", drive, found)


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
                    if seen[error.code().name] <= SHOWN_MAX:
                        print(f"> probe: {error.code().name}: {error.details()}", flush=True)
                stop.wait(0.02)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
