"""Kits beyond what the case format has words for: tills and returns, picking, versions, and what PutKits refuses."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from ringup.engine.movements import Movements
from ringup.engine.record import Record
from ringup.engine.verify_counters import compare
from ringup.v1 import catalog_pb2, result_pb2, sale_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import SECOND_NS, CoreHarness, card, line, small_shop

ONE = bytes(15) + b"\1"


def code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def part(item_id: str, qty_milli: int = 1000) -> pb.KitPart:
    return pb.KitPart(item_id=item_id, qty_milli=qty_milli)


def kit(item_id: str, *parts: pb.KitPart, **fields: Any) -> pb.Kit:
    return pb.Kit(item_id=item_id, parts=parts, **fields)


def kit_shop(pieces: int = 10, **fields: Any) -> CoreHarness:
    """The small shop with a breakfast of 2 milk, 1 bread, 0.25 kg cheese and a gift wrap, for 7.50."""
    shop = small_shop(pieces=pieces, **fields)
    answers = shop.batch(
        catalog_pb2.PutItemsRequest(
            items=[catalog_pb2.Item(item_id="breakfast", name="Breakfast", tax_class_id="low")]
        ),
        catalog_pb2.PutPricesRequest(rows=[catalog_pb2.PriceRow(item_id="breakfast", price_minor=750)]),
        pb.PutKitsRequest(
            kits=[kit("breakfast", part("milk", 2000), part("bread"), part("cheese", 250), part("wrap"))]
        ),
    )
    assert [code(answer) for answer in answers] == ["OK"] * 3
    return shop


def on_hand(shop: CoreHarness, location: str = "S1") -> dict[str, int]:
    request = pb.GetAvailabilityRequest(item_ids=["milk", "bread", "cheese", "breakfast"], location_id=location)
    answer = shop.ask("GetAvailability", request, pb.GetAvailabilityResponse)
    return {row.item_id: row.on_hand_milli for row in answer.positions}


def sell(shop: CoreHarness, pieces: int, *more: Any, **fields: Any) -> Any:
    lines = [line("breakfast", pieces), *more]
    return shop.send(sale_pb2.SellRequest(till_id="T1", lines=lines, tenders=[card(750 * pieces)], **fields))


def test_a_till_prices_the_kit_and_takes_its_parts() -> None:
    shop = kit_shop()
    answer = sell(shop, 3)
    assert code(answer) == "OK"
    assert answer.receipt.basket.total_minor == 2250
    assert [row.item_id for row in answer.receipt.basket.lines] == ["breakfast"]
    assert on_hand(shop) == {"milk": 4000, "bread": 7000, "cheese": 9250, "breakfast": 0}


def test_a_kit_and_its_part_in_one_basket_are_one_demand() -> None:
    shop = kit_shop()
    answer = sell(shop, 5, line("milk", 1))
    assert (code(answer), answer.problem.subject, answer.problem.found) == ("STOCK_INSUFFICIENT", "milk", 10_000)
    answer = sell(shop, 6)
    assert (code(answer), answer.problem.subject, answer.problem.found) == ("STOCK_INSUFFICIENT", "milk", 10_000)
    assert code(sell(shop, 5)) == "OK"


def test_a_sale_uses_the_parts_that_a_hold_of_the_kit_has() -> None:
    shop = kit_shop()
    held = pb.HoldStockRequest(hold_id=ONE, location_id="S1", lines=[pb.StockLine(item_id="breakfast", qty_milli=5000)])
    assert code(shop.send(held)) == "OK"
    assert code(sell(shop, 1)) == "STOCK_INSUFFICIENT"
    assert code(sell(shop, 4, hold_ids=[ONE])) == "OK"
    assert on_hand(shop) == {"milk": 2000, "bread": 6000, "cheese": 9000, "breakfast": 0}
    assert code(sell(shop, 1)) == "OK"


def test_a_return_gives_the_parts_back_that_were_sold_and_refunds_the_price_of_the_kit() -> None:
    """The kit has other parts by the time it comes back."""
    shop = kit_shop()
    sold = sell(shop, 2).receipt
    assert code(shop.send(pb.PutKitsRequest(kits=[kit("breakfast", part("lamp"))]))) == "OK"
    back = sale_pb2.ReturnLinesRequest(
        till_id="T3", sale_id=sold.sale_id, lines=[sale_pb2.ReturnLine(line=0, qty_milli=1000)]
    )
    answer = shop.send(back)
    assert (code(answer), answer.receipt.basket.total_minor) == ("OK", 750)
    assert on_hand(shop, "S2") == {"milk": 2000, "bread": 1000, "cheese": 250, "breakfast": 0}
    half = sale_pb2.ReturnLinesRequest(
        till_id="T3", sale_id=sold.sale_id, lines=[sale_pb2.ReturnLine(line=0, qty_milli=500)]
    )
    assert code(shop.send(half)) == "QTY_INVALID"


def test_the_movements_of_kits_fold_to_the_counters() -> None:
    """Sales, holds, orders and returns of kits, told in the answers: the fold knows no kit's parts by itself."""
    shop = kit_shop(pieces=20)
    two = [pb.StockLine(item_id="breakfast", qty_milli=2000)]
    order = {"order_id": "o", "location_id": "S1"}
    sold = sell(shop, 3).receipt
    answers = shop.batch(
        pb.HoldStockRequest(hold_id=ONE, location_id="S1", lines=two),
        pb.ReleaseHoldRequest(hold_id=ONE, qty_milli=1000),
        pb.CommitHoldRequest(hold_id=ONE, qty_milli=1000),
        pb.PlaceOrderRequest(lines=[*two, pb.StockLine(item_id="milk", qty_milli=1000)], **order),
        pb.CancelOrderRequest(order_id="o", lines=[pb.StockLine(item_id="breakfast", qty_milli=1000)]),
        pb.ShipOrderRequest(order_id="o"),
        pb.ReturnOrderRequest(item_id="breakfast", qty_milli=1000, restock_milli=0, **order),
        sale_pb2.ReturnLinesRequest(
            till_id="T3", sale_id=sold.sale_id, lines=[sale_pb2.ReturnLine(line=0, qty_milli=2000)]
        ),
    )
    assert [code(answer) for answer in answers] == ["OK"] * 8
    movements = Movements()
    for sequence, now_ns, commands, replies in shop.journal:
        movements.take(Record(sequence, now_ns, "", b"".join(commands), b"".join(replies), b""))
    assert movements.problems == []
    assert compare(shop.core, movements) == (0, [])


