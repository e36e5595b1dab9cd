from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.data_directory import Written, write_directory

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ringup(tmp_path: Path) -> Run:
    """Run the command in a folder of its own, without settings of the environment."""

    def run(*args: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("RINGUP_")}
        return subprocess.run(
            [sys.executable, "-m", "ringup", *map(str, args)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=cwd or tmp_path,
            env={**clean, "COLUMNS": "200", **environment},
            check=False,
        )

    return run


@pytest.fixture
def book(tmp_path: Path) -> Written:
    """A data directory of a small shop after 20 sales, its checkpoint in the middle."""
    return write_directory(tmp_path / "book")
