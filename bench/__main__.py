"""`python -m bench`: run the parts one after the other, each in a process of its own, and write the report."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.measure import Bench, Record, Skipped, Value, contention, load
from bench.report import write_report
from bench.targets import TARGETS

ROOT = Path(__file__).resolve().parents[1]
PARTS = (
    "floors",
    "unary",
    "session",
    "reserve_batch",
    "reserve_client",
    "hot",
    "sales_postgres",
    "journal",
    "start",
    "price",
    "load",
    "flash",
    "peak",
    "growth",
)
PART_SECONDS_MAX = 300
EXIT_SKIPPED = 75


def run_part(name: str, out: Path, work: Path, quick: bool) -> int:
    """Run one part in this process; returns the exit code."""
    module = importlib.import_module(f"bench.part_{name}")
    bench = Bench(work, quick=quick)
    bench.put(f"contention_before_{name}", contention())
    try:
        module.run(bench)
    except Skipped as why:
        print(f"! {why}", flush=True)
        return EXIT_SKIPPED
    bench.put(f"contention_after_{name}", contention())
    bench.save(out)
    return 0


def _follow(process: subprocess.Popen[str], say: Callable[[str], None]) -> tuple[int, str]:
    """Wait for a part's end, passing on what it says; returns (1 when it took too long, what it said last)."""
    assert process.stdout is not None
    said, until = "", time.monotonic() + PART_SECONDS_MAX
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < until:
            if not selector.select(1.0):
                continue
            line = process.stdout.readline()
            if not line:
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # not reaped: its group's id stays ours
                return 0, said
            if line[:2] in ("> ", "! "):
                said = line[2:].rstrip()
                say(said)
    return 1, f"it took longer than {PART_SECONDS_MAX} s"


def _spawn(name: str, out: Path, work: Path, quick: bool, say: Callable[[str], None]) -> tuple[str, str]:
    """Run one part in a process group of its own; returns ("ok" | "skipped" | "failed", why)."""
    command = [sys.executable, "-m", "bench", "--part", name, "--out", str(out), "--work", str(work)]
    errors = work / "part.log"
    with errors.open("wb") as log:
        process = subprocess.Popen(
            [*command, *(["--quick"] if quick else [])],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
            process_group=0,
        )
    try:
        late, said = _follow(process, say)
    finally:
        # The part's servers are in its group: none may outlive it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait() or late
        assert process.stdout is not None
        process.stdout.close()
    if code == 0:
        return "ok", ""
    if code == EXIT_SKIPPED:
        return "skipped", said
    if late:
        return "failed", said
    return "failed", (errors.read_text().strip().splitlines() or [said])[-1]


def machine() -> dict[str, Value]:
    """What the numbers were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "machine_cpus": os.cpu_count() or 0,
        "machine_cpu": model,
        "machine_python": platform.python_version(),
        "machine_load_before": round(os.getloadavg()[0], 2),
    }


def main() -> int:
    """Run the benchmark; exit code 1 when a part failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", metavar="PART", help=f"one of {', '.join(PARTS)}; a prefix runs all that begin so")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does the code run?  The numbers mean nothing")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench", help="where results go")
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()), help="the disk to measure")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        return run_part(options.part, options.out, options.work, options.quick)
    chosen = [name for name in PARTS if not options.only or name.startswith(options.only)]
    if not chosen:
        parser.error(f"--only: expected the beginning of one of {', '.join(PARTS)}, found {options.only!r}")
    return run_all(chosen, options.build, options.work_dir, options.quick)


def run_all(chosen: list[str], build: Path, work_dir: Path, quick: bool) -> int:
    """Run the parts, keep each one's record, and write bench.json and the report from all records kept."""
    console = Console()
    records_dir = build / "parts"
    records_dir.mkdir(parents=True, exist_ok=True)
    failed: dict[str, str] = {}
    about = machine()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[step]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("bench", total=len(chosen), step="")
        for name in chosen:
            progress.update(task, description=name)
            work = Path(tempfile.mkdtemp(prefix="ringup-bench-", dir=work_dir))
            out = records_dir / f"{name}.json"
            out.unlink(missing_ok=True)
            try:
                outcome, why = _spawn(name, out, work, quick, lambda said: progress.update(task, step=said))
            finally:
                shutil.rmtree(work, ignore_errors=True)
            if outcome != "ok":
                record = Record({f"{outcome}_{name}": why}, [], [f"{outcome}: {why}"])
                out.write_text(json.dumps({"values": record.values, "charts": [], "notes": record.notes}))
                console.print(f"[yellow]{name}: {outcome}: {why}")
            if outcome == "failed":
                failed[name] = why
            progress.advance(task)
    records = {name: load(records_dir / f"{name}.json") for name in PARTS if (records_dir / f"{name}.json").exists()}
    values: dict[str, Value] = {**about, "measured_at": datetime.now(UTC).isoformat(timespec="seconds")}
    if quick:
        values["quick"] = "tiny sizes: the numbers mean nothing"
    for name, record in records.items():
        values |= record.values
        values[f"measured_at_{name}"] = datetime.fromtimestamp(
            (records_dir / f"{name}.json").stat().st_mtime, UTC
        ).isoformat(timespec="seconds")
    (build / "bench.json").write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")
    write_report(build, values, records)
    _print_table(console, values)
    console.print(f"{build / 'bench.json'}, {build / 'report.html'}")
    return 1 if failed else 0


def _print_table(console: Console, values: dict[str, Value]) -> None:
    table = Table("figure", "found", "must", "aim", "reached")
    for target in TARGETS:
        found = values.get(target.key)
        if isinstance(found, int | float):
            table.add_row(target.key, f"{found:,.2f}", f"{target.must:,g}", f"{target.aim:,g}", target.verdict(found))
        else:
            table.add_row(target.key, "-", f"{target.must:,g}", f"{target.aim:,g}", "not measured")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
