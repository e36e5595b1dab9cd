"""`verify` folds every stock movement a second time, without the core, and says which counter is wrong since when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringup.engine import movements
from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal
from ringup.engine.verify import VerifyReport, verify
from ringup.native.core import Core
from ringup.v1 import sale_pb2, session_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import SECOND_NS, CoreHarness, cash, line, small_shop
from support.data_directory import Written, write_directory

HOLD, PAID, LATE = (bytes([n]) * 16 for n in (201, 202, 203))


def milk(pieces: int, **fields: Any) -> pb.StockLine:
    return pb.StockLine(item_id="milk", qty_milli=pieces * 1000, **fields)


def busy_shop() -> CoreHarness:
    """A short history in which every counter moves, in lots too: 22 batches, the shop's own the first."""
    shop = small_shop(shortfall_allowed=True, pieces=20)
    ok: list[Any] = [
        shop.send(pb.ReceiveStockRequest(location_id="S1", lines=[milk(4, lot_id="old"), milk(6, lot_id="new")])),
        shop.send(pb.HoldStockRequest(hold_id=HOLD, location_id="S1", lines=[milk(3)], ttl_ms=60_000)),
        shop.send(pb.HoldStockRequest(hold_id=LATE, location_id="S1", lines=[milk(2)], ttl_ms=1_000)),
        shop.send(pb.PlaceOrderRequest(order_id="o1", location_id="S1", lines=[milk(7)])),
        shop.send(pb.ExpectStockRequest(location_id="S2", lines=[milk(9)], expected_ns=9 * SECOND_NS)),
    ]
    shop.now_ns += 2 * SECOND_NS  # LATE expires
    ok += [
        shop.send(sale_pb2.SellRequest(till_id="T1", lines=[line("milk", 4)], tenders=[cash(10_00)], hold_ids=[HOLD])),
        shop.send(pb.ShipOrderRequest(order_id="o1", lines=[milk(2)])),
        shop.send(pb.CancelOrderRequest(order_id="o1", lines=[pb.StockLine(item_id="4006381333931", qty_milli=1000)])),
        shop.send(pb.ReceiveStockRequest(location_id="S2", lines=[milk(5)])),
        shop.send(pb.TransferStockRequest(item_id="milk", qty_milli=2000, from_location_id="S2", to_location_id="S1")),
        shop.send(pb.BarStockRequest(location_id="S2", lines=[milk(1)], reason=pb.BAR_REASON_DAMAGED)),
        shop.send(pb.CountStockRequest(location_id="S1", item_id="bread", on_hand_milli=17_000)),
        shop.send(sale_pb2.SellRequest(till_id="T1", lines=[line("milk", 30)], tenders=[cash(100_00)])),  # a shortfall
        shop.send(pb.AdjustStockRequest(location_id="S1", lines=[milk(40)], reason="found")),
        shop.send(pb.AdjustStockRequest(location_id="S1", lines=[milk(-3)], reason="broken")),
        shop.send(pb.HoldStockRequest(hold_id=PAID, location_id="S1", lines=[milk(3)])),
        shop.send(pb.CommitHoldRequest(hold_id=PAID, qty_milli=1000)),
        shop.send(pb.ReturnOrderRequest(order_id="o1", item_id="milk", qty_milli=1000, location_id="S2")),
        shop.send(pb.UnshipOrderRequest(order_id="o1")),
        shop.send(pb.SellStockRequest(location_id="S2", lines=[milk(1)])),
    ]
    ok.append(
        shop.send(
            sale_pb2.ReturnLinesRequest(
                till_id="T3", receipt_till_id="T1", receipt_number=1, lines=[sale_pb2.ReturnLine(qty_milli=2000)]
            )
        )
    )
    assert [answer.code for answer in ok] == [1] * len(ok), ok
    return shop


def verified(written: Written, **options: Any) -> VerifyReport:
    journal = LmdbJournal(written.path / "journal", readonly=True)
    store = CheckpointStore(written.path / "checkpoint", readonly=True)
    try:
        return verify(journal, store, **options)
    finally:
        store.close()
        journal.close()


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return write_directory(tmp_path / "book", shop=busy_shop())


def test_all_counters_agree(written: Written) -> None:
    report = verified(written)
    assert report.is_well, (report.problems, report.counter_differences, report.differences)
    assert (report.notes, report.receipts) == ([], 3)
    # 80 pieces in no lot, 10 in lots, 5 at S2, 40 found; what left and what came back by hand.
    assert report.causes_milli["sell"] == -34_000
    assert report.causes_milli["return_lines"] == 2000
    assert (
        report.on_hand_milli == sum(report.causes_milli.values()) == 1000 * (95 + 40 - 3 - 3 - 34 + 2 - 1 - 1 + 1 - 1)
    )
    assert report.movements > 30


def test_a_hold_and_a_pickup_may_end_at_the_same_instant(tmp_path: Path) -> None:
    """The fold keeps both in one heap; it once compared an order's name with a hold's bytes and gave up."""
    shop = small_shop()
    pick = pb.PickOrderRequest(order_id="o1", location_id="S1", lines=[milk(2)])
    for request in (
        pb.PlaceOrderRequest(order_id="o1", location_id="S1", lines=[milk(2)]),
        pick,
        pb.PackOrderRequest(order_id="o1"),
        pb.ReadyOrderRequest(order_id="o1", pickup_code="7", ttl_ms=1000),
        pb.HoldStockRequest(location_id="S1", lines=[milk(3)], ttl_ms=1000),
        pb.HoldStockRequest(location_id="S1", lines=[milk(4)], ttl_ms=1000),
    ):
        assert shop.send(request).code == 1
    shop.now_ns += SECOND_NS
    assert shop.send(pb.ReceiveStockRequest(location_id="S1", lines=[milk(1)])).positions[0].free_milli == 101_000
    assert verified(write_directory(tmp_path / "book", shop=shop)).is_well


