"""Batches of commands over one Session stream, and what happens when the stream breaks.

Two tasks share a stream: one writes a batch of all that is queued while fewer than three batches are in
flight, the other reads the answers.  An idle caller is therefore sent at once, and a busy one finds its
batches growing by themselves.  When the stream ends, what is unanswered goes to the front of the queue
in its old order, with the same ids and bytes, and over a new stream, until its deadline.

What waits is bounded by what can still be answered in time (`_pace`): a command that was never sent is
turned away as soon as it is known to be late.  Without that, an overloaded client sends only commands that
are about to expire, and all their answers come too late.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import chain
from math import inf
from typing import Any, Protocol

from ringup.native import session_batch
from ringup.native.session_batch import NEVER_SENT, SENT, UNSURE, Outbox, Pending

from . import _retry, _wire
from ._pace import Pace
from .errors import NoAnswer

IN_FLIGHT_BATCHES_MAX = 3
SPLIT_FROM_COMMANDS = 256
THIRDS_FROM_BYTES = 96 * 1024
THIRD_BATCH_WITHIN_S = 0.05
"""The third batch is sent while the two before it take less: what waits here can still be turned away."""
BATCH_BYTES_MIN = 64 * 1024
EXPIRY_STEP_S = 0.01
"""How far apart two looks for expired commands are: each look goes through all that is unanswered."""


class Stream(Protocol):
    """What is used of a bidirectional grpc.aio call that carries bytes."""

    async def write(self, request: bytes) -> None:
        """Send one message."""

    async def read(self) -> Any:
        """Return the next message, or something that is no bytes at the end."""

    async def done_writing(self) -> None:
        """Say that no further message follows."""

    def cancel(self) -> bool:
        """End the call."""


class StreamFailure(Exception):
    """A stream ended with a status that is not OK."""

    def __init__(self, status: str, details: str) -> None:
        super().__init__(f"{status}: {details}")
        self.status = status
        self.is_too_large = status == "RESOURCE_EXHAUSTED" and "larger than max" in details


class SessionPump(Outbox):
    """Sends queued commands in batches and hands each answer to its own caller; `post` queues one.

    open_stream makes a new call; ready waits until the engine can be reached; stream_failure turns what
    `read` or `write` raised into a StreamFailure, or None for what is not the stream's.
    """

    def __init__(
        self,
        open_stream: Callable[[], Stream],
        ready: Callable[[], Awaitable[str]],
        stream_failure: Callable[[BaseException], StreamFailure | None],
        stall_s: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._pace = Pace()
        super().__init__(self._loop, self._pace, _wire.COMMAND_BYTES_MAX)
        self._open_stream = open_stream
        self._ready = ready
        self._stream_failure = stream_failure
        self._stall_s = stall_s
        self._in_flight: deque[tuple[float, list[Pending]]] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stream: Stream | None = None
        self._draining = False
        self._batch_bytes_max = _wire.BATCH_BYTES_MAX
        self._last_failure = "none"
        self.batches = 0
        self.commands = 0

    def _attend(self) -> None:
        """Have what was queued sent: `post` calls it when nobody looks."""
        self.is_idle = False
        if self._wake is not None:
            self._wake_up()
        elif self._task is None:
            self._task = self._loop.create_task(self._run(), name="ringup-session")

    def _refused(self, command: bytes) -> Exception:
        """The error of a command that `post` does not take."""
        if len(command) > _wire.COMMAND_BYTES_MAX:
            return _wire.too_large(len(command), "the command")
        return _retry.overloaded(command)

    async def close(self, flush: bool) -> None:
        """End the stream; flush waits for what is unanswered, each until its deadline."""
        self.is_open = False
        if flush:
            unanswered = [p.answer for p in self._unanswered() if not p.answer.done()]
            if unanswered:
                await asyncio.wait(unanswered)
        self._wake_up()
        if (task := self._task) is not None:
            # The engine ends the stream once it has read that nothing follows; do not insist.
            await asyncio.wait([task], timeout=0.5 if flush else 0)
            task.cancel()
            await asyncio.wait([task])
        self._fail_all("a closed client")
        if self._timer is not None:
            self._timer.cancel()

    def _unanswered(self) -> chain[Pending]:
        return chain(chain.from_iterable(batch for _, batch in self._in_flight), self.queue)

    # The life of a stream, one after the other.

    async def _run(self) -> None:
        try:
            await self._streams()
        except Exception as error:
            self._fail_all(f"a defect of the client: {error!r}")
            raise
        finally:
            self._task = None
            self.is_idle = True

    async def _streams(self) -> None:
        backoff = _retry.Backoff()
        while True:
            while not self.queue and self.is_open:
                await self._sleep_until_woken()
            if not self.queue:
                return
            not_ready = await self._ready()
            if not_ready:
                self._last_failure = not_ready
                continue
            failure, progress = await self._one_stream()
            if progress:
                backoff.reset()
            if failure is not None:
                self._last_failure = str(failure)
                if failure.is_too_large:
                    # Smaller batches bring smaller answers.
                    self._batch_bytes_max = max(BATCH_BYTES_MIN, self._batch_bytes_max // 2)
            turned_away = failure is not None and failure.status in _retry.TURNED_AWAY_STATUSES and not progress
            self._requeue(unsure=not turned_away)
            if failure is not None and failure.status not in _retry.RESENT_STATUSES:
                self._fail_all(str(failure))
            elif self.queue:
                await asyncio.sleep(backoff.next_s())

    async def _one_stream(self) -> tuple[StreamFailure | None, bool]:
        """Use one stream to its end; return what ended it and whether it answered anything."""
        self._draining = False
        answered_before = self.commands
        stream = self._stream = self._open_stream()
        writer = self._loop.create_task(self._write(stream), name="ringup-session-write")
        failure: StreamFailure | None = None
        try:
            await self._read(stream)
            if self._in_flight:
                failure = StreamFailure("UNAVAILABLE", "the engine ended the stream before its answers")
        except _wire.BrokenReplyError as error:
            failure = StreamFailure("INTERNAL", str(error))
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and self._is_being_cancelled():
                raise
            failure = self._stream_failure(error)
            if failure is None:
                raise
        finally:
            self._stream = None
            writer.cancel()
            stream.cancel()
            await asyncio.wait([writer])
        return failure, self.commands != answered_before

    async def _write(self, stream: Stream) -> None:
        in_flight, queue = self._in_flight, self.queue
        try:
            while True:
                if not self.is_open and not queue and not in_flight:
                    await stream.done_writing()
                    return
                if queue and not self._draining and self._may_send():
                    batch = self._next_batch()
                    if batch:
                        in_flight.append((self._loop.time(), batch))
                        self.sent_commands += len(batch)
                        self.batches += 1
                        await stream.write(session_batch.session_request(batch))
                    continue
                await self._sleep_until_woken()
        except Exception as error:
            # The reader sees the same end of the stream, and its status; here it is only not news.
            if self._stream_failure(error) is None:
                stream.cancel()
                raise

    async def _read(self, stream: Stream) -> None:
        while True:
            data = await stream.read()
            if not isinstance(data, bytes):
                return
            replies, draining = _wire.split_replies(data)
            if replies or not draining:
                sent_at_s, batch = self._in_flight[0] if self._in_flight else (0.0, [])
                if len(replies) != len(batch):
                    raise _wire.BrokenReplyError(f"expected {len(batch)} replies to a batch, found {len(replies)}")
                self._in_flight.popleft()
                self.sent_commands -= len(batch)
                self.commands += len(batch)
                self._pace.answered(len(batch), sent_at_s, self._loop.time())
                session_batch.answer(batch, replies)
            self._draining |= draining
            if self._draining and not self._in_flight:
                # Say so, and let the engine end the stream; but do not wait long for it.
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await stream.done_writing()
                        await stream.read()
                return
            # After the answers, so that callers queue their next commands before the writer looks.
            self._wake_up()

    def _may_send(self) -> bool:
        count = len(self._in_flight)
        if count < IN_FLIGHT_BATCHES_MAX - 1:
            return True
        return count < IN_FLIGHT_BATCHES_MAX and self._pace.wait_s(self.sent_commands) < THIRD_BATCH_WITHIN_S

    def _next_batch(self) -> list[Pending]:
        queue = self.queue
        # Callers that all wait for one batch leave engine and client idle in turns.  From 256 on, batches of a part of
        # them each are faster: while one becomes durable the engine executes the next, and the callers of the one
        # before make their new commands.  Thirds, where the engine has much to do for each (512 callers' sales: 1.06
        # times as many as with halves); halves of small commands, as another message then costs more than it brings
        # (512 callers' holds: 1.1 times as many as with thirds).
        outstanding = len(queue) + self.sent_commands
        commands_max = _wire.BATCH_COMMANDS_MAX
        if outstanding >= SPLIT_FROM_COMMANDS:
            parts = 3 if outstanding * len(queue[0].command) >= THIRDS_FROM_BYTES else 2
            commands_max = min(commands_max, -(-outstanding // parts))
        # With nothing in flight something has to be sent, whatever the pace was: only that tells what it is now.
        answered_s = self._loop.time()
        if self._in_flight:
            answered_s += self._pace.wait_s(self.sent_commands + min(commands_max, len(queue)))
        return session_batch.take(queue, commands_max, self._batch_bytes_max, answered_s, self._turn_away)

    def _requeue(self, unsure: bool) -> None:
        """Put what the ended stream left unanswered in front, in its order; unsure: some may have been done."""
        left = [pending for _, batch in self._in_flight for pending in batch if not pending.answer.done()]
        for pending in left:
            if unsure:
                pending.state = UNSURE
            elif pending.state == SENT:
                pending.state = NEVER_SENT
        self._in_flight.clear()
        self.sent_commands = 0
        self.queue.extendleft(reversed(left))

    # Waiting and deadlines.

    async def _sleep_until_woken(self) -> None:
        wake = self._wake = self._loop.create_future()
        self.is_idle = True
        try:
            await wake
        finally:
            if self._wake is wake:
                self._wake = None

    def _wake_up(self) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.done():
            wake.set_result(None)

    @staticmethod
    def _is_being_cancelled() -> bool:
        # grpc.aio raises CancelledError for a call that was cancelled, too.
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0

    def _arm(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.timer_at_s = at_s
        self._timer = self._loop.call_at(at_s, self._expire)

    def _expire(self) -> None:
        """Fail what is past its deadline.  One timer for all: a timer for each sale would cost more than the sale."""
        self._timer, self.timer_at_s = None, inf
        now_s = self._loop.time()
        next_s = inf
        for pending in self._unanswered():
            if pending.answer.done():
                continue
            if pending.deadline_s <= now_s:
                self._fail(pending, f"none within its deadline (last failure: {self._last_failure})")
            else:
                next_s = min(next_s, pending.deadline_s)
        live = [pending for pending in self.queue if not pending.answer.done()]
        self.queue.clear()
        self.queue.extend(live)
        if self._in_flight and self._stream is not None:
            sent_at_s, batch = self._in_flight[0]
            if all(p.answer.done() for p in batch):
                # An engine that holds a batch for so long would block all that comes after it.
                if sent_at_s + self._stall_s <= now_s:
                    self._stream.cancel()
                else:
                    next_s = min(next_s, sent_at_s + self._stall_s)
        if next_s < inf:
            self._arm(max(next_s, now_s + EXPIRY_STEP_S))

    def _fail(self, pending: Pending, found: str) -> None:
        self._end(pending, _retry.no_answer_to_command(pending.command, pending.state != NEVER_SENT, found))

    def _turn_away(self, pending: Pending) -> None:
        self._end(pending, _retry.overloaded(pending.command))

    @staticmethod
    def _end(pending: Pending, error: NoAnswer) -> None:
        pending.answer.set_exception(error)
        # A caller that no longer waits has no use for the error: nobody is to be told that it went unseen.
        pending.answer.exception()

    def _fail_all(self, found: str) -> None:
        for pending in self._unanswered():
            if not pending.answer.done():
                self._fail(pending, found)
        self.queue.clear()
        self._in_flight.clear()
        self.sent_commands = 0
