"""Callers that each make their own unary gRPC call, played by a client light enough not to be the limit.

A Python gRPC client costs as much a call as the server does; on a small machine it would measure
itself.  This one speaks just the HTTP/2 that a unary call needs: the same two frames a call that any
gRPC client sends, with the headers indexed after the first call as HPACK allows.  Answers are split
into frames, their messages checked by the caller; header blocks are not decoded, so a call that ends
without a message counts as refused, whatever its status.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench import load_loop
from bench.ticks import Ticks

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
WINDOW_MAX = 2**31 - 1
CONNECTION_WINDOW = 65_535  # RFC 9113, 6.9.2: what a connection starts with
STREAMS_MAX = 100  # the engine's limit a connection
CONNECTIONS = 64  # a till has one of its own; with all their streams more calls at once than the engine takes
WARM_UP_SECONDS = 0.3
GOOD_WITHIN_S = 1.0  # later than this a cashier, and a load balancer, thinks that nobody answers
OPEN_WARM_UP_SECONDS = GOOD_WITHIN_S  # until then a queue that only grows could pass for goodput
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload) << 8 | kind) + struct.pack(">BI", flags, stream) + payload


def _text(value: str) -> bytes:
    raw = value.encode()
    assert len(raw) < 127
    return bytes((len(raw),)) + raw


def _header_blocks(authority: str, path: str) -> tuple[bytes, bytes]:
    """The header block of the first call, which indexes its headers, and of all later ones (RFC 7541)."""
    first = b"\x83\x86\x44" + _text(path) + b"\x41" + _text(authority)
    first += b"\x5f" + _text("application/grpc") + b"\x40" + _text("te") + _text("trailers")
    return first, b"\x83\x86\xc1\xc0\xbf\xbe"


@dataclass(slots=True)
class Load:
    """What a load found; the warm-up is only in `answered` and `unanswered`."""

    seconds: float = 0.0
    ok: int = 0
    """Answers that came while the load lasted."""
    good: int = 0
    """Of an open loop: those of them that came within GOOD_WITHIN_S of being due."""
    due: int = 0
    """Of an open loop: calls that were due."""
    refused: int = 0
    late: int = 0
    """Calls that were given up at their deadline."""
    answered: int = 0
    """Answers that came at all, warm-up and afterwards included: what the server's own count must agree with."""
    unanswered: int = 0
    """Calls that ended without an answer, likewise: the server may have done them or not."""
    latencies_s: list[float] = field(default_factory=list, repr=False)  # of the ok ones
    refused_latencies_s: list[float] = field(default_factory=list, repr=False)

    @property
    def per_s(self) -> float:
        """Answered calls a second."""
        return self.ok / self.seconds

    @property
    def good_per_s(self) -> float:
        """Calls a second that were answered in time."""
        return self.good / self.seconds


class Connection(asyncio.Protocol):
    """One HTTP/2 connection that makes unary calls of one method."""

    def __init__(self, authority: str, path: str, ended: Callable[[Connection, float, bytes | None], None]) -> None:
        """`ended` is told of each call: the time it was given, and its answer's bytes or None."""
        self._first, self._later = _header_blocks(authority, path)
        self._ended = ended
        self._next_stream = 1
        self._started: dict[int, float] = {}
        self._answers: dict[int, bytes] = {}
        self._buffer = b""
        self._window = CONNECTION_WINDOW
        self._stream_window = CONNECTION_WINDOW
        self._consumed = 0
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._out: list[bytes] = []
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closing = False

    @property
    def unanswered(self) -> int:
        """Calls on the wire or waiting for a window."""
        return len(self._started) + len(self._waiting)

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        settings = struct.pack(">HIHI", 2, 0, 4, WINDOW_MAX)  # no push, a wide window for each stream
        grow = struct.pack(">I", WINDOW_MAX - CONNECTION_WINDOW)
        self._transport.write(_PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, grow))

    def call(self, body: bytes, given_s: float) -> None:
        """Send one call now, or as soon as windows and streams allow; `flush` puts it on the wire."""
        size = len(body) + 5
        if size > self._window or len(self._started) >= STREAMS_MAX:
            self._waiting.append((body, given_s))
            return
        assert size <= self._stream_window, "a message larger than a stream's first window"
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        block = self._first if stream == 1 else self._later
        self._window -= size
        self._started[stream] = given_s
        self._out += (
            struct.pack(">IBI", len(block) << 8 | HEADERS, END_HEADERS, stream),
            block,
            struct.pack(">IBIBI", size << 8 | DATA, END_STREAM, stream, 0, size - 5),
            body,
        )

    def flush(self) -> None:
        """Put what was called on the wire."""
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        at, end = 0, len(data)
        while end - at >= 9:
            head, flags, stream = struct.unpack_from(">IBI", data, at)
            size = head >> 8
            if at + 9 + size > end:
                break
            self._frame_received(head & 0xFF, flags, stream, data[at + 9 : at + 9 + size])
            at += 9 + size
        self._buffer = data[at:]
        while self._waiting and len(self._started) < STREAMS_MAX and self._window > len(self._waiting[0][0]) + 5:
            self.call(*self._waiting.popleft())
        self.flush()

    def _frame_received(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._answers[stream] = self._answers.get(stream, b"") + payload
            self._consumed += len(payload)
            if self._consumed > WINDOW_MAX // 2:
                self._out.append(_frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._consumed)))
                self._consumed = 0
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == 4:
                    self._stream_window = value
            self._out.append(_frame(SETTINGS, ACK, 0, b""))
            if not self.ready.done():
                self.ready.set_result(None)
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += struct.unpack(">I", payload)[0]
        elif kind == PING and not flags & ACK:
            self._out.append(_frame(PING, ACK, 0, payload))
        elif kind == GOAWAY and not self.closing:
            raise ConnectionError(f"the server closes the connection: {payload[8:].decode('ascii', 'replace')}")
        # A server that answers early may reset the rest of the stream after its trailers.
        if stream in self._started and (kind == RST_STREAM or (kind in (HEADERS, DATA) and flags & END_STREAM)):
            answer = self._answers.pop(stream, None)
            self._ended(self, self._started.pop(stream), None if answer is None else answer[5:])

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(error or ConnectionError("the server closed the connection at once"))

    def close(self) -> None:
        """End it; calls without an answer are dropped."""
        self.closing = True
        self._transport.close()


