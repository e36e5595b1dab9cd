"""Laws of stock one by one, each with its story; and what the case format has no words for."""

from __future__ import annotations

from typing import Any

import pytest

from ringup.v1 import catalog_pb2, result_pb2, sale_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import SECOND_NS, CoreHarness, card, line, small_shop

ONE, TWO, THREE = (bytes([n]) * 16 for n in (1, 2, 3))
HOUR_MS = 3_600_000


def code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def milk(pieces: int, **fields: Any) -> pb.StockLine:
    return pb.StockLine(item_id="milk", qty_milli=pieces * 1000, **fields)


def position(shop: CoreHarness, item: str = "milk", location: str = "S1") -> pb.Position:
    request = pb.GetAvailabilityRequest(item_ids=[item], location_id=location)
    found: pb.Position = shop.ask("GetAvailability", request, pb.GetAvailabilityResponse).positions[0]
    return found


def promise(shop: CoreHarness, **fields: Any) -> pb.Promise:
    answer = shop.ask("GetPromise", pb.GetPromiseRequest(item_ids=["milk"], **fields), pb.GetPromiseResponse)
    assert code(answer) == "OK", answer
    found: pb.Promise = answer.promises[0]
    return found


def hold(shop: CoreHarness, hold_id: bytes, *lines: pb.StockLine, **fields: Any) -> Any:
    request = pb.HoldStockRequest(**{"hold_id": hold_id, "location_id": "S1", "lines": lines, **fields})
    return shop.send(request)


def sell(shop: CoreHarness, pieces: int, *hold_ids: bytes) -> Any:
    return shop.send(
        sale_pb2.SellRequest(
            till_id="T1", lines=[line("milk", pieces)], tenders=[card(119 * pieces)], hold_ids=hold_ids
        )
    )


def test_two_lines_of_one_item_are_one_demand() -> None:
    """Checked line by line, two lines of 3 would both pass against 5: the classic oversell."""
    shop = small_shop(pieces=5)
    answer = hold(shop, ONE, milk(3), milk(3))
    assert code(answer) == "STOCK_INSUFFICIENT"
    assert (answer.problem.found, answer.problem.limit, list(answer.short_item_ids)) == (6000, 5000, ["milk"])
    two = [line("milk", 3), line("milk", 3)]
    answer = shop.send(sale_pb2.SellRequest(till_id="T1", lines=two, tenders=[card(714)]))
    assert code(answer) == "STOCK_INSUFFICIENT"
    assert position(shop).version == 1


def test_a_sale_uses_its_hold_first_and_frees_the_rest() -> None:
    shop = small_shop(pieces=5)
    assert code(hold(shop, ONE, milk(4))) == "OK"
    assert code(sell(shop, 2)) == "STOCK_INSUFFICIENT"
    assert code(sell(shop, 2, ONE)) == "OK"
    found = position(shop)
    assert (found.on_hand_milli, found.held_milli) == (3000, 0)


def test_a_hold_named_twice_counts_once() -> None:
    shop = small_shop(pieces=5)
    assert code(hold(shop, ONE, milk(4))) == "OK"
    assert code(sell(shop, 6, ONE, ONE)) != "OK"
    assert code(sell(shop, 5, ONE)) == "OK"


def test_a_sale_takes_no_hold_of_another_place() -> None:
    shop = small_shop(pieces=5)
    shop.send(pb.ReceiveStockRequest(location_id="S2", lines=[milk(5)]))
    assert code(hold(shop, ONE, milk(4), location_id="S2")) == "OK"
    assert code(sell(shop, 1, ONE)) == "HOLD_ELSEWHERE"


def test_a_till_sells_lots_in_the_order_of_removal() -> None:
    shop = small_shop(pieces=2)
    lots = [milk(2, lot_id="new", expires_ns=9 * SECOND_NS), milk(2, lot_id="old", expires_ns=5 * SECOND_NS)]
    shop.send(pb.ReceiveStockRequest(location_id="S1", lines=lots))
    policy = pb.StockPolicy(item_id="milk", removal=pb.REMOVAL_FEFO)
    assert code(shop.send(pb.PutStockPoliciesRequest(policies=[policy]))) == "OK"
    assert code(sell(shop, 3)) == "OK"
    assert {lot.lot_id: lot.on_hand_milli for lot in position(shop).lots} == {"": 2000, "new": 1000, "old": 0}


