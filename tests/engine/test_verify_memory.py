"""What keeps `verify` small: tables that spill to a file, and readers that let go of what they have read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ringup.engine import lmdb_store, spill
from ringup.engine import verify as verify_module
from ringup.engine.lmdb_store import CheckpointStore, DamagedCheckpoint, LmdbJournal
from ringup.engine.recovery import checkpoint_digests, load_checkpoint
from ringup.engine.spill import spilled_tables
from ringup.engine.verify import VerifyReport, verify
from ringup.native.core import Core
from ringup.native.spill import begin_spill, end_spill
from ringup.native.table import Table
from ringup.v1 import sale_pb2
from support.core import cash, line, small_shop
from support.data_directory import write_directory

MB = 1 << 20
ROW_BYTES = 64


def resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def filled(size_bytes: int) -> Table:
    """A table of so many bytes with a number in a row of each page."""
    table = Table("test", ROW_BYTES)
    table.resize(size_bytes // ROW_BYTES)
    for row in range(0, table.count, table.page_rows):
        table.set_row(row, row.to_bytes(8, "little") * (ROW_BYTES // 8))
    return table


def mapped_chunks() -> int:
    return sum("(deleted)" in line and "rw-s" in line for line in Path("/proc/self/maps").read_text().splitlines())


def test_a_table_in_a_file_is_the_same_table() -> None:
    plain = filled(160 * MB)
    expected, own = plain.digest(), resident_bytes()
    del plain
    before, chunks = resident_bytes(), mapped_chunks()
    with spilled_tables(budget_bytes=8 * MB):
        spilled = filled(160 * MB)
        assert mapped_chunks() == chunks + 3  # of 64 MB: 152 are beyond the budget
        assert spilled.digest() == expected
        # Rows are let go of in chunks, while the table grows and while it is read.
        assert resident_bytes() < before + 110 * MB < own + 110 * MB
        spilled.set_row(7, bytes(range(ROW_BYTES)))
        spilled.resize(8)
        assert [spilled.get_row(7), spilled.get_row(1)] == [bytes(range(ROW_BYTES)), bytes(ROW_BYTES)]
    assert spilled.get_row(7) == bytes(range(ROW_BYTES))  # it may outlive the block
    del spilled
    assert mapped_chunks() == chunks


def test_blocks_that_were_given_back_are_used_again_and_empty() -> None:
    with tempfile.TemporaryFile() as file:
        begin_spill(file.fileno(), 0)
        for _ in range(4):
            assert filled(40 * MB).get_row(1) == bytes(ROW_BYTES)
        assert end_spill() == 64 * MB


def test_a_file_that_cannot_grow_leaves_tables_in_memory() -> None:
    with Path("/dev/null").open("rb") as file:
        begin_spill(file.fileno(), 0)
        table = filled(8 * MB)
        assert end_spill() == 0
    assert table.digest() == filled(8 * MB).digest()


def test_a_process_spills_to_one_file_at_a_time() -> None:
    with spilled_tables(), pytest.raises(OSError, match="cannot spill"), spilled_tables():
        pass
    with spilled_tables():
        pass


def test_it_spills_to_the_folder_that_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert spill.folder() == str(tmp_path)
    monkeypatch.delenv("TMPDIR")
    assert spill.folder() == "/var/tmp"


@pytest.mark.parametrize(("readonly", "alone"), [(True, True), (False, True), (False, False)])
def test_a_reader_of_the_whole_journal_lets_go_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readonly: bool, alone: bool
) -> None:
    """The journal of an engine at work is the control: others use it too, so what was read of it stays resident."""
    monkeypatch.setattr(lmdb_store, "MAPPED_BYTES_MAX", 4 * MB)
    journal = LmdbJournal(tmp_path / "journal")
    journal.acquire()
    for number in range(1, 49):
        journal.append(number, bytes([number]) * MB)
    journal.close()
    journal = LmdbJournal(tmp_path / "journal", readonly=readonly)
    journal.is_read_alone |= alone
    before, most, numbers = resident_bytes(), 0, []
    for number, record in journal.read(1):
        assert record[0] == record[-1] == number
        numbers.append(number)
        most = max(most, resident_bytes() - before)
    if not readonly:
        journal.acquire()
        journal.append(49, b"it goes on")
    journal.close()
    assert numbers == list(range(1, 49))
    assert most < 24 * MB if alone else most > 40 * MB


def test_a_reader_of_a_checkpoint_lets_go_of_it_and_misses_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = write_directory(tmp_path / "book", 20, checkpoint_at=12)
    store = CheckpointStore(book.path / "checkpoint")
    expected = [(table, page, bytes(data)) for table, page, data in store.pages()]
    store.close()
    assert len(expected) > 20
    monkeypatch.setattr(lmdb_store, "MAPPED_BYTES_MAX", 40_000)
    store = CheckpointStore(book.path / "checkpoint", readonly=True)
    assert [(table, page, bytes(data)) for table, page, data in store.pages()] == expected
    store.close()


def test_verify_with_all_tables_in_a_file_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = small_shop(shortfall_allowed=True)
    for _ in range(3):
        lines = [line("milk"), line("bread", 2), line("lamp"), line("wrap")]
        shop.batch(*(sale_pb2.SellRequest(till_id="T1", lines=lines, tenders=[cash(50_00)]) for _ in range(4000)))
    book = write_directory(tmp_path / "book", shop=shop, checkpoint_at=3)
    stages: list[str] = []
    chunks: list[int] = []

    @contextmanager
    def all_in_a_file() -> Iterator[None]:
        with spilled_tables(budget_bytes=0):
            yield
            chunks.append(mapped_chunks())

    def report() -> VerifyReport:
        journal = LmdbJournal(book.path / "journal", readonly=True)
        store = CheckpointStore(book.path / "checkpoint", readonly=True)
        try:
            return verify(journal, store, stages=lambda name: stages.append(name))
        finally:
            store.close()
            journal.close()

    first = report()
    assert first.is_well
    assert (first.digest, first.stored_digest, first.rows) == (book.digest, book.digest, book.rows)
    monkeypatch.setattr(verify_module, "spilled_tables", all_in_a_file)
    assert report() == first
    assert chunks == [1, 1]  # of both cores
    assert stages == ["reading the checkpoint", "folding all batches", "comparing counters"] * 2


def test_digests_of_a_checkpoint_are_those_of_the_core_that_it_makes(tmp_path: Path) -> None:
    book = write_directory(tmp_path / "book", 40, checkpoint_at=30)
    store = CheckpointStore(book.path / "checkpoint")
    meta, core = store.meta(), Core()
    assert meta is not None
    assert load_checkpoint(core, store)[0] == 30
    expected = {table.name: (table.digest(), table.count) for table in core.tables}
    assert checkpoint_digests(store, meta, Core()) == expected

    # One page less, or a row more than there are pages for.
    pages = [(table, page, bytes(data)) for table, page, data in store.pages()]
    number = [table.name for table in core.tables].index("sales")
    store.write(meta, ((t, p, memoryview(data)) for t, p, data in pages if t != number), fresh=True)
    with pytest.raises(DamagedCheckpoint, match="table sales has 0 pages"):
        checkpoint_digests(store, meta, Core())
    store.write(meta, ((t, p, memoryview(data)) for t, p, data in pages), fresh=True)
    meta["counts"]["sales"] += core.tables[number].page_rows
    with pytest.raises(DamagedCheckpoint, match="table sales has 1 pages up to the first that is missing"):
        checkpoint_digests(store, meta, Core())
    store.close()
