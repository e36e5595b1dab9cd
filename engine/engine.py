"""One engine over one data directory: core, sequencer, commit thread and checkpoints, without gRPC.

All use of the core is on one thread, the event loop's: commands and queries need no lock.  Two
threads work beside it: one commits batches, one writes checkpoints from frozen pages.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from ringup.engine.commit_thread import CommitThread
from ringup.engine.event_log import EventLog
from ringup.engine.journal import JournalError
from ringup.engine.lmdb_store import CheckpointStore, DamagedStore, DirectoryLock, LmdbJournal
from ringup.engine.promotion_checks import prepare
from ringup.engine.proven import ProvenReplies
from ringup.engine.record import decode
from ringup.engine.recovery import Progress, Recovered, recover
from ringup.engine.sequencer import COMMITTING_MAX, Answer, Batch, Frozen, Sequencer, write_batches
from ringup.engine.watch import Watches
from ringup.native.envelope import nth_reply, nth_request, receipt_response, with_bytes
from ringup.native.memory import ready_bytes
from ringup.native.table import Checkpoint
from ringup.v1 import sale_pb2

log = structlog.get_logger()
_REQUEST_FIELD = sale_pb2.GetReceiptResponse.DESCRIPTOR.fields_by_name["request"].number


UNKNOWN_OUTCOME = "the engine stopped before the answer: it may have happened; resend with the same id"


class EngineFailed(Exception):
    """The engine stopped without an answer: the command may have happened; send it again with the same id."""


class Engine:
    """A durable engine.  Make it with `open_engine`; `start` it on a running event loop."""

    def __init__(
        self,
        directory: Path,
        *,
        checkpoint_bytes: int,
        checkpoint_commands: int,
        progress: Progress | None = None,
        accept_changed_answers: bool = False,
    ) -> None:
        """Lock the directory and recover the state.

        A checkpoint is due after so many journal bytes or commands, so that the tail to replay stays short.
        """
        self.directory = directory
        self._lock = DirectoryLock(directory)
        try:
            self.journal = LmdbJournal(directory / "journal")
            self._checkpoints, damage = _open_checkpoints(directory / "checkpoint")
            self.journal.acquire()
            began = time.perf_counter()
            self.journal.is_read_alone = True
            recovered: Recovered = recover(
                self.journal, self._checkpoints, progress, accept_changed_answers=accept_changed_answers
            )
            recovered.note = recovered.note or damage
            self.journal.is_read_alone = False
            self._checkpoints.let_go_of_pages()
        except BaseException:
            self._lock.close()
            raise
        self.start_seconds = time.perf_counter() - began
        self.recovered = recovered
        self.core = recovered.core
        self.events = EventLog(self.journal, self.core)
        self.watches = Watches(self.core)
        self.failed: Callable[[], None] = lambda: None  # called once when a commit fails
        self.is_failed = False
        self._layout = self.core.layout()
        self._digest = recovered.digest
        self._proven = ProvenReplies(self.journal)
        self._fresh_checkpoint = recovered.checkpoint_sequence == 0
        self._checkpoint_bytes, self._checkpoint_commands = checkpoint_bytes, checkpoint_commands
        self._since_bytes = 0
        self._since_commands = 0
        self._writing: Frozen | None = None
        self._checkpoint_is_under_way = False  # from when its pages are taken: its batch may wait for its commit
        self._checkpoint_written = asyncio.Event()  # set while none is being written
        self._checkpoint_written.set()
        self.checkpoint_sequence = recovered.checkpoint_sequence
        self.checkpoint_count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._checkpoint_thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        if recovered.replayed >= 1000:
            self._since_commands = checkpoint_commands  # a long tail was replayed: do not replay it twice
        if recovered.answers.changed_count:
            self._checkpoint_now()  # accepted once: the next start does not fold these batches again

    def start(self, *, clock_ns: Callable[[], int] | None = None) -> None:
        """Bind to the running event loop.  `clock_ns` stands in for the machine's clock, for simulations."""
        self._loop = asyncio.get_running_loop()
        self._commits = CommitThread(self._write, self._written, together_max=COMMITTING_MAX)
        clock: dict[str, Any] = {} if clock_ns is None else {"clock_ns": clock_ns}
        self.sequencer = Sequencer(
            self.core,
            self._proven.of,
            self._commands_of,
            self._commits.hand_over,
            soon=self._loop.call_soon,
            checkpoint_due=self._checkpoint_is_due,
            wake_in=self._wake_in,
            **clock,
        )

        self.sequencer.wake()

    def _wake_in(self, delay_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_ns / 1e9, self.sequencer.wake)

    # Commands and queries, on the event loop's thread

    def submit(self, request: bytes) -> asyncio.Future[bytes]:
        """Execute a SessionRequest; the future has the SessionResponse when it is durable.

        Raises MalformedRequest, Overloaded or Stopped at once, with nothing executed; the future
        raises EngineFailed when the engine fails meanwhile.
        """
        future: asyncio.Future[bytes] = self._loop.create_future()
        self.submit_to(request, partial(_settle, future))
        return future

    def submit_to(self, request: bytes, answer: Answer) -> None:
        """The same for `answer`, which is called with the SessionResponse, or with None when the engine fails."""
        self.sequencer.submit(request, answer)

    @property
    def engine_id(self) -> str:
        """Whose journal this is; events, cursors and tokens of another engine are known by it."""
        return self.journal.engine_id

    def query(self, name: str, request: bytes) -> bytes:
        """Answer a query RPC from the state as it is."""
        self._refuse_if_failed()
        return self.core.query(name, request, self.sequencer.now_ns())

    async def check_promotions(self, request: bytes) -> bytes:
        """Answer CheckPromotions: a search over many baskets, which lets everything else through as it goes."""
        self._refuse_if_failed()
        for work in prepare(self.core, request, self.sequencer.now_ns()):
            if work is not None:
                return (await asyncio.to_thread(work)).SerializeToString()
            await asyncio.sleep(0)
        raise AssertionError("the search is yielded last")

    async def receipt(self, request: bytes) -> bytes:
        """Answer GetReceipt: the receipt stands in the journal, in the answer of its sale."""
        self._refuse_if_failed()
        refusal, sequence, index = self.core.find_receipt(request)
        if sequence == 0:
            return refusal
        pending = self.sequencer.pending(sequence)
        if pending is None:
            found = receipt_response(nth_reply(self._proven.of(sequence), index))
        else:
            reply = pending.reply(index)
            durable: asyncio.Future[bytes] = self._loop.create_future()
            pending.waiters.append((partial(_settle, durable), b""))
            await durable
            found = receipt_response(reply)
        if not sale_pb2.GetReceiptRequest.FromString(request).include_request:
            return found
        commands = self._commands_of(sequence)
        if commands is None:
            raise JournalError(f"batch {sequence} is not in the journal any more; look in its archive")
        return with_bytes(found, _REQUEST_FIELD, nth_request(commands, index))

    def _refuse_if_failed(self) -> None:
        if self.is_failed:
            raise EngineFailed("the engine has failed and its memory is ahead of its disk; ask again when it is back")

    def _commands_of(self, sequence: int) -> bytes | None:
        raw = self.journal.get(sequence)
        return None if raw is None else decode(raw, sequence, None).commands

    # Commits

    def _write(self, batches: list[Batch]) -> None:
        # In the commit thread, the only one that uses `_digest` while it is at work.
        self._digest = write_batches(self.journal, self._layout, batches, self._digest)

    def _written(self, batches: list[Batch], error: BaseException | None) -> None:
        self._loop.call_soon_threadsafe(self._commit_ended, batches, error)

    def _commit_ended(self, batches: list[Batch], error: BaseException | None) -> None:
        if error is not None:
            self.is_failed = True
            log.critical("the commit failed: the engine stops", sequence=batches[0].sequence, error=str(error))
            self.sequencer.failed()
            self.drain()
            self.failed()
            return
        for batch in batches:
            self._since_bytes += batch.record_bytes
            self._since_commands += batch.command_count
            if batch.frozen is not None:
                self._write_checkpoint(batch, batch.frozen)
        self.sequencer.committed(batches)
        for batch in batches:
            self.events.committed(batch.sequence, batch.now_ns, batch.last_event, batch.events)
            self.watches.committed(batch.watched)

    # Checkpoints

    def _checkpoint_is_due(self) -> bool:
        due = self._since_bytes >= self._checkpoint_bytes or self._since_commands >= self._checkpoint_commands
        if not due or self._checkpoint_is_under_way:
            return False
        self._checkpoint_is_under_way = True
        self._since_bytes = self._since_commands = 0
        return True

    def _describe(self, sequence: int, digest: bytes, counts: dict[str, int]) -> dict[str, object]:
        return {"sequence": sequence, "digest": digest.hex(), "layout": self._layout, "counts": counts}

    def _save(self, meta: dict[str, object], pages: Checkpoint) -> None:
        self.journal.settle()  # no reader of the files may find the checkpoint ahead of the journal
        self._checkpoints.write(meta, pages, fresh=self._fresh_checkpoint)

    def _write_checkpoint(self, batch: Batch, frozen: Frozen) -> None:
        self._writing = frozen
        self._checkpoint_written.clear()
        meta = self._describe(batch.sequence, batch.digest, frozen.counts)
        future = self._checkpoint_thread.submit(self._save, meta, frozen.pages)
        future.add_done_callback(
            lambda done: self._loop.call_soon_threadsafe(self._checkpoint_ended, batch.sequence, done.exception())
        )

    def _checkpoint_ended(self, sequence: int, error: BaseException | None) -> None:
        assert self._writing is not None
        if error is None:
            self._writing.pages.done()
            self._fresh_checkpoint = False
            self.checkpoint_sequence = sequence
            self.checkpoint_count += 1
        else:
            # The journal has everything: go on, try again when the next one is due, and say so.
            self._writing.pages.failed()
            log.error("the checkpoint could not be written; the next start replays more", error=str(error))
        self._writing = None
        self._checkpoint_is_under_way = False
        self._checkpoint_written.set()

    def _checkpoint_now(self) -> None:
        """Write a checkpoint while nothing is executed and none is being written: at the start and at the end."""
        pages, counts = self.core.checkpoint(), self.core.row_counts()
        meta = self._describe(self.core.sequence, self._digest, counts)
        try:
            self._save(meta, pages)
        except Exception as error:  # the journal has everything
            pages.failed()
            log.error("the checkpoint could not be written; the next start replays more", error=str(error))
        else:
            pages.done()
            self._fresh_checkpoint = False
            self.checkpoint_sequence = self.core.sequence

    # The end

    def drain(self) -> None:
        """Tell all readers of events and availability that there is no more to wait for."""
        self.events.drain()
        self.watches.drain()

    async def stop(self) -> None:
        """Answer what was taken, write a last checkpoint, release the directory."""
        if not self.is_failed:
            idle = asyncio.Event()
            self.sequencer.stop(idle.set)
            await idle.wait()
        self.drain()
        if self._timer is not None:
            self._timer.cancel()
        self._commits.stop()
        self.events.close()
        await self._checkpoint_written.wait()
        self._checkpoint_thread.shutdown()
        if not self.is_failed and self.core.sequence > self.checkpoint_sequence:
            self._checkpoint_now()
        self._checkpoints.close()
        self.journal.close()
        self._lock.close()

    def counters(self) -> dict[str, int]:
        """What the engine did since its start and how large it is, by name with unit."""
        sequencer = self.sequencer.counters
        return {
            "requests": sequencer.requests,
            "commands": sequencer.commands,
            "commits": sequencer.commits,
            "replays": sequencer.replays,
            "refused_overload": sequencer.refused_overload,
            "written_bytes": sequencer.journal_bytes,
            "sequence": self.core.sequence,
            "event_sequence": self.events.last,
            "checkpoints": self.checkpoint_count,
            "checkpoint_sequence": self.checkpoint_sequence,
            "state_bytes": self.core.memory_bytes(),
            "ready_bytes": ready_bytes(),
            "start_ms": int(self.start_seconds * 1000),
            "replayed_at_start": self.recovered.replayed,
            **self.journal.health(),
        }


def _open_checkpoints(path: Path) -> tuple[CheckpointStore, str]:
    """The checkpoints, and why they begin anew ("" where they do not): the journal has everything that they had."""
    try:
        return CheckpointStore(path), ""
    except DamagedStore as damage:
        aside = path.with_name(f"{path.name}.damaged")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        return CheckpointStore(path), f"{damage} (moved to {aside})"


def _settle(future: asyncio.Future[bytes], reply: bytes | None) -> None:
    if future.done():  # its caller went away; the command happened all the same
        return
    if reply is None:
        future.set_exception(EngineFailed(UNKNOWN_OUTCOME))
    else:
        future.set_result(reply)
