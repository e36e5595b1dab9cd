"""A later version that folds an old journal says so when it would answer otherwise than was answered.

Its state would silently not be the one that the callers were told of: a sale that cost 6.19 then and 6.20
today, an order that came from another place.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ringup.engine.answers import FIELD_SINCE_LAYOUT, Answers
from ringup.engine.lmdb_store import LmdbJournal
from ringup.engine.record import decode
from ringup.engine.recovery import ChangedAnswers, NotDeterministic, recover
from ringup.native.core import LAYOUT_VERSION
from ringup.v1 import session_pb2, session_pb2_grpc
from ringup.v1 import stock_pb2 as pb
from support.core import CoreHarness, small_shop
from support.data_directory import Written, write_directory
from support.engine_process import EngineProcess

OLDER = "8/0123456789abcd"
CHANGED = (9, 14)  # batches


def dearer(sequence: int, replies: bytes) -> bytes:
    """What an older version answered: a cent more in two batches."""
    if sequence not in CHANGED:
        return replies
    response = session_pb2.SessionResponse.FromString(replies)
    response.replies[0].sell.receipt.basket.total_minor += 1
    return response.SerializeToString()


def recovered(written: Written, **options: Any) -> Any:
    journal = LmdbJournal(written.path / "journal", readonly=True)
    try:
        return recover(journal, None, **options)
    finally:
        journal.close()


def test_a_start_refuses_and_an_operator_may_accept(tmp_path: Path) -> None:
    book = write_directory(tmp_path / "book", layout=OLDER, answered=dearer)
    with pytest.raises(
        ChangedAnswers, match=r"found 2 .*batch 9, command 0 \(sell\): receipt.basket.total_minor was 620"
    ):
        recovered(book)
    found = recovered(book, accept_changed_answers=True)
    assert [one.sequence for one in found.answers.changed] == list(CHANGED)
    assert found.core.digest().hex() == book.digest


def test_the_same_answers_of_an_older_version_start_without_a_word(tmp_path: Path) -> None:
    assert recovered(write_directory(tmp_path / "book", layout=OLDER)).answers == Answers()


def test_the_same_version_must_give_the_same_bytes(tmp_path: Path) -> None:
    with pytest.raises(NotDeterministic, match="batch 9: folding it again"):
        recovered(write_directory(tmp_path / "book", answered=dearer), accept_changed_answers=True)


def lots_leave() -> CoreHarness:
    shop = small_shop()
    shop.send(
        pb.ReceiveStockRequest(location_id="S1", lines=[pb.StockLine(item_id="milk", qty_milli=5000, lot_id="a")])
    )
    for pieces in (101, 2):
        request = pb.TransferStockRequest(
            item_id="milk", qty_milli=pieces * 1000, from_location_id="S1", to_location_id="S2"
        )
        assert shop.send(request).code == 1
    return shop


def without_takes(sequence: int, replies: bytes) -> bytes:
    """What versions before layout 9 answered: they did not say which lots left."""
    response = session_pb2.SessionResponse.FromString(replies)
    for reply in response.replies:
        if reply.HasField("transfer_stock"):
            reply.transfer_stock.ClearField("takes")
    return response.SerializeToString()


def test_a_field_that_was_added_is_no_changed_answer(tmp_path: Path, ringup: Any) -> None:
    book = write_directory(tmp_path / "book", shop=lots_leave(), layout=OLDER, answered=without_takes)
    found = recovered(book)
    assert (found.answers.changed_count, found.answers.extended_count) == (0, 2)
    report = json.loads(ringup("verify", book.path, "--json").stdout)
    assert report["is_well"] is True  # the movements are folded with the lots that this version names
    assert report["extended_answer_count"] == 2
    current = f"{LAYOUT_VERSION}/0123456789abcd"  # a version that has the field and does not fill it
    again = write_directory(tmp_path / "again", shop=lots_leave(), layout=current, answered=without_takes)
    with pytest.raises(ChangedAnswers, match=": takes count was 0, is 2"):
        recovered(again)


def test_fields_named_as_added_exist() -> None:
    for name, layout in FIELD_SINCE_LAYOUT.items():
        message, _, field = name.rpartition(".")
        found = session_pb2.DESCRIPTOR.pool.FindMessageTypeByName(message)
        assert field in found.fields_by_name, name
        assert 9 <= layout <= LAYOUT_VERSION, name


def resend(engine: EngineProcess, commands: bytes) -> bytes:
    stub = session_pb2_grpc.SessionServiceStub(engine.channel())
    (response,) = stub.Session(iter([session_pb2.SessionRequest.FromString(commands)]), timeout=60)
    answered: bytes = response.SerializeToString()
    return answered


def test_verify_serve_and_a_resend_afterwards(tmp_path: Path, ringup: Any) -> None:
    book = write_directory(tmp_path / "book", layout=OLDER, answered=dearer)
    verified = ringup("verify", book.path, "--json")
    report = json.loads(verified.stdout)
    assert (verified.returncode, report["changed_answer_count"]) == (1, 2)
    assert [one["sequence"] for one in report["changed_answers"]] == list(CHANGED)
    assert "receipt.basket.total_minor" in ringup("verify", book.path).stdout
    assert ringup("verify", book.path, "--accept-changed-answers").returncode == 0
    refused = ringup("serve", "--data-dir", book.path, "--listen", "127.0.0.1:0")
    assert (refused.returncode, refused.stdout) == (77, "")
    assert "--accept-changed-answers" in refused.stderr
    assert json.loads(ringup("replay", book.path, "--json").stdout)["changed_answers"] == 2

    journal = LmdbJournal(book.path / "journal", readonly=True)
    record = decode(journal.get(9) or b"", 9, None)
    journal.close()
    with EngineProcess(book.path, args=["--accept-changed-answers"]) as engine:
        assert resend(engine, record.commands) == record.replies  # what was answered stays answered
        engine.kill()
    with EngineProcess(book.path) as engine:  # accepted once: the checkpoint has it
        assert resend(engine, record.commands) == record.replies
        assert engine.stop() == 0
