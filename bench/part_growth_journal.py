"""Start, verify, check and memory against the size of the journal: 0.1, 0.2, 0.5 and 1 GB of sales.

`make bench ONLY=growth_journal ARGS="--journal-gb 10"` measures 1, 2, 5 and 10 GB.  One journal grows from size to
size, written by the core in process in batches of 2,048 sales.  `fold` is a start without a checkpoint, `start` one
with it, as it always is in daily life; `verify` and `check` are the commands.  Wall time, and beside it the
processor time, which other work on the machine does not change.  The engine's memory grows with the sales, which are
kept so that they can be returned; that of `verify` is bounded, what pages of its files it has in memory included.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import Bench, Chart
from bench.servers import ROOT, ask_stock, cpu_seconds, engine, peak_mb, resident_mb

TITLE = "Growth: start, verify, check and memory against the journal's size"
SHARES = (0.1, 0.2, 0.5, 1.0)
DISK_PER_GB, MEMORY_PER_GB = 3.0, 1.0  # journal, checkpoint and temporary file; the core that writes it
Points = list[tuple[float | str, float]]


@dataclass(slots=True)
class _Curves:
    """Of fold, start, verify and check."""

    wall_s: dict[str, Points] = field(default_factory=dict)
    cpu_s: dict[str, Points] = field(default_factory=dict)
    memory_mb: dict[str, Points] = field(default_factory=dict)

    def add(self, bench: Bench, name: str, mb: int, wall_s: float, cpu_s: float) -> None:
        """One point, written down as well."""
        for points, value, unit in ((self.wall_s, wall_s, "s"), (self.cpu_s, cpu_s, "cpu_s")):
            points.setdefault(name, []).append((mb, value))
            bench.put(f"growth_journal_{mb}_mb_{name}_{unit}", value)

    def add_memory(self, bench: Bench, key: str, label: str, mb: int, found_mb: float) -> None:
        self.memory_mb.setdefault(label, []).append((mb, found_mb))
        bench.put(f"growth_journal_{mb}_mb_{key}", found_mb)


def run(bench: Bench) -> None:
    """One journal, measured at each size."""
    items, curves, data = bench.size(10_000, 300), _Curves(), bench.work / "data"
    data.mkdir()
    _refuse_if_too_large(bench)
    for share in SHARES if not bench.quick else SHARES[:2]:
        mb = round(bench.settings.journal_gb * 1000 * share) if not bench.quick else round(40 * share)
        _measure(bench, curves, data, mb, items)
    for kind, unit in ((curves.wall_s, "s"), (curves.cpu_s, "cpu_s")):
        for name, points in kind.items():
            (small_mb, small_s), (large_mb, large_s) = points[0], points[-1]
            # What each further GB costs: without the start of the process, which is the same for all.
            per_gb = (large_s - small_s) / (float(large_mb) - float(small_mb)) * 1000
            bench.put(f"growth_journal_{name}_{unit}_per_gb", per_gb)
    for name, points in curves.cpu_s.items():
        bench.growth(f"growth_journal_{name}", points)
    bench.growth("growth_journal_memory", curves.memory_mb["the engine after its start"])
    bench.growth("growth_journal_verify_memory", curves.memory_mb["verify at its highest"])
    axis = "MB of journal"
    title = "Start, verify and check"
    bench.chart(Chart("growth_journal_time", title, axis, "s", curves.wall_s, log_x=True, log_y=True))
    bench.chart(Chart("growth_journal_memory", "Memory", axis, "MB", curves.memory_mb, log_x=True, log_y=True))


def _measure(bench: Bench, curves: _Curves, data: Path, mb: int, items: int) -> None:
    bench.step(f"writing up to {mb} MB")
    began_s = time.perf_counter()
    writer = [sys.executable, "-m", "bench.journal_writer", str(data), str(mb * 10**6), str(items)]
    sold = int(_run(writer).said)
    bench.put(f"growth_journal_{mb}_mb_write_s", time.perf_counter() - began_s)
    bench.put(f"growth_journal_{mb}_mb_sales", sold)
    shutil.rmtree(data / "checkpoint", ignore_errors=True)
    for name in ("fold", "start"):  # the first one leaves a checkpoint to the second
        bench.step(f"{mb} MB: {name}")
        began_s = time.perf_counter()
        with engine(data) as server:
            ask_stock(server, items - 1)
            curves.add(bench, name, mb, time.perf_counter() - began_s, cpu_seconds(server.pid))
            bench.put(f"growth_journal_{mb}_mb_{name}_peak_mb", peak_mb(server.pid))
            if name == "start":
                curves.add_memory(bench, "memory_mb", "the engine after its start", mb, resident_mb(server.pid))
    for name in ("check", "verify"):
        bench.step(f"{mb} MB: {name}")
        done = _run([sys.executable, "-m", "ringup", name, str(data)])
        curves.add(bench, name, mb, done.wall_s, done.cpu_s)
        bench.step(done.said.strip())
        curves.add_memory(bench, f"{name}_memory_mb", f"{name} at its highest", mb, done.most_mb)


def _refuse_if_too_large(bench: Bench) -> None:
    """Better now than with a full disk after an hour."""
    size_gb = bench.settings.journal_gb if not bench.quick else 0.01
    lines = Path("/proc/meminfo").read_text().splitlines()
    memory_gb = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024 / 1e9
    disk_gb = shutil.disk_usage(bench.work).free / 1e9
    if disk_gb < size_gb * DISK_PER_GB or memory_gb < size_gb * MEMORY_PER_GB:
        raise RuntimeError(
            f"a journal of {size_gb:g} GB: expected {size_gb * DISK_PER_GB:.0f} GB of disk and "
            f"{size_gb * MEMORY_PER_GB:.0f} GB of memory, found {disk_gb:.0f} and {memory_gb:.0f}; "
            "choose a smaller --journal-gb, or another --work-dir"
        )


@dataclass(frozen=True, slots=True)
class _Done:
    said: str
    wall_s: float
    cpu_s: float
    most_mb: float  # resident memory at its highest


def _run(command: list[str]) -> _Done:
    """Run a command; it must end well."""
    began_s = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors_file:  # not a pipe: nobody reads it before the end
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors_file, cwd=ROOT, text=True) as process:
            assert process.stdout is not None
            said = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        errors_file.seek(0)
        errors = errors_file.read()
    if process.returncode:
        name = " ".join(Path(part).name for part in command[2:4])
        raise RuntimeError(f"{name}: expected exit code 0, found {process.returncode}: {said[-500:]} {errors[-1000:]}")
    wall_s = time.perf_counter() - began_s
    return _Done(said, wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)
