"""An engine with the benchmark's shop in it, and what it counted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from bench.servers import Server, engine
from bench.shop import STATS_PATH, Ids, setup_batches
from ringup.v1 import admin_pb2, session_pb2

READY_MB_MAX = 1024  # of memory, for a peak of two million sales
READY_SECONDS_MAX = 60


def load_shop(target: str, items: int, ids: Ids, *, stocked: bool = True) -> None:
    """Put the shop into a running engine; every command must be answered OK."""
    sent = 0

    def batches() -> Iterator[bytes]:
        nonlocal sent
        for batch in setup_batches(items, ids, stocked=stocked):
            sent += 1
            yield batch

    answered = 0
    with grpc.insecure_channel(target) as channel:
        session: Any = channel.stream_stream("/ringup.v1.SessionService/Session")
        for answer in session(batches(), timeout=200):
            for reply in session_pb2.SessionResponse.FromString(answer).replies:
                body = getattr(reply, str(reply.WhichOneof("body")))
                assert body.code == 1, f"the shop could not be made: {body.problem}"
                answered += 1
    assert answered == sent, f"expected {sent} answers, found {answered}"


def counters(target: str) -> dict[str, int]:
    """The engine's counters since its start."""
    with grpc.insecure_channel(target) as channel:
        get_stats: Any = channel.unary_unary(STATS_PATH)
        answer = get_stats(b"", timeout=30)
    return dict(admin_pb2.GetStatsResponse.FromString(answer).counters)


def booked(target: str, before: dict[str, int], *, answered: int, unanswered: int = 0) -> int:
    """How many commands the engine counts since `before`: as many as callers got answers to.

    Those that a client sent again, because its link broke, count once.  Each of the `unanswered` may have been booked
    or not.  Raises BooksDiffer.
    """
    now = counters(target)
    count = now["commands"] - before["commands"] - (now["replays"] - before["replays"])
    if not answered <= count <= answered + unanswered:
        unknown = f" ({unanswered} were not answered)" if unanswered else ""
        raise BooksDiffer(f"callers got {answered} answers{unknown}, but the engine counts {count} commands")
    return count


class BooksDiffer(Exception):
    """What the engine counted is not what its callers were answered: no figure may be made of it."""


@contextmanager
def shop_engine(directory: Path, items: int, ids: Ids) -> Iterator[Server]:
    """A served engine with `items` items in stock, and memory for a peak."""
    ready_mb = min(READY_MB_MAX, items // 8)
    with engine(directory, *memory_flags(ready_mb)) as server:
        load_shop(server.target, items, ids)
        await_memory(server.target, ready_mb)
        yield server


def memory_flags(ready_mb: int) -> list[str]:
    """What `ringup serve` is told so that it keeps so much memory ready."""
    return ["--memory-ready-mb", str(max(8, ready_mb))]


def await_memory(target: str, ready_mb: int) -> None:
    """Wait until an engine has this memory, but for what the start took: a shop starts its engine before the peak."""
    until_s = time.monotonic() + READY_SECONDS_MAX
    while counters(target)["ready_bytes"] < (ready_mb << 20) * 3 // 4:
        assert time.monotonic() < until_s, f"the system does not find {ready_mb} MiB of memory"
        time.sleep(0.05)