def test_a_shortfall_at_the_till_is_owed_by_no_lot() -> None:
    shop = small_shop(shortfall_allowed=True, pieces=1)
    shop.send(pb.ReceiveStockRequest(location_id="S1", lines=[milk(2, lot_id="a")]))
    assert code(sell(shop, 5)) == "OK"
    assert {lot.lot_id: lot.on_hand_milli for lot in position(shop).lots} == {"": -2000, "a": 0}


def test_stock_is_not_sold_from_under_a_payment_in_flight() -> None:
    """A hold of a minute, paid in its last second, with a bank that takes five minutes."""
    shop = small_shop(pieces=5)
    assert code(hold(shop, ONE, milk(5), ttl_ms=60_000)) == "OK"
    shop.now_ns += 59 * SECOND_NS
    assert code(shop.send(pb.PayHoldRequest(hold_id=ONE, ttl_ms=300_000))) == "OK"
    shop.now_ns += 299 * SECOND_NS
    assert code(sell(shop, 1)) == "STOCK_INSUFFICIENT"
    assert code(hold(shop, ONE, milk(1))) == "HOLD_PAYING"
    assert code(shop.send(pb.ResizeHoldRequest(hold_id=ONE, lines=[milk(1)]))) == "HOLD_PAYING"
    assert code(shop.send(pb.ExtendHoldRequest(hold_id=ONE, ttl_ms=1))) == "HOLD_PAYING"
    answer = shop.ask("GetHold", pb.GetHoldRequest(hold_id=ONE), pb.GetHoldResponse)
    assert answer.hold.state == pb.HOLD_STATE_PAYING
    assert code(shop.send(pb.CommitHoldRequest(hold_id=ONE))) == "OK"
    assert position(shop).on_hand_milli == 0


def test_a_payment_that_never_ends_gives_the_units_back() -> None:
    shop = small_shop(pieces=5)
    hold(shop, ONE, milk(5))
    assert code(shop.send(pb.PayHoldRequest(hold_id=ONE, ttl_ms=HOUR_MS + 1))) == "TIME_INVALID"
    for _ in range(16):
        assert code(shop.send(pb.PayHoldRequest(hold_id=ONE, ttl_ms=1000))) == "OK"
    assert code(shop.send(pb.PayHoldRequest(hold_id=ONE, ttl_ms=1000))) == "HOLD_PAYING"
    shop.now_ns += SECOND_NS
    assert code(sell(shop, 5)) == "OK"
    assert code(shop.send(pb.CommitHoldRequest(hold_id=ONE))) == "HOLD_EXPIRED"


def test_the_order_of_expiry_does_not_depend_on_a_restart() -> None:
    """Ended holds are linked in the order of their ends: equal digests prove equal orders."""
    digests = []
    for restarted in (False, True):
        shop = small_shop(pieces=1000)
        for n in range(200):
            assert code(hold(shop, bytes([n]) * 16, milk(1), ttl_ms=1000 + n * 7 % 13)) == "OK"
        if restarted:
            shop.core.rebuild()
        shop.now_ns += 1006 * 1_000_000
        shop.batch()
        assert 0 < position(shop).held_milli < 200_000
        digests.append(shop.core.digest())
    assert digests[0] == digests[1]


def test_rows_of_ended_holds_are_used_again() -> None:
    """A shop makes millions of holds a day; memory follows the open ones and a bounded number of ended ones."""
    shop = small_shop(pieces=5000)
    kept = 262_144
    for start in range(0, kept + 4000, 2000):
        ids = [n.to_bytes(16, "little") for n in range(start, start + 2000)]
        shop.batch(*[pb.HoldStockRequest(hold_id=n, location_id="S1", lines=[milk(1)]) for n in ids])
        shop.batch(*[pb.ReleaseHoldRequest(hold_id=n) for n in ids])
        shop.journal.clear()
    rows = shop.core.row_counts()
    assert rows["holds"] <= kept + 2000
    assert rows["stock_lines"] == 2000
    assert code(shop.send(pb.CommitHoldRequest(hold_id=(kept + 1000).to_bytes(16, "little")))) == "HOLD_RELEASED"
    assert code(shop.send(pb.CommitHoldRequest(hold_id=(1000).to_bytes(16, "little")))) == "HOLD_UNKNOWN"


