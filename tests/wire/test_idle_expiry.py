"""What ends by its deadline is told in time, though nobody calls any more: the engine wakes for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ringup.clients import AsyncClient, Client, stock_line
from ringup.v1 import event_pb2, stock_pb2
from support.engine_process import EngineProcess

TTLS_MS = (400, 4_000, 20_000)
"""The first is enough, unless the machine stalls for longer: then a watcher only sees the value after it."""
HANG_S = 40.0


def _open(target: str) -> None:
    with Client(target) as shop:
        shop.put_locations([{"location_id": "S1", "name": "High Street"}])
        shop.put_items([{"item_id": "milk", "name": "Milk"}])
        shop.call(stock_pb2.PutChannelsRequest(channels=[stock_pb2.Channel(channel_id="web", location_ids=["S1"])]))
        shop.receive_stock(location_id="S1", lines=[stock_line("milk", 10)])


async def _hold(client: AsyncClient, ttl_ms: int) -> None:
    await client.hold_stock(location_id="S1", lines=[stock_line("milk", 4)], ttl_ms=ttl_ms)


async def _pay(client: AsyncClient, ttl_ms: int) -> None:
    hold = await client.hold_stock(location_id="S1", lines=[stock_line("milk", 4)], ttl_ms=600_000)
    assert (await client.call(stock_pb2.PayHoldRequest(hold_id=hold.hold_id, ttl_ms=ttl_ms))).code == 1


async def _ready(client: AsyncClient, ttl_ms: int) -> None:
    order_id, line = f"o{ttl_ms}", stock_pb2.StockLine(item_id="milk", qty_milli=4000)
    for request in (
        stock_pb2.PlaceOrderRequest(order_id=order_id, location_id="S1", lines=[line]),
        stock_pb2.PickOrderRequest(order_id=order_id, location_id="S1", lines=[line]),
        stock_pb2.PackOrderRequest(order_id=order_id),
        stock_pb2.ReadyOrderRequest(order_id=order_id, pickup_code="77", ttl_ms=ttl_ms),
    ):
        assert (await client.call(request)).code == 1, request


async def _until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  # inside the test's own timeout
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("promise", [_hold, _pay, _ready], ids=["hold", "payment", "pickup"])
def test_watchers_see_units_come_back_in_an_idle_engine(
    tmp_path: Path, promise: Callable[[AsyncClient, int], Awaitable[None]]
) -> None:
    async def act(target: str) -> None:
        async with AsyncClient(target, timeout_s=HANG_S) as client, AsyncClient(target, timeout_s=HANG_S) as other:
            seen: list[int] = []
            promised: list[bool] = []

            async def watch() -> None:
                async for value in client.watch_availability(["milk"], channel_id="web"):
                    seen.append(value.available_milli)  # noqa: PERF401  # read while it goes on

            async def follow() -> None:
                async for batch in client.follow_events(from_sequence=2):
                    promised.extend(e.position.held_milli + e.position.allocated_milli > 0 for e in batch.events)

            watching, following = asyncio.create_task(watch()), asyncio.create_task(follow())
            await _until(lambda: seen == [10_000])
            for ttl_ms in TTLS_MS:
                began_s = time.monotonic()
                await promise(other, ttl_ms)
                await _until(lambda: True in promised and not promised[-1])
                assert time.monotonic() - began_s >= ttl_ms / 1000 - 0.01, "before its deadline"
                promised.clear()
                if 6_000 in seen:
                    break
            await _until(lambda: seen == [10_000, 6_000, 10_000])
            commits = (await client.get_stats()).counters["commits"]
            await asyncio.sleep(0.3)
            assert (await client.get_stats()).counters["commits"] == commits, "nothing is left to wake for"
            for task in (watching, following):
                task.cancel()
            await asyncio.wait([watching, following])

    with EngineProcess(tmp_path) as engine:
        _open(engine.target)
        asyncio.run(asyncio.wait_for(act(engine.target), HANG_S))
        assert engine.stop() == 0


def test_what_ended_while_the_engine_was_down_is_told_at_its_start(tmp_path: Path) -> None:
    async def events(target: str) -> list[Any]:
        async with AsyncClient(target) as client:
            read = await client.call(event_pb2.ReadEventsRequest(from_sequence=1))
            changes = (event.position.held_change_milli for batch in read.batches for event in batch.events)
            return [change for change in changes if change]

    with EngineProcess(tmp_path) as engine:
        _open(engine.target)
        with Client(engine.target) as shop:
            shop.hold_stock(location_id="S1", lines=[stock_line("milk", 4)], ttl_ms=TTLS_MS[0])
        engine.kill()
    time.sleep(TTLS_MS[0] / 1000)
    with EngineProcess(tmp_path) as engine:
        deadline_s = time.monotonic() + HANG_S
        while (found := asyncio.run(events(engine.target))) != [4000, -4000]:
            assert time.monotonic() < deadline_s, found
        assert engine.stop() == 0
