"""What may come back, in which parts."""

from __future__ import annotations

from typing import Any

from ringup.v1 import catalog_pb2, pricing_pb2, result_pb2, sale_pb2
from support.core import CoreHarness, card, small_shop


def _sell(shop: CoreHarness, item_id: str, qty_milli: int, due_minor: int) -> bytes:
    answer = shop.send(
        sale_pb2.SellRequest(
            till_id="T1",
            lines=[pricing_pb2.BasketLine(item_id=item_id, qty_milli=qty_milli)],
            tenders=[card(due_minor)],
        )
    )
    assert answer.code == 1, answer
    return bytes(answer.receipt.sale_id)


def _back(shop: CoreHarness, sale_id: bytes, qty_milli: int) -> tuple[str, Any]:
    answer = shop.send(
        sale_pb2.ReturnLinesRequest(till_id="T1", sale_id=sale_id, lines=[sale_pb2.ReturnLine(qty_milli=qty_milli)])
    )
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_"), answer


def test_half_a_piece_does_not_come_back() -> None:
    """Half a carton of milk was refunded and went on hand, and no sale could take it from there again."""
    shop = small_shop()
    sale = _sell(shop, "milk", 2000, 238)
    code, answer = _back(shop, sale, 500)
    assert (code, answer.problem.field, answer.problem.limit) == ("QTY_INVALID", "lines.qty_milli", 1000)
    assert [_back(shop, sale, 1000)[1].receipt.basket.total_minor for _ in range(2)] == [119, 119]


def test_part_of_what_is_measured_comes_back() -> None:
    shop = small_shop()
    sale = _sell(shop, "cheese", 500, 945)
    assert [_back(shop, sale, part)[1].receipt.basket.total_minor for part in (123, 377)] == [232, 713]


def test_what_was_sold_as_a_part_comes_back_as_one() -> None:
    """Also when the item is sold by the piece by then."""
    shop = small_shop()
    sale = _sell(shop, "cheese", 500, 945)
    shop.send(catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="cheese", name="Cheese, whole")]))
    assert _back(shop, sale, 500)[0] == "OK"


def test_a_return_is_not_a_sale_to_return_from() -> None:
    shop = small_shop()
    _, answer = _back(shop, _sell(shop, "milk", 1000, 119), 1000)
    assert _back(shop, answer.receipt.sale_id, 1000)[0] == "SALE_UNKNOWN"
    by_number = sale_pb2.ReturnLinesRequest(
        till_id="T1",
        receipt_till_id="T1",
        receipt_number=answer.receipt.number,
        lines=[sale_pb2.ReturnLine(qty_milli=1)],
    )
    assert shop.send(by_number).code == result_pb2.RESULT_CODE_SALE_UNKNOWN
