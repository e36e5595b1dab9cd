"""The edge: gRPC in, bytes to the sequencer, bytes out.  With its two servers the only module that knows gRPC.

Commands and queries are not decoded here: a unary request is wrapped as the one command of a
SessionRequest, a stream's requests go on as they are, and the core reads both.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from ringup.engine import edge_http2
from ringup.engine.callers import Callers, NotAuthenticated, answered, header_of
from ringup.engine.config import SettingError
from ringup.engine.contract import FILES, Method, methods
from ringup.engine.edge_listeners import LISTENERS, Listeners
from ringup.engine.engine import UNKNOWN_OUTCOME, Engine, EngineFailed
from ringup.engine.journal import JournalError
from ringup.engine.open_files import may_open
from ringup.engine.record import DamagedRecord
from ringup.engine.sequencer import Overloaded, Stopped
from ringup.native.core import MalformedRequest
from ringup.native.envelope import rejected_message, unwrap_reply, wrap_command
from ringup.v1 import admin_pb2, event_pb2, result_pb2, session_pb2

log = structlog.get_logger()

NGHTTP2, GRPCIO = "nghttp2", "grpcio"
MESSAGE_BYTES_MAX = 4 << 20
STREAM_BATCHES_MAX = 8  # batches of one stream that may be unanswered
STREAM_BYTES_MAX = 4 << 20  # of them, beyond which no further one is taken: answers can be several times as long
STREAMS_PER_CONNECTION_MAX = 100
RPCS_MAX = 1000  # calls being served; beyond it they are refused in words
CONNECTIONS_MAX = 10_000
OWN_FILES = 100  # more than an engine opens beside its connections
KEPT_BYTES_MAX = 256 << 20  # of questions that are not whole and answers that are not taken, of all callers
PENDING_CALLS = RPCS_MAX // LISTENERS  # of each listener: what came and was not taken; beyond it some are dropped
assert PENDING_CALLS >= STREAMS_PER_CONNECTION_MAX, "all that one connection may have in flight is taken"
DRAIN_SECONDS = 5.0
FAIL_SECONDS = 0.25  # for a watcher of the health and for the statuses of calls to go out
READ_EVENTS_BYTES = 1 << 20  # of one answer, about
DRAINING = session_pb2.SessionResponse(draining=True).SerializeToString()
EVENTS_DRAINING = event_pb2.SubscribeEventsResponse(code=result_pb2.RESULT_CODE_OK, draining=True).SerializeToString()
WATCH_DRAINING = event_pb2.WatchAvailabilityResponse(code=result_pb2.RESULT_CODE_OK, draining=True).SerializeToString()
# Code OK and the tag of `batch`; its length and bytes follow.
_OK_WITH_BATCH = event_pb2.SubscribeEventsResponse(code=result_pb2.RESULT_CODE_OK).SerializeToString() + bytes(
    [event_pb2.SubscribeEventsResponse.DESCRIPTOR.fields_by_name["batch"].number << 3 | 2]
)

# Of grpcio's server; the other has the same limits.  Both were tried with a 1 GiB message, a gzip bomb, silent sockets
# and floods of calls: refused, memory flat.
SERVER_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", -1),
    # gRPC's core counts a stream here until its call is freed, some milliseconds after its answer went out: a client
    # that keeps nearly so many calls in flight on one connection sees some refused at once (RST_STREAM 7, UNAVAILABLE;
    # 0.3 % of calls at 99 of 100).  None of them was executed.  "grpc.http.overload_protection" 0 would count until
    # the answer: no refusals then, but whoever opens and resets streams as fast as it can fills the queue below for
    # everybody else, so it stays on.
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
    ("grpc.server_handshake_timeout_ms", 1000),
    ("grpc.max_connection_idle_ms", 10 * 60_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
    # Calls that have come and were not taken yet.  A refusal in words costs Python nearly what an answer costs: a call
    # without even a handler 0.24 ms of processor, an echo 0.25, while at twice the load a tenth of that is all there
    # is to spare.  So in a flood the waiting calls grow; beyond the first number gRPC's core drops some by chance,
    # beyond the second all, for next to nothing, and goodput stays.  Their callers see CANCELLED, as of any call that
    # no server took: nothing was executed, the same id is safe.  No option says another status; only the core's newer
    # call stack, which Python's server does not have, answers RESOURCE_EXHAUSTED there.
    ("grpc.server.max_pending_requests", PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", 2 * PENDING_CALLS),
]

Answer = TypeVar("Answer", bytes, None)  # of one answer, or of a stream that writes them itself
Context = grpc.aio.ServicerContext[bytes, bytes]
# What a stream has to write, in order: answers to come, a message, or its end (with an error or without).
Outgoing = asyncio.Queue[asyncio.Future[bytes] | bytes | Exception | None]


class Asked(Protocol):
    """A unary call: one of the last two is called, at once or later, in the event loop's thread."""

    def invocation_metadata(self) -> Any:
        """(name, value) of its headers."""

    def answer(self, message: bytes) -> None:
        """What it asked for."""

    def refuse(self, code: grpc.StatusCode, details: str) -> None:
        """Why there is no answer."""


