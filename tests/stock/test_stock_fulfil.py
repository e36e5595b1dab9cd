"""Orders from the shelf to the customer: pick, short pick, pack, pickup; and the one table of states."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ringup.native.stock_states import transitions
from ringup.v1 import catalog_pb2, result_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import SECOND_NS, CoreHarness, small_shop

ACTIONS = ["add", "pick", "pack", "ready", "hand over", "ship (all)", "unship", "cancel (all)", "not collected"]
MILK_BARCODE = "4006381333931"


def code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def milk(pieces: int, **fields: Any) -> pb.StockLine:
    return pb.StockLine(**{"item_id": "milk", "qty_milli": pieces * 1000, **fields})


def shop_of_two() -> CoreHarness:
    """Milk: 5 at S1, 3 at S2; the channel web asks S1, then S2.  Order o1 of customer ann has 4 at S1."""
    shop = small_shop(pieces=5)
    shop.batch(
        pb.ReceiveStockRequest(location_id="S2", lines=[milk(3)]),
        pb.PutChannelsRequest(channels=[pb.Channel(channel_id="web", location_ids=["S1", "S2"])]),
    )
    assert code(shop.send(pb.PlaceOrderRequest(order_id="o1", lines=[milk(4)], customer_id="ann"))) == "OK"
    return shop


def order(shop: CoreHarness, order_id: str = "o1") -> pb.StockOrder:
    answer: pb.GetOrderResponse = shop.ask("GetOrder", pb.GetOrderRequest(order_id=order_id), pb.GetOrderResponse)
    assert code(answer) == "OK"
    return answer.order


def levels(shop: CoreHarness, location: str) -> tuple[int, int, int]:
    request = pb.GetAvailabilityRequest(item_ids=["milk"], location_id=location)
    row = shop.ask("GetAvailability", request, pb.GetAvailabilityResponse).positions[0]
    return row.on_hand_milli // 1000, row.allocated_milli // 1000, row.unavailable_milli // 1000


def states(shop: CoreHarness) -> list[str]:
    return [pb.OrderState.Name(at.state).removeprefix("ORDER_STATE_") for at in order(shop).history]


def pick(shop: CoreHarness, *lines: pb.StockLine, location: str = "S1", short: bool = False) -> Any:
    return shop.send(pb.PickOrderRequest(order_id="o1", location_id=location, lines=lines, short=short))


def test_units_that_left_untracked_come_back_to_no_place() -> None:
    """They were promised as stock: unshipped and cancelled they went back to no position once, which was a crash."""
    shop = shop_of_two()
    untracked = catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="milk", name="Milk", untracked=True)])
    assert code(shop.send(untracked)) == code(shop.send(pb.ShipOrderRequest(order_id="o1"))) == "OK"
    assert levels(shop, "S1") == (5, 0, 0)  # nothing is counted any more
    assert code(shop.send(pb.UnshipOrderRequest(order_id="o1"))) == "OK"
    assert [(line.item_id, line.location_id) for line in order(shop).allocated] == [("milk", "")]
    assert code(shop.send(pb.CancelOrderRequest(order_id="o1"))) == "OK"
    assert (levels(shop, "S1"), states(shop)[-1]) == ((5, 0, 0), "CANCELLED")


def test_an_order_is_picked_by_barcode_packed_and_shipped() -> None:
    shop = shop_of_two()
    answer = pick(shop, milk(3, item_id=MILK_BARCODE))
    assert [(take.location_id, take.qty_milli) for take in answer.to_pick] == [("S1", 1000)]
    assert code(shop.send(pb.PackOrderRequest(order_id="o1"))) == "ORDER_EXCEEDED"
    assert code(pick(shop, milk(2))) == "ORDER_EXCEEDED"
    assert code(pick(shop, pb.StockLine(item_id="bread", qty_milli=1000))) == "ORDER_EXCEEDED"
    shop.now_ns += SECOND_NS
    assert code(pick(shop, milk(1))) == "OK"
    assert code(shop.send(pb.PackOrderRequest(order_id="o1"))) == "OK"
    assert code(shop.send(pb.PackOrderRequest(order_id="o1"))) == "ORDER_STATE"
    assert code(shop.send(pb.ShipOrderRequest(order_id="o1"))) == "OK"
    assert states(shop) == ["PLACED", "PICKING", "PACKED", "SHIPPED"]
    assert levels(shop, "S1") == (1, 0, 0)


def test_a_short_pick_moves_the_rest_to_another_place_at_once() -> None:
    shop = shop_of_two()
    answer = pick(shop, milk(2), short=True)
    assert [(take.location_id, take.qty_milli) for take in answer.takes] == [("S2", 2000)]
    assert not answer.missing
    assert [(take.location_id, take.qty_milli) for take in answer.to_pick] == [("S2", 2000)]
    assert levels(shop, "S1") == (5, 2, 2)  # the two that nobody found are promised to nobody until they are counted
    assert levels(shop, "S2") == (3, 2, 0)
    assert code(pick(shop, milk(2), location="S2")) == "OK"
    assert code(shop.send(pb.PackOrderRequest(order_id="o1"))) == "OK"


def test_a_short_pick_says_what_no_place_has() -> None:
    shop = shop_of_two()
    assert code(shop.send(pb.PlaceOrderRequest(order_id="o2", lines=[milk(2, location_id="S2")]))) == "OK"
    answer = pick(shop, short=True)
    assert [(take.location_id, take.qty_milli) for take in answer.takes] == [("S2", 1000)]
    assert [(line.item_id, line.qty_milli) for line in answer.missing] == [("milk", 3000)]
    assert levels(shop, "S1") == (5, 0, 4)
    assert levels(shop, "S2") == (3, 3, 0)


def ready(shop: CoreHarness, **fields: Any) -> Any:
    pick(shop, milk(4))
    assert code(shop.send(pb.PackOrderRequest(order_id="o1"))) == "OK"
    return shop.send(pb.ReadyOrderRequest(**{"order_id": "o1", "pickup_code": "7421", "ttl_ms": 3_600_000, **fields}))


def test_a_customer_collects_an_order_with_the_code() -> None:
    shop = shop_of_two()
    answer = ready(shop)
    assert answer.pickup_deadline_ns == shop.now_ns + 3600 * SECOND_NS
    found = order(shop)
    assert (found.pickup_location_id, found.pickup_deadline_ns) == ("S1", answer.pickup_deadline_ns)
    wrong = pb.HandOverOrderRequest(order_id="o1", pickup_code="7422")
    assert code(shop.send(wrong)) == "PICKUP_CODE_WRONG"
    assert code(shop.send(pb.PlaceOrderRequest(order_id="o1", lines=[milk(1)], add=True))) == "ORDER_STATE"
    answer = shop.send(pb.HandOverOrderRequest(order_id="o1", pickup_code="7421"))
    assert [(take.location_id, take.qty_milli) for take in answer.takes] == [("S1", 4000)]
    assert code(shop.send(pb.HandOverOrderRequest(order_id="o1", pickup_code="7421"))) == "ORDER_STATE"
    assert states(shop) == ["PLACED", "PICKING", "PACKED", "READY", "HANDED_OVER"]
    assert levels(shop, "S1") == (1, 0, 0)
    shop.now_ns += 3601 * SECOND_NS
    shop.batch()
    assert states(shop)[-1] == "HANDED_OVER"


@pytest.mark.parametrize("restarted", [False, True])
def test_an_order_that_nobody_collects_gives_its_units_back(restarted: bool) -> None:
    shop = shop_of_two()
    ready(shop)
    if restarted:
        shop.core.rebuild()
    shop.now_ns += 3600 * SECOND_NS
    assert code(shop.send(pb.HandOverOrderRequest(order_id="o1", pickup_code="7421"))) == "ORDER_STATE"
    assert states(shop)[-1] == "EXPIRED"
    assert levels(shop, "S1") == (5, 0, 0)


def test_a_pickup_is_at_one_place() -> None:
    shop = shop_of_two()
    assert code(shop.send(pb.PlaceOrderRequest(order_id="o1", lines=[milk(2)], add=True))) == "OK"
    assert code(pick(shop, milk(5))) == "OK"
    assert code(pick(shop, milk(1), location="S2")) == "OK"
    assert code(shop.send(pb.PackOrderRequest(order_id="o1"))) == "OK"
    assert code(shop.send(pb.ReadyOrderRequest(order_id="o1", pickup_code="7"))) == "ORDER_STATE"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"order_id": ""}, "FIELD_INVALID"),
        ({"pickup_code": ""}, "FIELD_INVALID"),
        ({"pickup_code": "x" * 17}, "FIELD_INVALID"),
        ({"ttl_ms": -1}, "TIME_INVALID"),
        ({"ttl_ms": 31 * 86_400_000 + 1}, "TIME_INVALID"),
        ({"order_id": "none"}, "ORDER_UNKNOWN"),
        ({"ttl_ms": 0}, "OK"),
    ],
)
def test_bad_input_to_ready(fields: dict[str, Any], expected: str) -> None:
    assert code(ready(shop_of_two(), **fields)) == expected


def test_the_orders_of_a_customer_are_listed_newest_first_page_by_page() -> None:
    shop = shop_of_two()
    for n in range(2, 6):
        shop.send(pb.PlaceOrderRequest(order_id=f"o{n}", lines=[milk(1)], customer_id="bob" if n == 3 else "ann"))

    def page(**fields: Any) -> list[str]:
        answer = shop.ask("ListOrders", pb.ListOrdersRequest(customer_id="ann", **fields), pb.ListOrdersResponse)
        return [found.order_id for found in answer.orders]

    assert page() == ["o5", "o4", "o2", "o1"]
    assert page(page_size=2) == ["o5", "o4"]
    assert page(page_size=2, before_order_id="o4") == ["o2", "o1"]
    shop.core.rebuild()
    assert page() == ["o5", "o4", "o2", "o1"]


def test_the_table_in_the_contract_is_the_table_in_the_code() -> None:
    text = (Path(__file__).parents[2] / "protos" / "ringup" / "v1" / "stock.proto").read_text()
    rows = [
        [field.strip() for field in row.strip("/ |").split("|")]
        for row in re.findall(r"^// \|.*\|$", text, re.MULTILINE)
        if "---" not in row
    ]
    head, *body = rows
    written = {
        (ACTIONS.index(action), pb.OrderState.Value(f"ORDER_STATE_{row[0]}"), pb.OrderState.Value(f"ORDER_STATE_{to}"))
        for row in body
        for action, to in zip(head[1:], [*row[1:], *[""] * len(head)], strict=False)
        if to
    }
    over = {pb.ORDER_STATE_CANCELLED, pb.ORDER_STATE_EXPIRED}  # a cancelled order stays cancelled
    assert written == {row for row in transitions() if row[1] not in over}


def test_a_closed_place_is_not_where_the_rest_goes() -> None:
    shop = shop_of_two()
    shut = catalog_pb2.Location(location_id="S2", name="Station", disabled=True)
    shop.send(catalog_pb2.PutLocationsRequest(locations=[shut]))
    answer = pick(shop, milk(1), short=True)
    assert [(line.item_id, line.qty_milli) for line in answer.missing] == [("milk", 3000)]
    assert not answer.takes


def test_what_is_missing_is_refunded_at_once_and_the_rest_with_the_cancel() -> None:
    """What a short pick lost was never refunded once: of 10.01 for 4 the cancel gave back 2.50."""
    shop = shop_of_two()
    paid = [pb.PaidLine(item_id="milk", qty_milli=4000, paid_minor=1001)]
    order_of_four = pb.PlaceOrderRequest(order_id="o2", lines=[milk(1), milk(3, location_id="S2")], paid=paid)
    assert code(shop.send(order_of_four)) == "OK"
    answer = shop.send(pb.PickOrderRequest(order_id="o2", location_id="S2", lines=[milk(1)], short=True))
    assert [(line.item_id, line.qty_milli) for line in answer.missing] == [("milk", 2000)]
    assert answer.refund_minor == order(shop, "o2").refund_minor == 501
    assert shop.send(pb.CancelOrderRequest(order_id="o2", lines=[milk(1)])).refund_minor == 250
    assert shop.send(pb.CancelOrderRequest(order_id="o2")).refund_minor == 250
    assert (order(shop, "o2").paid_minor, order(shop, "o2").refund_minor) == (1001, 1001)


def test_an_order_that_lost_everything_is_refunded_and_over() -> None:
    shop = shop_of_two()
    paid = [pb.PaidLine(item_id="milk", qty_milli=1000, paid_minor=99)]
    assert code(shop.send(pb.PlaceOrderRequest(order_id="o2", lines=[milk(1)], location_id="S1", paid=paid))) == "OK"
    assert code(shop.send(pb.PlaceOrderRequest(order_id="o3", lines=[milk(3, location_id="S2")]))) == "OK"
    answer = shop.send(pb.PickOrderRequest(order_id="o2", location_id="S1", short=True))
    assert (code(answer), answer.refund_minor) == ("OK", 99)
    found = order(shop, "o2")
    assert (found.state, found.cancelled, found.refund_minor) == (pb.ORDER_STATE_CANCELLED, True, 99)
    assert code(shop.send(pb.PackOrderRequest(order_id="o2"))) == "ORDER_STATE"
    assert code(shop.send(pb.CancelOrderRequest(order_id="o2"))) == "ORDER_DONE"


def test_an_order_without_units_is_not_packed() -> None:
    shop = shop_of_two()
    pick(shop, milk(1))
    assert code(shop.send(pb.CancelOrderRequest(order_id="o1", lines=[milk(4)]))) == "OK"
    assert code(shop.send(pb.PackOrderRequest(order_id="o1"))) == "ORDER_DONE"


def test_what_was_paid_first_is_refunded_first_also_of_what_was_added() -> None:
    """Paid lines of one command and of later ones are one row, in their order, whoever's item stands between."""
    shop = small_shop()
    for number, prices in enumerate(((100, 200), (300,), (400, 500))):
        paid = [
            line
            for price in prices
            for line in (
                pb.PaidLine(item_id="bread", qty_milli=1000, paid_minor=7),
                pb.PaidLine(item_id="milk", qty_milli=1000, paid_minor=price),
            )
        ]
        request = pb.PlaceOrderRequest(order_id="o1", lines=[milk(len(prices))], location_id="S1", paid=paid)
        request.add = number > 0
        assert code(shop.send(request)) == "OK"
    assert order(shop).paid_minor == 1500 + 5 * 7
    refunds = [shop.send(pb.CancelOrderRequest(order_id="o1", lines=[milk(1)])).refund_minor for _ in range(5)]
    assert refunds == [100, 200, 300, 400, 500]