def test_what_a_shortfall_allows_at_the_till_is_reported_by_part() -> None:
    shop = kit_shop(pieces=3, shortfall_allowed=True)
    answer = sell(shop, 2)
    assert code(answer) == "OK"
    assert {row.item_id: row.free_milli for row in answer.shortfalls} == {"milk": -1000}


def test_an_order_of_a_kit_is_picked_by_part_and_a_short_part_moves_with_its_kit() -> None:
    shop = kit_shop()
    shop.send(
        pb.ReceiveStockRequest(
            location_id="S2", lines=[pb.StockLine(item_id=item, qty_milli=9000) for item in ("milk", "bread", "cheese")]
        )
    )
    shop.send(pb.PutChannelsRequest(channels=[pb.Channel(channel_id="web", location_ids=["S1", "S2"])]))
    two = [pb.StockLine(item_id="breakfast", qty_milli=2000)]
    answer = shop.send(pb.PlaceOrderRequest(order_id="o", lines=two))
    assert {take.kit_id for take in answer.takes} == {"breakfast"}
    assert {take.item_id: take.qty_milli for take in answer.takes if take.location_id == "S1"} == {
        "milk": 4000,
        "bread": 2000,
        "cheese": 500,
    }
    scanned = [
        pb.StockLine(item_id="4006381333931", qty_milli=3000),  # the barcode of the milk
        pb.StockLine(item_id="bread", qty_milli=2000),
        pb.StockLine(item_id="cheese", qty_milli=500),
    ]
    answer = shop.send(pb.PickOrderRequest(order_id="o", location_id="S1", lines=scanned, short=True))
    assert code(answer) == "OK"
    assert [(take.item_id, take.location_id, take.kit_id) for take in answer.takes] == [("milk", "S2", "breakfast")]
    assert [(take.item_id, take.qty_milli) for take in answer.to_pick] == [("milk", 1000)]
    assert not answer.missing
    order = shop.ask("GetOrder", pb.GetOrderRequest(order_id="o"), pb.GetOrderResponse).order
    assert {take.kit_id for take in order.allocated} == {"breakfast"}
    assert code(shop.send(pb.CancelOrderRequest(order_id="o", lines=two))) == "OK"
    order = shop.ask("GetOrder", pb.GetOrderRequest(order_id="o"), pb.GetOrderResponse).order
    assert not order.allocated


