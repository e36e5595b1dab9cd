"""Shoppers on Redis, each answered singly, by a client light enough not to be the limit.

redis-benchmark does not say when each call was answered, nor what.  This one keeps one command in flight a
connection, as it does, and notes both.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from bench import load_loop


@dataclass(frozen=True, slots=True)
class Answer:
    """One call: what was answered, when it was sent and when answered, in s since the doors opened."""

    value: int
    sent_s: float
    answered_s: float


def command(*words: str) -> bytes:
    """A command as the protocol has it."""
    raw = [word.encode() for word in words]
    return b"*%d\r\n" % len(raw) + b"".join([b"$%d\r\n%s\r\n" % (len(word), word) for word in raw])


class _Connection(asyncio.Protocol):
    def __init__(self, waiting: deque[bytes], answers: list[Answer], finished: asyncio.Future[None]) -> None:
        self._waiting, self._answers, self._finished = waiting, answers, finished
        self._buffer = b""
        self._in_flight = False
        self.began_s = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def begin(self, began_s: float) -> None:
        """The doors are open."""
        self.began_s = began_s
        self._next()

    def _next(self) -> None:
        self._in_flight = bool(self._waiting)
        if self._in_flight:
            self._sent_s = time.perf_counter() - self.began_s
            self._transport.write(self._waiting.popleft())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._buffer.endswith(b"\r\n"):
            return
        line, self._buffer = self._buffer, b""
        if line[:1] != b":":
            self._finished.set_exception(RuntimeError(f"Redis: expected a number, found {line[:200]!r}"))
            return
        self._answers.append(Answer(int(line[1:]), self._sent_s, time.perf_counter() - self.began_s))
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if self._in_flight and not self._finished.done():
            self._finished.set_exception(error or ConnectionError("Redis closed the connection"))

    def close(self) -> None:
        self._in_flight = False
        self._transport.close()


async def _shoppers(port: int, one: bytes, count: int, connections: int) -> list[Answer]:
    loop = asyncio.get_running_loop()
    waiting, answers, finished = deque([one] * count), list[Answer](), loop.create_future()
    opened = []
    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: _Connection(waiting, answers, finished), "127.0.0.1", port)
        opened.append(connection)
    began_s = time.perf_counter()
    for connection in opened:
        connection.begin(began_s)
    # A look now and then: an event would cost each call.
    while len(answers) < count and not finished.done():  # noqa: ASYNC110  # see above
        await asyncio.sleep(0.001)
    if finished.done():
        finished.result()
    for connection in opened:
        connection.close()
    return answers


def shoppers(port: int, one: bytes, *, count: int, connections: int) -> list[Answer]:
    """The same command `count` times, one in flight a connection; all answers, in the order in which they came."""
    return load_loop.run(_shoppers(port, one, count, connections))
