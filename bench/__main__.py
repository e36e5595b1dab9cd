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
from rich.table import Table

from bench.beside import shares
from bench.measure import Settings, Value, load
from bench.parts import GROUPS, PARTS, UnknownPart, chosen
from bench.report import write_report
from bench.runner import ROOT, run_part, run_parts
from bench.targets import TARGETS


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
    """Run the benchmark; exit code 1 when a part failed, 2 for a name that means no part."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        metavar="NAMES",
        default="all",
        help=f"parts ({', '.join(PARTS)}), beginnings of parts, or groups ({', '.join(GROUPS)}), with commas between",
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does the code run?  The numbers mean nothing")
    parser.add_argument(
        "--journal-gb", type=float, default=1.0, help="the largest journal of growth_journal, in GB: 1 to 10 (1)"
    )
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench", help="where results go")
    parser.add_argument("--work-dir", type=Path, default=Path(tempfile.gettempdir()), help="the disk to measure")
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
    return run_all(names, options.build, options.work_dir, settings)


def run_all(names: list[str], build: Path, work_dir: Path, settings: Settings) -> int:
    """Run the parts, and write bench.json and the report from all records kept."""
    console = Console(soft_wrap=True)
    about, began_s = machine(), time.monotonic()
    failed = run_parts(names, build / "parts", work_dir, settings, console)
    files = {name: build / "parts" / f"{name}.json" for name in PARTS}
    records = {name: record for name, file in files.items() if file.exists() and (record := load(file))}
    values: dict[str, Value] = {
        **about,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "run_parts": len(names),
        "run_seconds": round(time.monotonic() - began_s, 1),
    }
    if settings.quick:
        values["quick"] = "tiny sizes: the numbers mean nothing"
    for name, record in records.items():
        values |= record.values
        values[f"seconds_{name}"] = record.seconds
        written = datetime.fromtimestamp(files[name].stat().st_mtime, UTC)
        values[f"measured_at_{name}"] = written.isoformat(timespec="seconds")
    for share in shares(values):
        values[share.key] = round(share.share, 4)
    (build / "bench.json").write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")
    write_report(build, values, records)
    _print_table(console, values)
    console.print(f"{build / 'bench.json'}, {build / 'report.html'}")
    for name, why in failed.items():
        console.print(f"{name} failed: {why}", style="red", highlight=False, markup=False)
    return 1 if failed else 0


def _print_table(console: Console, values: dict[str, Value]) -> None:
    table = Table("figure", "found", "must", "aim", "reached", "part")
    for target in TARGETS:
        found = values.get(target.key)
        known = isinstance(found, int | float)
        shown = f"{found:,.2f}" if known else "-"
        verdict = target.verdict(float(found)) if known else "not measured"  # type: ignore[arg-type]  # known says so
        table.add_row(target.key, shown, f"{target.must:,g}", f"{target.aim:,g}", verdict, target.part)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