def test_one_id_may_be_used_for_thousands_of_holds() -> None:
    """A cart that always holds under its own id: an index of equal hashes once split for ever and took all memory."""
    shop = small_shop(pieces=5)
    for _ in range(40):
        shop.batch(
            *[
                request
                for _ in range(120)
                for request in (
                    pb.HoldStockRequest(hold_id=ONE, location_id="S1", lines=[milk(5)]),
                    pb.ReleaseHoldRequest(hold_id=ONE),
                )
            ]
        )
        shop.journal.clear()
    assert shop.core.row_counts()["holds"] == 4800
    assert code(hold(shop, ONE, milk(2))) == "OK"
    shop.core.rebuild()
    assert code(hold(shop, TWO, milk(4))) == "STOCK_INSUFFICIENT"
    assert code(shop.send(pb.CommitHoldRequest(hold_id=ONE))) == "OK"
    assert code(shop.send(pb.CommitHoldRequest(hold_id=ONE))) == "HOLD_COMMITTED"
    assert position(shop).on_hand_milli == 3000


def three_places(sourcing: int, **channel: Any) -> CoreHarness:
    """Milk and bread at S1 (1, 100), S2 (5, 0) and S3 (3, 3); the channel web asks them in this order."""
    shop = small_shop(pieces=1)
    shop.batch(
        catalog_pb2.PutLocationsRequest(locations=[catalog_pb2.Location(location_id="S3", name="Depot")]),
        pb.ReceiveStockRequest(location_id="S2", lines=[milk(5)]),
        pb.ReceiveStockRequest(location_id="S3", lines=[milk(3), pb.StockLine(item_id="bread", qty_milli=3000)]),
        pb.PutChannelsRequest(
            channels=[pb.Channel(channel_id="web", location_ids=["S1", "S2", "S3"], sourcing=sourcing, **channel)]  # type: ignore[arg-type]  # an enum's number
        ),
    )
    return shop


