"""Memory that is ready before it is needed: as much as was asked for, zeroed, and made anew after a peak."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: what is ready belongs to the process.
_STORY = """
import time
from ringup.native.memory import keep_ready, ready_bytes
from ringup.native.table import Table

MIB = 1 << 20

def until(is_so):
    for _ in range(6000):
        if is_so():
            return
        time.sleep(0.01)
    raise SystemExit(f"waited in vain: {ready_bytes() // MIB} MiB are ready")

assert ready_bytes() == 0, "nothing is taken before somebody asks"
keep_ready(63 * MIB)
until(lambda: ready_bytes() == 64 * MIB)
table = Table("rows", 1024)
table.resize(40 * 1024)
assert 8 * MIB <= ready_bytes() <= 32 * MIB, "a peak takes what is ready, and nothing is made meanwhile"
for index in range(40 * 1024):
    assert table.get_row(index) == bytes(1024), "ready memory is zeroed"
table.set_row(7, bytes([255]) * 1024)
until(lambda: ready_bytes() == 64 * MIB)
keep_ready(0)
print("told")
"""


def test_a_peak_finds_its_memory_ready() -> None:
    done = subprocess.run([sys.executable, "-c", _STORY], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.returncode) == ("told\n", 0), done.stderr