def test_a_kit_is_available_to_promise_by_the_date_its_parts_arrive() -> None:
    shop = kit_shop(pieces=2)
    line_ = pb.StockLine(item_id="milk", qty_milli=6000)
    assert code(shop.send(pb.ExpectStockRequest(location_id="S1", lines=[line_], expected_ns=100))) == "OK"
    found = {}
    for by_ns in (0, 99, 100):
        request = pb.GetPromiseRequest(item_ids=["breakfast"], location_id="S1", by_ns=by_ns)
        found[by_ns] = shop.ask("GetPromise", request, pb.GetPromiseResponse).promises[0].available_milli
    assert found == {0: 1000, 99: 1000, 100: 2000}


def test_the_fewest_shipments_count_whole_kits() -> None:
    shop = kit_shop(pieces=3)
    shop.batch(
        pb.ReceiveStockRequest(
            location_id="S2", lines=[pb.StockLine(item_id=item, qty_milli=6000) for item in ("milk", "bread", "cheese")]
        ),
        pb.PutChannelsRequest(
            channels=[
                pb.Channel(channel_id="web", location_ids=["S1", "S2"], sourcing=pb.SOURCING_FEWEST_SHIPMENTS),
            ]
        ),
    )
    two = [pb.StockLine(item_id="breakfast", qty_milli=2000)]
    answer = shop.send(pb.PlaceOrderRequest(order_id="o", lines=two))
    assert {take.location_id for take in answer.takes} - {""} == {"S2"}


def test_a_replaced_hold_frees_its_own_units_where_few_shipments_are_wanted() -> None:
    """Ordering the places by what they cover once forgot the units that the hold was about to give back."""
    shop = small_shop(pieces=5)
    channel = pb.Channel(channel_id="web", location_ids=["S1"], sourcing=pb.SOURCING_FEWEST_SHIPMENTS)
    shop.send(pb.PutChannelsRequest(channels=[channel]))
    for pieces in (3, 4):
        request = pb.HoldStockRequest(hold_id=ONE, lines=[pb.StockLine(item_id="milk", qty_milli=pieces * 1000)])
        assert code(shop.send(request)) == "OK"


def test_the_same_batches_give_the_same_kits_and_a_restart_changes_nothing() -> None:
    shop = kit_shop()
    shop.batch(
        catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="feast", name="Feast")]),
        pb.PutKitsRequest(kits=[kit("feast", part("breakfast", 2000), part("lamp"))]),
        pb.PutKitsRequest(kits=[kit("breakfast", part("milk"), part("bread"))]),
        pb.PlaceOrderRequest(
            order_id="o", location_id="S1", lines=[pb.StockLine(item_id="feast", qty_milli=2000)], customer_id="c"
        ),
    )
    assert shop.refold().digest() == shop.core.digest()
    before = shop.core.digest()
    shop.core.rebuild()
    assert shop.core.digest() == before
    request = pb.CancelOrderRequest(order_id="o", lines=[pb.StockLine(item_id="feast", qty_milli=1000)])
    assert code(shop.send(request)) == "OK"
    order = shop.ask("GetOrder", pb.GetOrderRequest(order_id="o"), pb.GetOrderResponse).order
    assert {take.item_id: take.qty_milli for take in order.allocated} == {"milk": 2000, "bread": 2000, "lamp": 1000}


def test_putting_a_kit_again_as_it_is_makes_no_new_version() -> None:
    shop = kit_shop()
    rows = shop.core.row_counts()["kits"]
    same = kit("breakfast", part("milk", 2000), part("bread"), part("cheese", 250), part("wrap"))
    assert code(shop.send(pb.PutKitsRequest(kits=[same]))) == "OK"
    assert shop.core.row_counts()["kits"] == rows
    shop.send(catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="breakfast", name="Morning")]))
    asked = shop.ask("GetKits", pb.GetKitsRequest(item_ids=["breakfast", "milk"]), pb.GetKitsResponse)
    assert list(asked.kits) == [same, pb.Kit(item_id="milk")]  # still a kit after its item was put again


