"""An online order over gRPC from the basket to the refund, and bad input: the right code and no counter moved."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ringup.v1 import catalog_pb2, catalog_pb2_grpc, result_pb2, stock_pb2_grpc
from ringup.v1 import stock_pb2 as pb
from support.engine_process import EngineProcess

IDS = itertools.count(1)
HOUR_MS = 3_600_000
TEA_BARCODE = "4006381333931"


def fresh() -> bytes:
    return next(IDS).to_bytes(16, "big")


def code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def line(item: str, pieces: float = 1, **fields: Any) -> pb.StockLine:
    return pb.StockLine(item_id=item, qty_milli=int(pieces * 1000), **fields)


class Shop:
    """A client of one engine: `send` commands, `ask` queries."""

    def __init__(self, engine: EngineProcess) -> None:
        self.channel = engine.channel()
        self.catalog: Any = catalog_pb2_grpc.CatalogServiceStub(self.channel)
        self.stock: Any = stock_pb2_grpc.StockServiceStub(self.channel)

    def ask(self, method: str, request: Any) -> Any:
        stub = self.catalog if hasattr(self.catalog, method) else self.stock
        return getattr(stub, method)(request, timeout=60)

    def send(self, method: str, request: Any) -> Any:
        if not request.command_id:
            request.command_id = fresh()
        return self.ask(method, request)

    def ok(self, method: str, request: Any) -> Any:
        answer = self.send(method, request)
        assert code(answer) == "OK", answer
        return answer

    def open(self) -> None:
        """A depot and a store with tea and cups, a closed place, the channel web; gift is a kit of 2 tea and a cup."""
        self.ok(
            "PutLocations",
            catalog_pb2.PutLocationsRequest(
                locations=[
                    catalog_pb2.Location(location_id="depot"),
                    catalog_pb2.Location(location_id="store"),
                    catalog_pb2.Location(location_id="closed", disabled=True),
                ]
            ),
        )
        items = [catalog_pb2.Item(item_id=name, name=name) for name in ("cup", "gift", "dozen")]
        items.append(catalog_pb2.Item(item_id="tea", name="Tea", barcodes=[TEA_BARCODE]))
        self.ok("PutItems", catalog_pb2.PutItemsRequest(items=items))
        channel = pb.Channel(channel_id="web", location_ids=["depot", "store", "closed"])
        self.ok("PutChannels", pb.PutChannelsRequest(channels=[channel]))
        parts = [pb.KitPart(item_id="tea", qty_milli=2000), pb.KitPart(item_id="cup", qty_milli=1000)]
        self.ok("PutKits", pb.PutKitsRequest(kits=[pb.Kit(item_id="gift", parts=parts)]))
        policies = [
            pb.StockPolicy(item_id="dozen", step_milli=12_000),
            pb.StockPolicy(item_id="cup", count_floor_allocated=True),
        ]
        self.ok("PutStockPolicies", pb.PutStockPoliciesRequest(policies=policies))
        for place, pieces in (("depot", 3), ("store", 9), ("closed", 50)):
            goods = [line(item, pieces) for item in ("tea", "cup", "dozen")]
            self.ok("ReceiveStock", pb.ReceiveStockRequest(location_id=place, lines=goods))

    def counters(self) -> list[Any]:
        request = pb.GetAvailabilityRequest(item_ids=["tea", "cup", "dozen", "gift"])
        return [
            (row.item_id, row.location_id, row.on_hand_milli, row.held_milli, row.allocated_milli, row.version)
            for row in self.ask("GetAvailability", request).positions
        ]

    def order(self, order_id: str) -> Any:
        return self.ask("GetOrder", pb.GetOrderRequest(order_id=order_id)).order


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("orders") / "data") as process:
        Shop(process).open()
        yield process


def units(takes: Any) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for take in takes:
        found[take.item_id, take.location_id] = found.get((take.item_id, take.location_id), 0) + take.qty_milli // 1000
    return found


def test_an_order_from_the_basket_to_the_refund(engine: EngineProcess) -> None:
    shop = Shop(engine)
    before = shop.counters()
    hold_id = fresh()
    basket = [line("tea", 4), line("gift", 1)]

    # The basket is held, stays while the bank is asked, and becomes an order over two places.
    held = shop.ok("HoldStock", pb.HoldStockRequest(hold_id=hold_id, lines=basket, ttl_ms=HOUR_MS, owner="cart 7"))
    assert units(held.takes) == {("tea", "depot"): 3, ("tea", "store"): 3, ("cup", "depot"): 1}
    assert shop.ok("PayHold", pb.PayHoldRequest(hold_id=hold_id, ttl_ms=60_000)).deadline_ns
    paid = [
        pb.PaidLine(item_id="tea", qty_milli=4000, paid_minor=1001),
        pb.PaidLine(item_id="gift", qty_milli=1000, paid_minor=1299),
    ]
    shop.ok("PlaceOrder", pb.PlaceOrderRequest(order_id="o1", hold_id=hold_id, customer_id="ada", paid=paid))
    assert code(shop.send("CommitHold", pb.CommitHoldRequest(hold_id=hold_id))) == "HOLD_ORDERED"
    assert (shop.order("o1").paid_minor, shop.order("o1").refund_minor) == (2300, 0)

    # The depot scans one tea of its two and the cup; the tea that is not found is taken from the store at once.
    depot = [pb.StockLine(item_id=TEA_BARCODE, qty_milli=1000), line("cup")]
    left = {place: pieces * 1000 for (item, place), pieces in units(shop.order("o1").to_pick).items() if item == "tea"}
    picked = shop.ok("PickOrder", pb.PickOrderRequest(order_id="o1", location_id="depot", lines=depot, short=True))
    moved = left["depot"] // 1000 - 1
    assert units(picked.takes) == {("tea", "store"): moved}
    assert not picked.missing
    assert code(shop.send("PackOrder", pb.PackOrderRequest(order_id="o1"))) == "ORDER_EXCEEDED"
    store = [pb.StockLine(item_id=TEA_BARCODE, qty_milli=left["store"] + moved * 1000)]
    assert not shop.ok("PickOrder", pb.PickOrderRequest(order_id="o1", location_id="store", lines=store)).to_pick

    # One tea is cancelled in part and refunded; the rest is packed and leaves from both places.
    cancelled = shop.ok("CancelOrder", pb.CancelOrderRequest(order_id="o1", lines=[line("tea")]))
    assert cancelled.refund_minor == 250  # 1001 / 4, half up
    shop.ok("PackOrder", pb.PackOrderRequest(order_id="o1"))
    shipped = shop.ok("ShipOrder", pb.ShipOrderRequest(order_id="o1"))
    assert {take.location_id for take in shipped.takes} == {"depot", "store"}

    # Returned in the store: what was paid is refunded to the cent, and no more than was bought comes back.
    back = {"order_id": "o1", "location_id": "store"}
    refunds = [
        shop.ok("ReturnOrder", pb.ReturnOrderRequest(item_id="tea", qty_milli=1000, **back)).refund_minor
        for _ in range(3)
    ]
    assert cancelled.refund_minor + sum(refunds) == 1001
    assert shop.ok("ReturnOrder", pb.ReturnOrderRequest(item_id="gift", qty_milli=1000, **back)).refund_minor == 1299
    assert (
        code(shop.send("ReturnOrder", pb.ReturnOrderRequest(item_id="tea", qty_milli=1000, **back))) == "ORDER_EXCEEDED"
    )
    assert (shop.order("o1").paid_minor, shop.order("o1").refund_minor) == (2300, 2300)

    # History and status by customer.
    assert [row.state for row in shop.order("o1").history] == [
        pb.ORDER_STATE_PLACED, pb.ORDER_STATE_PICKING, pb.ORDER_STATE_PACKED, pb.ORDER_STATE_SHIPPED,
    ]  # fmt: skip
    shop.ok("PlaceOrder", pb.PlaceOrderRequest(order_id="o2", lines=[line("tea")], customer_id="ada"))
    found = shop.ask("ListOrders", pb.ListOrdersRequest(customer_id="ada")).orders
    assert [(order.order_id, order.state) for order in found] == [
        ("o2", pb.ORDER_STATE_PLACED),
        ("o1", pb.ORDER_STATE_SHIPPED),
    ]
    assert not shop.ask("ListOrders", pb.ListOrdersRequest(customer_id="bob")).orders
    shop.ok("CancelOrder", pb.CancelOrderRequest(order_id="o2"))

    # Nothing was lost on the way: what left came back, to the store.
    now = shop.counters()
    assert [sum(row[2] for row in rows if row[0] == "tea") for rows in (before, now)] == [62_000] * 2
    assert all(row[3:5] == (0, 0) for row in now)


def test_an_order_is_collected_with_its_code_or_given_up_at_its_deadline(engine: EngineProcess) -> None:
    shop = Shop(engine)
    for order_id, ttl_ms in (("p1", HOUR_MS), ("p2", 1)):
        paid = [pb.PaidLine(item_id="cup", qty_milli=1000, paid_minor=700)]
        request = pb.PlaceOrderRequest(
            order_id=order_id, lines=[line("cup")], scope=pb.Scope(collection_point_id="store"), paid=paid
        )
        assert units(shop.ok("PlaceOrder", request).takes) == {("cup", "store"): 1}
        shop.ok("PickOrder", pb.PickOrderRequest(order_id=order_id, location_id="store", lines=[line("cup")]))
        shop.ok("PackOrder", pb.PackOrderRequest(order_id=order_id))
        ready = pb.ReadyOrderRequest(order_id=order_id, pickup_code="4711", ttl_ms=ttl_ms)
        assert shop.ok("ReadyOrder", ready).pickup_deadline_ns
    wrong = pb.HandOverOrderRequest(order_id="p1", pickup_code="0815")
    assert code(shop.send("HandOverOrder", wrong)) == "PICKUP_CODE_WRONG"
    shop.ok("HandOverOrder", pb.HandOverOrderRequest(order_id="p1", pickup_code="4711"))
    assert shop.order("p1").state == pb.ORDER_STATE_HANDED_OVER
    time.sleep(0.01)
    late = pb.HandOverOrderRequest(order_id="p2", pickup_code="4711")
    assert code(shop.send("HandOverOrder", late)) == "ORDER_STATE"
    assert (shop.order("p2").state, shop.order("p2").refund_minor) == (pb.ORDER_STATE_EXPIRED, 700)


HOLD = bytes([7]) * 16
ONE = {"qty_milli": 1000, "paid_minor": 1}
MOST = pb.PaidLine(item_id="tea", qty_milli=1000, paid_minor=10**15)
BAD: list[tuple[str, Any, str]] = [
    ("HoldStock", pb.HoldStockRequest(lines=[line("tea")], location_id="moon"), "LOCATION_UNKNOWN"),
    ("HoldStock", pb.HoldStockRequest(lines=[line("tea", location_id="moon")]), "LOCATION_UNKNOWN"),
    ("PlaceOrder", pb.PlaceOrderRequest(order_id="b", lines=[line("tea")], location_id="moon"), "LOCATION_UNKNOWN"),
    ("SellStock", pb.SellStockRequest(location_id="moon", lines=[line("tea")]), "LOCATION_UNKNOWN"),
    ("HoldStock", pb.HoldStockRequest(lines=[line("tea")], scope=pb.Scope(channel_id="fax")), "CHANNEL_UNKNOWN"),
    (
        "PlaceOrder",
        pb.PlaceOrderRequest(order_id="b", lines=[line("tea")], scope=pb.Scope(channel_id="fax")),
        "CHANNEL_UNKNOWN",
    ),
    (
        "PlaceOrder",
        pb.PlaceOrderRequest(order_id="b", lines=[line("tea")], scope=pb.Scope(collection_point_id="moon")),
        "LOCATION_UNKNOWN",
    ),
    ("HoldStock", pb.HoldStockRequest(lines=[line("tea")], location_id="closed"), "LOCATION_DISABLED"),
    ("PlaceOrder", pb.PlaceOrderRequest(order_id="b", lines=[line("gift")], location_id="closed"), "LOCATION_DISABLED"),
    ("SellStock", pb.SellStockRequest(location_id="closed", lines=[line("tea")]), "LOCATION_DISABLED"),
    ("HoldStock", pb.HoldStockRequest(lines=[line("dozen", 5)]), "QTY_INVALID"),
    ("PlaceOrder", pb.PlaceOrderRequest(order_id="b", lines=[line("dozen", 13)]), "QTY_INVALID"),
    ("HoldStock", pb.HoldStockRequest(lines=[line("tea", 1.5)]), "QTY_INVALID"),
    ("HoldStock", pb.HoldStockRequest(lines=[line("gift", 0.5)]), "QTY_INVALID"),
    ("ReceiveStock", pb.ReceiveStockRequest(location_id="store", lines=[line("gift")]), "ITEM_IS_KIT"),
    ("HoldStock", pb.HoldStockRequest(lines=[line("tea")] * 10_000), "TOO_MANY"),
    ("HoldStock", pb.HoldStockRequest(lines=[line("tea")], ttl_ms=-1), "TIME_INVALID"),
    ("HoldStock", pb.HoldStockRequest(lines=[line("tea")], ttl_ms=32 * 24 * HOUR_MS), "TIME_INVALID"),
    ("ExtendHold", pb.ExtendHoldRequest(hold_id=HOLD, ttl_ms=-1), "TIME_INVALID"),
    ("CommitHold", pb.CommitHoldRequest(hold_id=HOLD), "HOLD_EXPIRED"),
    ("ShipOrder", pb.ShipOrderRequest(order_id="bad", lines=[line("cup", 3)]), "ORDER_EXCEEDED"),
    ("ShipOrder", pb.ShipOrderRequest(order_id="bad", lines=[line("gift")]), "ORDER_EXCEEDED"),
    ("CountStock", pb.CountStockRequest(location_id="store", item_id="cup", on_hand_milli=1000), "STOCK_PROMISED"),
    (
        "PlaceOrder",
        pb.PlaceOrderRequest(order_id="b", lines=[line("tea")], paid=[pb.PaidLine(item_id="tea", paid_minor=1)]),
        "QTY_INVALID",
    ),
    (
        "PlaceOrder",
        pb.PlaceOrderRequest(
            order_id="b", lines=[line("tea")], paid=[pb.PaidLine(item_id="tea", qty_milli=1000, paid_minor=-1)]
        ),
        "AMOUNT_INVALID",
    ),
    (
        "PlaceOrder",
        pb.PlaceOrderRequest(order_id="b", lines=[line("tea")], paid=[MOST, pb.PaidLine(item_id="cup", **ONE)]),
        "AMOUNT_INVALID",
    ),
    (
        "PlaceOrder",
        pb.PlaceOrderRequest(order_id="bad", add=True, lines=[line("tea")], paid=[MOST]),
        "AMOUNT_INVALID",
    ),
]


def test_bad_input_gets_its_code_and_moves_no_counter(engine: EngineProcess) -> None:
    shop = Shop(engine)
    paid = [pb.PaidLine(item_id="cup", **ONE)]
    bad = pb.PlaceOrderRequest(order_id="bad", lines=[line("cup", 2)], location_id="store", paid=paid)
    shop.ok("PlaceOrder", bad)
    shop.ok("HoldStock", pb.HoldStockRequest(hold_id=HOLD, lines=[line("tea")], ttl_ms=1))
    time.sleep(0.01)
    shop.ok("PutStockPolicies", pb.PutStockPoliciesRequest(policies=[pb.StockPolicy(item_id="tea")]))  # a batch
    before = shop.counters()
    found = []
    for method, request, expected in BAD:
        answer = shop.send(method, type(request).FromString(request.SerializeToString()))
        found.append((method, code(answer), answer.problem.field != ""))
        assert found[-1] == (method, expected, True), (request, answer)
        assert shop.counters() == before, request
    point = pb.Scope(collection_point_id="moon")
    answer = shop.send("PlaceOrder", pb.PlaceOrderRequest(order_id="b", lines=[line("tea")], scope=point))
    assert (answer.problem.field, answer.problem.subject) == ("scope.collection_point_id", "moon")
    assert code(shop.ask("GetOrder", pb.GetOrderRequest(order_id="b"))) == "ORDER_UNKNOWN"
