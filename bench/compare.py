"""`make bench-compare`: the kernels now, beside the stored baseline, each as a ratio to a calibration loop.

    python -m bench.compare            run the kernels and compare
    python -m bench.compare --store    run them and make the result the baseline

Machines differ and are busy, so the baseline keeps no times but each kernel's best time over the
calibration's best time of the same run.  The best of many rounds is what contention disturbs least.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

FOLDER = Path(__file__).resolve().parent
BASELINE = FOLDER / "kernels" / "baseline.json"
SLOWER, FASTER = 1.25, 0.8  # outside of these a change is more than noise


CALIBRATION = "calibration_us"  # in the baseline, to be shown: how fast the machine was that it was stored on
BY_DISK = ("append_record",)  # bounded by the disk's sync, not by the processor that the calibration measures


def run_kernels(arguments: list[str]) -> tuple[dict[str, tuple[float, float]], float]:
    """Each kernel's (ratio to the calibration, best time in us), and the calibration's best time in us."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kernels.json"
        command = [sys.executable, "-m", "pytest", "-q", str(FOLDER / "kernels" / "bench_kernels.py")]
        command += ["-p", "no:cacheprovider", "--benchmark-max-time=0.5", f"--benchmark-json={out}", *arguments]
        done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"bench-compare: the kernels failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        found = {
            one["name"].removeprefix("test_"): one["stats"]["min"] for one in json.loads(out.read_text())["benchmarks"]
        }
    yardstick = found.pop("calibration")
    return {name: (best_s / yardstick, best_s * 1e6) for name, best_s in found.items()}, yardstick * 1e6


def verdict(now: float, before: float) -> str:
    """What the ratio of two ratios says; x is how many times as long as in the baseline."""
    change = now / before
    return f"slower: {change:.2f} x" if change > SLOWER else f"faster: {change:.2f} x" if change < FASTER else "same"


def main() -> int:
    """Run, compare, print; exit code 1 when a kernel became slower."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__.splitlines()[0])
    parser.add_argument("--store", action="store_true", help="make this run the baseline")
    options = parser.parse_args()
    found, calibration_us = run_kernels([])
    known: dict[str, float] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    heads = ("kernel", "best, us", "x calibration", "baseline", "verdict")
    # Whole names in a terminal of 80 columns.
    table = Table(*(Column(head, no_wrap=True) for head in heads), box=None, padding=(0, 1, 0, 0))
    slower = 0
    for name, (ratio, best_us) in sorted(found.items()):
        before = known.get(name)
        word = "new" if before is None else verdict(ratio, before)
        if word.startswith("slower") and name in BY_DISK:
            word += " (disk)"
        else:
            slower += word.startswith("slower")
        table.add_row(name, f"{best_us:,.2f}", f"{ratio:.4f}", "-" if before is None else f"{before:.4f}", word)
    for name in sorted(known.keys() - found.keys() - {CALIBRATION}):
        table.add_row(name, "-", "-", f"{known[name]:.4f}", "gone")
    Console().print(table)
    then = f"{known[CALIBRATION]:,.0f}" if CALIBRATION in known else "unknown"
    print(
        f"The calibration loop took {calibration_us:,.0f} us, {then} when the baseline was stored. A kernel is slower\n"
        f"above {SLOWER} times its baseline's ratio and faster below {FASTER}; what lies between is noise. A\n"
        "baseline of another processor tells little: store your own before a change (ARGS=--store), compare after it."
    )
    if options.store:
        BASELINE.write_text(
            json.dumps(
                {CALIBRATION: round(calibration_us)}
                | {name: float(f"{ratio:.4g}") for name, (ratio, _) in sorted(found.items())},
                indent=1,
            )
            + "\n"
        )
        print(f"stored in {BASELINE.relative_to(FOLDER.parent)}")
        return 0
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
