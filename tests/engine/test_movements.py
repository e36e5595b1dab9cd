"""The fold of all movements: two ways to read a sale give one result, and memory does not grow with the journal."""

from __future__ import annotations

import os
import random
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message

from ringup.engine import movements, movements_promises
from ringup.engine.movements import Movements
from ringup.engine.record import Record
from ringup.engine.verify_counters import compare
from ringup.v1 import catalog_pb2, sale_pb2, session_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import SECOND_NS, CoreHarness, cash, line, small_shop

SEEDS = int(os.environ.get("RINGUP_MOVEMENT_SEEDS", "6"))
ITEMS = ("milk", "bread", "lamp", "wrap", "basket")  # the last one is a kit


def records(shop: CoreHarness) -> list[Record]:
    return [
        Record(sequence, now_ns, "", b"".join(commands), b"".join(replies), b"")
        for sequence, now_ns, commands, replies in shop.journal
    ]


def folded(batches: Iterable[Record]) -> Movements:
    fold = Movements()
    for one in batches:
        fold.take(one)
    return fold


def with_protobuf(batches: Iterable[Record]) -> Movements:
    """The same with every sale read as every other command is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(movements.HANDLERS, "sell", lambda *given: Movements._sell(*given))
        return folded(batches)


def told(fold: Movements) -> tuple[object, ...]:
    return (
        {key: {lot: list(n) for lot, n in lots.items() if any(n)} for key, lots in fold.positions.items()},
        {key: n for key, n in fold.causes.items() if n},
        {key: n for key, n in fold.units_sold.items() if n},
        (fold.moves, fold.receipts, fold.problems),
    )


def one_of(random_: random.Random, number: int) -> Message:
    """A command of a busy day; many are refused."""
    holds = [bytes([n]) * 16 for n in range(40, 46)]
    item, pieces = random_.choice(ITEMS), random_.randint(1, 4)
    stock = [pb.StockLine(item_id=item, qty_milli=pieces * 1000)]
    order = f"o{random_.randrange(12)}"
    match random_.randrange(12):
        case 0:
            goods = random_.choice(ITEMS[:4])
            lot = random_.choice(["", "a", "b"]) if goods == "lamp" else ""
            lines = [pb.StockLine(item_id=goods, qty_milli=9000, lot_id=lot)]
            return pb.ReceiveStockRequest(location_id=random_.choice(["S1", "S2"]), lines=lines)
        case 1:
            ttl_ms = random_.choice([0, 1000, 900_000])
            return pb.HoldStockRequest(hold_id=random_.choice(holds), location_id="S1", lines=stock, ttl_ms=ttl_ms)
        case 2:
            return pb.ReleaseHoldRequest(hold_id=random_.choice(holds))
        case 3:
            return pb.PlaceOrderRequest(order_id=order, location_id="S1", lines=stock, add=random_.random() < 0.5)
        case 4:
            return random_.choice([pb.ShipOrderRequest, pb.CancelOrderRequest, pb.UnshipOrderRequest])(order_id=order)
        case 5:
            return pb.CountStockRequest(
                location_id="S1", item_id=random_.choice(ITEMS[:3]), on_hand_milli=pieces * 9000
            )
        case 6:
            back = [sale_pb2.ReturnLine(qty_milli=1000)]
            return sale_pb2.ReturnLinesRequest(
                till_id="T2", receipt_till_id="T1", receipt_number=1 + number // 9, lines=back
            )
        case 7:
            return catalog_pb2.PutItemsRequest(
                items=[catalog_pb2.Item(item_id="wrap", name="Gift wrap", untracked=random_.random() < 0.7)]
            )
        case _:
            lines = [line(random_.choice(ITEMS), random_.randint(1, 3)) for _ in range(random_.randint(1, 5))]
            held = [random_.choice(holds)] if random_.random() < 0.2 else []
            till = random_.choice(["T1", "T2", "T3"])
            return sale_pb2.SellRequest(till_id=till, lines=lines, tenders=[cash(900_00)], hold_ids=held)


def busy_day(seed: int, batches: int = 120) -> CoreHarness:
    random_ = random.Random(seed)
    shop = small_shop(shortfall_allowed=True, pieces=50)
    parts = [pb.KitPart(item_id="milk", qty_milli=2000), pb.KitPart(item_id="lamp", qty_milli=1000)]
    answers = shop.batch(
        catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="basket", name="Gift basket")]),
        catalog_pb2.PutPricesRequest(rows=[catalog_pb2.PriceRow(item_id="basket", price_minor=25_00)]),
        pb.PutKitsRequest(kits=[pb.Kit(item_id="basket", parts=parts)]),
    )
    assert [answer.code for answer in answers] == [1, 1, 1], answers
    for number in range(batches):
        shop.now_ns += random_.choice([1, SECOND_NS])
        shop.batch(*(one_of(random_, number) for _ in range(random_.randint(1, 9))))
    return shop


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_sale_read_in_place_moves_what_protobuf_reads(seed: int) -> None:
    shop = busy_day(seed)
    found = folded(records(shop))
    assert told(found) == told(with_protobuf(records(shop)))
    assert (found.problems, compare(shop.core, found)) == ([], (0, []))
    assert found._plain.receipts > 20  # or nothing was compared
    assert found._receipts > 10


def test_a_line_of_a_receipt_that_is_not_read_is_found() -> None:
    """The control: were a line missed, a counter would differ, or what an answer says of it."""
    shop = small_shop()
    for pieces in range(1, 5):
        lines = [line("milk", pieces), line("bread"), line("milk")]
        assert shop.send(sale_pb2.SellRequest(till_id="T1", lines=lines, tenders=[cash(50_00)])).code == 1
    assert (folded(records(shop)).problems, compare(shop.core, folded(records(shop)))) == ([], (0, []))
    found = Movements()
    for one in records(shop):
        response = session_pb2.SessionResponse.FromString(one.replies)
        if one.sequence == 4:
            del response.replies[0].sell.receipt.basket.lines[2]
        found.take(one, response.SerializeToString())
    ((of_milk,), moves) = compare(shop.core, found)[1], found.moves
    assert (of_milk.item_id, of_milk.expected_milli - of_milk.found_milli) == ("milk", 1000)
    assert moves == 4 + 2 * 4  # goods in, and a movement for each item of a sale


def test_damaged_answers_are_read_as_protobuf_reads_them_or_refused() -> None:
    """What the reader takes for a plain sale without reading all of it may be more than protobuf takes, never other."""
    shop = busy_day(2, batches=8)
    batches, random_ = records(shop), random.Random(3)
    agreed = 0
    for _ in range(60 * SEEDS):
        at = random_.randrange(1, len(batches))
        replies = bytearray(batches[at].replies)
        for _ in range(random_.choice([1, 1, 3])):
            replies[random_.randrange(len(replies))] = random_.randrange(256)
        spoilt = [*batches[:at], batches[at]]
        try:
            expected = folded(spoilt[:-1])
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(movements.HANDLERS, "sell", lambda *given: Movements._sell(*given))
                expected.take(spoilt[-1], bytes(replies))
        except (DecodeError, ValueError):
            continue
        found = folded(spoilt[:-1])
        found.take(spoilt[-1], bytes(replies))
        assert told(found) == told(expected), bytes(replies).hex()
        agreed += 1
    assert agreed > 20


def steady_day(rounds: int) -> list[Record]:
    """The same twenty things over and over: when a round ends, nothing of it is open."""
    shop = small_shop(shortfall_allowed=True)
    three = [pb.StockLine(item_id="milk", qty_milli=3000)]
    for number in range(rounds):
        shop.now_ns += SECOND_NS
        hold_id = number.to_bytes(16, "big")
        order: dict[str, Any] = {"order_id": f"web-{number}"}
        answers = shop.batch(
            pb.HoldStockRequest(hold_id=hold_id, location_id="S1", lines=three, ttl_ms=3_600_000),
            pb.ReleaseHoldRequest(hold_id=hold_id),
            pb.PlaceOrderRequest(**order, location_id="S1", lines=three),
            pb.ShipOrderRequest(**order),
            pb.ReturnOrderRequest(**order, item_id="milk", qty_milli=3000, location_id="S1"),
            sale_pb2.SellRequest(till_id="T1", lines=[line("milk", 2), line("bread")], tenders=[cash(9_00)]),
            pb.ReceiveStockRequest(location_id="S1", lines=three),
        )
        assert [answer.code for answer in answers] == [1] * 7, answers
    return records(shop)


def peak_bytes(batches: list[Record]) -> int:
    """The most that the fold had in memory beyond what it began with."""
    folded(batches[:30])  # what is imported and cached once
    tracemalloc.start()
    try:
        fold = Movements()
        for one in batches:
            fold.take(one)
        assert fold.problems == []
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def steady() -> list[Record]:
    return steady_day(1200)


def test_memory_does_not_grow_with_the_journal(steady: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the sales, ended holds and settled orders with the same that is open: 1.3 times the memory at most."""
    monkeypatch.setattr(movements_promises, "DUE_SPARE", 100)
    half, whole = peak_bytes(steady[: len(steady) // 2]), peak_bytes(steady)
    assert whole < 1.3 * half, (half, whole)


@pytest.mark.parametrize("kept", ["deadlines", "orders"])
def test_memory_grows_where_what_has_ended_is_kept(
    steady: list[Record], monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    """The control: each of the two by itself would grow with the journal."""
    monkeypatch.setattr(movements_promises, "DUE_SPARE", 10**9 if kept == "deadlines" else 100)
    if kept == "orders":
        monkeypatch.setattr(Movements, "_rest", lambda self: None)
    half, whole = peak_bytes(steady[: len(steady) // 2]), peak_bytes(steady)
    assert whole > 1.3 * half, (half, whole)


def test_an_order_that_settled_is_known_when_it_goes_on() -> None:
    shop = small_shop()
    for request in (
        pb.PlaceOrderRequest(order_id="ö1", location_id="S1", lines=[pb.StockLine(item_id="milk", qty_milli=5000)]),
        pb.ShipOrderRequest(order_id="ö1"),
        pb.ReturnOrderRequest(order_id="ö1", item_id="milk", qty_milli=2000, location_id="S2"),
        pb.PlaceOrderRequest(
            order_id="ö1", location_id="S1", lines=[pb.StockLine(item_id="bread", qty_milli=1000)], add=True
        ),
        pb.UnshipOrderRequest(order_id="ö1"),
    ):
        assert shop.send(request).code == 1
    found = folded(records(shop))
    assert (found.problems, compare(shop.core, found)) == ([], (0, []))
    assert list(found._orders) == ["ö1"]
    assert found.positions["milk", "S1"][""] == [98_000, 0, 3000, 0]
    assert shop.send(pb.CancelOrderRequest(order_id="ö1")).code == 1
    found.take(records(shop)[-1])
    assert (found._orders, compare(shop.core, found)) == ({}, (0, []))


def test_an_order_that_nobody_placed_is_a_problem() -> None:
    shop = small_shop()
    placed = pb.PlaceOrderRequest(order_id="o1", location_id="S1", lines=[pb.StockLine(item_id="milk", qty_milli=5000)])
    assert shop.send(placed).code == shop.send(pb.ShipOrderRequest(order_id="o1")).code == 1
    batches = records(shop)
    commands = session_pb2.SessionRequest.FromString(batches[-1].commands)
    commands.commands[0].ship_order.order_id = "o2"
    last = batches[-1]
    batches[-1] = Record(last.sequence, last.now_ns, "", commands.SerializeToString(), last.replies, b"")
    (problem,) = folded(batches).problems
    assert "'o2' is no live hold, order or lot" in problem
