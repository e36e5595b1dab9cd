"""The server on nghttp2 by itself: what a caller may do wrong, give up or keep waiting, frame by frame."""

from __future__ import annotations

import asyncio
import gc
import gzip
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from hpack import Decoder

from ringup.engine import edge_http2
from ringup.engine.edge_http2 import Call, Limits, Server
from ringup.engine.event_loop import new_event_loop
from ringup.native import http2

pytestmark = pytest.mark.skipif(edge_http2.load() is not None, reason="no libnghttp2 on this machine")

MESSAGE_BYTES_MAX = 4 << 20
LIMITS = Limits(MESSAGE_BYTES_MAX, 100, 0.3, 600.0, 8, "full: 100 % of 8 calls, später wieder", 1000, 64 << 20)
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL = 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Shop:
    """Handlers that can be held, and tell what became of them."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.started = self.ended = self.cancelled = self.written = 0

    async def echo(self, request: bytes, call: Call) -> bytes:
        """The request, once it may go."""
        self.started += 1
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended += 1
        return request

    async def fails(self, request: bytes, call: Call) -> bytes:
        if request:
            await call.abort(grpc.StatusCode.FAILED_PRECONDITION, "Grüße: 100 %\n" + request.decode())
        raise ValueError("by mistake")

    async def says(self, request: bytes, call: Call) -> bytes:
        return repr(call.invocation_metadata()).encode()

    async def streams(self, requests: Any, call: Call) -> None:
        """Each message back, once it may be read."""
        self.started += 1
        try:
            await self.open.wait()
            while isinstance(message := await call.read(), bytes):
                await call.write(message)
                self.written += 1
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended += 1

    async def floods(self, request: bytes, call: Call) -> None:
        """Messages without end."""
        try:
            while True:
                await call.write(bytes(100_000))
                self.written += 1
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def run(test: Callable[[Server, Shop, int], Awaitable[None]]) -> None:
    async def bounded() -> None:
        shop, server = Shop(), Server(LIMITS)
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        methods: dict[str, Any] = {
            "Echo": unary(shop.echo), "Fails": unary(shop.fails), "Says": unary(shop.says),
            "Streams": stream(shop.streams), "Floods": grpc.unary_stream_rpc_method_handler(shop.floods),
        }  # fmt: skip
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler("a.Shop", methods),
                grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": unary(shop.says)}),
            )
        )
        port = await server.start("127.0.0.1:0")
        try:
            async with asyncio.timeout(60):
                await test(server, shop, port)
                await until(lambda: server.serving.calls == 0 or not shop.open.is_set())
        finally:
            await server.stop(0)
            while OPENED:
                wire = OPENED.pop()
                wire.close()
                wire.writer.transport.abort()
        assert server.serving.calls == 0, "every call that was counted is counted off"
        assert server.serving.bytes_kept == 0, "and every byte of their messages"
        assert not server.connections

    with asyncio.Runner(loop_factory=new_event_loop) as runner:  # an engine's
        runner.run(bounded())


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110  # of the server's own counters, which tell nobody
        await asyncio.sleep(0.005)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload) << 8 | kind) + struct.pack(">BI", flags, stream) + payload


def block(path: str, *headers: tuple[str, str], kind: str = "application/grpc", method: str = "POST") -> bytes:
    """A header block of literals that nobody indexes (RFC 7541, 6.2.2)."""

    def text(value: str) -> bytes:
        raw, size = value.encode(), len(value.encode())
        if size < 127:
            return bytes((size,)) + raw
        more, size = b"\x7f", size - 127
        while size >= 128:
            more, size = more + bytes((size & 127 | 128,)), size >> 7
        return more + bytes((size,)) + raw

    all_headers = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")]
    all_headers += [("content-type", kind), ("te", "trailers"), *headers]
    return b"".join(b"\0" + text(name) + text(value) for name, value in all_headers)


def message(body: bytes, compressed: int = 0) -> bytes:
    return struct.pack(">BI", compressed, len(body)) + body


OPENED: list[Wire] = []  # by the test that runs


class Wire:
    """A connection that says just what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._headers = Decoder()
        OPENED.append(self)

    @classmethod
    async def to(cls, port: int, settings: bytes = b"") -> Wire:
        wire = cls(*await asyncio.open_connection("127.0.0.1", port))
        wire.send(PREFACE, frame(SETTINGS, 0, 0, settings), frame(SETTINGS, ACK, 0))
        return wire

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def next(self) -> tuple[int, int, int, bytes]:
        """(type, flags, stream, payload) of the next frame; of headers `name: value` in lines."""
        head, flags, stream = struct.unpack(">IBI", await self.reader.readexactly(9))
        payload = await self.reader.readexactly(head >> 8)
        if head & 0xFF == HEADERS:
            payload = b"".join(b"%b: %b\n" % one for one in self._headers.decode(payload, raw=True))
        return head & 0xFF, flags, stream, payload

    async def until(self, kind: int, stream: int, flag: int = 0) -> bytes:
        """The payload of the next frame of this type on this stream that has the flag."""
        while True:
            found, flags, on, payload = await self.next()
            if (found, on) == (kind, stream) and flags & flag == flag:
                return payload

    async def is_closed(self) -> bool:
        try:
            while await self.reader.read(1 << 16):
                pass
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        self.writer.close()