Start = Callable[[bytes, Asked], None]  # takes the message of a unary call


class TooManyCalls(Exception):
    """RPCS_MAX calls are being served; nothing of this one was executed."""

    def __init__(self) -> None:
        super().__init__(
            f"{RPCS_MAX} calls are being served, nothing of this one was executed: wait a moment and send it again, "
            "or send batches through a Session"
        )


def chosen_server(wanted: str = "auto") -> str:
    """What takes the calls: NGHTTP2, or GRPCIO where that is wanted or libnghttp2 is missing.

    Raises SettingError where NGHTTP2 is wanted and missing.
    """
    if wanted == GRPCIO:
        return GRPCIO
    missing = edge_http2.load()
    if missing is None:
        return NGHTTP2
    if wanted == NGHTTP2:
        raise SettingError(
            f"grpc_server: expected libnghttp2, found no {missing}; install it (Debian's libnghttp2-14), "
            f"or choose {GRPCIO}"
        )
    return GRPCIO


def limits() -> edge_http2.Limits:
    """Of nghttp2's server, as SERVER_OPTIONS are of grpcio's; with files left for the engine's own."""
    files = may_open()
    return edge_http2.Limits(
        message_bytes_max=MESSAGE_BYTES_MAX,
        streams_max=STREAMS_PER_CONNECTION_MAX,
        handshake_s=1.0,
        idle_s=600.0,
        calls_max=RPCS_MAX,
        refusal=str(TooManyCalls()),
        connections_max=min(CONNECTIONS_MAX, max(files - OWN_FILES, files // 2)),
        bytes_kept_max=KEPT_BYTES_MAX,
    )


# What is no answer, and the status that says so.
STATUS_BY_ERROR: dict[type[Exception], grpc.StatusCode] = {
    MalformedRequest: grpc.StatusCode.INVALID_ARGUMENT,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    TooManyCalls: grpc.StatusCode.RESOURCE_EXHAUSTED,
    NotAuthenticated: grpc.StatusCode.UNAUTHENTICATED,
    Stopped: grpc.StatusCode.UNAVAILABLE,
    EngineFailed: grpc.StatusCode.UNAVAILABLE,
    JournalError: grpc.StatusCode.DATA_LOSS,  # an answer given before cannot be read any more
    DamagedRecord: grpc.StatusCode.DATA_LOSS,
}
NO_ANSWER = tuple(STATUS_BY_ERROR)
# Queries that read the journal or search for long, and what serves them.
WAITING = {"GetReceipt": "_get_receipt", "CheckPromotions": "_check_promotions", "ReadEvents": "_read_events"}


class Edge:
    """The gRPC server of one engine."""

    def __init__(self, engine: Engine, callers: Callers | None = None, server: str | None = None) -> None:
        """`callers` None: nobody is asked who they are; `server`: as `chosen_server` says, None for what it says."""
        self._engine = engine
        self._callers = callers
        # Calls are counted here and not by grpcio (maximum_concurrent_rpcs): in some of the versions that are supported
        # its count is wrong once it has refused, and then it lets everything pass.
        self._rpcs = 0
        self._health = health.aio.HealthServicer()
        self._is_draining = False
        self._streams: set[Outgoing] = set()
        self._reading: dict[asyncio.Future[Any], str | bytes | None] = {}  # streams that ask once: who asked
        self._calls_by_code: dict[str, int] = {}
        self._counts = (server or chosen_server()) == GRPCIO  # the other counts the calls itself
        by_service: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        direct: dict[str, Start] = {}
        for method in methods():
            handlers = by_service.setdefault(method.service, {})
            if (start := self._start(method)) is None:
                handlers[method.name] = self._handler(method)
            elif self._counts:
                handlers[method.name] = grpc.unary_unary_rpc_method_handler(self._limited(_awaited(start)))
            else:
                direct[method.path] = start
        self._services = list(by_service)
        names = [s.full_name for f in FILES for s in f.services_by_name.values()]

        def prepare(server: Any) -> None:
            for service, handlers in by_service.items():
                server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            known = reflection.aio.ReflectionServicer([*names, health.SERVICE_NAME, reflection.SERVICE_NAME])
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(known, server)  # type: ignore[no-untyped-call]

        self._listeners: edge_http2.Server | Listeners
        if self._counts:
            self._listeners = Listeners(SERVER_OPTIONS, prepare)
        else:
            self._listeners = edge_http2.Server(limits())
            prepare(self._listeners)
            for path, start in direct.items():
                self._listeners.add_direct_handler(path, start)

    async def start(self, listen: str) -> int:
        """Serve on `listen` ("host:port", port 0 for any free one); returns the port."""
        port = await self._listeners.start(listen)
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        return port

    async def _set_health(self, status: Any) -> None:
        for service in ("", *self._services):
            await self._health.set(service, status)

    async def stop(self) -> None:
        """Say so on every stream, let what was taken be answered, then close."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._is_draining = True
        for outgoing in self._streams:
            outgoing.put_nowait(DRAINING)
        self._engine.drain()
        await self._listeners.stop(DRAIN_SECONDS)

    async def fail(self) -> None:
        """Stop: NOT_SERVING first, and no answer to anything; a moment for all to hear that."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._listeners.stop(FAIL_SECONDS)

    # Handlers

    def _handler(self, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        if method.streams and not method.asks_once:
            return grpc.stream_stream_rpc_method_handler(self._limited_session)
        if method.streams:
            readers = {"SubscribeEvents": self._subscribe_events, "WatchAvailability": self._watch_availability}
            return grpc.unary_stream_rpc_method_handler(self._limited(self._known_reader(readers[method.name])))
        handle: Callable[[bytes, Context], Awaitable[bytes]] = getattr(self, WAITING[method.name])
        return grpc.unary_unary_rpc_method_handler(self._limited(self._known(handle)))

    def _start(self, method: Method) -> Start | None:
        """What serves a unary call without waiting itself; None for what needs a task of its own."""
        if method.streams or method.name in WAITING:
            return None
        start: Start
        if method.kind:
            start = self._command(method.kind)
        elif method.name == "GetStats":
            start = self._get_stats
        else:
            start = self._query(method.name)
        callers = self._callers
        if callers is None:
            return start

        def known(request: bytes, call: Asked) -> None:
            try:
                caller = callers.find(header_of(call.invocation_metadata()))
            except NotAuthenticated as error:
                _refuse(call, error)
                return
            if caller.may(method.kind):
                start(request, call)
            else:
                call.answer(caller.refusal(method.kind))

        return known

    def _limited(
        self, handle: Callable[[bytes, Context], Awaitable[Answer]]
    ) -> Callable[[bytes, Context], Awaitable[Answer]]:
        """The handler, refused at once where RPCS_MAX calls are being served."""
        if not self._counts:
            return handle

        async def limited(request: bytes, context: Context) -> Answer:
            if self._rpcs >= RPCS_MAX:
                await _abort(context, TooManyCalls())
            self._rpcs += 1
            try:
                return await handle(request, context)
            finally:
                self._rpcs -= 1

        return limited

    def _known(
        self, handle: Callable[[bytes, Context], Awaitable[bytes]]
    ) -> Callable[[bytes, Context], Awaitable[bytes]]:
        """The handler of a query, for callers."""
        callers = self._callers
        if callers is None:
            return handle

        async def known(request: bytes, context: Context) -> bytes:
            try:
                callers.find(header_of(context.invocation_metadata()))
            except NotAuthenticated as error:
                return await _abort(context, error)
            return await handle(request, context)

        return known

    def _known_reader(
        self, handle: Callable[[bytes, Context], Awaitable[None]]
    ) -> Callable[[bytes, Context], Awaitable[None]]:
        """The handler of a stream, for as long as its caller is one."""
        callers = self._callers
        if callers is None:
            return handle

        async def known(request: bytes, context: Context) -> None:
            header = header_of(context.invocation_metadata())
            try:
                callers.find(header)
                reading = asyncio.ensure_future(handle(request, context))
                reading.add_done_callback(
                    lambda ended: ended.cancelled() or ended.exception()
                )  # told below, or nobody is there
                self._reading[reading] = header
                try:
                    await asyncio.wait([reading])
                finally:
                    del self._reading[reading]
                    reading.cancel()
                if reading.cancelled():
                    callers.find(header)
                await reading
            except NotAuthenticated as error:
                await _abort(context, error)

        return known

    def callers_changed(self) -> None:
        """End the streams that ask once of those who are no callers any more; the others look at each batch."""
        for reading, header in self._reading.items():
            try:
                assert self._callers is not None
                self._callers.find(header)
            except NotAuthenticated:
                reading.cancel()

    async def _limited_session(self, requests: AsyncIterator[bytes], context: Context) -> None:
        if self._counts and self._rpcs >= RPCS_MAX:
            await _abort(context, TooManyCalls())
        self._rpcs += 1
        try:
            await self._session(requests, context)
        finally:
            self._rpcs -= 1

    def _command(self, kind: int) -> Start:
        submit = self._engine.submit_to

        def command(request: bytes, call: Asked) -> None:
            def durable(response: bytes | None) -> None:
                if response is None:
                    _refuse(call, EngineFailed(UNKNOWN_OUTCOME))
                    return
                reply_kind, body = unwrap_reply(response)
                if reply_kind == kind:
                    call.answer(body)
                else:
                    message = rejected_message(reply_kind, body)
                    call.refuse(grpc.StatusCode.INVALID_ARGUMENT, message or "the request could not be read")

            try:
                submit(wrap_command(kind, request), durable)
            except NO_ANSWER as error:
                _refuse(call, error)

        return command

    def _query(self, name: str) -> Start:
        query = self._engine.query

        def answer(request: bytes, call: Asked) -> None:
            try:
                found = query(name, request)
            except NO_ANSWER as error:
                _refuse(call, error)
            else:
                call.answer(found)

        return answer

    async def _get_receipt(self, request: bytes, context: Context) -> bytes:
        try:
            return await self._engine.receipt(request)
        except NO_ANSWER as error:
            return await _abort(context, error)

    async def _check_promotions(self, request: bytes, context: Context) -> bytes:
        try:
            return await self._engine.check_promotions(request)
        except NO_ANSWER as error:
            return await _abort(context, error)

    def _get_stats(self, request: bytes, call: Asked) -> None:
        try:
            admin_pb2.GetStatsRequest.FromString(request)
        except DecodeError:
            _refuse(call, MalformedRequest("GetStatsRequest: the bytes are no such message"))
            return
        answer = admin_pb2.GetStatsResponse(
            code=result_pb2.RESULT_CODE_OK,
            rows=self._engine.core.row_counts(),
            counters=self._engine.counters(),
        )
        call.answer(answer.SerializeToString())

    # Events and availability.  `write` waits while the reader is slow, and so nothing piles up for it.

    async def _read_events(self, request: bytes, context: Context) -> bytes:
        asked = await _parsed(event_pb2.ReadEventsRequest, request, context)
        log_ = self._engine.events
        answer = event_pb2.ReadEventsResponse(engine_id=self._engine.engine_id, last_sequence=log_.last)
        try:
            from_sequence, refusal = await self._start_of(asked)
            if refusal is not None:
                answer.code = refusal[0]
                answer.problem.CopyFrom(refusal[1])
                return answer.SerializeToString()
            answer.code, answer.next_sequence = result_pb2.RESULT_CODE_OK, from_sequence
            size = 0
            for part in await log_.read(from_sequence):
                answer.batches.append(event_pb2.EventBatch.FromString(part.data))
                answer.next_sequence = part.last + 1
                size += len(part.data)
                if size >= READ_EVENTS_BYTES:
                    break
            return answer.SerializeToString()
        except NO_ANSWER as error:
            return await _abort(context, error)

    async def _start_of(self, asked: Any) -> tuple[int, tuple[result_pb2.ResultCode, result_pb2.Problem] | None]:
        """Where a reader begins, or the code and problem of the refusal."""
        log_, ancestors = self._engine.events, self._engine.journal.ancestors
        shared: int | None = None  # the last event that this engine and the one that was read have in common
        if asked.engine_id not in ("", self._engine.engine_id):
            shared = next((one.last_event for one in ancestors if one.engine_id == asked.engine_id), None)
            if shared is None:
                problem = result_pb2.Problem(field="engine_id", subject=asked.engine_id[:128])
                return 0, (result_pb2.RESULT_CODE_CURSOR_FOREIGN, problem)
        is_old = False
        first, from_sequence, field = await log_.first(), int(asked.from_sequence), "from_sequence"
        if asked.cursor_id:
            answer = event_pb2.ListEventCursorsResponse.FromString(self._engine.query("ListEventCursors", b""))
            found = [cursor for cursor in answer.cursors if cursor.cursor_id == asked.cursor_id]
            if not found:
                problem = result_pb2.Problem(field="cursor_id", subject=asked.cursor_id[:128])
                return 0, (result_pb2.RESULT_CODE_CURSOR_UNKNOWN, problem)
            from_sequence, field = int(found[0].sequence) + 1, "cursor_id"
            # Its reader may have come further with the engine that was backed up, whatever the cursor says.
            is_old = bool(ancestors) and found[0].put_ns <= ancestors[-1].at_ns
            if is_old and asked.engine_id != self._engine.engine_id:
                shared = ancestors[-1].last_event if shared is None else shared
            else:
                is_old = False
        elif not from_sequence:
            from_sequence = first
        problem = result_pb2.Problem(field=field, subject=asked.cursor_id, found=min(from_sequence, 1 << 62))
        if shared is not None and (is_old or from_sequence > shared + 1):
            problem.limit = shared
            return 0, (result_pb2.RESULT_CODE_CURSOR_FOREIGN, problem)
        if from_sequence < first:
            problem.limit = first
            return 0, (result_pb2.RESULT_CODE_EVENTS_TRIMMED, problem)
        if from_sequence > log_.last + 1:
            problem.limit = log_.last
            return 0, (result_pb2.RESULT_CODE_EVENTS_NOT_YET, problem)
        return from_sequence, None

    async def _subscribe_events(self, request: bytes, context: Context) -> None:
        asked = await _parsed(event_pb2.SubscribeEventsRequest, request, context)
        log_ = self._engine.events
        try:
            next_sequence, refusal = await self._start_of(asked)
            hello = event_pb2.SubscribeEventsResponse(engine_id=self._engine.engine_id, last_sequence=log_.last)
            hello.code = result_pb2.RESULT_CODE_OK if refusal is None else refusal[0]
            if refusal is not None:
                hello.problem.CopyFrom(refusal[1])
            await context.write(hello.SerializeToString())
            while refusal is None and not log_.is_draining:
                parts = await log_.read(next_sequence)
                for part in parts:
                    await context.write(_OK_WITH_BATCH + _varint(len(part.data)) + part.data)
                    next_sequence = part.last + 1
                if not parts:
                    await log_.news()
            if refusal is None:
                await context.write(EVENTS_DRAINING)
        except NO_ANSWER as error:
            await _abort(context, error)

    async def _watch_availability(self, request: bytes, context: Context) -> None:
        asked = await _parsed(event_pb2.WatchAvailabilityRequest, request, context)
        engine, log_ = self._engine, self._engine.events
        try:
            told = engine.query("ReadAvailability", request)
            refusal = event_pb2.WatchAvailabilityResponse.FromString(told)
            refusal.ClearField("items")
            since = 0
            if refusal.code == result_pb2.RESULT_CODE_OK and asked.resume_token:
                name, _, number = asked.resume_token.partition(":")
                since = int(number) if number.isdecimal() and len(number) < 19 else -1
                last = {one.engine_id: one.last_batch for one in engine.journal.ancestors}
                last[engine.engine_id] = log_.batch
                if not 0 < since <= last.get(name, 0):
                    refusal.code = result_pb2.RESULT_CODE_CURSOR_FOREIGN
                    refusal.problem.field, refusal.problem.subject = "resume_token", asked.resume_token[:128]
            if refusal.code != result_pb2.RESULT_CODE_OK:
                await context.write(refusal.SerializeToString())
                return
            watch, values = engine.watches.open(request)
            try:
                await log_.durable(engine.sequencer.closed)
                for key, value in values.items():
                    if value[1] > since or not since:
                        watch.put(key, value)
                watch.changed.set()  # the first message comes at once, with nothing in it where nothing changed
                while not log_.is_draining:
                    await watch.changed.wait()
                    await context.write(watch.take(f"{engine.engine_id}:{log_.batch}").SerializeToString())
                await context.write(WATCH_DRAINING)
            finally:
                engine.watches.close(watch)
        except NO_ANSWER as error:
            await _abort(context, error)

    async def _session(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """Take batches as they come, answer them in order; what is unanswered is bounded (_Room)."""
        outgoing: Outgoing = asyncio.Queue()
        room = _Room()
        submit: Callable[[bytes], asyncio.Future[bytes]] = self._engine.submit
        if self._callers is not None:
            header = header_of(context.invocation_metadata())
            try:
                self._callers.find(header)
            except NotAuthenticated as error:
                await _abort(context, error)
            submit = partial(self._submit_of, self._callers, header)
        reader = asyncio.ensure_future(self._read_batches(context, outgoing, room, submit))
        self._streams.add(outgoing)
        if self._is_draining:
            outgoing.put_nowait(DRAINING)
        try:
            while (item := await outgoing.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, bytes):
                    await context.write(item)
                else:
                    await context.write(await item)
                    room.give()
        except NO_ANSWER as error:
            await _abort(context, error)
        except Exception:
            if not context.cancelled():
                raise
            # Its caller went away in the middle of an answer; the commands happened all the same.
        finally:
            self._streams.discard(outgoing)
            reader.cancel()
            while not outgoing.empty():  # answers that nobody waits for any more; their commands happen all the same
                item = outgoing.get_nowait()
                if isinstance(item, asyncio.Future):
                    item.cancel()

    async def _read_batches(
        self,
        context: Context,
        outgoing: Outgoing,
        room: _Room,
        submit: Callable[[bytes], asyncio.Future[bytes]],
    ) -> None:
        try:
            while True:
                await room.left()
                request = await context.read()
                if not isinstance(request, bytes):  # grpc.aio.EOF
                    outgoing.put_nowait(None)
                    return
                room.take(len(request))
                outgoing.put_nowait(submit(request))
        except Exception as error:  # whatever it is, the stream ends with it after the answers before it
            outgoing.put_nowait(error)

    def _submit_of(self, callers: Callers, header: str | bytes | None, request: bytes) -> asyncio.Future[bytes]:
        """Submit what its caller may send now; the rest of the batch is refused in its place."""
        rest, refused = callers.find(header).screened(request)
        if not refused:
            return self._engine.submit(request)
        return asyncio.ensure_future(_joined(self._engine.submit(rest) if rest else None, refused))


class _Room:
    """What of one stream is taken and not answered: STREAM_BATCHES_MAX, or fewer where they are long.

    Their answers are kept until the caller takes them.
    """

    def __init__(self) -> None:
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._given = asyncio.Event()

    async def left(self) -> None:
        """Wait until one more may be taken."""
        while len(self._sizes) >= STREAM_BATCHES_MAX or self._bytes >= STREAM_BYTES_MAX:
            self._given.clear()
            await self._given.wait()

    def take(self, size: int) -> None:
        """One of so many bytes is."""
        self._sizes.append(size)
        self._bytes += size

    def give(self) -> None:
        """The oldest is answered."""
        self._bytes -= self._sizes.popleft()
        self._given.set()


async def _joined(answer: asyncio.Future[bytes] | None, refused: dict[int, bytes]) -> bytes:
    """The answer to a batch some commands of which were refused."""
    return answered(b"" if answer is None else await answer, refused)


async def _parsed(kind: Any, request: bytes, context: Context) -> Any:
    """The message in these bytes, or the end of the call."""
    try:
        return kind.FromString(request)
    except DecodeError:
        return await _abort(context, MalformedRequest(f"{kind.__name__}: the bytes are no such message"))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _status_of(error: Exception) -> grpc.StatusCode:
    return next(STATUS_BY_ERROR[kind] for kind in type(error).__mro__ if kind in STATUS_BY_ERROR)


async def _abort(context: Context, error: Exception) -> bytes:
    """End a call without an answer, with the status of `error`."""
    await context.abort(_status_of(error), str(error))
    raise AssertionError("abort raises") from error


def _refuse(call: Asked, error: Exception) -> None:
    """The same for a call that is served directly."""
    call.refuse(_status_of(error), str(error))


class _Awaited:
    """A unary call of grpcio's server, which waits for what its handler returns."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.ended: asyncio.Future[bytes | tuple[grpc.StatusCode, str]] = asyncio.get_running_loop().create_future()

    def invocation_metadata(self) -> Any:
        return self._context.invocation_metadata()

    def answer(self, message: bytes) -> None:
        if not self.ended.done():  # its caller went away; the command happened all the same
            self.ended.set_result(message)

    def refuse(self, code: grpc.StatusCode, details: str) -> None:
        if not self.ended.done():
            self.ended.set_result((code, details))


def _awaited(start: Start) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def handle(request: bytes, context: Context) -> bytes:
        call = _Awaited(context)
        start(request, call)
        found = await call.ended
        if isinstance(found, bytes):
            return found
        await context.abort(*found)
        raise AssertionError("abort raises")

    return handle
