"""An order from the cart to the refund by the clients' own methods, and what they say of a step out of turn."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Iterator

import pytest

from ringup.clients import AsyncClient, Client, Refused, stock_line
from ringup.clients._goods import GoodsCalls
from ringup.clients._orders import OrderCalls
from ringup.v1 import stock_pb2
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
    calls = [
        name
        for kind in (OrderCalls, GoodsCalls)
        for name, _ in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    ]
    assert len(calls) == 22
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
    client.reallocate_order("A1", item_id="TEA", qty_milli=1000, from_location_id="DEPOT", to_location_id="STORE")
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


def test_goods_are_counted_moved_barred_expected_and_ordered(shop: tuple[EngineProcess, Client]) -> None:
    _, client = shop
    client.put_items([{"item_id": "JAM", "name": "Jam"}])
    client.receive_stock(location_id="DEPOT", lines=[stock_line("JAM", 10)])
    assert client.count_stock("JAM", location_id="DEPOT", on_hand_milli=9000, book_milli=8000).on_hand_milli == 11_000
    move = {"from_location_id": "DEPOT", "to_location_id": "STORE"}
    assert [take.qty_milli for take in client.transfer_stock("JAM", qty_milli=3000, **move)] == [3000]
    (position,) = client.bar_stock(location_id="STORE", lines=[stock_line("JAM", 1)], reason="damaged")
    assert (position.on_hand_milli, position.unavailable_milli) == (3000, 1000)
    with pytest.raises(ValueError, match=r"found 'quallity'; did you mean 'quality'"):
        client.bar_stock(location_id="STORE", lines=[stock_line("JAM", 1)], reason="quallity")  # type: ignore[arg-type]
    day_ns = 86_400 * 10**9
    soon_ns = time.time_ns() + day_ns
    client.expect_stock(location_id="STORE", lines=[stock_line("JAM", 5)], expected_ns=soon_ns)
    client.put_stock_policies([{"item_id": "JAM", "safety_milli": 2000}])
    for by_ns, available_milli in ((0, 8000), (soon_ns - 1, 8000), (soon_ns, 13_000)):
        (promise,) = client.get_promises("JAM", channel_id="web", by_ns=by_ns)
        assert (promise.available_milli, promise.incoming_milli) == (available_milli, 5000), by_ns
    wanted = client.reorder_stock("JAM", location_id="DEPOT", min_milli=9000, max_milli=20_000, multiple_milli=6000)
    assert (wanted.forecast_milli, wanted.qty_milli) == (8000, 12_000)


def test_part_of_a_hold_and_what_becomes_of_what_comes_back(shop: tuple[EngineProcess, Client]) -> None:
    _, client = shop
    client.put_items([{"item_id": "HAM", "name": "Ham"}])
    client.receive_stock(location_id="STORE", lines=[stock_line("HAM", 9)])
    held = client.hold_stock(lines=[stock_line("HAM", 5)], ttl_ms=60_000, location_id="STORE")
    client.release_hold(held.hold_id, qty_milli=1000)
    with pytest.raises(Refused, match="found 5,000 against 4,000 at qty_milli; take what was held"):
        client.commit_hold(held.hold_id, qty_milli=5000)
    client.commit_hold(held.hold_id, qty_milli=3000)
    client.place_order("H1", lines=[stock_line("HAM", 4)], location_id="STORE")
    client.ship_order("H1")
    client.unship_order("H1")
    client.ship_order("H1")
    client.return_order(
        "H1", item_id="HAM", qty_milli=3000, location_id="DEPOT", restock_milli=2000, bar_reason="quality"
    )
    (there,) = client.get_availability(["HAM"], location_id="DEPOT")
    assert (there.on_hand_milli, there.unavailable_milli, there.free_milli) == (2000, 2000, 0)
    client.return_order("H1", item_id="HAM", qty_milli=1000, location_id="DEPOT")
    (there,) = client.get_availability(["HAM"], location_id="DEPOT")
    assert (there.on_hand_milli, there.free_milli) == (3000, 1000)
    (here,) = client.get_availability(["HAM"], location_id="STORE")
    assert (here.on_hand_milli, here.held_milli, here.allocated_milli) == (2000, 0, 0)
