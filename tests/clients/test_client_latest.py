"""A slow consumer of a stream gets the latest value of each key, and the stream ends with its consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from ringup.clients._latest import latest

Value = tuple[str, int]


def test_what_was_not_taken_is_replaced_and_keeps_its_turn() -> None:
    async def act() -> None:
        ended = asyncio.Event()

        async def values() -> AsyncGenerator[Value, None]:
            try:
                for number in range(10_000):
                    yield "ab"[number % 2], number
                yield "c", 1
                await asyncio.Event().wait()
            finally:
                ended.set()

        stream = latest(values(), lambda value: value[0])
        assert await anext(stream) == ("a", 9998)
        assert await anext(stream) == ("b", 9999)
        assert await anext(stream) == ("c", 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.01)
        await stream.aclose()
        assert ended.is_set()

    asyncio.run(act())


def test_all_that_waits_is_given_before_an_end_or_an_error() -> None:
    async def act() -> None:
        async def values(error: Exception | None) -> AsyncGenerator[Value, None]:
            yield "a", 1
            yield "a", 2
            if error is not None:
                raise error

        assert [value async for value in latest(values(None), lambda value: value[0])] == [("a", 2)]
        broken = latest(values(LookupError("gone")), lambda value: value[0])
        assert await anext(broken) == ("a", 2)
        with pytest.raises(LookupError, match="gone"):
            await anext(broken)

    asyncio.run(act())


def test_a_consumer_that_is_cancelled_is_cancelled() -> None:
    async def act() -> None:
        async def values() -> AsyncGenerator[Value, None]:
            yield "a", 1
            await asyncio.Event().wait()

        async def consume() -> None:
            async for _ in latest(values(), lambda value: value[0]):
                pass

        task = asyncio.create_task(consume())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(act())
