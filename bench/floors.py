"""The least that a durable answer can cost on this machine: one sync, one LMDB append."""

from __future__ import annotations

import os
import time
from pathlib import Path

import lmdb

BLOCK_BYTES = 4096


def fdatasync_seconds(path: Path, seconds: float) -> list[float]:
    """How long each write of 4 KiB with fdatasync took, on a file that grows by appends as a journal does."""
    took: list[float] = []
    block = os.urandom(BLOCK_BYTES)
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        until = time.perf_counter() + seconds
        while (began := time.perf_counter()) < until:
            os.write(file, block)
            os.fdatasync(file)
            took.append(time.perf_counter() - began)
    finally:
        os.close(file)
        path.unlink()
    return took


class RawJournal:
    """An LMDB environment that takes appends and nothing else: what a journal could reach at best."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._env = lmdb.open(str(path), map_size=1 << 40, max_dbs=2)
        self._records = self._env.open_db(b"records")
        self._next = 0

    def append(self, record: bytes) -> None:
        """One transaction, one sync, one record."""
        self._next += 1
        with self._env.begin(db=self._records, write=True) as txn:
            assert txn.put(self._next.to_bytes(8, "big"), record, append=True)

    def close(self) -> None:
        """Release it."""
        self._env.close()
