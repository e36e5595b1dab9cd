"""Stock over gRPC: many callers for few units, opposite baskets, and what a kill and a restart leave."""

from __future__ import annotations

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ringup.v1 import catalog_pb2, catalog_pb2_grpc, result_pb2, stock_pb2_grpc
from ringup.v1 import stock_pb2 as pb
from support.engine_process import EngineProcess

CALLERS = 64
UNITS = 40
IDS = itertools.count(1)


def fresh() -> bytes:
    return next(IDS).to_bytes(16, "big")


def code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


class Shop:
    """Clients of one engine, and tea and rice at a store."""

    def __init__(self, engine: EngineProcess) -> None:
        self.channel = engine.channel()
        self.catalog: Any = catalog_pb2_grpc.CatalogServiceStub(self.channel)
        self.stock: Any = stock_pb2_grpc.StockServiceStub(self.channel)

    def send(self, method: str, request: Any) -> Any:
        if not request.command_id:
            request.command_id = fresh()
        stub = self.catalog if hasattr(self.catalog, method) else self.stock
        return getattr(stub, method)(request, timeout=60)

    def open(self) -> None:
        items = [catalog_pb2.Item(item_id=name, name=name) for name in ("tea", "rice")]
        lines = [line("tea", UNITS), line("rice", UNITS)]
        for method, request in (
            ("PutLocations", catalog_pb2.PutLocationsRequest(locations=[catalog_pb2.Location(location_id="store")])),
            ("PutItems", catalog_pb2.PutItemsRequest(items=items)),
            ("PutChannels", pb.PutChannelsRequest(channels=[pb.Channel(channel_id="web", location_ids=["store"])])),
            ("ReceiveStock", pb.ReceiveStockRequest(location_id="store", lines=lines)),
        ):
            assert code(self.send(method, request)) == "OK"

    def promises(self) -> list[tuple[int, int, int]]:
        answer = self.stock.GetPromise(pb.GetPromiseRequest(item_ids=["tea", "rice"]), timeout=60)
        return [
            (p.on_hand_milli // 1000, p.allocated_milli // 1000, p.available_milli // 1000) for p in answer.promises
        ]


def line(item: str, pieces: int = 1) -> pb.StockLine:
    return pb.StockLine(item_id=item, qty_milli=pieces * 1000)


def test_64_callers_for_40_units_and_a_kill(tmp_path: Path) -> None:
    """Baskets name the two items in opposite orders: where rows are locked one by one, this deadlocks or oversells."""
    requests = [
        pb.PlaceOrderRequest(
            command_id=fresh(),
            order_id=f"o{n}",
            lines=[line("tea"), line("rice")] if n % 2 else [line("rice"), line("tea")],
        )
        for n in range(CALLERS)
    ]
    with EngineProcess(tmp_path / "data") as engine:
        shop = Shop(engine)
        shop.open()
        with ThreadPoolExecutor(CALLERS) as pool:
            answers = list(pool.map(lambda request: shop.send("PlaceOrder", request), requests))
        assert Counter(map(code, answers)) == {"OK": UNITS, "STOCK_INSUFFICIENT": CALLERS - UNITS}
        assert shop.promises() == [(UNITS, UNITS, 0)] * 2
        done = [request.order_id for request, answer in zip(requests, answers, strict=True) if code(answer) == "OK"]
        assert code(shop.send("ShipOrder", pb.ShipOrderRequest(order_id=done[0]))) == "OK"
        shop.channel.close()
        engine.kill()

    with EngineProcess(tmp_path / "data") as engine:
        shop = Shop(engine)
        assert shop.promises() == [(UNITS - 1, UNITS - 1, 0)] * 2
        with ThreadPoolExecutor(CALLERS) as pool:  # all of them again, with the same ids: the same answers, no effect
            again = list(pool.map(lambda request: shop.send("PlaceOrder", request), requests))
        assert again == answers
        assert shop.promises() == [(UNITS - 1, UNITS - 1, 0)] * 2
        for order_id in done[1:]:
            assert code(shop.send("CancelOrder", pb.CancelOrderRequest(order_id=order_id))) == "OK"
        assert shop.promises() == [(UNITS - 1, 0, UNITS - 1)] * 2
        shop.channel.close()
        assert engine.stop() == 0
