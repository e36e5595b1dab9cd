"""A stream that a slow consumer need not keep up with: what it has not taken yet is replaced by what is newer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import TypeVar

T = TypeVar("T")


async def latest(values: AsyncGenerator[T, None], key: Callable[[T], str]) -> AsyncGenerator[T, None]:
    """Yield values, of each key only the latest that is not yielded yet; in the order in which keys began to wait.

    The values are read as fast as they come, so nothing old is kept on the way: neither here, where at most one value
    a key waits, nor in the buffers of the connection.  Ends as `values` ends; that it was cancelled is an end.
    """
    waiting: dict[str, T] = {}
    news = asyncio.Event()

    async def read() -> None:
        async with aclosing(values):
            async for value in values:
                waiting[key(value)] = value
                news.set()

    reader = asyncio.create_task(read(), name="ringup-latest")
    reader.add_done_callback(lambda _: news.set())
    try:
        while waiting or not reader.done():
            await news.wait()
            news.clear()
            while waiting:
                yield waiting.pop(next(iter(waiting)))
        with suppress(asyncio.CancelledError):  # the reader's, not ours: it is done
            reader.result()
    finally:
        reader.cancel()
        await asyncio.wait([reader])
        if not reader.cancelled():
            reader.exception()  # told above, or nobody is there any more to be told