def test_a_kit_without_parts_is_a_plain_item_again() -> None:
    shop = kit_shop()
    assert code(shop.send(pb.PutKitsRequest(kits=[kit("breakfast")]))) == "OK"
    receipt = pb.ReceiveStockRequest(location_id="S1", lines=[pb.StockLine(item_id="breakfast", qty_milli=1000)])
    assert code(shop.send(receipt)) == "OK"
    assert code(sell(shop, 1)) == "OK"
    assert on_hand(shop) == {"milk": 10_000, "bread": 10_000, "cheese": 10_000, "breakfast": 0}


MANY = [f"i{number}" for number in range(110)]
REFUSED = [
    ([], "LINES_EMPTY"),
    ([kit("", part("milk"))], "FIELD_INVALID"),
    ([kit("breakfast", part(""))], "FIELD_INVALID"),
    ([kit("box", part("milk")), kit("box", part("bread"))], "FIELD_INVALID"),
    ([kit("box", *[part("milk")] * 101)], "TOO_MANY"),
    ([kit("box", part("half")), kit("half", *map(part, MANY[:60])), kit("box2", part("half"))], "OK"),
    (
        [
            kit("box", part("half"), part("half2")),
            kit("half", *map(part, MANY[:60])),
            kit("half2", *map(part, MANY[50:])),
        ],
        "TOO_MANY",
    ),
    ([kit("box", part("milk", 0))], "QTY_INVALID"),
    ([kit("box", part("milk", 500))], "QTY_INVALID"),
    ([kit("box", part("cheese", 1))], "OK"),
    ([kit("box", part("milk", 10_000_000))], "OK"),
    ([kit("box", part("milk", 10_001_000))], "QTY_TOO_LARGE"),
    ([kit("box", part("half", 5_000_000)), kit("half", part("milk", 3000))], "QTY_TOO_LARGE"),
    ([kit("box", part("box"))], "KIT_NESTED"),
    ([kit("box", part("half")), kit("half", part("box"))], "KIT_NESTED"),
    ([kit("milk", part("breakfast"))], "KIT_NESTED"),
    ([kit("bread", part("lamp"))], "STOCK_PROMISED"),
    ([kit("nothing", part("milk"))], "ITEM_UNKNOWN"),
    ([kit("box", part("nothing"))], "ITEM_UNKNOWN"),
    ([kit(f"d{n}", part(f"d{n + 1}")) for n in range(4)] + [kit("d4", part("milk"))], "OK"),
    ([kit(f"d{n}", part(f"d{n + 1}")) for n in range(5)] + [kit("d5", part("milk"))], "KIT_NESTED"),
]


@pytest.mark.parametrize(("kits", "expected"), REFUSED)
def test_what_cannot_be_a_kit_is_refused_and_changes_nothing(kits: list[pb.Kit], expected: str) -> None:
    shop = kit_shop()
    names = ["box", "box2", "half", "half2", *MANY, *[f"d{n}" for n in range(6)]]
    shop.send(catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id=name, name=name) for name in names]))
    if any(row.item_id == "milk" for row in kits):  # sold out: what is left in the way is the nesting
        gone = pb.AdjustStockRequest(
            location_id="S1", lines=[pb.StockLine(item_id="milk", qty_milli=-10_000)], reason="gone"
        )
        assert code(shop.send(gone)) == "OK"
    before = [table.digest() for table in shop.core.tables if table.name in ("kits", "kit_parts", "items")]
    answer = shop.send(pb.PutKitsRequest(kits=kits))
    assert code(answer) == expected
    if expected != "OK":
        assert before == [table.digest() for table in shop.core.tables if table.name in ("kits", "kit_parts", "items")]


def test_a_kit_above_stops_what_would_nest_it_too_deep() -> None:
    """The kit that is put would be right by itself; the one that has it as a part would not be."""
    shop = kit_shop()
    names = [f"d{n}" for n in range(7)]
    shop.send(catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id=name, name=name) for name in names]))
    chain = [kit(f"d{n}", part(f"d{n + 1}")) for n in range(4)]
    assert code(shop.send(pb.PutKitsRequest(kits=[*chain, kit("d4", part("milk"))]))) == "OK"
    answer = shop.send(pb.PutKitsRequest(kits=[kit("d4", part("d5")), kit("d5", part("milk"))]))
    assert (code(answer), answer.problem.subject, answer.problem.limit) == ("KIT_NESTED", "d0", 4)


