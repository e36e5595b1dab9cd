"""What a caller may do to a connection of nghttp2's server so that it holds or does more than it should."""

from __future__ import annotations

import asyncio
import gc
import gzip
import struct
import tracemalloc
from typing import Any

import pytest
from structlog.testing import capture_logs

from ringup.engine import edge_http2
from ringup.engine.edge_http2 import Server
from tests.wire.test_http2 import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    LIMITS,
    MESSAGE_BYTES_MAX,
    PING,
    PREFACE,
    SETTINGS,
    WINDOW_UPDATE,
    Shop,
    Wire,
    block,
    call,
    channel,
    frame,
    message,
    run,
    until,
)

pytestmark = pytest.mark.skipif(edge_http2.load() is not None, reason="no libnghttp2 on this machine")

MIB = 1 << 20


def increment(size: int) -> bytes:
    return struct.pack(">I", size)


async def heard(wire: Wire) -> None:
    """All that was sent has been read by the server."""
    wire.send(frame(PING, 0, 0, bytes(8)))
    await wire.until(PING, 0, 1)


async def send_within_the_windows(wire: Wire, stream: int, data: bytes, part: int = 16_384) -> int:
    """As much as may go within some time; returns how much that was."""
    window, stream_window, at = 65_535, MIB, 0
    while at < len(data):
        size = min(part, len(data) - at, window, stream_window)
        if size:
            wire.send(frame(DATA, 0, stream, data[at : at + size]))
            at, window, stream_window = at + size, window - size, stream_window - size
            continue
        try:
            async with asyncio.timeout(0.3):
                kind, _, on, payload = await wire.next()
        except TimeoutError:
            break
        if kind == WINDOW_UPDATE:
            grown = struct.unpack(">I", payload)[0]
            window, stream_window = (window + grown, stream_window) if on == 0 else (window, stream_window + grown)
    return at


async def send_all(wire: Wire, stream: int, data: bytes, window: int, flags: int) -> int:
    """On a stream whose own window has room for it; returns what is left of the connection's."""
    parts = [data[at : at + 16_384] for at in range(0, len(data), 16_384)]
    for part in parts:
        while window < len(part):
            kind, _, on, payload = await wire.next()
            if (kind, on) == (WINDOW_UPDATE, 0):
                window += struct.unpack(">I", payload)[0]
        wire.send(frame(DATA, flags if part is parts[-1] else 0, stream, part))
        window -= len(part)
    return window


@pytest.mark.parametrize("size", [17_000, 300_000])
def test_messages_that_wait_take_all_their_bytes_of_the_window(size: int) -> None:
    """Not the last frame's alone: of 17,000 bytes that is 616."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = await Wire.to(port)
        wire.send(frame(HEADERS, END_HEADERS, 1, block("/a.Shop/Streams")))
        count = 16 * MIB // size
        sent = await send_within_the_windows(wire, 1, message(bytes(size)) * count)
        assert sent <= MIB + 65_535 + size, "what one call has unread"
        assert sent >= MIB - 16_384
        wire.close()
        shop.open.set()

    run(test)


def test_all_that_waits_is_read_in_the_end() -> None:
    """Messages of all sizes, far more than the window and than are taken apart at once."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        async with channel(port) as to:
            made = to.stream_stream("/a.Shop/Streams")()
            bodies = [b"%d" % n for n in range(5000)] + [bytes(n * 20_000) for n in range(60)] + [b""] * 3000

            async def write() -> None:
                for body in bodies:
                    await made.write(body)
                await made.done_writing()

            writing = asyncio.ensure_future(write())
            await until(lambda: shop.started == 1)
            await asyncio.sleep(0.1)  # until the window is full
            shop.open.set()
            assert [await made.read() for _ in bodies] == bodies
            await writing
            await until(lambda: shop.ended == 1)

    run(test)


