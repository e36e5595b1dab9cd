"""The sequencer: one order for all commands, batches that become durable before they are answered.

A request is executed when it arrives and joins the open batch; the batch is committed as soon as
the commit before it is done.  So execution overlaps the commit, an idle engine answers at once,
and a busy one batches by itself without a timer.  A batch that is worth a record of its own is closed
at once and waits for its commit, which then begins without a word between the threads; all that wait
share one sync.  This is the only place that reads a clock.

A batch lets expire what is due.  Where no command comes, one timer for the next deadline makes a
batch without commands, so that those who watch are told in time.

No thread and no event loop is known here: `commit` starts a commit somewhere and the one who runs
it calls `committed` or `failed`.  That is what lets a simulation drive the production code.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ringup.engine.journal import Journal
from ringup.engine.record import encode
from ringup.native.core import Core
from ringup.native.envelope import nth_replies, nth_reply, nth_request, nth_requests, replace_replies
from ringup.native.originals import with_originals
from ringup.native.table import Checkpoint

BATCH_BYTES_MAX = 16 << 20  # commands waiting for their commit; beyond it the engine is overloaded
BATCH_REQUESTS_MAX = 20_000
CLOSED_BYTES = 16 << 10
"""A batch of so many bytes does not wait for more: what a record costs for itself (its head and digest, half a page of
the store) is little beside it."""
COMMITTING_MAX = 4  # batches closed and not durable yet: what is being committed, and what shares the next sync
WAKE_NS_MIN = 50_000_000  # deadlines that come one after the other share a batch, and its sync
WAKE_NS_MAX = 60_000_000_000  # how late an expiry is at most after the machine's clock was set forward

Answer = Callable[[bytes | None], None]  # the SessionResponse's bytes, or None when the engine stops


class Overloaded(Exception):
    """More is waiting for its commit than the engine may keep; nothing was executed."""


class Stopped(Exception):
    """The engine is stopping or has failed; nothing of this request was executed."""


@dataclass(slots=True)
class Frozen:
    """A checkpoint taken at a batch boundary: written after that batch is durable."""

    pages: Checkpoint
    counts: dict[str, int]


@dataclass(slots=True)
class Batch:
    """Requests that become durable together."""

    sequence: int
    now_ns: int
    commands: list[bytes] = field(default_factory=list)
    replies: list[bytes] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)  # the number of each request's first command in the batch
    waiters: list[tuple[Answer, bytes]] = field(default_factory=list)
    size: int = 0
    command_count: int = 0
    events: bytes = b""  # packed, set when the batch is closed
    watched: list[tuple[int, int, int]] = field(default_factory=list)  # what it changed of what is watched
    last_event: int = 0  # the sequence of the last event up to this batch
    frozen: Frozen | None = None
    digest: bytes = b""  # of its record; set by `write_batches`, like the next
    record_bytes: int = 0

    def reply(self, index: int) -> bytes:
        """The CommandReply of command `index`."""
        request = bisect_right(self.starts, index) - 1
        return nth_reply(self.replies[request], index - self.starts[request])

    def request(self, index: int) -> bytes:
        """The request of command `index`, as it was executed."""
        request = bisect_right(self.starts, index) - 1
        return nth_request(self.commands[request], index - self.starts[request])


@dataclass(slots=True)
class Counters:
    """What the sequencer has done since its start."""

    requests: int = 0
    commands: int = 0
    commits: int = 0
    replays: int = 0
    refused_overload: int = 0
    journal_bytes: int = 0


def write_batches(journal: Journal, layout: str, batches: Sequence[Batch], previous: bytes) -> bytes:
    """Make batches that follow each other durable: one append.  Runs in the commit thread.

    `previous` is the digest of the record before them; returns that of the last.
    """
    records: list[bytearray] = []
    for batch in batches:
        record, previous = encode(
            batch.sequence,
            batch.now_ns,
            layout,
            batch.commands,
            batch.replies,
            previous,
            batch.events,
            batch.last_event,
        )
        batch.digest, batch.record_bytes = previous, len(record)
        records.append(record)
    journal.append(batches[0].sequence, *records)
    return previous


def _no_answer(reply: bytes | None) -> None:
    pass


class Sequencer:
    """Orders requests, executes them on the core and answers when they are durable."""

    def __init__(
        self,
        core: Core,
        read_replies: Callable[[int], bytes],
        read_commands: Callable[[int], bytes | None],
        commit: Callable[[Batch], None],
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        soon: Callable[[Callable[[], None]], Any] = lambda call: call(),
        checkpoint_due: Callable[[], bool] = lambda: False,
        wake_in: Callable[[int], None] = lambda delay_ns: None,
        closed_bytes: int = CLOSED_BYTES,
    ) -> None:
        """`commit` has a batch made durable after those before it, up to COMMITTING_MAX of them at a time;
        `read_replies(sequence)` reads the answers of a batch in the journal, `read_commands(sequence)` its commands
        (bytes of a SessionRequest), None where it is trimmed.

        `soon` runs a call when the requests at hand have been taken (an event loop's call_soon).  `wake_in` has
        `wake` called after so many ns, instead of what it was asked before.
        """
        self._core = core
        self._read_replies = read_replies
        self._read_commands = read_commands
        self._commit = commit
        self._clock_ns = clock_ns
        self._soon = soon
        self._checkpoint_due = checkpoint_due
        self._wake_in = wake_in
        self._closed_bytes = closed_bytes
        self._wake_ns = 0  # the deadline that the timer is set for; 0: it is not set
        self._open: Batch | None = None
        self._committing: deque[Batch] = deque()  # closed and not durable yet, in their order
        self._commit_is_soon = False
        self._refusing = False
        self._failed = False
        self._when_idle: list[Callable[[], None]] = []
        self.counters = Counters()

    def submit(self, request: bytes, answer: Answer) -> None:
        """Execute the commands of a SessionRequest; `answer` gets the SessionResponse when it is durable.

        This is the one way of a request into the core, so what a return says of its sale is replaced here by what the
        journal says (native/originals.pyx).

        Raises MalformedRequest, Overloaded or Stopped, with nothing executed, or what `read_commands` raises; and what
        `read_replies` raises when the first answer to a resent command cannot be read: then it may have happened.
        """
        if self._refusing:
            raise Stopped("the engine is stopping; send the command again, with the same id, to its successor")
        batch = self._open
        # What is being committed, the oldest, does not count: it is no longer waiting.
        waiting_bytes = sum([waiting.size for waiting in self._committing][1:])
        waiting_requests = 0
        if batch is not None:
            waiting_bytes += batch.size
            waiting_requests = len(batch.waiters)
        if waiting_bytes >= BATCH_BYTES_MAX or waiting_requests >= BATCH_REQUESTS_MAX:
            self.counters.refused_overload += 1
            raise Overloaded(
                f"{waiting_requests} requests and {waiting_bytes} bytes wait for their commit; "
                "nothing was executed: wait a moment and send it again"
            )
        if batch is None:
            batch = self._begin()
        try:
            request = with_originals(self._core, request, self._requests_at)
            replies, kept, replays = self._core.apply(request)
            self.counters.requests += 1
            if kept:
                self._join(batch, request, replies, kept, replays, answer)
            else:  # nothing but malformed commands: no trace of them, so nothing to wait for
                answer(replies)
        finally:
            # Also a batch without commands is committed: its clock value has let holds expire, and left
            # open it would lend that value to whatever comes next.
            if not self._commit_is_soon and self._may_close(batch):
                self._commit_is_soon = True
                self._soon(self._close)

    def _join(
        self,
        batch: Batch,
        request: bytes,
        replies: bytes,
        kept: int,
        replays: list[tuple[int, int, int]],
        answer: Answer,
    ) -> None:
        """Make an executed request part of the open batch."""
        # The core has executed it, so the journal gets it whether or not a first answer can be read.
        batch.commands.append(request)
        batch.replies.append(replies)
        batch.starts.append(batch.command_count)
        batch.size += len(request) + len(replies)
        batch.command_count += kept
        shown = replies
        try:
            if replays:
                shown = self._fill_in(replies, replays)
        except BaseException:
            answer = _no_answer  # the caller gets the exception instead
            raise
        finally:
            batch.waiters.append((answer, shown))

    def now_ns(self) -> int:
        """The clock, for queries."""
        return self._clock_ns()

    def _begin(self) -> Batch:
        """Open the next batch: stamp the clock, let expire what is due."""
        sequence = self._core.sequence + 1
        self._core.begin(sequence, self._clock_ns())
        self._open = Batch(sequence, self._core.now_ns)
        return self._open

    def wake(self) -> None:
        """A deadline may have come: let it expire, unless a batch under way does; also called once at the start."""
        self._wake_ns = 0
        if self._refusing or self._open is not None or self._committing:
            return  # the end of that batch looks again
        due_ns = self._core.next_deadline_ns
        if due_ns and due_ns <= self._clock_ns():
            self._begin()
            self._close()
        else:
            self._wake_when_due()

    def _wake_when_due(self) -> None:
        due_ns = self._core.next_deadline_ns
        # A timer that is set for an earlier deadline stays: it looks again when it ends.
        if due_ns and not 0 < self._wake_ns <= due_ns:
            self._wake_ns = due_ns
            self._wake_in(min(max(due_ns - self._clock_ns(), WAKE_NS_MIN), WAKE_NS_MAX))

    def _may_close(self, batch: Batch) -> bool:
        """Whether the open batch need not wait for more, or for what is being committed."""
        return not self._committing or (batch.size >= self._closed_bytes and len(self._committing) < COMMITTING_MAX)

    def _close(self) -> None:
        """Hand the open batch to the commit, if there is one and nothing is in its way."""
        self._commit_is_soon = False
        batch = self._open
        if batch is None or self._failed or not self._may_close(batch):
            return
        self._open = None
        self._committing.append(batch)
        batch.events = self._core.end()
        batch.last_event = self._core.event_sequence
        batch.watched = self._core.take_watched()
        if self._checkpoint_due():
            # Between two batches the tables stand for exactly this sequence.
            batch.frozen = Frozen(self._core.checkpoint(), self._core.row_counts())
        self._commit(batch)

    def committed(self, batches: Sequence[Batch]) -> None:
        """These batches are durable, by one sync: start the next commit, then answer."""
        self.counters.commits += 1
        for batch in batches:
            assert batch is self._committing.popleft(), "commits end in the order in which they were started"
            self.counters.commands += batch.command_count
            self.counters.journal_bytes += batch.record_bytes
        self._close()
        for batch in batches:
            for answer, reply in batch.waiters:
                answer(reply)
        if not self._committing and not self._refusing:
            self._wake_when_due()
        self._tell_idle()

    def failed(self) -> None:
        """A commit failed: memory is ahead of the disk, so nothing is answered any more."""
        self._refusing = self._failed = True
        batches = [*self._committing, *([] if self._open is None else [self._open])]
        self._committing.clear()
        self._open = None
        for batch in batches:
            for answer, _ in batch.waiters:
                answer(None)
        self._tell_idle()  # who waits for the last answer must not wait for ever

    def stop(self, when_idle: Callable[[], None]) -> None:
        """Take no more requests; `when_idle` is called when all that was taken is answered."""
        self._refusing = True
        self._when_idle.append(when_idle)
        self._close()
        self._tell_idle()

    def _tell_idle(self) -> None:
        if not self._committing and not self._commit_is_soon:
            calls, self._when_idle = self._when_idle, []
            for call in calls:
                call()

    # Answers that were given before

    @property
    def closed(self) -> int:
        """The batch closed last; 0 where it is durable."""
        return self._committing[-1].sequence if self._committing else 0

    def pending(self, sequence: int) -> Batch | None:
        """The batch of this sequence while it is not durable yet."""
        for batch in self._committing:
            if batch.sequence == sequence:
                return batch
        return self._open if self._open is not None and self._open.sequence == sequence else None

    def _requests_at(self, places: set[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """The requests of commands by (sequence, index), without those whose batch is trimmed."""
        found: dict[tuple[int, int], bytes] = {}
        stored: dict[int, set[int]] = {}
        for sequence, index in places:
            pending = self.pending(sequence)
            if pending is None:
                stored.setdefault(sequence, set()).add(index)
            else:
                found[sequence, index] = pending.request(index)
        for sequence, indexes in stored.items():
            commands = self._read_commands(sequence)
            if commands is not None:
                requests = nth_requests(commands, indexes)
                found.update(((sequence, index), request) for index, request in requests.items())
        return found

    def _fill_in(self, replies: bytes, replays: list[tuple[int, int, int]]) -> bytes:
        """Put the first answers of resent commands in their places; a batch in the journal is read once.

        The request joins the open batch, so it is answered after the first answer is durable, too.
        """
        self.counters.replays += len(replays)
        found: dict[int, bytes] = {}
        stored: dict[int, dict[int, int]] = {}  # batch in the journal: position here, index there
        for position, sequence, index in replays:
            pending = self.pending(sequence)
            if pending is None:
                stored.setdefault(sequence, {})[position] = index
            else:
                found[position] = pending.reply(index)
        for sequence, places in stored.items():
            first = nth_replies(self._read_replies(sequence), set(places.values()))
            found.update((position, first[index]) for position, index in places.items())
        return replace_replies(replies, found)