async def connect(
    port: int, path: str, connections: int, ended: Callable[[Connection, float, bytes | None], None]
) -> list[Connection]:
    """Open so many connections to a server on loopback."""
    loop, made = asyncio.get_running_loop(), []
    for _ in range(connections):
        _, connection = await loop.create_connection(
            lambda: Connection(f"127.0.0.1:{port}", path, ended), "127.0.0.1", port
        )
        await asyncio.wait_for(connection.ready, 10)
        made.append(connection)
    return made


async def _closed_loop(
    port: int,
    path: str,
    next_body: Callable[[], bytes],
    is_ok: Callable[[bytes], bool],
    callers: int,
    connections: int,
    seconds: float,
) -> Load:
    load, clock = Load(), time.perf_counter
    begin_s = clock() + min(WARM_UP_SECONDS, seconds)
    end_s = begin_s + seconds
    unanswered = callers
    finished = asyncio.get_running_loop().create_future()

    def ended(connection: Connection, given_s: float, answer: bytes | None) -> None:
        nonlocal unanswered
        now_s = clock()
        load.answered += answer is not None
        load.unanswered += answer is None
        if begin_s <= now_s < end_s:
            if answer is None:
                load.refused += 1
            else:
                assert is_ok(answer), f"an answer that is not OK: {answer[:200]!r}"
                load.ok += 1
                load.latencies_s.append(now_s - given_s)
        if now_s < end_s:
            connection.call(next_body(), now_s)
        else:
            unanswered -= 1
            if not unanswered and not finished.done():
                finished.set_result(None)

    opened = await connect(port, path, min(connections, callers), ended)
    for number in range(callers):
        opened[number % len(opened)].call(next_body(), clock())
    for connection in opened:
        connection.flush()
    await asyncio.wait_for(finished, seconds + 30)
    for connection in opened:
        connection.close()
    load.seconds = seconds
    return load


def closed_loop(
    port: int,
    path: str,
    next_body: Callable[[], bytes],
    is_ok: Callable[[bytes], bool],
    *,
    callers: int,
    seconds: float,
    connections: int = CONNECTIONS,
) -> Load:
    """`callers` callers, each of which calls again as soon as it is answered."""
    return load_loop.run(_closed_loop(port, path, next_body, is_ok, callers, connections, seconds))


async def _open_loop(
    port: int,
    path: str,
    next_body: Callable[[], bytes],
    is_ok: Callable[[bytes], bool],
    per_s: float,
    connections: int,
    seconds: float,
) -> Load:
    load, clock = Load(seconds=seconds), time.perf_counter

    def ended(connection: Connection, due_s: float, answer: bytes | None) -> None:
        now_s = clock()
        if answer is None:
            load.unanswered += 1
            if due_s >= begin_s:
                load.refused += 1
                load.refused_latencies_s.append(now_s - due_s)
            return
        assert is_ok(answer), f"an answer that is not OK: {answer[:200]!r}"
        load.answered += 1
        if due_s >= begin_s:
            load.latencies_s.append(now_s - due_s)
        if begin_s <= now_s < end_s:
            load.ok += 1
            load.good += now_s - due_s <= GOOD_WITHIN_S

    opened = await connect(port, path, connections, ended)
    start_s = clock()
    begin_s = start_s + min(OPEN_WARM_UP_SECONDS, seconds)
    end_s = begin_s + seconds
    made = 0
    async with Ticks(per_s) as ticks:
        while (now_s := clock()) < end_s:
            while made < (now_s - start_s) * per_s:
                due_s = start_s + made / per_s
                opened[made % connections].call(next_body(), due_s)
                load.due += due_s >= begin_s
                made += 1
            for connection in opened:
                connection.flush()
            await ticks.next()
    give_up_s = clock() + 20
    # A look now and then: an event would cost each call.
    while any(connection.unanswered for connection in opened) and clock() < give_up_s:  # noqa: ASYNC110  # see above
        await asyncio.sleep(0.01)
    left = sum(connection.unanswered for connection in opened)
    assert not left, f"{left} calls were never answered"
    for connection in opened:
        connection.close()
    return load


def open_loop(
    port: int,
    path: str,
    next_body: Callable[[], bytes],
    is_ok: Callable[[bytes], bool],
    *,
    per_s: float,
    seconds: float,
    connections: int = CONNECTIONS,
) -> Load:
    """Calls due at a fixed rate, whatever the server does; latency counts from when a call was due.

    `ok` and `good` count answers that came while the load lasted, after a warm-up in which a queue may fill: what a
    queue gives back when the load is over is no throughput.  `latencies_s` has all calls that were due in that time.
    """
    return load_loop.run(_open_loop(port, path, next_body, is_ok, per_s, connections, seconds))
