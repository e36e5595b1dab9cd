"""Every part of the benchmark runs, in tiny sizes, and writes the figures it is there for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytest.importorskip("matplotlib", reason="the extra `bench` is not installed: pip install -e '.[bench]'")

# part: figures that it must write; those above zero are what the part asserts to have really happened.
PARTS = {
    "floors": [
        "floor_fdatasync_per_s",
        "floor_lmdb_32k_mb_per_s",
        "floor_core_sales_per_s",
        "floor_echo_unary_64_per_s",
    ],
    "unary": ["sale_unary_vs_echo", "sale_unary_per_s", "echo_unary_p99_ms", "sale_unary_per_commit"],
    "session": ["session_sales_per_s", "session_holds_per_s", "session_sales_vs_echo", "session_sales_per_commit"],
}


def run_bench(build: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m bench` with tiny sizes."""
    return subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--build", str(build), "--work-dir", str(build), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )


@pytest.mark.parametrize("part", list(PARTS))
def test_part_writes_its_figures(part: str, tmp_path: Path) -> None:
    done = run_bench(tmp_path, "--only", part)
    values = json.loads((tmp_path / "bench.json").read_text())
    if why := values.get(f"skipped_{part}"):
        assert not any(key in values for key in PARTS[part]), "a part that was skipped claims figures"
        pytest.skip(why)
    assert done.returncode == 0, (done.stdout[-2000:], values)
    for key in PARTS[part]:
        assert values[key] > 0, key
    assert values["quick"]  # nobody may take these for measurements
    page = (tmp_path / "report.html").read_text()
    assert PARTS[part][0] in page
    assert "src=http" not in page.replace('"', "")
    assert list(tmp_path.glob("ringup-bench-*")) == [], "files were left behind"


def test_unknown_part_names_the_known_ones(tmp_path: Path) -> None:
    done = run_bench(tmp_path, "--only", "flours")
    assert done.returncode == 2
    assert "floors" in done.stderr
    assert "'flours'" in done.stderr


def test_a_part_that_fails_is_named_and_gives_no_figure(tmp_path: Path) -> None:
    """The work folder is on nothing: the part cannot run, and says so instead of a number."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "sync").mkdir()  # in the way of the part's first file
    options = ["--quick", "--out", str(tmp_path / "out.json"), "--work", str(tmp_path / "work")]
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--part", "floors", *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "IsADirectoryError" in done.stderr
    assert not (tmp_path / "out.json").exists()
