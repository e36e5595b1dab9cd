"""The core and the journal without a network: begin, apply, encode, append, as the engine does for a batch."""

from __future__ import annotations

import threading
from pathlib import Path

from bench.shop import Ids, setup_batches
from ringup.engine.commit_thread import CommitThread
from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal
from ringup.engine.record import GENESIS, encode
from ringup.engine.recovery import recover
from ringup.native.core import Core

NOW_NS = 1_700_000_000_000_000_000
COMMITS_MAX = 2  # one that is being written and one behind it, so that the disk does not wait for the core
# sequence, clock value in ns, request, replies, events, sequence of the last event
Executed = tuple[int, int, bytes, bytes, bytes, int]


class BareCore:
    """A core with the shop in it; `apply` is one batch, in memory only."""

    def __init__(self, items: int, ids: Ids) -> None:
        self.core = Core()
        self._now_ns = NOW_NS
        self.record_bytes = 0
        """Bytes of all records appended; a bare core appends none."""
        for batch in setup_batches(items, ids):
            self.apply(batch)

    def apply(self, request: bytes) -> bytes:
        """Execute the commands of a SessionRequest as the next batch; the clock moves 1 ms."""
        self.begin(1_000_000)
        replies = self.core.apply(request)[0]
        self.events = self.core.end()
        return replies

    def begin(self, later_ns: int) -> None:
        """Begin the next batch so much later: what is due by then expires."""
        self._now_ns += later_ns
        self.core.begin(self.core.sequence + 1, self._now_ns)

    def expire(self, later_ns: int) -> None:
        """A batch without commands, so much later: what is due by then expires."""
        self.begin(later_ns)
        self.events = self.core.end()

    def flush(self) -> None:
        """Wait until all that was applied is durable: in memory it is not, and there is nothing to wait for."""


class DurableCore(BareCore):
    """The same with the engine's journal and its commit thread: a batch executes while those before it commit."""

    def __init__(self, directory: Path, items: int, ids: Ids, *, checkpoint: Path | None = None) -> None:
        """A fresh shop, or the one that is in the journal: from the engine's `checkpoint`, where there is one."""
        self.journal = LmdbJournal(directory)
        self.journal.acquire()
        self._digest = GENESIS
        self._layout = Core().layout()
        self._room = threading.Semaphore(COMMITS_MAX)
        self._failed: BaseException | None = None
        self._commits = CommitThread[Executed](self._commit, self._ended)
        if self.journal.last_sequence():
            has_one = checkpoint is not None and (checkpoint / "data.mdb").exists()
            store = CheckpointStore(checkpoint, readonly=True) if checkpoint is not None and has_one else None
            recovered = recover(self.journal, store)
            if store is not None:
                store.close()
            self.core, self._digest, self.record_bytes = recovered.core, recovered.digest, 0
            self._now_ns = self.core.now_ns
        else:
            super().__init__(items, ids)
        self.flush()

    def apply(self, request: bytes) -> bytes:
        """Execute one batch and have it committed after those before it."""
        replies = super().apply(request)
        self._hand_over(request, replies)
        return replies

    def expire(self, later_ns: int) -> None:
        """A batch without commands, so much later: what is due by then expires.  Durable at once."""
        super().expire(later_ns)
        self._hand_over(b"", b"")
        self.flush()

    def _hand_over(self, request: bytes, replies: bytes) -> None:
        self._room.acquire()
        if self._failed is not None:
            raise self._failed
        self._commits.hand_over(
            (self.core.sequence, self.core.now_ns, request, replies, self.events, self.core.event_sequence)
        )

    def _commit(self, batches: list[Executed]) -> None:
        """One append, one sync, for one batch: what is compared with it commits each by itself, too."""
        ((sequence, now_ns, request, replies, events, last_event),) = batches
        record, self._digest = encode(
            sequence, now_ns, self._layout, [request], [replies], self._digest, events, last_event
        )
        self.journal.append(sequence, record)
        self.record_bytes += len(record)

    def _ended(self, batches: list[Executed], error: BaseException | None) -> None:
        self._failed = self._failed or error
        self._room.release(len(batches) if error is None else COMMITS_MAX)

    def flush(self) -> None:
        """Wait until all that was applied is durable."""
        for _ in range(COMMITS_MAX):
            self._room.acquire()
        self._room.release(COMMITS_MAX)
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """Release the journal."""
        self.flush()
        self._commits.stop()
        assert self.journal.last_sequence() == self.core.sequence
        self.journal.close()
