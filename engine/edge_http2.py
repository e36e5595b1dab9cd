"""A gRPC server on nghttp2 and the event loop itself: what comes from a socket is a call a moment later.

grpcio's server for asyncio takes one call after the other, each through threads of gRPC: two wake-ups and some 0.2 ms a
call, of which an engine's own work is a fifth.  This one does what the engine's services use of gRPC, in the loop's own
thread: unary calls and streams, deadlines, gzip, limits, draining.  Where libnghttp2 is missing, grpcio serves
(edge_listeners.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from heapq import nsmallest
from operator import attrgetter
from typing import Any, NamedTuple, NoReturn, cast

import grpc
import structlog

from ringup.native import http2

log = structlog.get_logger()

LIBRARY = "libnghttp2.14.dylib" if sys.platform == "darwin" else "libnghttp2.so.14"
HEADER_BYTES_MAX = 16 << 10
OUTPUT_BYTES = 256 << 10  # given to a socket at once
BACKLOG = 1024  # connections that wait to be taken
LOOK_SECONDS = 0.25  # between looks at connections that say nothing
QUEUE_FRAMES = 1000  # that wait for one that does not read: beyond it nothing is read from it either
STALL_SECONDS = 60.0  # without a byte, where calls of a connection wait for its other side alone
CLOSE_SECONDS = 5.0  # for the last bytes to one that does not read
# A till that is switched off says nothing, and a stream to it would be held for ever: TCP asks it after a minute.
KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # seconds, seconds, unanswered
WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class Limits(NamedTuple):
    """What one connection may take, and all of them."""

    message_bytes_max: int
    streams_max: int
    handshake_s: float
    """Until the other side has said that it speaks HTTP/2."""
    idle_s: float
    """Without a call, after which the connection is closed."""
    calls_max: int
    """That are served, of all connections."""
    refusal: str
    """What is said beyond that."""
    connections_max: int
    """Beyond it, those that have been quiet for longest are closed."""
    bytes_kept_max: int
    """Of messages that have not come whole and of answers that are not taken, of all connections.

    Beyond it, those that make the server keep most are closed.
    """


def load() -> str | None:
    """Make ready; returns None, or what is missing."""
    return http2.load(LIBRARY)


class Aborted(Exception):
    """A handler has ended its call with a status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