def test_kits_are_asked_whole_and_no_more_than_their_parts_can_be_counted() -> None:
    shop = kit_shop()
    for qty_milli, expected in ((1500, "QTY_INVALID"), (10**12, "QTY_TOO_LARGE"), (10**15, "QTY_TOO_LARGE")):
        request = pb.HoldStockRequest(location_id="S1", lines=[pb.StockLine(item_id="breakfast", qty_milli=qty_milli)])
        assert code(shop.send(request)) == expected
        sale = sale_pb2.SellRequest(till_id="T1", lines=[line("breakfast", 1)], tenders=[card(750)])
        sale.lines[0].qty_milli = qty_milli
        assert code(shop.send(sale)) in (expected, "AMOUNT_TOO_LARGE")
    assert on_hand(shop)["milk"] == 10_000


def test_a_kit_that_is_not_whole_any_more_is_refunded_once() -> None:
    shop = kit_shop(pieces=4)
    shop.send(pb.PutChannelsRequest(channels=[pb.Channel(channel_id="web", location_ids=["S1"])]))
    two = [pb.StockLine(item_id="breakfast", qty_milli=2000)]
    paid = [pb.PaidLine(item_id="breakfast", qty_milli=2000, paid_minor=501)]
    assert code(shop.send(pb.PlaceOrderRequest(order_id="o", lines=two, paid=paid))) == "OK"
    found = [pb.StockLine(item_id="milk", qty_milli=3000)]  # one of four is missing, and with it a breakfast
    answer = shop.send(pb.PickOrderRequest(order_id="o", location_id="S1", lines=found, short=True))
    missing = {line.item_id: line.qty_milli for line in answer.missing}
    assert missing == {"milk": 1000, "bread": 2000, "cheese": 500}
    assert answer.refund_minor == 501, "neither has its bread"
    assert shop.send(pb.CancelOrderRequest(order_id="o")).refund_minor == 0

    assert (
        code(
            shop.send(
                pb.ReceiveStockRequest(
                    location_id="S1",
                    lines=[
                        pb.StockLine(item_id="milk", qty_milli=9000),
                        pb.StockLine(item_id="bread", qty_milli=9000),
                        pb.StockLine(item_id="cheese", qty_milli=9000),
                    ],
                )
            )
        )
        == "OK"
    )
    assert code(shop.send(pb.PlaceOrderRequest(order_id="p", lines=two, paid=paid))) == "OK"
    rest = [pb.StockLine(item_id="bread", qty_milli=2000), pb.StockLine(item_id="cheese", qty_milli=500)]
    answer = shop.send(pb.PickOrderRequest(order_id="p", location_id="S1", lines=found + rest, short=True))
    assert {line.item_id: line.qty_milli for line in answer.missing} == {"milk": 1000}
    assert answer.refund_minor == 251, "one breakfast is whole"
    assert shop.send(pb.CancelOrderRequest(order_id="p")).refund_minor == 250


def test_a_part_that_another_place_sends_is_still_a_part_of_its_kit() -> None:
    """Moved alone it once was a unit by itself: the kit was whole no more and nobody got its price back."""
    shop = kit_shop(pieces=9)
    goods = [pb.StockLine(item_id=item, qty_milli=9000) for item in ("milk", "bread", "cheese")]
    shop.send(pb.ReceiveStockRequest(location_id="S2", lines=goods))
    shop.send(pb.PutChannelsRequest(channels=[pb.Channel(channel_id="web", location_ids=["S1", "S2"])]))
    lines = [pb.StockLine(item_id="breakfast", qty_milli=2000), pb.StockLine(item_id="milk", qty_milli=1000)]
    paid = [pb.PaidLine(item_id="breakfast", qty_milli=2000, paid_minor=1500)]
    assert code(shop.send(pb.PlaceOrderRequest(order_id="o", lines=lines, paid=paid))) == "OK"
    move = pb.ReallocateOrderRequest(
        order_id="o", item_id="milk", qty_milli=3000, from_location_id="S1", to_location_id="S2"
    )
    answer = shop.send(move)
    assert [(take.location_id, take.qty_milli, take.kit_id) for take in answer.takes] == [
        ("S2", 1000, ""),
        ("S2", 2000, "breakfast"),
    ]
    order = shop.ask("GetOrder", pb.GetOrderRequest(order_id="o"), pb.GetOrderResponse).order
    kits = {take.kit_id for take in order.allocated if take.item_id in ("milk", "bread")}
    assert kits == {"", "breakfast"}
    assert shop.send(pb.CancelOrderRequest(order_id="o")).refund_minor == 1500


