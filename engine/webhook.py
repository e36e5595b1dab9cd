"""The webhook sender: events from its cursor on, posted in order, acknowledged after the receiver's 2xx.

At least once and in order: the cursor is kept by the engine and moves only after an answer, so whatever ends in
between, the same events are posted again.  A receiver tells repeats by their sequence.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import structlog

from ringup.clients import AsyncClient
from ringup.clients.errors import NoAnswer, Refused
from ringup.engine.event_json import rows_of
from ringup.engine.webhook_post import Failure, Poster, WebhookError, body_of
from ringup.v1 import event_pb2, result_pb2

log = structlog.get_logger()

OK = result_pb2.RESULT_CODE_OK
FOREIGN = result_pb2.RESULT_CODE_CURSOR_FOREIGN
NOTE_BYTES_MAX = 200
STOP_SECONDS_MAX = 5.0  # that a post under way may still take when the process is told to stop
CALL_TIMEOUT_S = 10.0
EVENTS_NONE = 1 << 62  # a sequence that no engine has
ENGINE_WAIT_S = 1.0  # before an engine that gave no answer is asked again
PARKED_LOOK_S = 1.0  # between looks at a cursor that is parked
BATCHES_AHEAD = 4  # read from the engine while the receiver is slow


def _restored(last: int) -> str:
    return f"the engine was restored from a backup up to event {last}: see what was posted of later ones, then retry"


class Parked(Exception):
    """The cursor is parked; a person has to look."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How a sender sends."""

    events_max: int = 500  # of one post
    park_after: int = 30  # failures in a row
    wait_s_min: float = 1.0
    wait_s_max: float = 300.0


def wait_s(failures: int, failure: Failure, limits: Limits, random_unit: Callable[[], float] = random.random) -> float:
    """Seconds before the next try: doubled with each failure in a row, shortened by chance, never below Retry-After."""
    step_s = min(limits.wait_s_max, limits.wait_s_min * 2.0 ** min(failures - 1, 60))
    return max(failure.retry_after_s, step_s * (0.5 + 0.5 * random_unit()))