def test_empty_messages_that_wait_cost_what_their_bytes_do() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = await Wire.to(port, struct.pack(">HI", 4, 2**31 - 1))
        wire.send(frame(WINDOW_UPDATE, 0, 0, increment(2**31 - 1 - 65_535)))
        tracemalloc.start()
        try:
            for stream in (1, 3, 5):
                wire.send(frame(HEADERS, END_HEADERS, stream, block("/a.Shop/Streams")))
                await send_within_the_windows(wire, stream, message(b"") * 30_000)
                await heard(wire)
            gc.collect()
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert held < 3 * MIB, "three calls of 150 KB"
        # What is not taken apart is known to be broken once it is.
        wire.send(frame(DATA, END_STREAM, 1, b"\0\0"))
        shop.open.set()
        assert b"grpc-status: 13\n" in await wire.until(HEADERS, 1, END_STREAM)
        wire.close()
        await until(lambda: shop.ended + shop.cancelled == 3)

    run(test)


def test_compressed_messages_that_wait_stay_compressed() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = await Wire.to(port, struct.pack(">HI", 4, 2**31 - 1))
        wire.send(frame(WINDOW_UPDATE, 0, 0, increment(2**31 - 1 - 65_535)))
        packed = message(gzip.compress(bytes(MESSAGE_BYTES_MAX)), 1)
        wire.send(frame(HEADERS, END_HEADERS, 1, block("/a.Shop/Streams", ("grpc-encoding", "gzip"))))
        tracemalloc.start()
        try:
            await send_within_the_windows(wire, 1, packed * 12)
            await heard(wire)
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert held < 8 * MIB, "twelve of 4 MiB are one of 50 KB"
        shop.open.set()
        assert (await wire.until(DATA, 1))[:5] == struct.pack(">BI", 0, MESSAGE_BYTES_MAX)
        wire.close()

    run(test)


def test_a_bomb_in_a_stream_is_refused_when_it_is_read() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        shop.open.set()
        wire = await Wire.to(port)
        for stream, body, code in (
            (1, gzip.compress(bytes(64 * MIB)), 8),
            (3, b"no gzip", 13),
            (5, gzip.compress(b"a")[:-3], 13),
        ):
            wire.send(frame(HEADERS, END_HEADERS, stream, block("/a.Shop/Streams", ("grpc-encoding", "gzip"))))
            whole = message(gzip.compress(b"milk"), 1) + message(body, 1)
            parts = [whole[at : at + 16_000] for at in range(0, len(whole), 16_000)]
            wire.send(*(frame(DATA, 0, stream, part) for part in parts), frame(DATA, END_STREAM, stream))
            assert b"grpc-status: %d\n" % code in await wire.until(HEADERS, stream, END_STREAM)
            await until(lambda: server.serving.calls == 0)
        assert (shop.cancelled, shop.ended, shop.written) == (3, 0, 3), "none of them takes it for the end"
        wire.close()

    run(test)


def test_calls_that_begin_together_are_no_more_than_may_be_served() -> None:
    """All of their headers come while there is room for each."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = await Wire.to(port)
        streams = range(1, 2 * 3 * LIMITS.calls_max, 2)
        wire.send(*(frame(HEADERS, END_HEADERS, stream, block("/a.Shop/Echo")) for stream in streams))
        await heard(wire)
        wire.send(*(frame(DATA, END_STREAM, stream, message(b"a")) for stream in streams))
        for _ in range(2 * LIMITS.calls_max):
            kind, flags, _, payload = await wire.next()
            while kind != HEADERS:
                kind, flags, _, payload = await wire.next()
            assert flags & END_STREAM
            assert b"grpc-status: 8\ngrpc-message: full: 100 %25" in payload
        assert (server.serving.calls, shop.started) == (LIMITS.calls_max, LIMITS.calls_max)
        shop.open.set()
        await wire.until(HEADERS, streams[LIMITS.calls_max - 1], END_STREAM)
        wire.close()

    run(test)


def test_a_status_with_too_many_words_comes_with_fewer() -> None:
    """nghttp2 drops a block of headers that is too long, and the caller would wait for its deadline."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = await Wire.to(port)
        name = b"\0\x0dgrpc-encoding\x7f" + b"\xf9\x5d" + b"\xfc" * 12_152  # 127 + 0x79 + 0x5d * 128
        wire.send(frame(HEADERS, END_HEADERS, 1, block("/a.Shop/Echo") + name))
        wire.send(frame(DATA, END_STREAM, 1, message(b"a", 1)))
        async with asyncio.timeout(5):
            said = await wire.until(HEADERS, 1, END_STREAM)
        assert b"grpc-status: 12\n" in said
        wire.close()

    run(test)


