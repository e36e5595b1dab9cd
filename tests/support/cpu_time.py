"""Bounds on processor time: what runs on and on is found, and a machine that is busy or stalls is not to blame."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@contextmanager
def at_most(seconds: float, what: str = "this") -> Iterator[None]:
    """Fail when the block takes the calling thread more processor time."""
    began_s = time.thread_time()
    yield
    took_s = time.thread_time() - began_s
    assert took_s < seconds, f"expected {what} in {seconds} s of processor time, found {took_s:.2f} s"


def of_process(pid: int) -> float:
    """The seconds of processor time that a process has taken so far, its ended threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S
