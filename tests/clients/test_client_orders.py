"""An order from the cart to the refund by the clients' own methods, and what they say of a step out of turn."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator

import pytest

from ringup.clients import AsyncClient, Client, Refused, stock_line
from ringup.clients._orders import OrderCalls
from ringup.v1 import result_pb2, stock_pb2
from support.engine_process import EngineProcess


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EngineProcess, Client]]:
    with EngineProcess(tmp_path_factory.mktemp("orders")) as engine, Client(engine.target) as client:
        client.put_locations([{"location_id": "DEPOT"}, {"location_id": "STORE"}])
        client.put_items([{"item_id": "TEA", "name": "Tea", "barcodes": ["4006381333931"]}])
        client.put_channels([{"channel_id": "web", "location_ids": ["DEPOT", "STORE"]}])
        for place, pieces in (("DEPOT", 20), ("STORE", 20)):
            client.receive_stock(location_id=place, lines=[stock_line("TEA", pieces)])
        yield engine, client


def test_every_call_is_there_for_both_clients() -> None:
    calls = [name for name, _ in inspect.getmembers(OrderCalls, inspect.isfunction) if not name.startswith("_")]
    assert len(calls) == 13
    for name in calls:
        there, here = inspect.signature(getattr(AsyncClient, name)), inspect.signature(getattr(Client, name))
        assert there.parameters.keys() == here.parameters.keys(), name


def test_an_order_is_held_paid_placed_picked_and_collected(shop: tuple[EngineProcess, Client]) -> None:
    _, client = shop
    held = client.hold_stock(
        lines=[stock_line("TEA", 3)], ttl_ms=60_000, channel_id="web", collection_point_id="STORE", owner="cart 7"
    )
    assert [(take.location_id, take.qty_milli) for take in held.takes] == [("STORE", 3000)]
    client.resize_hold(held.hold_id, lines=[stock_line("TEA", 4)])
    assert client.pay_hold(held.hold_id, ttl_ms=60_000) > 0
    paid = [{"item_id": "TEA", "qty_milli": 4000, "paid_minor": 1001}]
    placed = client.place_order("A1", hold_id=held.hold_id, customer_id="ann", paid=paid)
    assert sum(take.qty_milli for take in placed.takes) == 4000
    with pytest.raises(Refused, match=r"found 'A1' 4,000 against 0 .* pick what is left"):
        client.pack_order("A1")
    picked = client.pick_order("A1", location_id="STORE", lines=[stock_line("4006381333931", 3)])
    assert [take.qty_milli for take in picked.to_pick] == [1000]
    moved = client.pick_order("A1", location_id="STORE", short=True)
    assert [(take.location_id, take.qty_milli) for take in moved.takes] == [("DEPOT", 1000)]
    assert client.cancel_order("A1", lines=[stock_line("TEA", 1)]).refund_minor == 250
    allocated = [(take.location_id, take.qty_milli) for take in client.get_order("A1").allocated]
    assert allocated == [("STORE", 2000), ("DEPOT", 1000)]
    move = stock_pb2.ReallocateOrderRequest(
        order_id="A1", item_id="TEA", qty_milli=1000, from_location_id="DEPOT", to_location_id="STORE"
    )
    assert client.call(move).code == result_pb2.RESULT_CODE_OK
    client.pick_order("A1", location_id="STORE", lines=[stock_line("TEA", 1)])
    client.pack_order("A1")
    with pytest.raises(Refused, match=r"found 'A1' that is PACKED at order_id.*take the step before first"):
        client.hand_over_order("A1", pickup_code="K9")
    assert client.ready_order("A1", pickup_code="K9", ttl_ms=3_600_000) > 0
    with pytest.raises(Refused) as refused:
        client.hand_over_order("A1", pickup_code="K8")
    assert refused.value.code_name == "PICKUP_CODE_WRONG"
    assert sum(take.qty_milli for take in client.hand_over_order("A1", pickup_code="K9")) == 3000
    back = client.return_order("A1", item_id="TEA", qty_milli=1000, location_id="DEPOT", restock_milli=0)
    assert back.refund_minor == 251, "two units of four are refunded for two quarters of 10.01"
    order = client.get_order("A1")
    assert (order.state, order.refund_minor) == (stock_pb2.ORDER_STATE_HANDED_OVER, 501)
    assert [one.order_id for one in client.list_orders("ann")] == ["A1"]


def test_an_order_is_shipped_in_parts_and_grows(shop: tuple[EngineProcess, Client]) -> None:
    engine, _ = shop

    async def act() -> None:
        async with AsyncClient(engine.target) as client:
            await client.place_order("B1", lines=[{"item_id": "TEA", "qty_milli": 2000}], location_id="DEPOT")
            await client.place_order("B1", lines=[stock_line("TEA", 1)], location_ids=["STORE"], add=True)
            assert [take.qty_milli for take in await client.ship_order("B1", lines=[stock_line("TEA", 2)])] == [2000]
            assert [take.location_id for take in await client.ship_order("B1")] == ["STORE"]
            assert (await client.get_order("B1")).state == stock_pb2.ORDER_STATE_SHIPPED
            for number in range(3):
                await client.place_order(f"C{number}", lines=[stock_line("TEA", 1)], customer_id="bob")
                await client.cancel_order(f"C{number}")
            first = await client.list_orders("bob", page_size=2)
            rest = await client.list_orders("bob", page_size=2, before_order_id=first[-1].order_id)
            assert [one.order_id for one in first + rest] == ["C2", "C1", "C0"]
            some = await client.hold_stock(
                lines=[stock_line("TEA", 500)], ttl_ms=1000, location_ids=["DEPOT"], partial=True
            )
            assert some.short_item_ids == ["TEA"]
            assert 0 < sum(take.qty_milli for take in some.takes) < 500_000

    asyncio.run(act())
