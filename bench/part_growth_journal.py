"""Start, verify, check and memory against the size of the journal: 0.1, 0.3 and 1 GB of sales.

`make bench ONLY=growth_journal ARGS="--journal-gb 10"` measures 1, 3 and 10 GB.  `fold` is a start without a
checkpoint, `start` one with it, as it always is in daily life; `verify` and `check` are the commands.  Wall time;
memory grows with the sales, which are kept so that they can be returned.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import Bench, Chart
from bench.servers import ROOT, ask_stock, engine, peak_mb, resident_mb

TITLE = "Growth: start, verify, check and memory against the journal's size"
SHARES = (0.1, 0.3, 1.0)
Points = list[tuple[float | str, float]]


def run(bench: Bench) -> None:
    """A fresh journal a size."""
    items = bench.size(10_000, 300)
    seconds: dict[str, Points] = {"fold": [], "start": [], "verify": [], "check": []}
    memory: dict[str, Points] = {"after the start": [], "verify's peak": []}
    for share in SHARES if not bench.quick else SHARES[:2]:
        mb = round(bench.settings.journal_gb * 1000 * share) if not bench.quick else round(20 * share)
        data = bench.work / f"data-{mb}"
        data.mkdir()
        bench.step(f"writing {mb} MB")
        began_s = time.perf_counter()
        sold = int(
            _run([sys.executable, "-m", "bench.journal_writer", str(data / "journal"), str(mb * 10**6), str(items)])[0]
        )
        bench.put(f"growth_journal_{mb}_mb_write_s", time.perf_counter() - began_s)
        bench.put(f"growth_journal_{mb}_mb_sales", sold)
        for name in ("fold", "start"):  # the first one leaves a checkpoint to the second
            bench.step(f"{mb} MB: {name}")
            began_s = time.perf_counter()
            with engine(data) as server:
                ask_stock(server, items - 1)
                seconds[name].append((mb, time.perf_counter() - began_s))
                bench.put(f"growth_journal_{mb}_mb_{name}_peak_mb", peak_mb(server.pid))
                if name == "start":
                    memory["after the start"].append((mb, resident_mb(server.pid)))
        for name in ("verify", "check"):
            bench.step(f"{mb} MB: {name}")
            began_s = time.perf_counter()
            said, most_mb = _run([sys.executable, "-m", "ringup", name, str(data)])
            seconds[name].append((mb, time.perf_counter() - began_s))
            bench.step(said.strip())
            if name == "verify":
                memory["verify's peak"].append((mb, most_mb))
        for name, points in seconds.items():
            bench.put(f"growth_journal_{mb}_mb_{name}_s", points[-1][1])
        bench.put(f"growth_journal_{mb}_mb_memory_mb", memory["after the start"][-1][1])
        bench.put(f"growth_journal_{mb}_mb_verify_memory_mb", memory["verify's peak"][-1][1])
        shutil.rmtree(data)
    for name, points in seconds.items():
        bench.growth(f"growth_journal_{name}", points)
        (small_mb, small_s), (large_mb, large_s) = points[0], points[-1]
        # What each further GB costs: without the start of the process, which is the same for all.
        bench.put(f"growth_journal_{name}_s_per_gb", (large_s - small_s) / (float(large_mb) - float(small_mb)) * 1000)
    bench.growth("growth_journal_memory", memory["after the start"])
    bench.chart(
        Chart("growth_journal_time", "Start, verify and check", "MB of journal", "s", seconds, log_x=True, log_y=True)
    )
    bench.chart(Chart("growth_journal_memory", "Memory", "MB of journal", "MB", memory, log_x=True, log_y=True))


def _run(command: list[str]) -> tuple[str, float]:
    """(what it said, its resident memory at its highest in MB); it must end well."""
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
    return said, usage.ru_maxrss * 1024 / 1e6
