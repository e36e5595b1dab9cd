"""Callers that share the client library's Session stream, each waiting for its own answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import uvloop

from bench.unary_load import WARM_UP_SECONDS, Load
from ringup.clients import AsyncClient


async def _closed_loop(
    target: str, next_command: Callable[[], bytes], is_ok: Callable[[bytes], bool], callers: int, clients: int, s: float
) -> Load:
    load, clock = Load(seconds=s), time.perf_counter
    begin_s = clock() + min(WARM_UP_SECONDS, s)
    end_s = begin_s + s
    latencies_s = load.latencies_s

    async def caller(client: AsyncClient) -> None:
        while (given_s := clock()) < end_s:
            reply = await client.submit_bytes(next_command())
            assert is_ok(reply), f"an answer that is not OK: {reply[:200]!r}"
            now_s = clock()
            if begin_s <= now_s < end_s:
                latencies_s.append(now_s - given_s)

    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(AsyncClient(target)) for _ in range(min(clients, callers))]
        async with asyncio.TaskGroup() as group:
            for number in range(callers):
                group.create_task(caller(opened[number % len(opened)]))
    load.ok = len(latencies_s)
    return load


def closed_loop(
    target: str,
    next_command: Callable[[], bytes],
    is_ok: Callable[[bytes], bool],
    *,
    callers: int,
    seconds: float,
    clients: int = 1,
) -> Load:
    """`callers` callers over `clients` connections; each sends again as soon as it is answered."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_closed_loop(target, next_command, is_ok, callers, clients, seconds))