def web_order(shop: CoreHarness, *paid: tuple[str, int, int]) -> None:
    """Order "o" of (item, pieces, what was paid for them)."""
    shop.send(pb.PutChannelsRequest(channels=[pb.Channel(channel_id="web", location_ids=["S1"])]))
    request = pb.PlaceOrderRequest(
        order_id="o",
        lines=[pb.StockLine(item_id=item, qty_milli=pieces * 1000) for item, pieces, _ in paid],
        paid=[pb.PaidLine(item_id=item, qty_milli=pieces * 1000, paid_minor=minor) for item, pieces, minor in paid],
    )
    assert code(shop.send(request)) == "OK"


def some(item: str, pieces: int) -> list[pb.StockLine]:
    return [pb.StockLine(item_id=item, qty_milli=pieces * 1000)]


def test_a_kit_that_loses_a_part_by_a_cancel_is_refunded() -> None:
    """The part was cancelled by its own code, for which nothing was paid: the kit was never refunded once."""
    shop = kit_shop(pieces=9)
    web_order(shop, ("breakfast", 2, 501), ("milk", 1, 99))
    assert shop.send(pb.CancelOrderRequest(order_id="o", lines=some("milk", 1))).refund_minor == 99, (
        "the milk by itself"
    )
    assert shop.send(pb.CancelOrderRequest(order_id="o", lines=some("milk", 1))).refund_minor == 251
    assert shop.send(pb.CancelOrderRequest(order_id="o", lines=some("milk", 1))).refund_minor == 0, (
        "that kit is refunded"
    )
    assert shop.send(pb.CancelOrderRequest(order_id="o")).refund_minor == 250
    assert _order(shop).refund_minor == _order(shop).paid_minor == 600


def test_a_cancel_refunds_no_units_that_shipped() -> None:
    """Of two paid milks one had shipped; cancelling the other and one of a kit once refunded both milks, and no kit."""
    shop = kit_shop(pieces=9)
    web_order(shop, ("milk", 2, 200), ("breakfast", 1, 700))
    assert code(shop.send(pb.ShipOrderRequest(order_id="o", lines=some("milk", 1)))) == "OK"
    assert shop.send(pb.CancelOrderRequest(order_id="o", lines=some("milk", 2))).refund_minor == 100 + 700


def test_a_kit_whose_parts_leave_one_by_one_stays_a_kit() -> None:
    shop = kit_shop(pieces=9)
    web_order(shop, ("breakfast", 2, 501))
    assert code(shop.send(pb.ShipOrderRequest(order_id="o", lines=some("bread", 1)))) == "OK"
    assert _order(shop).refund_minor == 0
    assert shop.send(pb.CancelOrderRequest(order_id="o", lines=some("breakfast", 1))).refund_minor == 251
    assert code(shop.send(pb.ShipOrderRequest(order_id="o"))) == "OK"
    back = pb.ReturnOrderRequest(order_id="o", item_id="breakfast", qty_milli=1000, location_id="S1")
    assert shop.send(back).refund_minor == 250, "what left in two shipments is one breakfast"


@pytest.mark.parametrize("short", [False, True], ids=["cancel", "short pick"])
def test_a_kit_whose_rest_is_lost_after_a_part_has_left_is_refunded(short: bool) -> None:
    """With the bread on its way no whole kit was left to lose: the milk was lost and nothing refunded."""
    shop = kit_shop(pieces=9)
    web_order(shop, ("breakfast", 1, 501))
    assert code(shop.send(pb.ShipOrderRequest(order_id="o", lines=some("bread", 1)))) == "OK"
    if short:
        answer = shop.send(pb.PickOrderRequest(order_id="o", location_id="S1", short=True))
    else:
        answer = shop.send(pb.CancelOrderRequest(order_id="o"))
    assert (code(answer), answer.refund_minor) == ("OK", 501)