def places(answer: Any) -> dict[tuple[str, str], int]:
    return {(take.item_id, take.location_id): take.qty_milli // 1000 for take in answer.takes}


def test_fewest_shipments_asks_the_place_that_covers_most_first() -> None:
    shop = three_places(pb.SOURCING_FEWEST_SHIPMENTS)
    lines = [milk(3), pb.StockLine(item_id="bread", qty_milli=2000)]
    answer = shop.send(pb.PlaceOrderRequest(order_id="o1", lines=lines))
    assert places(answer) == {("milk", "S3"): 3, ("bread", "S3"): 2}
    answer = shop.send(pb.PlaceOrderRequest(order_id="o2", lines=[milk(4)]))
    assert places(answer) == {("milk", "S2"): 4}
    answer = shop.send(pb.PlaceOrderRequest(order_id="o3", lines=[milk(2)], scope=pb.Scope(collection_point_id="S1")))
    assert places(answer) == {("milk", "S1"): 1, ("milk", "S2"): 1}


def test_priority_splits_where_fewest_shipments_does_not() -> None:
    """The control of the test above."""
    shop = three_places(pb.SOURCING_PRIORITY)
    answer = shop.send(pb.PlaceOrderRequest(order_id="o1", lines=[milk(3)]))
    assert places(answer) == {("milk", "S1"): 1, ("milk", "S2"): 2}


def test_a_buffer_keeps_units_from_its_channel_only() -> None:
    shop = three_places(pb.SOURCING_PRIORITY, buffer_milli=2000)
    assert promise(shop).available_milli == 7000
    assert promise(shop, location_id="S2").available_milli == 5000
    assert code(shop.send(pb.PlaceOrderRequest(order_id="o1", lines=[milk(8)]))) == "STOCK_INSUFFICIENT"
    assert code(shop.send(pb.PlaceOrderRequest(order_id="o1", lines=[milk(7)]))) == "OK"
    assert promise(shop).available_milli == 0


def test_what_is_kept_ready_for_a_channel_is_what_a_walk_over_its_places_finds() -> None:
    shop = three_places(pb.SOURCING_PRIORITY)
    everywhere = pb.Scope(location_ids=["S1", "S2", "S3"])
    versions = []

    def agree() -> None:
        assert promise(shop).available_milli == promise(shop, scope=everywhere).available_milli
        versions.append(promise(shop).version)

    agree()
    hold(shop, ONE, milk(1))
    agree()
    shop.send(pb.PlaceOrderRequest(order_id="o1", lines=[milk(4)]))
    agree()
    shop.send(pb.BarStockRequest(location_id="S3", lines=[milk(1)], reason=pb.BAR_REASON_DAMAGED))
    agree()
    shop.send(pb.RemovePositionRequest(item_id="milk", location_id="S2", force=True))
    agree()
    shop.send(
        catalog_pb2.PutLocationsRequest(locations=[catalog_pb2.Location(location_id="S3", name="Depot", disabled=True)])
    )
    agree()
    assert promise(shop).available_milli == 0
    shop.core.rebuild()
    agree()
    assert versions[:5] == sorted(set(versions[:5]))


def test_units_barred_for_a_reason_are_on_hand_and_not_for_sale() -> None:
    shop = small_shop(pieces=5)
    bar = pb.BarStockRequest(location_id="S1", lines=[milk(2)], reason=pb.BAR_REASON_QUALITY)
    assert code(shop.send(bar)) == "OK"
    found = position(shop)
    assert (found.on_hand_milli, found.unavailable_milli, found.free_milli) == (5000, 2000, 3000)
    assert code(sell(shop, 4)) == "STOCK_INSUFFICIENT"
    for lines, reason, expected in (
        ([milk(4)], pb.BAR_REASON_QUALITY, "STOCK_INSUFFICIENT"),
        ([milk(-3)], pb.BAR_REASON_QUALITY, "STOCK_INSUFFICIENT"),
        ([milk(-1)], pb.BAR_REASON_DAMAGED, "STOCK_INSUFFICIENT"),
        ([milk(-1)], pb.BAR_REASON_UNSPECIFIED, "REASON_MISSING"),
        ([milk(1, lot_id="x")], pb.BAR_REASON_QUALITY, "POSITION_UNKNOWN"),
        ([milk(-1), milk(-1)], pb.BAR_REASON_QUALITY, "OK"),
    ):
        answer = shop.send(pb.BarStockRequest(location_id="S1", lines=lines, reason=reason))
        assert code(answer) == expected
    assert position(shop).free_milli == 5000


def test_goods_that_come_back_damaged_are_not_sold_again() -> None:
    shop = small_shop(pieces=5)
    shop.send(pb.PlaceOrderRequest(order_id="o1", lines=[milk(4)], location_id="S1"))
    shop.send(pb.ShipOrderRequest(order_id="o1"))
    back = {"order_id": "o1", "item_id": "milk", "location_id": "S2"}
    request = pb.ReturnOrderRequest(qty_milli=3000, restock_milli=2000, bar_reason=pb.BAR_REASON_DAMAGED, **back)  # type: ignore[arg-type]  # a table of keyword arguments
    assert code(shop.send(request)) == "OK"
    found = position(shop, location="S2")
    assert (found.on_hand_milli, found.unavailable_milli, found.free_milli) == (2000, 2000, 0)
    assert code(shop.send(pb.ReturnOrderRequest(qty_milli=2000, **back))) == "ORDER_EXCEEDED"  # type: ignore[arg-type]  # the same


def test_available_to_promise_by_a_date() -> None:
    shop = small_shop(pieces=5)
    for pieces, at_s in ((10, 100), (20, 200), (40, 0)):
        request = pb.ExpectStockRequest(location_id="S1", lines=[milk(pieces)], expected_ns=at_s * SECOND_NS)
        assert code(shop.send(request)) == "OK"

    def by(*seconds: int) -> dict[int, int]:
        return {at_s: promise(shop, location_id="S1", by_ns=at_s * SECOND_NS).available_milli for at_s in seconds}

    found = by(0, 99, 100, 300)
    assert found == {0: 5000, 99: 5000, 100: 15_000, 300: 35_000}
    shop.send(pb.ReceiveStockRequest(location_id="S1", lines=[milk(12)]))  # the first to come, and part of the next
    found = by(0, 100, 200)
    assert found == {0: 17_000, 100: 17_000, 200: 35_000}
    assert position(shop).incoming_milli == 58_000


def test_a_lot_can_be_counted_and_adjusted_by_itself() -> None:
    shop = small_shop(pieces=5)
    shop.send(pb.ReceiveStockRequest(location_id="S1", lines=[milk(3, lot_id="a"), milk(4, lot_id="b")]))
    count = pb.CountStockRequest(location_id="S1", item_id="milk", lot_id="b", on_hand_milli=1000)
    assert code(shop.send(count)) == "OK"
    adjust = pb.AdjustStockRequest(location_id="S1", lines=[milk(-4, lot_id="a")], reason="spoilt")
    assert code(shop.send(adjust)) == "STOCK_BELOW_LIMIT"
    adjust.lines[0].qty_milli = -2000
    adjust.command_id = shop.id()
    assert code(shop.send(adjust)) == "OK"
    assert {lot.lot_id: lot.on_hand_milli for lot in position(shop).lots} == {"": 5000, "a": 1000, "b": 1000}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (pb.HoldStockRequest(lines=[milk(1)]), "CHANNEL_UNKNOWN"),
        (pb.HoldStockRequest(lines=[milk(1)], scope=pb.Scope(channel_id="fax")), "CHANNEL_UNKNOWN"),
        (pb.HoldStockRequest(lines=[milk(1)], scope=pb.Scope(location_ids=["S1", "S9"])), "LOCATION_UNKNOWN"),
        (pb.HoldStockRequest(lines=[milk(1, location_id="S9")], location_id="S1"), "LOCATION_UNKNOWN"),
        (pb.HoldStockRequest(lines=[milk(1)] * 10_000, location_id="S1"), "TOO_MANY"),
        (pb.HoldStockRequest(lines=[milk(1)], location_id="S2"), "POSITION_UNKNOWN"),
        (pb.PlaceOrderRequest(order_id="", lines=[milk(1)], location_id="S1"), "FIELD_INVALID"),
        (pb.PlaceOrderRequest(order_id="o", location_id="S1"), "LINES_EMPTY"),
        (pb.PlaceOrderRequest(order_id="o", hold_id=THREE), "HOLD_UNKNOWN"),
        (pb.PlaceOrderRequest(order_id="o", lines=[milk(1)], location_id="S1", add=True), "ORDER_UNKNOWN"),
        (pb.PutChannelsRequest(channels=[pb.Channel(channel_id="w", location_ids=["S1", "S1"])]), "FIELD_INVALID"),
        (pb.PutChannelsRequest(channels=[pb.Channel(channel_id="w", location_ids=["S9"])]), "LOCATION_UNKNOWN"),
        (pb.PutChannelsRequest(channels=[pb.Channel(location_ids=["S1"])]), "FIELD_INVALID"),
        (pb.PutStockPoliciesRequest(policies=[pb.StockPolicy(item_id="none")]), "ITEM_UNKNOWN"),
        (pb.PutStockPoliciesRequest(policies=[pb.StockPolicy(item_id="milk", safety_milli=-1)]), "QTY_INVALID"),
        (
            pb.TransferStockRequest(item_id="milk", qty_milli=1, from_location_id="S1", to_location_id="S2"),
            "QTY_INVALID",
        ),
        (pb.ReorderStockRequest(item_id="milk", location_id="S1", min_milli=2, max_milli=1), "QTY_INVALID"),
        (pb.ReceiveStockRequest(location_id="S1", lines=[milk(1, lot_id="x" * 65)]), "FIELD_INVALID"),
        (pb.ReceiveStockRequest(location_id="S1", lines=[milk(1, lot_id="x", expires_ns=-1)]), "TIME_INVALID"),
    ],
)
def test_bad_input_gets_its_own_code_and_moves_no_counter(request_: Any, expected: str) -> None:
    shop = small_shop(pieces=5)
    before = position(shop)
    fresh = type(request_).FromString(request_.SerializeToString())
    assert code(shop.send(fresh)) == expected
    assert position(shop) == before


def test_an_item_without_backorder_limit_cannot_run_its_counters_over() -> None:
    shop = small_shop(pieces=5)
    shop.send(pb.PutStockPoliciesRequest(policies=[pb.StockPolicy(item_id="milk", backorder=True)]))
    most = 10**12 // 1000
    answers = [
        code(shop.send(pb.PlaceOrderRequest(order_id=f"o{n}", lines=[milk(most)] * 200, location_id="S1")))
        for n in range(6)
    ]
    assert answers == ["OK"] * 5 + ["STOCK_INSUFFICIENT"]
    assert position(shop).allocated_milli == 5 * 200 * 10**12
