"""The plain client: the asyncio one, on a loop of its own, behind blocking methods.

    with Client("127.0.0.1:7420") as till:
        receipt = till.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(500)])

It may be used from any number of threads, and their commands share batches.  All plain clients of a
process share one thread with one event loop: gRPC wants one loop in a process.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc
from google.protobuf.message import Message

from ringup.v1 import event_pb2

from . import _retry
from .aio import DEFAULT_TARGET, AsyncClient

P = ParamSpec("P")
T = TypeVar("T")


class _LoopThread:
    """An event loop in a thread, there while somebody uses it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def acquire(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._serve, args=(self._loop,), name="ringup", daemon=True)
                self._thread.start()
            self._users += 1
            return self._loop

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._loop is not None and self._thread is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop = self._thread = None

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            asyncio.set_event_loop(None)
            loop.close()


_LOOP_THREAD = _LoopThread()


def _blocking(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    """Make a blocking method of an asynchronous one, with its arguments and its documentation."""

    @functools.wraps(method)
    def blocking(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._result(method(self._async_client, *args, **kwargs))

    return blocking


class Client:
    """A client whose methods block until the answer is there; safe to use from many threads.

    The arguments are those of `AsyncClient`.  It is open from the start; close it, or use `with`.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_s: float = _retry.TIMEOUT_S,
        batching: bool = True,
        credentials: grpc.ChannelCredentials | None = None,
        secret: str = "",
    ) -> None:
        self._async_client = AsyncClient(
            target, timeout_s=timeout_s, batching=batching, credentials=credentials, secret=secret
        )
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = _LOOP_THREAD.acquire()
        self._result(self._async_client.open())

    def close(self, *, flush: bool = True) -> None:
        """Close the connection; flush waits for unanswered commands, each until its deadline."""
        with self._lock:
            if self._loop is None:
                return
            try:
                self._result(self._async_client.close(flush=flush))
            finally:
                self._loop = None
                _LOOP_THREAD.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(flush=error is None)

    def submit(self, request: Message, *, timeout_s: float | None = None) -> concurrent.futures.Future[Any]:
        """Queue a command for the Session stream; the future gives its response message, whatever its code."""
        return self._start(self._async_client.submit(request, timeout_s=timeout_s))

    call = _blocking(AsyncClient.call)
    call_bytes = _blocking(AsyncClient.call_bytes)
    resend = _blocking(AsyncClient.resend)

    put_settings = _blocking(AsyncClient.put_settings)
    get_settings = _blocking(AsyncClient.get_settings)
    get_stats = _blocking(AsyncClient.get_stats)

    put_tax_classes = _blocking(AsyncClient.put_tax_classes)
    put_locations = _blocking(AsyncClient.put_locations)
    put_tills = _blocking(AsyncClient.put_tills)
    put_items = _blocking(AsyncClient.put_items)
    put_prices = _blocking(AsyncClient.put_prices)
    get_item = _blocking(AsyncClient.get_item)
    search_items = _blocking(AsyncClient.search_items)

    price_basket = _blocking(AsyncClient.price_basket)

    receive_stock = _blocking(AsyncClient.receive_stock)
    adjust_stock = _blocking(AsyncClient.adjust_stock)
    hold_stock = _blocking(AsyncClient.hold_stock)
    extend_hold = _blocking(AsyncClient.extend_hold)
    release_hold = _blocking(AsyncClient.release_hold)
    commit_hold = _blocking(AsyncClient.commit_hold)
    get_hold = _blocking(AsyncClient.get_hold)
    get_availability = _blocking(AsyncClient.get_availability)

    put_stock_policies = _blocking(AsyncClient.put_stock_policies)
    count_stock = _blocking(AsyncClient.count_stock)
    transfer_stock = _blocking(AsyncClient.transfer_stock)
    bar_stock = _blocking(AsyncClient.bar_stock)
    expect_stock = _blocking(AsyncClient.expect_stock)
    reorder_stock = _blocking(AsyncClient.reorder_stock)
    get_promises = _blocking(AsyncClient.get_promises)

    put_channels = _blocking(AsyncClient.put_channels)
    resize_hold = _blocking(AsyncClient.resize_hold)
    pay_hold = _blocking(AsyncClient.pay_hold)
    place_order = _blocking(AsyncClient.place_order)
    cancel_order = _blocking(AsyncClient.cancel_order)
    pick_order = _blocking(AsyncClient.pick_order)
    pack_order = _blocking(AsyncClient.pack_order)
    ready_order = _blocking(AsyncClient.ready_order)
    hand_over_order = _blocking(AsyncClient.hand_over_order)
    ship_order = _blocking(AsyncClient.ship_order)
    unship_order = _blocking(AsyncClient.unship_order)
    reallocate_order = _blocking(AsyncClient.reallocate_order)
    return_order = _blocking(AsyncClient.return_order)
    get_order = _blocking(AsyncClient.get_order)
    list_orders = _blocking(AsyncClient.list_orders)

    sell = _blocking(AsyncClient.sell)
    return_lines = _blocking(AsyncClient.return_lines)
    get_receipt = _blocking(AsyncClient.get_receipt)

    read_availability = _blocking(AsyncClient.read_availability)

    def watch_availability(self, item_ids: Iterable[str], *, channel_id: str) -> Iterator[event_pb2.ItemAvailability]:
        """As `AsyncClient.watch_availability`; a loop over it waits for the next change."""
        yield from self._each(self._async_client.watch_availability(item_ids, channel_id=channel_id))

    def follow_events(
        self, *, from_sequence: int = 0, cursor_id: str = "", engine_id: str = ""
    ) -> Iterator[event_pb2.EventBatch]:
        """As `AsyncClient.follow_events`; a loop over it waits for the next events."""
        yield from self._each(
            self._async_client.follow_events(from_sequence=from_sequence, cursor_id=cursor_id, engine_id=engine_id)
        )

    def _each(self, stream: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> T | None:
            return await anext(stream, None)

        while (item := self._result(following())) is not None:
            yield item

    def _start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        if self._loop is None:
            work.close()
            raise RuntimeError("expected an open client, found a closed one; make a new client")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _result(self, work: Coroutine[Any, Any, T]) -> T:
        future = self._start(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # the caller was interrupted: nobody waits any more
            raise