@pytest.mark.parametrize("kits", [False, True])
def test_what_an_order_is_refunded_is_what_it_paid_for_and_does_not_have(kits: bool) -> None:
    """Random lives of orders: picks short and whole, shipments and their undoing, cancels, returns, moves, waiting.

    Shipments and cancels are of whole kits or of a part by its own code.
    """
    for seed in range(25):
        rng = random.Random(seed)
        shop = small_shop(pieces=40)
        goods = [pb.StockLine(item_id=item, qty_milli=40_000) for item in ("milk", "bread")]
        shop.batch(
            pb.ReceiveStockRequest(location_id="S2", lines=goods),
            pb.PutChannelsRequest(channels=[pb.Channel(channel_id="web", location_ids=["S1", "S2"])]),
            catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="pair", name="Pair")]),
            pb.PutKitsRequest(kits=[kit("pair", part("milk", 2000), part("bread"))]),
        )
        item = "pair" if kits else "milk"
        paid = [(rng.randrange(1, 6), rng.randrange(1, 2000))]
        for step in range(25):
            code_of, refund_minor, before = "OK", 0, _order(shop).refund_minor if step else 0
            if step == 0 or rng.random() < 0.1:
                paid += [(1, 77)] if step else []
                pieces, minor = paid[-1]
                code_of = code(shop.send(_placing(item, pieces, minor, add=step > 0)))
                if code_of != "OK":
                    paid.pop()
            elif rng.random() < 0.1:
                shop.now_ns += 2 * SECOND_NS
                shop.batch(pb.ReceiveStockRequest(location_id="S1", lines=goods[:1]))
            else:
                answer = shop.send(_step(rng, item))
                code_of, refund_minor = code(answer), getattr(answer, "refund_minor", 0)
            order = _order(shop)
            if code_of == "OK" and refund_minor:
                assert order.refund_minor == before + refund_minor
            gone = sum(pieces for pieces, _ in paid) - _whole([*order.allocated, *order.shipped], kits)
            due = 0
            for pieces, minor in paid:
                back, gone = min(gone, pieces), max(gone - pieces, 0)
                due += (2 * minor * back + pieces) // (2 * pieces)
            assert order.refund_minor == due, (seed, step)


def _order(shop: CoreHarness) -> pb.StockOrder:
    answer: pb.GetOrderResponse = shop.ask("GetOrder", pb.GetOrderRequest(order_id="o"), pb.GetOrderResponse)
    return answer.order


def _placing(item: str, pieces: int, paid_minor: int, *, add: bool) -> pb.PlaceOrderRequest:
    paid = [pb.PaidLine(item_id=item, qty_milli=pieces * 1000, paid_minor=paid_minor)]
    return pb.PlaceOrderRequest(
        order_id="o", add=add, lines=[pb.StockLine(item_id=item, qty_milli=pieces * 1000)], paid=paid
    )


def _whole(takes: Iterable[pb.Take], kits: bool) -> int:
    have = {"milk": 0, "bread": 0}
    for take in takes:
        have[take.item_id] += take.qty_milli
    return min(have["milk"] // 2000, have["bread"] // 1000) if kits else have["milk"] // 1000


def _step(rng: random.Random, item: str) -> Any:
    here, there = rng.sample(("S1", "S2"), 2)
    unit = rng.choice(("milk", "bread")) if item == "pair" else "milk"
    some = [pb.StockLine(item_id=unit, qty_milli=rng.randrange(1, 4) * 1000)]
    one = [pb.StockLine(item_id=item, qty_milli=1000)]
    gone = [pb.StockLine(item_id=unit, qty_milli=-rng.randrange(1, 20) * 1000)]
    moves = {"from_location_id": here, "to_location_id": there}
    return rng.choice(
        (
            pb.PickOrderRequest(order_id="o", location_id=here, lines=some),
            pb.PickOrderRequest(order_id="o", location_id=here, short=True),
            pb.PackOrderRequest(order_id="o"),
            pb.ReadyOrderRequest(order_id="o", pickup_code="1", ttl_ms=1000),
            pb.HandOverOrderRequest(order_id="o", pickup_code="1"),
            pb.ShipOrderRequest(order_id="o", lines=rng.choice(([], one, some))),
            pb.UnshipOrderRequest(order_id="o"),
            pb.ReturnOrderRequest(order_id="o", item_id=item, qty_milli=1000, location_id=here),
            pb.CancelOrderRequest(order_id="o", lines=rng.choice((one, one, one, some, some, []))),
            pb.ReallocateOrderRequest(order_id="o", item_id=unit, qty_milli=1000, **moves),
            pb.AdjustStockRequest(location_id=here, lines=gone, reason="broken"),
        )
    )
