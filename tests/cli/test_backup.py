"""`backup` while an engine sells, `restore`, and what they refuse."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from ringup.engine.record import MAGIC
from ringup.v1 import sale_pb2
from support.core import cash, line
from support.data_directory import Written
from support.engine_process import EngineProcess


def answer(result: Any) -> dict[str, Any]:
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def sell(call: Any, number: int) -> Any:
    request = sale_pb2.SellRequest(
        command_id=number.to_bytes(16, "big"), till_id="T1", lines=[line("wrap")], tenders=[cash(100)]
    )
    return call(request, timeout=60)


def test_a_backup_of_an_engine_at_work_is_whole_and_can_be_restored(ringup: Any, book: Written, tmp_path: Path) -> None:
    acknowledged: list[int] = []
    stop = threading.Event()
    with EngineProcess(book.path, args=["--checkpoint-commands", "20"]) as engine, engine.channel() as channel:
        call = channel.unary_unary(
            "/ringup.v1.SaleService/Sell",
            request_serializer=sale_pb2.SellRequest.SerializeToString,
            response_deserializer=sale_pb2.SellResponse.FromString,
        )

        def till() -> None:
            number = 1 << 64
            while not stop.is_set():
                assert sell(call, number).code == 1
                acknowledged.append(number)
                number += 1

        thread = threading.Thread(target=till)
        thread.start()
        try:
            while len(acknowledged) < 50:
                stop.wait(0.01)
            before = len(acknowledged)
            made = answer(ringup("backup", tmp_path / "copy", "--data-dir", book.path, "--json"))
        finally:
            stop.set()
            thread.join()
        assert len(acknowledged) > before, "the engine went on selling"
        assert engine.stop() == 0
    manifest = json.loads((tmp_path / "copy" / "backup.json").read_text())
    assert manifest["last_sequence"] == made["last_sequence"] > book.last_sequence + 10
    restored = answer(ringup("restore", tmp_path / "copy", tmp_path / "new", "--json"))
    assert (restored["last_sequence"], restored["digest"]) == (made["last_sequence"], made["digest"])
    verified = answer(ringup("verify", tmp_path / "new", "--json"))
    assert verified["rows"]["sales"] >= 20 + before, "every sale acknowledged before the backup is in it"
    assert (
        answer(ringup("replay", book.path, "--json", "--to-sequence", made["last_sequence"]))["digest"]
        == verified["digest"]
    )
    with EngineProcess(tmp_path / "new") as engine, engine.channel() as channel:
        call = channel.unary_unary(
            "/ringup.v1.SaleService/Sell",
            request_serializer=sale_pb2.SellRequest.SerializeToString,
            response_deserializer=sale_pb2.SellResponse.FromString,
        )
        assert sell(call, acknowledged[0]).receipt.number == sell(call, acknowledged[0]).receipt.number
        assert sell(call, 1 << 80).code == 1
        assert engine.stop() == 0


def test_targets_that_hold_something_are_refused(ringup: Any, book: Written, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("keep me")
    refused = ringup("backup", tmp_path / "full", "--data-dir", book.path)
    assert refused.returncode == 73
    assert "expected an empty folder or none" in refused.stderr
    (tmp_path / "empty").mkdir()
    assert ringup("backup", tmp_path / "empty", "--data-dir", book.path).returncode == 0
    refused = ringup("restore", tmp_path / "empty", tmp_path / "full")
    assert refused.returncode == 73
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]
    assert ringup("restore", tmp_path / "empty", book.path).returncode == 73
    assert not list(tmp_path.glob("*.partial"))


def test_a_data_directory_in_use_is_no_backup(ringup: Any, book: Written, tmp_path: Path) -> None:
    with EngineProcess(book.path):
        refused = ringup("restore", book.path, tmp_path / "new")
    assert refused.returncode == 75
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("part", ["journal", "checkpoint"])
def test_a_damaged_backup_is_not_restored(ringup: Any, book: Written, tmp_path: Path, part: str) -> None:
    copy = tmp_path / "copy"
    assert ringup("backup", copy, "--data-dir", book.path).returncode == 0
    file = copy / part / "data.mdb"
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    raw[4096 * 3 + 20] ^= 1
    file.write_bytes(raw)
    refused = ringup("restore", copy, tmp_path / "new")
    assert refused.returncode == 65
    assert "nothing was restored" in refused.stderr
    assert not (tmp_path / "new").exists()


def test_a_backup_without_its_end_is_noticed(ringup: Any, book: Written, tmp_path: Path) -> None:
    """A journal that is sound, but shorter than what was backed up."""
    copy = tmp_path / "copy"
    assert ringup("backup", copy, "--data-dir", book.path).returncode == 0
    manifest = json.loads((copy / "backup.json").read_text())
    manifest["last_sequence"] += 1
    manifest["records"] += 1
    (copy / "backup.json").write_text(json.dumps(manifest))
    refused = ringup("restore", copy, tmp_path / "new")
    assert refused.returncode == 65
    assert f"found {book.last_sequence} up to {book.last_sequence}" in refused.stderr
    (copy / "backup.json").write_text("{}")
    assert ringup("restore", copy, tmp_path / "new").returncode == 65
    (copy / "backup.json").unlink()
    told = ringup("restore", copy, tmp_path / "new")
    assert told.returncode == 0
    assert "has no backup.json" in told.stderr


def test_a_damaged_directory_is_not_backed_up(ringup: Any, book: Written, tmp_path: Path) -> None:
    file = book.path / "journal" / "data.mdb"
    raw = bytearray(file.read_bytes())
    for found in re.finditer(re.escape(MAGIC), bytes(raw)):  # some are on pages that are free again
        raw[found.start() + 60] ^= 4  # within what every record has
    file.write_bytes(raw)
    refused = ringup("backup", tmp_path / "copy", "--data-dir", book.path)
    assert refused.returncode == 65
    assert "record " in refused.stderr
    assert list(tmp_path.glob("copy*")) == []


def test_what_is_no_backup_is_named_so(ringup: Any, tmp_path: Path) -> None:
    refused = ringup("restore", tmp_path / "monday", tmp_path / "new")
    assert refused.returncode == 70
    assert "name the folder that `ringup backup` made" in refused.stderr
    assert not (tmp_path / "new").exists()