class Call(http2.Call):
    """A call as its handler sees it: what the engine's services use of grpc.aio.ServicerContext."""

    task: asyncio.Task[Any] | None = None
    deadline: asyncio.TimerHandle | None = None
    _is_over = False
    _came: asyncio.Future[None] | None = None
    _drained: asyncio.Future[None] | None = None

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        """The headers that gRPC itself has no use for."""
        return self.metadata or []

    def cancelled(self) -> bool:
        """Whether the caller is gone, or its deadline."""
        return self.is_closed

    async def abort(self, code: grpc.StatusCode, details: str = "") -> NoReturn:
        """End the call with a status; raises."""
        raise Aborted(code, details)

    async def read(self) -> Any:
        """The next message, or grpc.aio.EOF."""
        while (message := self.next_message()) is None:
            if self.has_ended and not self.has_answer:
                return grpc.aio.EOF
            self._came = asyncio.get_running_loop().create_future()
            await self._came
        self.server.flush()
        return message if (parse := self.route.handler.request_deserializer) is None else parse(message)

    async def __aiter__(self) -> AsyncIterator[Any]:
        """All messages, as they come."""
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    async def write(self, message: Any) -> None:
        """Send one message; waits until the other side and the socket have room for it."""
        serialize = self.route.handler.response_serializer
        http2.Call.write(self, message if serialize is None else serialize(message))
        self.server.flush()
        while self.is_pending:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    @property
    def server(self) -> _Connection:
        """The connection that it came through."""
        connection: _Connection = self.connection.server
        return connection

    def heard(self) -> None:
        """A message came, or the last one has."""
        if self._came is not None and not self._came.done():
            self._came.set_result(None)

    def sent(self) -> None:
        """All that was written has gone."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def run_out(self) -> None:
        """Its deadline has come."""
        self.end(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline of the caller is over")

    def end(self, code: grpc.StatusCode, details: str) -> None:
        """End the call from outside of its handler."""
        if self.task is None:
            self.refuse(code, details)
            return
        self.finish(code.value[0], details)
        self.task.cancel()
        self.server.flush()

    def serve(self, request: bytes | None) -> None:
        """Start its handler."""
        handler, loop = self.route.handler, self.server.loop
        if (timeout_s := self.timeout_s) is not None:
            self.deadline = loop.call_later(timeout_s, self.run_out)
        if self.route.is_direct:
            try:
                handler(request, self)
            except Exception as error:
                self._failed(error)
            return
        self.task = loop.create_task(self._unary(handler, request) if self.route.asks_once else self._stream(handler))
        self.task.add_done_callback(self._ended)

    def answer(self, message: bytes) -> None:
        """The answer of a unary call that is served directly, now or later; after its end it goes nowhere."""
        self.respond(message)
        self._over()

    def refuse(self, code: grpc.StatusCode, details: str) -> None:
        """No answer, as `answer`."""
        self.finish(code.value[0], details)
        self._over()

    def _failed(self, error: BaseException) -> None:
        log.error("a call failed", exc_info=error)
        self.refuse(grpc.StatusCode.UNKNOWN, f"unexpected {type(error).__name__}: {error}")

    def _over(self) -> None:
        """Nobody serves it any more."""
        if self._is_over:
            return
        self._is_over = True
        if self.deadline is not None:
            self.deadline.cancel()
        connection = self.server
        connection.ended(self)
        self.served()
        connection.flush()

    async def _unary(self, handler: Any, request: Any) -> bytes | None:
        if (parse := handler.request_deserializer) is not None:
            request = parse(request)
        if handler.response_streaming:
            await self._answers(handler.unary_stream(request, self))
            return None
        answer = await handler.unary_unary(request, self)
        serialize = handler.response_serializer
        return answer if serialize is None else serialize(answer)  # type: ignore[no-any-return]

    async def _stream(self, handler: Any) -> bytes | None:
        if handler.response_streaming:
            await self._answers(handler.stream_stream(self, self))
            return None
        answer = await handler.stream_unary(self, self)
        serialize = handler.response_serializer
        return answer if serialize is None else serialize(answer)  # type: ignore[no-any-return]

    async def _answers(self, answers: Any) -> None:
        """A handler writes its answers itself, or gives one after the other."""
        if not hasattr(answers, "__aiter__"):
            await answers
            return
        async for answer in answers:
            await self.write(answer)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.task = None  # which knows this call
        if task.cancelled():
            self.refuse(grpc.StatusCode.CANCELLED, "the call was cancelled")
        elif (error := task.exception()) is None:
            if (answer := task.result()) is None:
                self.refuse(grpc.StatusCode.OK, "")
            else:
                self.answer(answer)
        elif isinstance(error, Aborted):
            self.refuse(error.code, error.details)
        else:
            self._failed(error)


class _Connection(asyncio.Protocol):
    """One socket."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.loop = asyncio.get_running_loop()
        self.active: set[Call] = set()
        self.make_call = Call
        self.find_route = server.find_route
        self._http2 = http2.Connection(
            self,
            server.serving,
            server.routes,
            server.limits.streams_max,
            server.limits.message_bytes_max,
            HEADER_BYTES_MAX,
        )
        self._transport: asyncio.Transport | None = None
        self._is_full = False
        self._is_flushing = False
        self._has_moved = False  # since the last look
        self.quiet_since = self.loop.time()

    # What the event loop says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._server.connections.add(self)
        if self._server.is_stopping:  # it was on its way when that began
            self._transport.abort()
            return
        self.flush()
        if len(self._server.connections) > self._server.limits.connections_max:
            self._server.make_room()

    def data_received(self, data: bytes) -> None:
        self._has_moved = True
        try:
            goes_on = self._http2.receive(data)
        except Exception:
            log.exception("a connection failed")
            goes_on = False
        if goes_on:
            if self._is_full:
                if self._http2.queue_size > QUEUE_FRAMES and self._transport is not None:
                    self._transport.pause_reading()
            elif self._http2.has_output:
                self.flush()
        else:
            self._flush()  # what is wrong
            self._end()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._server.connections.discard(self)
        self._http2.lost()
        self._server.quiet.set()
        if not self.active:
            self._http2.forget()

    def ended(self, call: Call) -> None:
        """Its handler has ended."""
        self.active.discard(call)
        if not self.active:
            self._server.quiet.set()
            if self._transport is None:
                self._http2.forget()

    def flush(self) -> None:
        """Send what there is to send, once for all that this turn of the loop has."""
        if not self._is_flushing:
            self._is_flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        transport = self._transport
        if transport is None:
            return
        try:
            while not self._is_full and (data := self._http2.output(OUTPUT_BYTES)):
                self._has_moved = True
                transport.write(data)
        except Exception:
            log.exception("a connection failed")
            transport.abort()
            return
        if self._http2.is_over:
            self._end()

    def _end(self) -> None:
        """Close when the last bytes have gone, or soon."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self.loop.call_later(CLOSE_SECONDS, self._transport.abort)

    # What the connection of HTTP/2 says.

    def call_came(self, call: Call, message: bytes | None) -> None:
        self.active.add(call)
        call.serve(message)

    def message_came(self, call: Call) -> None:
        call.heard()

    def call_drained(self, call: Call) -> None:
        call.sent()

    def call_stopped(self, call: Call) -> None:
        if call.task is not None:
            call.task.cancel()

    def decompressed(self, call: Call, message: bytes) -> bytes | None:
        """The message, or None where the call has its status."""
        most = self._server.limits.message_bytes_max
        bits = WINDOW_BITS.get(call.compression or "")
        if bits is None:
            code = grpc.StatusCode.UNIMPLEMENTED
            if call.compression in (None, "identity"):  # a message that contradicts its call
                code = grpc.StatusCode.INTERNAL
            call.finish(
                code.value[0],
                f"expected a message compressed as one of {', '.join(WINDOW_BITS)}, found {call.compression!r}",
            )
            return None
        unpacked = zlib.decompressobj(bits)
        try:
            found = unpacked.decompress(message, most + 1)
        except zlib.error as error:
            call.finish(grpc.StatusCode.INTERNAL.value[0], f"expected a message compressed as said: {error}")
            return None
        if len(found) > most:
            call.finish(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], f"expected a message of at most {most} bytes")
            return None
        if not unpacked.eof:
            call.finish(grpc.StatusCode.INTERNAL.value[0], "expected a whole compressed message, found its beginning")
            return None
        return found

    # What the server says.

    @property
    def is_answering(self) -> bool:
        """Calls are served, or what was answered has not gone."""
        return bool(self.active) or (
            self._transport is not None and (self._http2.is_answering or self._transport.is_closing())
        )

    def look(self, now: float) -> None:
        """Close a connection that says nothing, and send the statuses that waited for long enough."""
        limits = self._server.limits
        if not self._http2.has_settings:
            if now - self.quiet_since > limits.handshake_s and self._transport is not None:
                self._transport.abort()
            return
        if self._http2.release():
            self.flush()
        has_moved, self._has_moved = self._has_moved, False
        if self.active or (self._http2.calls and has_moved):
            self.quiet_since = now
        elif self._http2.calls:  # unfinished questions, or answers that are not taken
            if now - self.quiet_since > STALL_SECONDS and self._transport is not None:
                self._transport.abort()
        elif now - self.quiet_since > limits.idle_s:
            self.shut_down()

    def shut_down(self) -> None:
        """Take no new calls, and close when the others have ended."""
        if self._transport is not None:
            self._http2.shut_down()
            self.flush()

    @property
    def is_quiet(self) -> bool:
        """None of its calls is served, and it is not on its way out."""
        return not self.active and self._transport is not None and not self._transport.is_closing()

    @property
    def bytes_kept(self) -> int:
        """For its other side."""
        return self._http2.bytes_kept

    def cut(self) -> None:
        """End all calls and close, without a word."""
        if self._transport is not None:
            self._transport.abort()
        self._http2.lost()

    def close(self) -> None:
        """End all calls and close."""
        for call in list(self.active):
            call.end(grpc.StatusCode.UNAVAILABLE, "the server stops")
        if self._transport is not None:
            self._http2.release()
        self._flush()
        self._end()


class Server:
    """A gRPC server whose handlers are added as to one of grpc.aio."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.serving = http2.Serving(limits.calls_max, limits.refusal)
        self.connections: set[_Connection] = set()
        self.quiet = asyncio.Event()  # a connection has no call any more, or is closed
        self.routes: dict[bytes, http2.Route] = {}
        self._generic: list[grpc.GenericRpcHandler] = []
        self._listening: list[asyncio.Server] = []
        self._looks: asyncio.Task[None] | None = None
        self.is_stopping = False

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Serve these."""
        self._generic.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Serve these methods of one service."""
        for name, handler in handlers.items():
            self.routes[f"/{service}/{name}".encode()] = _route(f"/{service}/{name}", handler)

    def add_direct_handler(self, path: str, handler: Callable[[bytes, Call], None]) -> None:
        """Serve unary calls of `path` without a task: the handler has `answer` or `refuse` of the call called once."""
        self.routes[path.encode()] = http2.Route(handler, True, True, True)

    def find_route(self, path: bytes) -> http2.Route | None:
        """The method of this path, which was not called before; None where there is none."""
        details = _Details(path.decode("utf-8", "replace"))
        for generic in self._generic:
            if (handler := generic.service(details)) is not None:
                route = self.routes[path] = _route(details.method, handler)
                return route
        return None

    async def start(self, listen: str) -> int:
        """Serve on `listen` ("host:port", port 0 for any free one); returns the port.

        Raises OSError where the address cannot be had.
        """
        host, _, port = listen.rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            for one in _sockets(host.strip("[]"), int(port)):
                self._listening.append(await loop.create_server(lambda: _Connection(self), sock=one, backlog=BACKLOG))
        except OSError as error:
            for listening in self._listening:
                listening.close()
            raise OSError(
                f"{listen}: expected a free address to listen on, found: {error}; choose another with --listen"
            ) from error
        self._looks = loop.create_task(self._look())
        return int(self._listening[0].sockets[0].getsockname()[1])

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for connection in list(self.connections):
                connection.look(loop.time())
            if self.serving.bytes_kept > self.limits.bytes_kept_max:
                self._keep_less()

    def _keep_less(self) -> None:
        for connection in sorted(self.connections, key=attrgetter("bytes_kept"), reverse=True):
            if self.serving.bytes_kept <= self.limits.bytes_kept_max:
                break
            log.warning("a connection was closed: too much waits for its other side", bytes=connection.bytes_kept)
            connection.cut()

    def make_room(self) -> None:
        """Close the hundredth of the connections that have been quiet for longest; the newest where no other is."""
        quiet = [connection for connection in self.connections if connection.is_quiet]
        for connection in nsmallest(1 + len(quiet) // 100, quiet, key=attrgetter("quiet_since")):
            connection.shut_down()
            connection.close()

    async def _until_none(self, is_at_work: Callable[[_Connection], object], connections: list[_Connection]) -> None:
        while any(map(is_at_work, connections)):
            self.quiet.clear()
            await self.quiet.wait()

    async def stop(self, grace_s: float | None) -> None:
        """Take no more calls; those that are served may take so long, until their answers have gone."""
        self.is_stopping = True
        for listening in self._listening:
            listening.close()
        connections = list(self.connections)
        for connection in connections:
            connection.shut_down()
        if grace_s:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._until_none(attrgetter("is_answering"), connections), grace_s)
        for connection in connections:
            connection.close()
        await self._until_none(attrgetter("active"), connections)
        await asyncio.sleep(0)  # their statuses go out
        for connection in connections:
            connection.close()
        if self._looks is not None:
            self._looks.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looks


def _route(path: str, handler: Any) -> http2.Route:
    return http2.Route(handler, not handler.request_streaming, not path.startswith("/grpc."))


class _Details(grpc.HandlerCallDetails):
    """What grpc's handlers are asked with."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


def _sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to every address of `host`, all with the same port."""
    found: list[socket.socket] = []
    missing = OSError(f"no address for {host}")
    try:
        for family, kind, protocol, _, address in dict.fromkeys(
            socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        ):
            try:
                one = socket.socket(family, kind, protocol)
            except OSError:  # a family that this system does not have
                continue
            found.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # what it accepts has it too
            for name, value in KEEPALIVE.items():
                if (option := getattr(socket, name, None)) is not None:
                    one.setsockopt(socket.IPPROTO_TCP, option, value)
            if sys.platform != "win32":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address[0] != "::" or len(found) > 1))
            try:
                one.bind((address[0], port, *address[2:]))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                missing = error  # of several, such as ::1 where IPv6 is off
                found.remove(one)
                one.close()
                continue
            port = one.getsockname()[1]
    except OSError:
        for one in found:
            one.close()
        raise
    if not found:
        raise missing
    return found