class Sender:
    """Posts the events of one engine under one name.  Two senders of one name post the same events twice."""

    def __init__(
        self,
        client: AsyncClient,
        poster: Poster,
        name: str,
        *,
        limits: Limits | None = None,
        from_sequence: int = 0,
        keep: bool = False,
    ) -> None:
        """`from_sequence` is the first event wanted by a name that is new; 0 is the oldest kept."""
        self._client, self._poster, self._name = client, poster, name
        self._limits, self._from_sequence, self._keep = limits or Limits(), from_sequence, keep
        self._engine_id = ""
        self._is_posting = self._is_stopping = False

    async def run_until(self, stop: asyncio.Event) -> None:
        """Send until `stop`; a post under way gets STOP_SECONDS_MAX to end.  Raises Parked, Refused, WebhookError."""
        sending = asyncio.create_task(self._send(), name="webhook")
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._is_stopping = True
            if self._is_posting:
                await asyncio.wait({sending}, timeout=STOP_SECONDS_MAX)
        finally:
            stopping.cancel()
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending

    async def _send(self) -> None:
        while not self._is_stopping:
            try:
                cursor = await self._begin()
                if cursor.parked:
                    raise Parked(cursor.note)
                await self._send_from(cursor.sequence + 1)
            except Parked as error:
                if not self._keep:
                    raise
                log.warning("parked: waiting for `ringup webhook retry`", name=self._name, reason=str(error))
                while (await self._begin()).parked:  # noqa: ASYNC110 -- it is another process that takes it up
                    await asyncio.sleep(PARKED_LOOK_S)
                log.info("not parked any more", name=self._name)

    # The engine.

    async def _ask(self, request: Any) -> Any:
        """The engine's answer, whatever its code; waits for an engine that is away."""
        is_away = False
        while True:
            try:
                answer = await self._client.call(request, timeout_s=CALL_TIMEOUT_S)
            except NoAnswer as error:
                if not is_away:
                    log.warning("no engine: trying again", reason=str(error))
                is_away = True
                await asyncio.sleep(ENGINE_WAIT_S)
            else:
                if is_away:
                    log.info("the engine is back")
                return answer

    async def _begin(self) -> event_pb2.EventCursor:
        """The cursor as the engine has it, made if the name is new."""
        answer = await self._ask(event_pb2.ListEventCursorsRequest())
        found: event_pb2.EventCursor | None = next((one for one in answer.cursors if one.cursor_id == self._name), None)
        if found is not None and self._engine_id:
            return found
        told = await self._ask(
            event_pb2.ReadEventsRequest(
                cursor_id=self._name if found else "", from_sequence=0 if found else self._from_sequence
            )
        )
        self._engine_id = told.engine_id
        if found is not None:
            if told.code == FOREIGN:
                await self._park(found.sequence, _restored(told.problem.limit))
            return found
        if told.code != OK:
            raise Refused("ReadEvents", told)
        done = told.batches[0].first_sequence - 1 if told.batches else told.last_sequence
        log.info("a new name: its cursor begins", name=self._name, after_sequence=done)
        return await self._put(done)

    async def _put(self, sequence: int, *, parked: bool = False, note: str = "") -> event_pb2.EventCursor:
        note = note or f"webhook to {self._poster.origin}"
        request = event_pb2.PutEventCursorRequest(
            cursor_id=self._name,
            engine_id=self._engine_id,
            sequence=sequence,
            parked=parked,
            note=note.encode()[:NOTE_BYTES_MAX].decode(errors="ignore"),
        )
        answer = await self._ask(request)
        if answer.code != OK:
            raise Refused("PutEventCursor", answer)
        cursor: event_pb2.EventCursor = answer.cursor
        return cursor

    async def _acknowledge(self, sequence: int) -> None:
        """Move the cursor; another engine, restored from a backup of the one that told the events, may keep it now."""
        try:
            await self._put(sequence)
        except Refused as error:
            if error.code != FOREIGN:
                raise
            told = await self._ask(event_pb2.ReadEventsRequest(engine_id=self._engine_id, from_sequence=sequence + 1))
            if told.code == FOREIGN and told.problem.field == "engine_id":
                raise
            self._engine_id = told.engine_id
            if told.code == FOREIGN:
                await self._park(min(sequence, told.problem.limit), _restored(told.problem.limit))
            await self._put(sequence)

    async def _park(self, sequence: int, why: str) -> NoReturn:
        await self._put(sequence, parked=True, note=f"webhook to {self._poster.origin}: {why}")
        log.error("parked: see to it, then `ringup webhook retry`", name=self._name, sequence=sequence, why=why)
        raise Parked(why)

    # The receiver.

    async def _send_from(self, next_sequence: int) -> None:
        batches: asyncio.Queue[event_pb2.EventBatch | Exception] = asyncio.Queue(BATCHES_AHEAD)
        reading = asyncio.create_task(self._read(next_sequence, batches), name="webhook-read")
        rows: deque[tuple[str, dict[str, Any]]] = deque()  # with the engine that told each
        ended: Exception | None = None
        log.info("sending", name=self._name, to=self._poster.origin, from_sequence=next_sequence)
        try:
            while not self._is_stopping:
                while ended is None and (not rows or (len(rows) < self._limits.events_max and not batches.empty())):
                    found = await batches.get()
                    if isinstance(found, Exception):
                        ended = found
                    else:
                        rows.extend((found.engine_id, row) for row in rows_of(found))
                if ended is not None and not rows:
                    raise ended
                engine_id = rows[0][0]
                post: list[dict[str, Any]] = []
                while rows and rows[0][0] == engine_id and len(post) < self._limits.events_max:
                    post.append(rows.popleft()[1])
                found_sequence = post[0]["sequence"]
                if found_sequence != next_sequence:
                    raise WebhookError(f"expected event {next_sequence} next, found {found_sequence}; report a defect")
                await self._deliver(engine_id, post)
                next_sequence += len(post)
        except Refused as error:
            if error.code == FOREIGN and error.problem.field != "engine_id":  # else it is no engine of ours at all
                self._engine_id = error.response.engine_id
                await self._park(min(next_sequence - 1, error.problem.limit), _restored(error.problem.limit))
            if error.code != result_pb2.RESULT_CODE_EVENTS_TRIMMED:
                raise
            note = f"events from {next_sequence} on are not kept any more; go on with: retry --from"
            await self._park(next_sequence - 1, note)
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

    async def _read(self, next_sequence: int, batches: asyncio.Queue[event_pb2.EventBatch | Exception]) -> None:
        try:
            async for batch in self._client.follow_events(from_sequence=next_sequence, engine_id=self._engine_id):
                await batches.put(batch)
        except Exception as error:  # for the sender to raise, after what came before it
            await batches.put(error)

    async def _deliver(self, engine_id: str, rows: list[dict[str, Any]]) -> None:
        """Post until it is acknowledged, then move the cursor; raises Parked after too many failures.

        It returns without either when the process was told to stop in between.
        """
        body, failures = body_of(engine_id, rows), 0
        first, last = rows[0]["sequence"], rows[-1]["sequence"]
        while True:
            self._is_posting = True
            try:
                failure = await self._poster.post(body)
                if failure is None:
                    await self._acknowledge(last)
                    log.debug("delivered", name=self._name, first=first, last=last)
                    return
            finally:
                self._is_posting = False
            failures += 1
            about = {"name": self._name, "first": first, "last": last, "found": failure.found, "failures": failures}
            if failures >= self._limits.park_after:
                await self._park(first - 1, f"{failures} failures at event {first}: {failure.found}")
            if self._is_stopping:
                return
            seconds = wait_s(failures, failure, self._limits)
            log.warning("not delivered", wait_s=round(seconds, 3), of=self._limits.park_after, **about)
            await asyncio.sleep(seconds)
