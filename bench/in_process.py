"""The core and the journal without a network: begin, apply, encode, append, as the engine does for a batch."""

from __future__ import annotations

from pathlib import Path

from bench.shop import Ids, setup_batches
from ringup.engine.lmdb_store import LmdbJournal
from ringup.engine.record import GENESIS, encode
from ringup.native.core import Core

NOW_NS = 1_700_000_000_000_000_000


class BareCore:
    """A core with the shop in it; `apply` is one batch, in memory only."""

    def __init__(self, items: int, ids: Ids) -> None:
        self.core = Core()
        self._now_ns = NOW_NS
        for batch in setup_batches(items, ids):
            self.apply(batch)

    def apply(self, request: bytes) -> bytes:
        """Execute the commands of a SessionRequest as the next batch; the clock moves 1 ms."""
        self._now_ns += 1_000_000
        self.core.begin(self.core.sequence + 1, self._now_ns)
        return self.core.apply(request)[0]


class DurableCore(BareCore):
    """The same with the engine's journal: a batch is durable when `apply` returns."""

    def __init__(self, directory: Path, items: int, ids: Ids) -> None:
        self._journal = LmdbJournal(directory)
        self._journal.acquire()
        self._digest = GENESIS
        self._layout = Core().layout()
        super().__init__(items, ids)

    def apply(self, request: bytes) -> bytes:
        """Execute and commit one batch: one append, one sync."""
        replies = super().apply(request)
        record, self._digest = encode(
            self.core.sequence, self.core.now_ns, self._layout, [request], [replies], self._digest
        )
        self._journal.append(self.core.sequence, record)
        return replies

    def close(self) -> None:
        """Release the journal."""
        self._journal.close()
