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

TTL_MS, LATE_S_MAX = 400, 1.0


def _open(target: str) -> None:
    with Client(target) as shop:
        shop.put_locations([{"location_id": "S1", "name": "High Street"}])
        shop.put_items([{"item_id": "milk", "name": "Milk"}])
        shop.call(stock_pb2.PutChannelsRequest(channels=[stock_pb2.Channel(channel_id="web", location_ids=["S1"])]))
        shop.receive_stock(location_id="S1", lines=[stock_line("milk", 10)])


async def _hold(client: AsyncClient) -> None:
    await client.hold_stock(location_id="S1", lines=[stock_line("milk", 4)], ttl_ms=TTL_MS)


async def _pay(client: AsyncClient) -> None:
    hold = await client.hold_stock(location_id="S1", lines=[stock_line("milk", 4)], ttl_ms=60_000)
    assert (await client.call(stock_pb2.PayHoldRequest(hold_id=hold.hold_id, ttl_ms=TTL_MS))).code == 1


async def _ready(client: AsyncClient) -> None:
    line = stock_pb2.StockLine(item_id="milk", qty_milli=4000)
    for request in (
        stock_pb2.PlaceOrderRequest(order_id="o", location_id="S1", lines=[line]),
        stock_pb2.PickOrderRequest(order_id="o", location_id="S1", lines=[line]),
        stock_pb2.PackOrderRequest(order_id="o"),
        stock_pb2.ReadyOrderRequest(order_id="o", pickup_code="77", ttl_ms=TTL_MS),
    ):
        assert (await client.call(request)).code == 1, request


@pytest.mark.parametrize("promise", [_hold, _pay, _ready], ids=["hold", "payment", "pickup"])
def test_watchers_see_units_come_back_in_an_idle_engine(
    tmp_path: Path, promise: Callable[[AsyncClient], Awaitable[None]]
) -> None:
    async def act(target: str) -> None:
        async with AsyncClient(target) as client, AsyncClient(target) as other:
            values = client.watch_availability(["milk"], channel_id="web")
            assert (await anext(values)).available_milli == 10_000
            batches = client.follow_events(from_sequence=2)
            await promise(other)
            due_s = time.monotonic() + TTL_MS / 1000
            assert (await anext(values)).available_milli == 6_000
            assert (await anext(values)).available_milli == 10_000
            assert -0.2 < time.monotonic() - due_s < LATE_S_MAX
            back = False
            while not back:
                batch = await anext(batches)
                back = any(one.position.held_milli + one.position.allocated_milli == 0 for one in batch.events)
            commits = (await client.get_stats()).counters["commits"]
            await asyncio.sleep(0.3)
            assert (await client.get_stats()).counters["commits"] == commits, "nothing is left to wake for"

    with EngineProcess(tmp_path) as engine:
        _open(engine.target)
        asyncio.run(asyncio.wait_for(act(engine.target), 20))
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
            shop.hold_stock(location_id="S1", lines=[stock_line("milk", 4)], ttl_ms=TTL_MS)
        engine.kill()
    time.sleep(TTL_MS / 1000)
    with EngineProcess(tmp_path) as engine:
        deadline_s = time.monotonic() + LATE_S_MAX
        while (found := asyncio.run(events(engine.target))) != [4000, -4000]:
            assert time.monotonic() < deadline_s, found
        assert engine.stop() == 0
