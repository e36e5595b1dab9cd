"""Floors: what bounds every end-to-end figure on this machine, measured in the same run.

Measures one fdatasync, raw LMDB appends, the bare core in process, and an empty echo over gRPC, unary and
streamed.  Says nothing about the engine as a whole.
"""

from __future__ import annotations

import random
import statistics
import time
from functools import partial

from bench import session_load, unary_load
from bench.floors import RawJournal, fdatasync_seconds
from bench.in_process import BareCore
from bench.measure import Bench, Chart, interleaved, latency_ms, rate
from bench.samples import sale_sample
from bench.servers import echo
from bench.shop import SELL_PATH, Ids, holds, sales, session_request

TITLE = "Floors: one sync, raw appends, the bare core, an empty echo"
COMMANDS_PER_BATCH = 256


def run(bench: Bench) -> None:
    """Measure the floors."""
    syncs = fdatasync_seconds(bench.work / "sync", bench.seconds(3))
    bench.put("floor_fdatasync_per_s", 1 / statistics.mean(syncs))
    bench.put_all("floor_fdatasync", latency_ms(syncs))
    _appends(bench)
    _core(bench)
    _echo(bench)
    keys = [
        key for key in bench.record.values if key.startswith("floor_") and key.endswith("_per_s") and "_mb_" not in key
    ]
    bars: list[tuple[float | str, float]] = [
        (key.removesuffix("_per_s"), float(bench.record.values[key])) for key in keys
    ]
    bench.chart(Chart("floors", "Floors", "", "a second", {"": bars}, bars=True, log_y=True))


def _appends(bench: Bench) -> None:
    for kib in (2, 32, 256):
        raw, record = RawJournal(bench.work / f"raw{kib}"), bytes(range(256)) * (4 * kib)

        def step(raw: RawJournal = raw, record: bytes = record) -> int:
            raw.append(record)
            return 1

        found = rate(step, bench.seconds(2))
        raw.close()
        bench.put(f"floor_lmdb_{kib}k_appends_per_s", found)
        bench.put(f"floor_lmdb_{kib}k_mb_per_s", found * kib * 1024 / 1e6)


def _core(bench: Bench) -> None:
    ids, items = Ids(1), bench.size(100_000, 500)
    core, count = BareCore(items, ids), bench.size(COMMANDS_PER_BATCH, 16)
    choose = random.Random(2)
    kinds = {"sales": sales(items, ids), "holds": holds(lambda: choose.randrange(items), ids)}
    batches = {
        name: iter([session_request([one.command() for _ in range(count)]) for _ in range(bench.size(300, 3))])
        for name, one in kinds.items()
    }

    cpu_us: dict[str, list[float]] = {name: [] for name in kinds}

    def measure(name: str) -> float:
        """One round: a third of the batches, all of which must be booked."""
        before, rounds = core.core.row_counts()[name], bench.size(100, 1)
        began, began_cpu_s = time.perf_counter(), time.process_time()
        for _ in range(rounds):
            core.apply(next(batches[name]))
        took, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu_s
        cpu_us[name].append(cpu_s / (rounds * count) * 1e6)
        assert core.core.row_counts()[name] - before == rounds * count, f"not all {name} were booked"
        return rounds * count / took

    found = interleaved(3, {name: partial(measure, name) for name in kinds})
    for name, per_s in found.items():
        bench.put(f"floor_core_{name}_per_s", per_s)
        bench.put(f"floor_core_{name}_cpu_us", statistics.median(cpu_us[name]))


def _echo(bench: Bench) -> None:
    sample, ids = sale_sample(), Ids(3)
    requests, seconds = sales(200, ids), bench.seconds(3)
    with echo(bench.work, sample.command_bytes, sample.reply, sample.unary_reply) as server:
        for callers in (1, 64):
            load = unary_load.closed_loop(
                server.port, SELL_PATH, requests.body, sample.unary_reply.__eq__, callers=callers, seconds=seconds
            )
            bench.put(f"floor_echo_unary_{callers}_per_s", load.per_s)
            bench.put_all(f"floor_echo_unary_{callers}", latency_ms(load.latencies_s))
        for callers in (64, 512):
            load = session_load.closed_loop(
                server.target, requests.command, sample.reply.__eq__, callers=callers, seconds=seconds
            )
            bench.put(f"floor_echo_session_{callers}_per_s", load.per_s)
            bench.put_all(f"floor_echo_session_{callers}", latency_ms(load.latencies_s))
