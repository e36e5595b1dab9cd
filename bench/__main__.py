"""`python -m bench`: run the parts one after the other, each in a process of its own, and write the report."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from bench.beside import shares
from bench.measure import Settings, Value, load, write_whole
from bench.parts import GROUPS, PARTS, UnknownPart, chosen
from bench.peers import versions
from bench.report import IN_MEMORY, write_report
from bench.runner import ROOT, Busy, alone, run_part, run_parts
from bench.targets import TARGETS


def file_system(folder: Path) -> tuple[str, str]:
    """(kind, device) of the file system that a folder is on."""
    found, longest = ("unknown", "unknown"), -1
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, mounted_on, kind = line.split()[:3]
        mounted = Path(mounted_on.encode().decode("unicode_escape"))  # a space is \040 there
        if folder.resolve().is_relative_to(mounted) and len(mounted.parts) >= longest:
            found, longest = (kind, device), len(mounted.parts)
    return found


def machine(work_dir: Path) -> dict[str, Value]:
    """What the numbers were measured on."""
    kind, device = file_system(work_dir)
    memory_kib = next(
        int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:")
    )
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
        "machine_memory_gb": round(memory_kib * 1024 / 1e9, 1),
        "machine_kernel": platform.release(),
        "machine_python": platform.python_version(),
        "machine_disk": f"{kind} on {device}",
        "machine_load_before": round(os.getloadavg()[0], 2),
    }


def main() -> int:
    """Run the benchmark.

    Exit code 1 when a part failed, 2 for what cannot be run, 130 and 143 when it was interrupted or ended.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        metavar="NAMES",
        default="all",
        help=f"parts ({', '.join(PARTS)}), beginnings of parts, or groups ({', '.join(GROUPS)}), with commas between",
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does the code run?  The numbers mean nothing")
    parser.add_argument(
        "--journal-gb", type=float, default=1.0, metavar="GB", help="the largest journal of growth_journal: 1 to 10 (1)"
    )
    parser.add_argument(
        "--build", type=Path, help="the folder for results (build/bench; with --quick build/bench-quick)"
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="a folder on the disk to measure (%(default)s); a part's files are gone after it",
    )
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not 1 <= options.journal_gb <= 10:
        parser.error(f"--journal-gb: expected 1 to 10, found {options.journal_gb:g}")
    settings = Settings(options.quick, options.journal_gb)
    # Ended from outside, a run still ends its part with all that it started, and takes its files away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.part:
        return run_part(options.part, options.out, options.work, settings)
    try:
        names = chosen(options.only)
    except UnknownPart as unknown:
        parser.error(f"--only: {unknown}")
    build = (options.build or ROOT / "build" / ("bench-quick" if settings.quick else "bench")).resolve()
    work_dir = options.work_dir.resolve()  # parts and peers have working folders of their own
    if not work_dir.is_dir() or not os.access(work_dir, os.W_OK | os.X_OK):
        parser.error(f"--work-dir: expected a folder to write in, found {work_dir}; make it, or name another one")
    try:
        build.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--build: expected a folder to write in, found {build}: {error.strerror}")
    try:
        with alone(build):
            return run_all(names, build, work_dir, settings)
    except Busy as busy:
        parser.error(str(busy))


def run_all(names: list[str], build: Path, work_dir: Path, settings: Settings) -> int:
    """Run the parts, and write bench.json and the report from all records kept."""
    console = Console(soft_wrap=True)
    about, began_s = machine(work_dir), time.monotonic()
    if str(about["machine_disk"]).startswith(IN_MEMORY):
        console.print(f"{work_dir} is in memory ({about['machine_disk']}), where a sync costs nothing: what is durable "
                      "means nothing there; name a folder on a disk with --work-dir", style="red")  # fmt: skip
    failed: dict[str, str] = {}
    ended = None
    try:
        run_parts(names, build / "parts", work_dir, settings, console, failed)
    except (KeyboardInterrupt, SystemExit) as end:  # what was measured before it is kept
        ended = 128 + signal.SIGINT if isinstance(end, KeyboardInterrupt) else int(str(end.code))
    values: dict[str, Value] = {
        **about,
        **versions(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "run_parts": len(names),
        "run_seconds": round(time.monotonic() - began_s, 1),
    }
    if ended:
        values["run_interrupted"] = "ended from outside: parts after that moment keep the numbers of an earlier run"
    files = {name: build / "parts" / f"{name}.json" for name in PARTS}
    records = {name: record for name, file in files.items() if file.exists() and (record := load(file))}
    for name, record in records.items():
        values |= record.values
        values[f"seconds_{name}"] = record.seconds
        written = datetime.fromtimestamp(files[name].stat().st_mtime, UTC)
        values[f"measured_at_{name}"] = written.isoformat(timespec="seconds")
        values[f"revision_{name}"] = record.revision
    if quick := [name for name, record in records.items() if record.quick]:
        values["quick"] = f"tiny sizes, the numbers mean nothing: {', '.join(quick)}"
    for share in shares(values):
        values[share.key] = round(share.share, 4)
    write_whole(build / "bench.json", json.dumps(values, indent=1, sort_keys=True) + "\n")
    write_report(build, values, records)
    _print_table(console, values)
    console.print(f"{build / 'bench.json'}, {build / 'report.html'}")
    for name, why in failed.items():
        console.print(f"{name} failed: {why}", style="red", highlight=False, markup=False)
    if ended:
        console.print("interrupted: parts that had not ended keep the numbers of an earlier run, if any", style="red")
    return ended or (1 if failed else 0)


def _print_table(console: Console, values: dict[str, Value]) -> None:
    heads = ("figure", "found", "must", "aim", "reached", "part")
    columns = [Column(head, no_wrap=True) for head in heads]  # whole keys in a terminal of 80 columns
    table = Table(*columns, box=None, padding=(0, 1, 0, 0))
    for target in TARGETS:
        found = values.get(target.key)
        known = isinstance(found, int | float)
        shown = f"{found:,.2f}" if known else "-"
        verdict = target.verdict(float(found)) if known else "-"  # type: ignore[arg-type]  # known says so
        bound = "<= " if target.better == "lower" else ""
        table.add_row(target.key, shown, f"{bound}{target.must:,g}", f"{bound}{target.aim:,g}", verdict, target.part)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