def test_a_call_without_a_path_ends_and_nothing_else() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = await Wire.to(port)
        wire.send(call(1, "/a.Shop/Echo", message(b"a")))
        connect = b"".join(
            b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value
            for name, value in (
                (b":method", b"CONNECT"), (b":authority", b"a"), (b"content-type", b"application/grpc"),
            )
        )  # fmt: skip
        with capture_logs() as logs:
            wire.send(frame(HEADERS, END_HEADERS, 3, connect))
            assert b":status: 415\n" in await wire.until(HEADERS, 3, END_STREAM)
        assert not logs
        shop.open.set()
        assert await wire.until(DATA, 1) == message(b"a")
        wire.close()

    run(test)


def test_trailers_of_a_call_that_was_refused_are_no_call() -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        server.limits = LIMITS
        wire = await Wire.to(port)
        full = range(1, 2 * LIMITS.calls_max, 2)
        wire.send(*(call(stream, "/a.Shop/Echo", message(b"a")) for stream in full))
        await until(lambda: shop.started == LIMITS.calls_max)
        wire.send(frame(HEADERS, END_HEADERS, 101, block("/a.Shop/Streams")))
        await heard(wire)
        shop.open.set()
        for stream in full:
            await wire.until(HEADERS, stream, END_STREAM)
        trailer = b"\0\x0ccontent-type\x10application/grpc"
        with capture_logs() as logs:
            wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 101, trailer))
            assert b"grpc-status: 8\n" in await wire.until(HEADERS, 101, END_STREAM)
        assert not logs
        wire.send(call(103, "/a.Shop/Echo", message(b"a")))
        assert await wire.until(DATA, 103) == message(b"a")
        wire.close()

    run(test)


def test_who_does_not_read_is_not_read_from_for_ever() -> None:
    """Streams over the limit are reset, and a reset waits for as long as nobody reads."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", port))  # its SETTINGS are not acknowledged
        wire.send(PREFACE, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1)))
        wire.send(frame(WINDOW_UPDATE, 0, 0, increment(2**31 - 1 - 65_535)))
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        wire.send(call(1, "/a.Shop/Floods", message(b"")))
        connection: Any = next(iter(server.connections))
        await until(lambda: bool(connection._is_full))
        stream, is_held = 3, False
        while not is_held and stream < 2_000_000:
            for _ in range(1000):
                wire.send(frame(HEADERS, END_HEADERS, stream, block("/a.Shop/Echo")))
                stream += 2
            try:
                async with asyncio.timeout(0.5):
                    await wire.writer.drain()
            except TimeoutError:
                is_held = True
        assert is_held
        assert connection._http2.queue_size < 10_000
        async with channel(port) as to:
            assert await to.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"[]"
        # Once it reads, it is read from again.
        wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(10):
            while wire.writer.transport.get_write_buffer_size():
                await wire.next()
        wire.writer.transport.abort()
        shop.open.set()

    run(test)


def test_answers_that_nobody_takes_and_questions_without_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_http2, "STALL_SECONDS", 0.6)

    async def test(server: Server, shop: Shop, port: int) -> None:
        shop.open.set()
        deaf = await Wire.to(port, struct.pack(">HI", 4, 0))  # a window of 0, never opened
        deaf.send(call(1, "/a.Shop/Echo", message(b"a")))
        half = await Wire.to(port)
        half.send(frame(HEADERS, END_HEADERS, 1, block("/a.Shop/Echo")), frame(DATA, 0, 1, message(b"abc")[:6]))
        served = await Wire.to(port)
        served.send(frame(HEADERS, END_HEADERS, 1, block("/a.Shop/Streams")))  # its handler waits, and may
        slow = await Wire.to(port)
        slow.send(frame(HEADERS, END_HEADERS, 1, block("/a.Shop/Echo")))
        for one in message(b"abc"):
            slow.send(frame(DATA, 0, 1, bytes((one,))))
            await asyncio.sleep(0.25)
        async with asyncio.timeout(3):
            assert await deaf.is_closed()
            assert await half.is_closed()
        slow.send(frame(DATA, END_STREAM, 1))
        assert await slow.until(DATA, 1) == message(b"abc")
        served.send(frame(DATA, END_STREAM, 1, message(b"a")))
        assert await served.until(DATA, 1) == message(b"a")
        slow.close()
        served.close()

    run(test)


@pytest.mark.parametrize("kind", ["questions", "streams", "packed", "answers"])
def test_who_has_most_kept_is_closed_when_it_is_too_much(kind: str) -> None:
    """Questions that are never whole and answers that are never taken: 100 of 4 MiB a connection, of any number."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        server.limits = LIMITS._replace(bytes_kept_max=6 * MIB)
        if kind == "answers":
            shop.open.set()
        small = await Wire.to(port)  # two of a till: one not whole, one in work
        small.send(frame(HEADERS, END_HEADERS, 1, block("/a.Shop/Echo")), frame(DATA, 0, 1, message(b"abc")[:6]))
        wire = await Wire.to(port, struct.pack(">HI", 4, 0))
        path = "/a.Shop/Streams" if kind == "streams" else "/a.Shop/Echo"
        # What unpacks to far more is kept packed.
        one = message(gzip.compress(bytes(MESSAGE_BYTES_MAX)), 1) if kind == "packed" else message(bytes(1_000_000))
        window = 65_535
        with capture_logs() as logs:
            for stream in range(1, 13, 2):  # just not too much
                wire.send(frame(HEADERS, END_HEADERS, stream, block(path, ("grpc-encoding", "gzip"))))
                window = await send_all(wire, stream, one, window, END_STREAM if kind == "answers" else 0)
            await asyncio.sleep(2 * edge_http2.LOOK_SECONDS)
            assert not logs
            assert server.serving.bytes_kept < 6 * MIB
            assert len(server.connections) == 2
            if kind == "packed":
                assert server.serving.bytes_kept < 100_000
                wire.close()
            else:
                wire.send(frame(HEADERS, END_HEADERS, 13, block(path)))
                await send_all(wire, 13, one, window, END_STREAM if kind == "answers" else 0)
                assert await wire.is_closed()
                assert [line["log_level"] for line in logs] == ["warning"]
        shop.open.set()
        small.send(frame(DATA, END_STREAM, 1, b"bc"))
        assert await small.until(DATA, 1) == message(b"abc")
        small.close()

    run(test)


