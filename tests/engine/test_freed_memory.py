"""Records and messages find memory that is theirs already."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from ringup.engine.freed_memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def make():
    records = [bytes(600_000) for _ in range(4)]
    del records
make()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    make()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_freed_memory_is_kept_for_the_next_record() -> None:
    given_back, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True, text=True).stdout)
        for how in ("given back", "kept")
    )
    assert given_back > 1000, "the control: without the setting each record's pages are taken from the system again"
    assert kept < given_back / 10