def call(stream: int, path: str, body: bytes, *headers: tuple[str, str], flags: int = END_STREAM) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, block(path, *headers)) + frame(DATA, flags, stream, body)


def channel(port: int) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])


async def status(made: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await made
    return caught.value.code(), caught.value.details() or ""


def test_what_a_handler_says_is_what_the_caller_hears() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        shop.open.set()
        async with channel(port) as to:
            for size in (0, 1, 16_379, 16_384, 70_000, MESSAGE_BYTES_MAX):
                assert await to.unary_unary("/a.Shop/Echo")(bytes(size)) == bytes(size)
            made = to.unary_unary("/a.Shop/Fails")(b"ringup")
            assert await status(made) == (grpc.StatusCode.FAILED_PRECONDITION, "Grüße: 100 %\nringup")
            code, details = await status(to.unary_unary("/a.Shop/Fails")(b""))
            assert code is grpc.StatusCode.UNKNOWN
            assert details == "unexpected ValueError: by mistake"
            said = await to.unary_unary("/a.Shop/Says")(b"", metadata=[("who", "till 1"), ("raw-bin", b"\0\xff")])
            assert eval(said) == [("who", "till 1"), ("raw-bin", b"\0\xff")]  # what repr made
            code, details = await status(to.unary_unary("/a.Shop/Other")(b""))
            assert code is grpc.StatusCode.UNIMPLEMENTED
            assert details.endswith("/a.Shop/Other")
            code, details = await status(to.unary_unary("/a.Shop/Echo")(bytes(MESSAGE_BYTES_MAX + 1)))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "4194304" in details
            assert await to.unary_unary("/a.Shop/Echo")(b"still") == b"still"

    run(test)


def test_a_deadline_ends_a_call_here_too() -> None:
    """By hand, since a gRPC client would end it by itself."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = await Wire.to(port)
        for stream, path in ((1, "/a.Shop/Echo"), (3, "/a.Shop/Streams")):
            wire.send(call(stream, path, message(b"a"), ("grpc-timeout", "30m")))
            assert b"grpc-status: 4\n" in await wire.until(HEADERS, stream, END_STREAM)
        await until(lambda: shop.cancelled == 2)
        assert server.serving.calls == 0
        wire.close()

    run(test)


def test_a_deadline_that_is_no_time_is_refused() -> None:
    """It was taken for no deadline: the call was served, for as long as it took."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        shop.open.set()
        wire = await Wire.to(port)
        wrong = ("", "S", "1", "-1S", "+1S", "1s", "1x", "1.5S", "1_0S", "100000000S", "\u0661S")
        for number, timeout in enumerate(wrong):
            wire.send(call(2 * number + 1, "/a.Shop/Echo", message(b"a"), ("grpc-timeout", timeout)))
            assert b"grpc-status: 13\n" in await wire.until(HEADERS, 2 * number + 1, END_STREAM)
        assert not shop.started
        for number, timeout in enumerate(("99999999H", "00000009S", "99999999u"), len(wrong)):
            wire.send(call(2 * number + 1, "/a.Shop/Echo", message(b"a"), ("grpc-timeout", timeout)))
            assert await wire.until(DATA, 2 * number + 1) == message(b"a")
        wire.close()

    run(test)


def test_calls_that_are_given_up_are_cancelled_and_counted_off() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = await Wire.to(port)
        wire.send(*(call(stream, "/a.Shop/Echo", message(b"a")) for stream in (1, 3, 5)))
        await until(lambda: shop.started == 3)
        assert server.serving.calls == 3
        wire.send(frame(RST_STREAM, 0, 1, struct.pack(">I", CANCEL)))
        await until(lambda: shop.cancelled == 1)
        assert server.serving.calls == 2
        # One that is given up before its message is whole was never served.
        wire.send(frame(HEADERS, END_HEADERS, 7, block("/a.Shop/Echo")), frame(DATA, 0, 7, message(b"abc")[:6]))
        wire.send(frame(RST_STREAM, 0, 7, struct.pack(">I", CANCEL)))
        wire.close()  # and with the connection the rest
        await until(lambda: shop.cancelled == 3)
        assert (server.serving.calls, shop.started) == (0, 3)

    run(test)


def test_more_calls_than_may_be_served_are_refused_in_words_and_health_answers() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        async with channel(port) as to:
            served = [asyncio.ensure_future(to.unary_unary("/a.Shop/Echo")(b"a")) for _ in range(6)]
            served += [to.stream_stream("/a.Shop/Streams")(iter([b"a"])) for _ in range(2)]
            await until(lambda: server.serving.calls == LIMITS.calls_max)
            for refused in [to.unary_unary("/a.Shop/Echo")(bytes(size)) for size in (0, 10, 100_000)]:
                assert await status(refused) == (grpc.StatusCode.RESOURCE_EXHAUSTED, LIMITS.refusal)
            for messages in ([b"a"], [], [bytes(100_000)]):
                made = to.stream_stream("/a.Shop/Streams")(iter(messages))
                assert await status(made.read()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, LIMITS.refusal)
            made = to.stream_stream("/a.Shop/Streams")()  # says nothing
            assert await status(made.read()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, LIMITS.refusal)
            assert await to.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"[]"
            assert server.serving.calls == LIMITS.calls_max
            shop.open.set()
            assert [await one for one in served[:6]] == [b"a"] * 6
            assert [await one.read() for one in served[6:]] == [b"a"] * 2
            await until(lambda: server.serving.calls == 0)
            assert await to.unary_unary("/a.Shop/Echo")(b"again") == b"again"

    run(test)


def test_a_reader_that_is_slow_holds_the_writer_and_nobody_else() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        shop.open.set()
        slow = await Wire.to(port)  # its window of 65,535 bytes is never opened
        slow.send(call(1, "/a.Shop/Floods", message(b"")))
        await slow.until(DATA, 1)
        # One that lets as much come as may, but does not read its socket.
        deaf = await Wire.to(port, struct.pack(">HI", 4, 2**31 - 1))
        deaf.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1 - 65_535)))
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        deaf.send(call(1, "/a.Shop/Floods", message(b"")))
        async with channel(port) as to:
            before = -1
            while shop.written != before:
                before = shop.written
                for _ in range(20):
                    assert await to.unary_unary("/a.Shop/Echo")(b"a") == b"a"
        assert shop.written < 200, "20 MB: the buffers of the system hold less"
        assert server.serving.calls == 2
        slow.close()
        deaf.writer.transport.abort()
        await until(lambda: shop.cancelled == 2)

    run(test)


