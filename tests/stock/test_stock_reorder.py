"""Reorders: one open suggestion an item, place and rule; orders of goods are closed by what comes."""

from __future__ import annotations

from typing import Any

from ringup.v1 import result_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import CoreHarness, small_shop


def code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def reorder(shop: CoreHarness, low: int, high: int, **fields: Any) -> Any:
    request = pb.ReorderStockRequest(
        item_id="milk", location_id="S1", min_milli=low * 1000, max_milli=high * 1000, **fields
    )
    return shop.send(request)


def listed(shop: CoreHarness, **fields: Any) -> list[tuple[str, int, int]]:
    answer = shop.ask("ListReorders", pb.ListReordersRequest(**fields), pb.ListReordersResponse)
    assert code(answer) == "OK"
    return [(row.policy_id, row.suggested_milli // 1000, row.ordered_milli // 1000) for row in answer.reorders]


def receive(shop: CoreHarness, pieces: int) -> None:
    line = pb.StockLine(item_id="milk", qty_milli=pieces * 1000)
    assert code(shop.send(pb.ReceiveStockRequest(location_id="S1", lines=[line]))) == "OK"


def test_a_rule_asked_again_and_again_has_one_suggestion() -> None:
    shop = small_shop(pieces=3)
    for high in (10, 10, 12):
        assert reorder(shop, 5, high).qty_milli == (high - 3) * 1000
        assert listed(shop) == [("", high - 3, 0)]
    assert reorder(shop, 2, 10).qty_milli == 0
    assert listed(shop) == []


def test_what_a_rule_orders_is_one_order_that_grows_and_is_closed_by_receipts() -> None:
    shop = small_shop(pieces=3)
    answer = reorder(shop, 5, 10, order=True)
    assert (answer.qty_milli, answer.ordered_milli) == (7000, 7000)
    again = reorder(shop, 5, 10, order=True)
    assert (again.qty_milli, again.forecast_milli, again.ordered_milli) == (0, 10_000, 7000)
    answer = reorder(shop, 12, 15, order=True)
    assert (answer.qty_milli, answer.ordered_milli) == (5000, 12_000)
    assert listed(shop) == [("", 0, 12)]
    receive(shop, 8)
    assert listed(shop) == [("", 0, 4)]
    receive(shop, 5)
    assert listed(shop) == []
    assert shop.core.row_counts()["reorders"] == 1
    reorder(shop, 50, 60)
    assert shop.core.row_counts()["reorders"] == 1  # the row is used again


def test_rules_are_apart_and_the_first_to_order_is_met_first() -> None:
    shop = small_shop(pieces=1)
    reorder(shop, 5, 5, order=True, policy_id="daily")
    shop.now_ns += 1
    reorder(shop, 9, 9, order=True, policy_id="weekend")
    assert listed(shop, location_id="S1", item_id="milk") == [("daily", 0, 4), ("weekend", 0, 4)]
    receive(shop, 5)
    assert listed(shop) == [("weekend", 0, 3)]
    assert listed(shop, location_id="S2") == []
    page = shop.ask("ListReorders", pb.ListReordersRequest(page_size=1), pb.ListReordersResponse)
    assert (len(page.reorders), page.next_after) == (1, 0)


def test_reorders_are_the_same_after_a_restart_and_a_fold() -> None:
    shop = small_shop(pieces=3)
    reorder(shop, 5, 10, order=True, policy_id="daily")
    reorder(shop, 15, 20, policy_id="weekend")
    digest = shop.core.digest()
    assert shop.refold().digest() == digest
    shop.core.rebuild()
    receive(shop, 7)
    assert listed(shop) == [("weekend", 10, 0)]


def test_bad_reorders_are_refused() -> None:
    shop = small_shop(pieces=3)
    assert code(reorder(shop, 5, 10, policy_id="x" * 65)) == "FIELD_INVALID"
    assert code(reorder(shop, 5, 4)) == "QTY_INVALID"
    for fields, expected in (
        ({"after": -1}, "FIELD_INVALID"),
        ({"page_size": 1001}, "TOO_MANY"),
        ({"item_id": "none"}, "ITEM_UNKNOWN"),
        ({"location_id": "none"}, "LOCATION_UNKNOWN"),
    ):
        answer = shop.ask("ListReorders", pb.ListReordersRequest(**fields), pb.ListReordersResponse)
        assert code(answer) == expected
    assert listed(shop) == []
