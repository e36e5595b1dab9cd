"""`check`, `verify`, `replay` and `stat` on a sound data directory, and on one that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal, holder
from ringup.engine.record import HEADER_BYTES, decode
from ringup.v1 import session_pb2
from support.data_directory import Written, write_directory
from support.engine_process import EngineProcess


def answer(result: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def replace_record(path: Path, sequence: int, change: Any) -> None:
    """Change a record behind the journal's back."""
    journal = LmdbJournal(path / "journal")
    raw = journal.get(sequence)
    assert raw is not None
    with journal._env.begin(db=journal._records, write=True) as txn:
        key = sequence.to_bytes(8, "big")
        txn.delete(key) if change is None else txn.put(key, change(raw))
    journal.close()


def flip_last_bit(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


def test_a_sound_book_passes(ringup: Any, book: Written) -> None:
    checked = ringup("check", book.path, "--json")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert answer(checked)["records"] == book.last_sequence
    assert answer(checked)["checkpoint_sequence"] == book.last_sequence // 2
    verified = ringup("verify", book.path, "--json")
    assert (verified.returncode, verified.stderr) == (0, "")
    found = answer(verified)
    assert found["is_well"] is True
    assert found["digest"] == found["stored_digest"] == book.digest
    assert found["rows"] == book.rows
    assert found["receipt_gaps"] == 0


def test_people_see_the_same(ringup: Any, book: Written) -> None:
    assert "0 faults; " in ringup("check", book.path).stdout
    assert book.digest in ringup("verify", book.path).stdout
    assert book.digest in ringup("replay", book.path).stdout
    assert "last_sequence" in ringup("stat", book.path).stdout


@pytest.mark.parametrize("sequence", [1, 7])
def test_check_names_the_first_bad_record(ringup: Any, book: Written, sequence: int) -> None:
    replace_record(book.path, sequence, flip_last_bit)
    for command in ("check", "verify"):
        found = ringup(command, book.path)
        assert found.returncode == 1
        assert f"record {sequence} of the journal" in found.stderr
    replayed = ringup("replay", book.path)
    assert replayed.returncode == 65
    assert f"record {sequence} of the journal" in replayed.stderr


def test_a_missing_record_is_named(ringup: Any, book: Written) -> None:
    replace_record(book.path, 5, None)
    for command, code in (("check", 1), ("verify", 1), ("replay", 65)):
        found = ringup(command, book.path)
        assert found.returncode == code
        assert "record 5 of the journal: expected next, found record 6" in found.stderr


def test_a_replaced_record_breaks_the_chain(ringup: Any, book: Written, tmp_path: Path) -> None:
    other = write_directory(tmp_path / "other", sales=21)
    journal = LmdbJournal(other.path / "journal", readonly=True)
    foreign = journal.get(6)
    journal.close()
    assert foreign is not None
    forged = bytearray(foreign)
    forged[HEADER_BYTES] ^= 1  # its link to the record before
    import hashlib

    forged[-32:] = hashlib.sha256(forged[:-32]).digest()
    replace_record(book.path, 6, lambda raw: bytes(forged))
    found = ringup("check", book.path)
    assert found.returncode == 1
    assert "record 6 of the journal: it does not follow the record before it" in found.stderr


def test_verify_shows_the_table_that_differs(ringup: Any, book: Written) -> None:
    """A page changed with a right checksum: only folding the journal can tell."""
    store = CheckpointStore(book.path / "checkpoint")
    meta = store.meta()
    assert meta is not None
    changed = []
    for table, page, data in store.pages():
        raw = bytearray(data)
        if not changed and b"Gift wrap" in raw:
            at = raw.index(b"Gift wrap")
            raw[at : at + 4] = b"Lift"
            changed.append((table, page, memoryview(bytes(raw))))
    assert changed
    store.write(meta, changed, fresh=False)
    store.close()
    assert ringup("check", book.path).returncode == 0
    found = ringup("verify", book.path, "--json")
    assert found.returncode == 1
    report = answer(found)
    assert {one["table"] for one in report["differences"]} == {"catalog_text"}
    assert {one["at_sequence"] for one in report["differences"]} == {book.last_sequence // 2, book.last_sequence}
    assert report["digest"] == book.digest != report["stored_digest"]
    assert "catalog_text" in ringup("verify", book.path).stdout


def test_a_damaged_page_is_named(ringup: Any, book: Written) -> None:
    store = CheckpointStore(book.path / "checkpoint")
    with store._env.begin(db=store._pages, write=True) as txn:
        key, value = next(iter(txn.cursor()))
        txn.put(key, flip_last_bit(value))
    store.close()
    for command in ("check", "verify"):
        found = ringup(command, book.path)
        assert found.returncode == 1
        assert "page 0 of table 0 is damaged" in found.stderr


def test_replay_stops_where_it_is_told(ringup: Any, book: Written) -> None:
    whole = answer(ringup("replay", book.path, "--json"))
    assert whole["digest"] == book.digest
    assert whole["chain_digest"] == book.chain.hex()
    half = answer(ringup("replay", book.path, "--json", "--to-sequence", 8))
    assert (half["sequence"], half["last_sequence"]) == (8, book.last_sequence)
    assert half["digest"] != whole["digest"]
    assert half["rows"]["sales"] == 7
    by_time = answer(ringup("replay", book.path, "--json", "--until", "2023-11-14T23:13:27+01:00"))
    assert by_time["sequence"] == 8  # the shop opens at 22:13:20 UTC and sells every second
    assert by_time["digest"] == half["digest"]
    assert answer(ringup("replay", book.path, "--json", "--to-sequence", 0))["sequence"] == 0
    assert ringup("replay", book.path, "--until", "yesterday").returncode == 2


def test_replay_prints_the_commands(ringup: Any, book: Written) -> None:
    shown = ringup("replay", book.path, "--print", "--from-sequence", 5, "--to-sequence", 6)
    assert shown.returncode == 0
    lines = [json.loads(text) for text in shown.stdout.splitlines()]
    assert [line.pop("sequence") for line in lines] == [5, 6]
    assert [line.pop("index") for line in lines] == [0, 0]
    assert all(line.pop("now_ns") for line in lines)
    journal = LmdbJournal(book.path / "journal", readonly=True)
    raw = journal.get(5)
    journal.close()
    assert raw is not None
    sent = session_pb2.SessionRequest.FromString(decode(raw, 5, None).commands)
    assert ParseDict(lines[0], session_pb2.Command()) == sent.commands[0]


def test_a_trimmed_journal_cannot_be_folded(ringup: Any, book: Written) -> None:
    journal = LmdbJournal(book.path / "journal")
    journal.trim(4)
    journal.close()
    assert ringup("check", book.path).returncode == 0
    for command in ("verify", "replay"):
        found = ringup(command, book.path)
        assert found.returncode == 70
        assert "found 4: it was trimmed" in found.stderr


def test_stat_of_a_directory(ringup: Any, book: Written) -> None:
    found = answer(ringup("stat", book.path, "--json"))
    assert found["last_sequence"] == book.last_sequence
    assert found["tail_batches"] == book.last_sequence - book.last_sequence // 2
    assert found["journal_file_bytes"] == (book.path / "journal" / "data.mdb").stat().st_size
    assert found["rows"]["items"] == 5
    assert found["in_use_by"] == ""


def test_all_of_them_beside_a_running_engine(ringup: Any, book: Written) -> None:
    with EngineProcess(book.path) as engine:
        assert holder(book.path).startswith(f"process {engine.process.pid} on ")
        assert answer(ringup("stat", book.path, "--json"))["in_use_by"] == holder(book.path)
        live = answer(ringup("stat", "--from", engine.target, "--json"))
        assert live["sequence"] == book.last_sequence
        assert live["rows"] == book.rows
        for command in ("check", "verify", "replay"):
            assert ringup(command, book.path).returncode == 0
        assert engine.stop() == 0
    assert holder(book.path) == ""
    gone = ringup("stat", "--from", engine.target)
    assert gone.returncode == 69
    assert "is `ringup serve` running there?" in gone.stderr


@pytest.mark.parametrize("command", ["check", "verify", "replay", "stat"])
def test_a_folder_that_is_no_data_directory(ringup: Any, tmp_path: Path, command: str) -> None:
    found = ringup(command, tmp_path / "none")
    assert found.returncode == 70
    assert "expected a data directory with a journal in it, found none" in found.stderr
    assert not (tmp_path / "none").exists()
