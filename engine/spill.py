"""Fold more than the memory holds: beyond a budget tables stand in a nameless file for temporary data."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ringup.native.spill import begin_spill, end_spill

BUDGET_BYTES = 256 << 20  # what tables may take of the memory before they spill


def folder() -> str:
    """Where it spills: TMPDIR, else /var/tmp, which is a disk where /tmp may be memory; not the engine's own disk.

    A disk that fills up ends an engine, and `verify` works beside one.
    """
    return os.environ.get("TMPDIR") or ("/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir())


@contextmanager
def spilled_tables(budget_bytes: int = BUDGET_BYTES) -> Iterator[None]:
    """Tables that are made meanwhile spill; make them, use them and let them go in here.

    Where the folder has no room they take memory as they always do.  Raises OSError for a folder that cannot be
    written, and inside another such block.
    """
    with tempfile.TemporaryFile(dir=folder()) as file:
        begin_spill(file.fileno(), budget_bytes)
        try:
            yield
        finally:
            end_spill()
