"""Parts one after the other, each in a process group of its own: a part that fails or hangs takes none with it."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench.measure import Bench, Record, Settings, Skipped, contention, load, save
from bench.parts import PART_SECONDS_MAX, SECONDS_BY_PART

ROOT = Path(__file__).resolve().parents[1]
EXIT_SKIPPED = 75
BUSY = 6  # times as long as expected: a busy machine; beyond it a part is taken for hung
FREE_MB_MIN = 500  # of disk: with less, that is why a part failed
STOP_SECONDS = 10  # that a part which is ended has for its servers
QUICK_SECONDS = 5  # that a part takes with tiny sizes, about
STEP_TEXT = "{task.fields[step]}"
COLUMNS = (
    SpinnerColumn(),
    TextColumn("{task.description}"),
    BarColumn(),
    TimeElapsedColumn(),
    TextColumn(STEP_TEXT, markup=False),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a part ended, and why where it did not end well."""

    how: Literal["ok", "skipped", "failed"]
    why: str
    seconds: float


class Busy(Exception):
    """Another run has the folder of results; the message says which."""


@contextlib.contextmanager
def alone(build: Path) -> Iterator[None]:
    """Have the folder of results for one run: two would measure each other and write over each other's results."""
    with (build / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise Busy(
                f"expected no other run with results in {build}, found process {file.read().strip() or 'unknown'}; "
                "wait for its end: two runs on one machine measure each other"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def revision() -> str:
    """Of the code that is measured: the commit, with a word where files were changed since."""
    git = ["git", "-C", str(ROOT)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        status = [*git, "status", "--porcelain", "--untracked-files=no"]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # no git, or not its folder
    return commit.stdout.strip() + (" and changes" if changed else "")


def run_part(name: str, out: Path, work: Path, settings: Settings) -> int:
    """Run one part in this process; returns the exit code."""
    module = importlib.import_module(f"bench.part_{name}")
    bench = Bench(work, settings)
    bench.put(f"contention_before_{name}", contention())
    try:
        module.run(bench)
    except Skipped as why:
        print(f"! {why}", flush=True)
        return EXIT_SKIPPED
    bench.put(f"contention_after_{name}", contention())
    save(bench.record, out)
    return 0


def _follow(process: subprocess.Popen[str], seconds_max: float, say: Callable[[str], None]) -> tuple[int, str]:
    """Wait for a part's end, passing on what it says; returns (1 when it took too long, what it said last)."""
    assert process.stdout is not None
    said, until = "", time.monotonic() + seconds_max
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
    return 1, f"it took longer than {seconds_max:g} s (it said last: {said})"


def _let_end(process: subprocess.Popen[str]) -> None:
    """Ask a part that runs still to stop its servers: a database that is killed leaves shared memory behind."""
    until = time.monotonic() + STOP_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGTERM)
        # Not reaped: its group's id stays ours.
        while time.monotonic() < until and not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            time.sleep(0.05)


def spawn(name: str, out: Path, work: Path, settings: Settings, say: Callable[[str], None]) -> Outcome:
    """Run one part in a process group of its own, ended with all that it started."""
    command = [sys.executable, "-m", "bench", "--part", name, "--out", str(out), "--work", str(work)]
    command += settings.arguments()
    began_s = time.monotonic()
    # In memory: a disk that is full would take the reason with it.
    log = open(os.memfd_create("part.log"), "w+", errors="replace")  # noqa: SIM115  # closed below
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT, process_group=0,
    )  # fmt: skip
    try:
        late, said = _follow(process, max(PART_SECONDS_MAX, BUSY * expected_seconds(name, settings)), say)
    finally:
        # The part's servers are in its group: none may outlive it.
        try:
            _let_end(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        assert process.stdout is not None
        process.stdout.close()
        log.seek(0)
        log_text = log.read()
        log.close()
    took_s = time.monotonic() - began_s
    if late:
        return Outcome("failed", said, took_s)
    if code == 0:
        return Outcome("ok", "", took_s)
    if code == EXIT_SKIPPED:
        return Outcome("skipped", said, took_s)
    return Outcome("failed", _why(code, log_text, said, work), took_s)


def _why(code: int, log_text: str, said: str, work: Path) -> str:
    """Why a part failed: the last line of its errors, or how it ended; and whether the disk is full."""
    lines = log_text.strip().splitlines()
    ended = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    why = lines[-1] if lines else f"{ended}; it said last: {said}"
    free_mb = shutil.disk_usage(work).free / 1e6
    full = f" (only {free_mb:.0f} MB are free in {work.parent}: name a disk with --work-dir)"
    return why + (full if free_mb < FREE_MB_MIN else "")


def expected_seconds(name: str, settings: Settings) -> float:
    """How long a part takes, about."""
    if settings.quick:
        return QUICK_SECONDS
    return SECONDS_BY_PART[name] * (settings.journal_gb if name == "growth_journal" else 1)


def run_parts(
    names: list[str], records: Path, work_dir: Path, settings: Settings, console: Console, failed: dict[str, str]
) -> None:
    """Run the parts and keep each one's record in `records`; writes down in `failed` what failed, and why.

    Says which part runs, how long it takes and what is left, on a line each; a terminal shows each step too.
    """
    records.mkdir(parents=True, exist_ok=True)
    code = revision()
    expected_s, taken_s = 0.0, 0.0  # of the parts that ended: they tell how fast this machine is
    with Progress(*COLUMNS, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("bench", total=len(names), step="")
        for number, name in enumerate(names):
            pace = taken_s / expected_s if taken_s else 1.0
            left_s = pace * sum(expected_seconds(one, settings) for one in names[number:])
            here_s = pace * expected_seconds(name, settings)
            title = importlib.import_module(f"bench.part_{name}").TITLE
            head = f"{number + 1:>2}/{len(names)} {name}"
            console.print(f"{head}: {title} (about {here_s:.0f} s; left in all: {_minutes(left_s)})", highlight=False)
            progress.update(task, description=name, step="")
            work = Path(tempfile.mkdtemp(prefix="ringup-bench-", dir=work_dir))
            # The numbers of the last run stay until there are new ones: an interrupted run takes nothing away.
            out = records / f".{name}.part"
            out.unlink(missing_ok=True)
            try:
                outcome = spawn(name, out, work, settings, lambda said: progress.update(task, step=said))
                record = load(out) if outcome.how == "ok" else None
            finally:
                shutil.rmtree(work, ignore_errors=True)
                out.unlink(missing_ok=True)
            if record is None:
                record = Record({f"{outcome.how}_{name}": outcome.why}, [], [f"{outcome.how}: {outcome.why}"])
                console.print(f"{head}: {outcome.how}: {outcome.why}", style="red", highlight=False, markup=False)
            else:
                for why in sorted({str(why) for key, why in record.values.items() if key.startswith("skipped_")}):
                    console.print(f"{head}: in part skipped: {why}", style="red", highlight=False, markup=False)
            if outcome.how == "failed":
                failed[name] = outcome.why
            record.seconds, record.quick, record.revision = round(outcome.seconds, 1), settings.quick, code
            save(record, records / f"{name}.json")
            expected_s += expected_seconds(name, settings)
            taken_s += outcome.seconds
            progress.advance(task)
            console.print(f"{head}: {outcome.how}, {outcome.seconds:.0f} s", highlight=False)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