def test_what_is_not_read_is_not_taken() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = await Wire.to(port, struct.pack(">HI", 4, 2**31 - 1))
        wire.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1 - 65_535)))  # for the answers
        window, stream_window = 65_535, 1 << 20
        wire.send(frame(HEADERS, END_HEADERS, 1, block("/a.Shop/Streams")))
        sent = 0
        part = message(bytes(10_000 - 5))
        while sent + len(part) <= stream_window:
            while window < len(part):
                kind, _, on, payload = await wire.next()
                if kind == WINDOW_UPDATE:
                    assert on == 0, "more may come on a stream that nobody reads"
                    window += struct.unpack(">I", payload)[0]
            wire.send(frame(DATA, 0, 1, part))
            sent, window = sent + len(part), window - len(part)
        await until(lambda: shop.started == 1)
        shop.open.set()
        await wire.until(WINDOW_UPDATE, 1)
        wire.close()
        await until(lambda: shop.ended + shop.cancelled == 1)

    run(test)


@pytest.mark.parametrize(
    ("body", "encoding", "code"),
    [
        (message(gzip.compress(b"milk"), 1), "gzip", None),
        (message(zlib.compress(b"milk"), 1), "deflate", None),
        (message(b"milk"), "gzip", None),
        (message(gzip.compress(bytes(64 << 20)), 1), "gzip", 8),
        (message(gzip.compress(b"milk")[:-9], 1), "gzip", 13),
        (message(b"no gzip", 1), "gzip", 13),
        (message(b"milk", 1), "br", 12),
        (message(b"milk")[:-1], "identity", 13),
        (message(b"milk", 1), "identity", 13),
        (message(b"milk", 1), "", 13),
        (message(b"milk") * 2, "identity", 12),
        (b"", "identity", 12),
        (b"\0\0", "identity", 13),
        (b"\0\xff\xff\xff\xff", "identity", 8),
    ],
)
def test_messages_packed_broken_and_too_many_get_grpcs_status(body: bytes, encoding: str, code: int | None) -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        shop.open.set()
        wire = await Wire.to(port)
        for stream, size in ((1, len(body) or 1), (3, 1), (5, 7)):  # in frames of so many bytes
            if len(body) > 1000 and size < 1000:
                continue
            headers = [("grpc-encoding", encoding)] if encoding else []
            wire.send(frame(HEADERS, END_HEADERS, stream, block("/a.Shop/Echo", *headers)))
            parts = [body[at : at + min(size, 16_384)] for at in range(0, len(body), min(size, 16_384))]
            wire.send(*(frame(DATA, 0, stream, part) for part in parts), frame(DATA, END_STREAM, stream))
            if code is None:
                assert await wire.until(DATA, stream) == message(b"milk")
        if code is not None:
            async with channel(port) as to:
                assert await to.unary_unary("/a.Shop/Echo")(b"others") == b"others"
            kind, flags, stream, payload = await wire.next()
            while kind != HEADERS:
                kind, flags, stream, payload = await wire.next()
            assert flags & END_STREAM
            assert b"grpc-status: %d\n" % code in payload
            assert shop.started == 1, "only the call of another"
        wire.close()

    run(test)


