"""The key of the indexes shows nowhere: two processes with two keys say and keep the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

KEYS = ("00" * 32, bytes(range(7, 39)).hex())  # with zeros, equal hashes are common


def test_answers_events_pages_and_state_are_the_same_under_all_keys() -> None:
    """Of a walk of sales, holds and orders, and of commands and questions of all kinds, over a checkpoint."""
    found: list[Any] = []
    for key in KEYS:
        program = [sys.executable, "-m", "support.key_transcript", key]
        run = subprocess.run(program, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        found.append(json.loads(run.stdout))
    hashes = [one.pop("a hash") for one in found]
    assert hashes[0] != hashes[1], "both ran with one key"
    assert found[0] == found[1]