def test_a_lot_with_a_barred_part_is_counted_by_its_part_for_sale(tmp_path: Path) -> None:
    """A walk found it after 574,000 commands: the fold took the count for all of the lot."""
    shop = small_shop()
    lots = [milk(7, lot_id="a"), milk(6, lot_id="a", barred=True)]
    assert shop.send(pb.ReceiveStockRequest(location_id="S1", lines=lots)).code == 1
    count = pb.CountStockRequest(location_id="S1", item_id="milk", lot_id="a", on_hand_milli=5000)
    assert shop.send(count).position.on_hand_milli == 111_000
    assert verified(write_directory(tmp_path / "book", shop=shop)).is_well


class MovesByItself(Core):
    """A core in which two pieces of milk disappear in batch 12, told to nobody."""

    def begin(self, sequence: int, now_ns: int) -> None:
        super().begin(sequence, now_ns)
        if sequence == 12:
            (positions,) = (table for table in self.tables if table.name == "positions")
            for row in range(positions.count):
                on_hand, rest = positions.get_row(row)[:8], positions.get_row(row)[8:]
                if int.from_bytes(on_hand, "little") == 5000:
                    positions.set_row(row, (3000).to_bytes(8, "little") + rest)


def test_a_counter_that_moves_by_itself_is_named_with_its_batch(tmp_path: Path) -> None:
    shop = small_shop()
    for _ in range(20):
        assert shop.send(pb.ReceiveStockRequest(location_id="S1", lines=[pb.StockLine(item_id="lamp", qty_milli=1000)]))
        if shop.core.sequence == 3:
            assert shop.send(pb.ReceiveStockRequest(location_id="S2", lines=[milk(5)])).code == 1
    report = verified(write_directory(tmp_path / "book", shop=shop), make_core=MovesByItself)
    assert not report.is_well
    (found,) = report.counter_differences
    assert (found.item_id, found.location_id, found.lot_id, found.counter) == ("milk", "S2", "", "on_hand")
    assert (found.expected_milli, found.found_milli, found.first_sequence) == (5000, 3000, 12)
    assert str(found) == "on_hand of milk at S2 since batch 12: expected 5000 by the movements, found 3000"


MOVING = [kind for kind in movements.HANDLERS if kind not in ("put_items", "extend_hold", "pay_hold", "ready_order")]


@pytest.mark.parametrize("kind", ["sell", "hold_stock", "commit_hold", "place_order", "transfer_stock", "bar_stock"])
def test_a_movement_that_is_left_out_is_found(written: Written, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The control: were these commands not folded, their counters would not agree."""
    assert kind in MOVING
    monkeypatch.setitem(movements.HANDLERS, kind, lambda *_: None)
    report = verified(written)
    assert report.counter_difference_count or report.problems
    assert not report.is_well


def test_an_expiry_that_is_left_out_is_found(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movements.Movements, "_expire", lambda self, now_ns: None)
    report = verified(written)
    assert {one.counter for one in report.counter_differences} == {"held"}
    assert [one.first_sequence for one in report.counter_differences] == [7]


def test_a_counter_changed_in_the_checkpoint_is_named(written: Written) -> None:
    """A bit of a page, with a right checksum: the table differs, and these are the counters that do."""
    store = CheckpointStore(written.path / "checkpoint")
    meta = store.meta()
    assert meta is not None
    number = [table.name for table in Core().tables].index("positions")
    pages = [(table, page, bytearray(data)) for table, page, data in store.pages() if table == number]
    at = pages[0][2].index((20_000).to_bytes(8, "little"))
    pages[0][2][at] ^= 1
    store.write(meta, [(table, page, memoryview(bytes(data))) for table, page, data in pages], fresh=False)
    store.close()
    report = verified(written)
    assert {one.table for one in report.differences} == {"positions"}
    (found,) = report.stored_counter_differences
    assert (found.counter, abs(found.found_milli - found.expected_milli)) == ("on_hand", 1)
    assert report.counter_difference_count == 0  # the journal folds to the right ones


def test_a_gap_in_the_receipts_of_a_till_is_named(tmp_path: Path) -> None:
    def answered(sequence: int, replies: bytes) -> bytes:
        response = session_pb2.SessionResponse.FromString(replies)
        for reply in response.replies:
            if reply.sell.receipt.number == 2:
                reply.sell.receipt.number = 3
        return response.SerializeToString()

    book = write_directory(tmp_path / "book", shop=busy_shop(), layout="8/older", answered=answered)
    report = verified(book)
    assert "batch 14 (sell): receipt 3 of till T1 follows receipt 1" in report.problems


def test_a_receipt_number_that_no_sale_has_is_counted() -> None:
    core = busy_shop().core
    assert core.receipt_gaps() == 0
    (sales,) = (table for table in core.tables if table.name == "sales")
    row = sales.get_row(1)
    assert int.from_bytes(row[32:40], "little") == 2  # the second receipt of T1
    for number in (1, 3, 0):  # one that another sale has, one beyond the last, none
        sales.set_row(1, row[:32] + number.to_bytes(8, "little") + row[40:])
        assert core.receipt_gaps() == 1
    sales.set_row(1, row)
    assert core.receipt_gaps() == 0


def test_every_command_that_can_move_stock_is_folded() -> None:
    """A command whose answer tells of units, or that is about a position, must be known to the fold."""
    assert not movements.UNKNOWN, f"fold them in engine/movements.py: {sorted(movements.UNKNOWN)}"
    assert movements.HANDLERS.keys() <= {one.name for one in session_pb2.Command.DESCRIPTOR.fields}
