"""Callers that share the client library's Session stream, each waiting for its own answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

from bench import load_loop
from bench.ticks import Ticks
from bench.unary_load import GOOD_WITHIN_S, OPEN_WARM_UP_SECONDS, WARM_UP_SECONDS, Load
from ringup.clients import AsyncClient, NoAnswer, Overloaded

TURN_COMMANDS = 256  # an open loop's, before it looks for answers


async def _closed_loop(
    target: str, next_command: Callable[[], bytes], is_ok: Callable[[bytes], bool], callers: int, clients: int, s: float
) -> Load:
    load, clock = Load(seconds=s), time.perf_counter
    begin_s = clock() + min(WARM_UP_SECONDS, s)
    end_s = begin_s + s
    note_latency_s = load.latencies_s.append

    async def caller(client: AsyncClient) -> None:
        submit, answered, now_s = client.submit_bytes, 0, clock()
        while (given_s := now_s) < end_s:
            reply = await submit(next_command())
            assert is_ok(reply), f"an answer that is not OK: {reply[:200]!r}"
            now_s = clock()
            answered += 1
            if begin_s <= now_s < end_s:
                note_latency_s(now_s - given_s)
        load.answered += answered

    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(AsyncClient(target)) for _ in range(min(clients, callers))]
        async with asyncio.TaskGroup() as group:
            for number in range(callers):
                group.create_task(caller(opened[number % len(opened)]))
    load.ok = len(load.latencies_s)
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
    return load_loop.run(_closed_loop(target, next_command, is_ok, callers, clients, seconds))


async def _open_loop(
    target: str, next_command: Callable[[], bytes], is_ok: Callable[[bytes], bool], per_s: float, seconds: float
) -> Load:
    load, clock, waiting = Load(seconds=seconds), time.perf_counter, 0

    def refused(due_s: float, now_s: float) -> None:
        if due_s >= begin_s:
            load.refused += 1
            load.refused_latencies_s.append(now_s - due_s)

    def ended(due_s: float, answer: asyncio.Future[bytes]) -> None:
        nonlocal waiting
        now_s = clock()
        waiting -= 1
        if (error := answer.exception()) is not None:
            assert isinstance(error, NoAnswer), f"expected an answer or none, found {error!r}"
            # What was never sent must not be in the books: it does not count as open there.
            load.unanswered += error.may_have_happened
            if isinstance(error, Overloaded):
                refused(due_s, now_s)
            else:
                load.late += due_s >= begin_s
            return
        assert is_ok(answer.result()), f"an answer that is not OK: {answer.result()[:200]!r}"
        load.answered += 1
        if due_s >= begin_s:
            load.latencies_s.append(now_s - due_s)
        if begin_s <= now_s < end_s:
            load.ok += 1
            load.good += now_s - due_s <= GOOD_WITHIN_S

    async with AsyncClient(target, timeout_s=GOOD_WITHIN_S) as client:
        await client.get_stats(timeout_s=10)  # connected before the first call is due
        start_s = clock()
        begin_s = start_s + min(OPEN_WARM_UP_SECONDS, seconds)
        end_s = begin_s + seconds
        made = 0
        async with Ticks(per_s) as ticks:
            while (now_s := clock()) < end_s:
                due = int((now_s - start_s) * per_s)
                # In short turns: a caller that is behind must not keep the answers waiting, too.
                turn = range(made, min(due, made + TURN_COMMANDS))
                made = turn.stop
                for number in turn:
                    due_s = start_s + number / per_s
                    load.due += due_s >= begin_s
                    # Whoever waits counts from when the call was due, also when this loop is behind.
                    try:
                        answer = client.submit_bytes(next_command(), timeout_s=due_s + GOOD_WITHIN_S - now_s)
                    except Overloaded:
                        refused(due_s, now_s)
                        continue
                    waiting += 1
                    answer.add_done_callback(partial(ended, due_s))
                await (asyncio.sleep(0) if made < due else ticks.next())
        # A look now and then: an event would cost each call.
        while waiting and clock() < end_s + 20:  # noqa: ASYNC110  # see above
            await asyncio.sleep(0.01)
    assert not waiting, f"{waiting} commands were neither answered nor given up"
    return load


def open_loop(
    target: str,
    next_command: Callable[[], bytes],
    is_ok: Callable[[bytes], bool],
    *,
    per_s: float,
    seconds: float,
) -> Load:
    """Commands due at a fixed rate through one client, each given up GOOD_WITHIN_S after it was due.

    As unary_load.open_loop counts; refused are those that the client turned away unsent.
    """
    return load_loop.run(_open_loop(target, next_command, is_ok, per_s, seconds))
