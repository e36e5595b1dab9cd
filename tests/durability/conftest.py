"""Small file systems of their own, where this machine allows mounting."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Mount = Callable[..., Path]


def _run(*command: str) -> str:
    """Run a command; what it said when it failed, or ""."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"exit code {done.returncode}")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """`mount(*arguments)` mounts at a folder of its own and skips the test where that is not allowed."""
    folder = tmp_path / "mnt"
    folder.mkdir()

    def at(*arguments: str) -> Path:
        if os.geteuid() != 0 or shutil.which("mount") is None:
            pytest.skip("mounting needs root")
        refused = _run("mount", *arguments, str(folder))
        if refused:
            pytest.skip(f"mounting is not allowed here: {refused}")
        return folder

    yield at
    if os.path.ismount(folder):
        _run("umount", str(folder))
    if os.path.ismount(folder):  # something still uses it: at least nothing else finds it
        _run("umount", "-l", str(folder))