def test_an_answer_that_cannot_be_sent_ends_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server, shop: Shop, port: int) -> None:
        shop.open.set()

        def fails(call: Any) -> None:
            raise MemoryError("none left")

        wire = await Wire.to(port)
        monkeypatch.setattr(edge_http2._Connection, "call_drained", lambda self, call: fails(call))
        with capture_logs() as logs:
            wire.send(call(1, "/a.Shop/Streams", message(b"a"), flags=0))
            async with asyncio.timeout(5):
                assert await wire.is_closed()
        assert [one["event"] for one in logs] == ["a connection failed"]
        await until(lambda: shop.cancelled == 1)

    run(test)


def test_data_for_calls_that_are_over_gives_the_connections_window_back() -> None:
    """Of those that were refused, those that are unknown to it, and padding."""

    async def test(server: Server, shop: Shop, port: int) -> None:
        shop.open.set()
        wire = await Wire.to(port)
        window, total = 65_535, 0
        for stream in range(1, 601, 2):
            path = ("/a.Shop/Echo", "/a.Shop/Other", "/a.Shop/Echo")[stream // 2 % 3]
            kind = "text/html" if stream // 2 % 3 == 2 else "application/grpc"
            wire.send(frame(HEADERS, END_HEADERS, stream, block(path, kind=kind)))
            if stream // 2 % 3 == 0:
                parts = [frame(DATA, END_STREAM | 8, stream, b"\xff" + message(b"a") + bytes(255))]
            else:
                parts = [frame(DATA, 0, stream, bytes(16_384))] * 3
            size = sum(len(part) - 9 for part in parts)
            wire.send(*parts)
            window, total, has_ended = window - size, total + size, False
            async with asyncio.timeout(5):
                while not has_ended or window < 65_535:
                    found, flags, on, payload = await wire.next()
                    assert found != GOAWAY
                    has_ended = has_ended or (found, on, flags & END_STREAM) == (HEADERS, stream, END_STREAM)
                    if (found, on) == (WINDOW_UPDATE, 0):
                        window += struct.unpack(">I", payload)[0]
        assert total > 2 * (4 * MIB), "twice the window"
        wire.close()

    run(test)