def test_what_is_no_grpc_is_told_so_in_http() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = await Wire.to(port)
        wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block("/a.Shop/Echo", kind="text/html")))
        assert b":status: 415\n" in await wire.until(HEADERS, 1, END_STREAM)
        for stream, method in ((3, "GET"), (5, "PUT"), (7, "POSTS"), (9, "post")):
            wire.send(frame(HEADERS, END_HEADERS, stream, block("/a.Shop/Echo", method=method)))
            wire.send(frame(DATA, END_STREAM, stream, message(b"a")))
            assert b":status: 405\n" in await wire.until(HEADERS, stream, END_STREAM)
        assert not shop.started, "what may be asked again by whoever passes it on changes nothing"
        with socket.create_connection(("127.0.0.1", port)) as http1:
            http1.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(http1, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            while await asyncio.get_running_loop().sock_recv(http1, 1 << 16):
                pass  # it ends
        wire.close()

    run(test)


def test_who_says_nothing_is_not_waited_for() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        silent = Wire(*await asyncio.open_connection("127.0.0.1", port))
        half = Wire(*await asyncio.open_connection("127.0.0.1", port))
        half.send(PREFACE[:10])
        idle = await Wire.to(port)  # has begun, and may be idle for long
        assert await silent.is_closed()
        assert await half.is_closed()
        shop.open.set()
        idle.send(call(1, "/a.Shop/Echo", message(b"a")))
        assert await idle.until(DATA, 1) == message(b"a")
        idle.close()

    run(test)


def test_idle_connections_are_closed_and_working_ones_are_not() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        server.limits = LIMITS._replace(idle_s=0.3)
        idle, working = await Wire.to(port), await Wire.to(port)
        working.send(call(1, "/a.Shop/Echo", message(b"a")))
        await idle.until(GOAWAY, 0)
        assert await idle.is_closed()
        shop.open.set()
        assert await working.until(DATA, 1) == message(b"a")
        assert await working.is_closed()

    run(test)


def test_beyond_the_connections_that_may_be_the_quietest_are_closed() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        server.limits = LIMITS._replace(connections_max=4)
        working = await Wire.to(port)
        working.send(call(1, "/a.Shop/Echo", message(b"a")))
        await until(lambda: shop.started == 1)
        others = []
        for count in range(7):
            await asyncio.sleep(0.002)  # the loop's clock counts milliseconds
            others.append(await Wire.to(port))
            await others[-1].until(SETTINGS, 0)
            await until(lambda: len(server.connections) == min(2 + count, 4))  # noqa: B023  # it ends here
        for quiet in others[:4]:
            assert struct.unpack(">II", await quiet.until(GOAWAY, 0)) == (0, 0), "nothing of it was taken"
            assert await quiet.is_closed()
        shop.open.set()
        for kept in (working, *others[4:]):
            kept.send(call(3, "/a.Shop/Echo", message(b"b")))
            assert await kept.until(DATA, 3) == message(b"b")
        server.limits = LIMITS._replace(connections_max=3)
        shop.open.clear()
        for kept in (working, *others[4:]):
            kept.send(call(5, "/a.Shop/Echo", message(b"c")))
        await until(lambda: server.serving.calls == 4)
        assert await (await Wire.to(port)).is_closed(), "where all work, it is the new one"
        shop.open.set()
        assert await working.until(DATA, 5) == message(b"c")

    run(test)


def test_who_has_gone_without_a_word_is_asked_for() -> None:
    """By TCP: a till that was switched off had its stream, one of the calls that may be, until the engine's end."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = await Wire.to(port)
        await wire.until(SETTINGS, 0)
        (connection,) = server.connections
        assert connection._transport is not None
        accepted = connection._transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        for name, value in edge_http2.KEEPALIVE.items():
            if hasattr(socket, name):
                assert accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value
        wire.close()

    run(test)


FLOODS = {
    "pings": lambda n: frame(PING, 0, 0, bytes(8)),
    "settings": lambda n: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535)),
    "resets": lambda n: (
        call(2 * n + 1, "/a.Shop/Echo", message(b"a"), flags=0)
        + frame(RST_STREAM, 0, 2 * n + 1, struct.pack(">I", CANCEL))
    ),
    "refusals": lambda n: call(2 * n + 1, "/a.Shop/Echo", message(b"a")),
    "headers": lambda n: frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, block("/a.Shop/Echo", ("x", "y" * 9000))),
    "continuations": lambda n: (
        frame(HEADERS, 0, 1, block("/a.Shop/Echo")) if n == 0 else frame(CONTINUATION, 0, 1, b"\0\1x\1y" * 2000)
    ),
    "unknown": lambda n: frame(0x42, 0, 2 * n + 1, bytes(1000)),
}


@pytest.mark.parametrize("kind", list(FLOODS))
def test_a_flood_from_one_hurts_nobody_else(kind: str) -> None:
    """From a connection that sends and never reads: it is held back or ended, and others are served."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = await Wire.to(port)
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        if kind != "refusals":
            shop.open.set()
        is_held = False
        for first in range(0, 20_000, 100):
            if wire.writer.transport.is_closing():
                break
            wire.send(*(FLOODS[kind](n) for n in range(first, first + 100)))
            try:
                async with asyncio.timeout(2):
                    await wire.writer.drain()
            except (TimeoutError, ConnectionError):
                is_held = True
                break
        del is_held
        async with channel(port) as to:
            assert await to.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"[]"
        held = sum(len(one._http2.calls) for one in server.connections)
        assert held <= LIMITS.streams_max, "calls of one connection"
        wire.writer.transport.abort()
        await until(lambda: not server.connections)
        assert server.serving.calls == 0

    run(test)


def test_headers_without_end_are_refused() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        async with channel(port) as to:
            made = to.unary_unary("/a.Shop/Echo")(b"a", metadata=[(f"k{n}", "v" * 1000) for n in range(20)])
            code, _ = await status(made)
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not shop.started

    run(test)


def test_a_server_that_stops_lets_calls_end_and_takes_no_new_ones() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        async with channel(port) as to:
            served = asyncio.ensure_future(to.unary_unary("/a.Shop/Echo")(b"a"))
            await until(lambda: shop.started == 1)
            stopping = asyncio.ensure_future(server.stop(30))
            await until(lambda: not server._listening[0].is_serving())
            async with channel(port) as late:
                code, _ = await status(late.unary_unary("/a.Shop/Echo")(b"late"))
                assert code is grpc.StatusCode.UNAVAILABLE
            code, _ = await status(to.unary_unary("/a.Shop/Echo")(b"late"))
            assert code is grpc.StatusCode.UNAVAILABLE
            assert not stopping.done()
            shop.open.set()
            assert await served == b"a"
            await stopping
            assert shop.started == 1

    run(test)


def test_answers_go_out_whole_before_a_server_has_stopped() -> None:
    """Their handlers had ended, so nobody waited: of an answer that its reader's window held back the rest was lost."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        shop.open.set()
        size = 900_000
        wire, other = await Wire.to(port), await Wire.to(port)  # with windows of 65,535 bytes
        other.send(frame(HEADERS, END_HEADERS, 1, block("/a.Shop/Echo")))  # a question that never ends
        await wire.until(WINDOW_UPDATE, 0)
        question = message(bytes(size))
        parts = [question[at : at + 16_384] for at in range(0, len(question), 16_384)]
        wire.send(frame(HEADERS, END_HEADERS, 1, block("/a.Shop/Echo")))
        wire.send(*(frame(DATA, 0, 1, part) for part in parts), frame(DATA, END_STREAM, 1))
        await until(lambda: shop.ended == 1 and server.serving.calls == 0)
        stopping = asyncio.ensure_future(server.stop(30))
        await asyncio.sleep(0.05)
        came, payload = 0, b""
        while b"grpc-status" not in payload:
            kind, _, _, payload = await wire.next()
            if kind == DATA:
                came += len(payload)
                opened = struct.pack(">I", len(payload) or 1)
                wire.send(frame(WINDOW_UPDATE, 0, 0, opened), frame(WINDOW_UPDATE, 0, 1, opened))
        assert b"grpc-status: 0\n" in payload
        assert came == len(question)
        assert await wire.is_closed()
        await stopping

    run(test)


def test_a_server_stops_though_its_answers_are_not_taken() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        shop.open.set()
        wire = await Wire.to(port, struct.pack(">HI", 4, 0))  # a window of 0
        wire.send(call(1, "/a.Shop/Echo", message(b"a")))
        await until(lambda: shop.ended == 1)
        await server.stop(0.05)
        assert await wire.is_closed()

    run(test)


def test_what_outlasts_the_grace_is_ended() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        async with channel(port) as to:
            served, stream = to.unary_unary("/a.Shop/Echo")(b"a"), to.stream_stream("/a.Shop/Streams")(iter([]))
            await until(lambda: shop.started == 2)
            await server.stop(0.05)
            assert (await status(served))[0] is grpc.StatusCode.UNAVAILABLE
            assert (await status(stream.read()))[0] is grpc.StatusCode.UNAVAILABLE
            assert shop.cancelled == 2

    run(test)


def test_an_address_is_had_by_one() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        with pytest.raises(OSError, match="expected a free address to listen on"):
            await Server(LIMITS).start(f"127.0.0.1:{port}")
        with pytest.raises(OSError, match="expected a free address"):
            await Server(LIMITS).start("no.such.host.invalid:0")
        shop.open.set()
        for host in ("localhost", "[::]", "0.0.0.0"):
            other = Server(LIMITS)
            other.add_generic_rpc_handlers(server._generic)
            try:
                at = await other.start(f"{host}:0")
            except OSError:
                if host != "[::]":
                    raise
                continue  # no IPv6 here
            async with channel(at) as to:
                assert await to.unary_unary("/a.Shop/Echo")(b"a") == b"a"
            await other.stop(0)

    run(test)


def test_an_address_that_is_not_here_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As localhost's ::1 where IPv6 is off."""
    here, elsewhere = ("127.0.0.1", 0), ("192.0.2.1", 0)  # RFC 5737: nobody's

    def addresses(*found: tuple[str, int]) -> None:
        infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in found]
        monkeypatch.setattr(edge_http2.socket, "getaddrinfo", lambda *_, **__: infos)

    async def test() -> None:
        addresses(elsewhere, here)
        server = Server(LIMITS)
        assert await server.start("localhost:0") > 0
        await server.stop(0)
        addresses(elsewhere)
        with pytest.raises(OSError, match="expected a free address to listen on"):
            await Server(LIMITS).start("localhost:0")

    asyncio.run(test())


def test_what_has_ended_is_freed_without_the_collector() -> None:
    """An engine lets it look at what is older than a moment only after hundreds of thousands of calls."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        shop.open.set()
        gc.collect()
        gc.disable()
        try:
            wires = [await Wire.to(port) for _ in range(4)]
            for number, wire in enumerate(wires):
                wire.send(call(1, "/a.Shop/Echo", message(b"a")))
                await wire.until(DATA, 1)
                if number < 2:
                    shop.open.clear()
                    wire.send(call(3, "/a.Shop/Echo", message(b"a")))  # in work when its connection ends
                    await until(lambda: server.serving.calls == 1)
                    shop.open.set() if number else None
                wire.close()
                await until(lambda: server.serving.calls == 0)
                shop.open.set()
            await until(lambda: not server.connections)
            await asyncio.sleep(0.01)
            alive = [one for one in gc.get_objects() if isinstance(one, (Call, http2.Connection))]
            assert not alive
        finally:
            gc.enable()

    run(test)
