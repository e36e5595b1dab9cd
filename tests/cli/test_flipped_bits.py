"""Single flipped bits anywhere in the journal's file: `check` finds each, or it is in unused space.

LMDB alone does not notice them; the last test shows that.
"""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import lmdb
import pytest

from ringup.engine.backup import check_directory
from ringup.engine.journal import JournalError
from ringup.engine.lmdb_store import DamagedStore, LmdbJournal, check_pages
from ringup.v1 import catalog_pb2, session_pb2
from support.core import CoreHarness
from support.data_directory import write_directory

EXAMPLES = int(os.environ.get("RINGUP_EXAMPLES", "400"))
SEED = int(os.environ.get("RINGUP_SEED", "7"))


def contents(path: Path) -> list[object]:
    """All that the journal means: its records and its few facts."""
    env = lmdb.open(str(path / "journal"), readonly=True, max_dbs=4, map_size=1 << 30)
    try:
        names = [env.open_db(name, create=False) for name in (b"meta", b"records")]
        with env.begin() as txn:
            facts = [(key, bytes(value)) for key, value in txn.cursor(names[0]) if key != b"guard"]
            return [facts, [(bytes(key), bytes(value)) for key, value in txn.cursor(names[1])]]
    finally:
        env.close()


def flip(file: Path, bit: int) -> None:
    with open(file, "r+b") as data:
        data.seek(bit // 8)
        byte = data.read(1)[0] ^ (1 << bit % 8)
        data.seek(bit // 8)
        data.write(bytes([byte]))


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_directory(tmp_path_factory.mktemp("damage") / "book", sales=60).path


def test_every_flipped_bit_is_found_or_means_nothing(book: Path) -> None:
    file = book / "journal" / "data.mdb"
    sound, expected = file.read_bytes(), contents(book)
    assert check_directory(book).damage == []
    chance = random.Random(SEED)
    found = 0
    # The two descriptions at the beginning are small and matter most: every fourth bit goes there.
    bits = [chance.randrange(300 * 8) + (chance.randrange(2) << 15) for _ in range(EXAMPLES // 4)]
    bits += [chance.randrange(len(sound) * 8) for _ in range(EXAMPLES - len(bits))]
    for bit in bits:
        flip(file, bit)
        try:
            try:
                damage = check_directory(book).damage
            except JournalError as refusal:  # a bit of the format's number
                damage = [str(refusal)]
            if damage:
                found += 1
            else:
                assert contents(book) == expected, f"bit {bit} changed the journal unnoticed"
        finally:
            flip(file, bit)
    assert file.read_bytes() == sound
    assert found > EXAMPLES // 8  # most of a file that has grown commit by commit is free pages


def test_every_bit_of_the_two_descriptions(book: Path) -> None:
    """A commit can be lost by one bit here: LMDB would take the older description for the newer."""
    file, expected = book / "journal" / "data.mdb", contents(book)
    found = 0
    for page in (0, 1):
        for bit in range(page * 4096 * 8, (page * 4096 + 160) * 8):
            flip(file, bit)
            try:
                damage = check_directory(book).damage
                found += bool(damage)
                assert damage or contents(book) == expected, f"bit {bit} changed the journal unnoticed"
            finally:
                flip(file, bit)
    assert found > 600


def test_an_engine_does_not_start_on_a_lost_commit(book: Path) -> None:
    """Control: LMDB reads the file without complaint and shows one record fewer."""
    file, expected = book / "journal" / "data.mdb", contents(book)
    raw = file.read_bytes()
    place = 16 + 24 + 96 + 8  # page header, magic to map size, two trees, last page: the transaction's number
    numbers = [int.from_bytes(raw[page * 4096 + place :][:8], "little") for page in (0, 1)]
    older = numbers.index(min(numbers))
    for power in (1, 40):  # the lowest is the worst: both numbers are still those of two commits in a row
        if numbers[older] >> power & 1:
            continue
        bit = (older * 4096 + place) * 8 + power
        flip(file, bit)
        try:
            assert contents(book)[1] == expected[1][:-1]  # type: ignore[index]
            for call in (lambda: LmdbJournal(book / "journal"), lambda: check_pages(book / "journal")):
                with pytest.raises(DamagedStore, match=r"two commits in a row|description of commit"):
                    call()
        finally:
            flip(file, bit)


def test_lmdb_alone_does_not_notice(book: Path) -> None:
    """Control: flips inside of records; LMDB reads every one of them, our check names it."""
    file = book / "journal" / "data.mdb"
    sound, expected = file.read_bytes(), contents(book)
    chance = random.Random(SEED)
    for _, record in chance.choices(expected[1], k=40):  # type: ignore[arg-type]
        # LMDB writes a page anew for each commit: the same bit in every copy, old and new.
        offset = chance.randrange(len(record) * 8)
        starts = [found.start() for found in re.finditer(re.escape(record), sound)]
        for start in starts:
            flip(file, start * 8 + offset)
        try:
            assert contents(book) != expected, "LMDB gave the changed bytes without complaint"
            damage = check_directory(book).damage
            assert len(damage) == 1
            assert "of the journal: " in damage[0]
        finally:
            for start in starts:
                flip(file, start * 8 + offset)


def test_big_records_and_a_deep_tree(tmp_path: Path) -> None:
    """Records over a page stand in overflow pages; many small ones make branches."""
    shop = CoreHarness()
    for number in range(150):
        items = [
            catalog_pb2.Item(item_id=f"I{number}-{one}", name="x" * 100)
            for one in range(200 if number % 40 == 0 else 5)
        ]
        request = catalog_pb2.PutItemsRequest(command_id=number.to_bytes(16, "big"), items=items)
        shop.raw(session_pb2.SessionRequest(commands=[session_pb2.Command(put_items=request)]).SerializeToString())
    write_directory(tmp_path / "book", shop=shop)
    file = tmp_path / "book" / "journal" / "data.mdb"
    assert check_directory(tmp_path / "book").damage == []
    sound, expected = file.read_bytes(), contents(tmp_path / "book")
    chance = random.Random(SEED)
    headers = [page * 4096 * 8 + chance.randrange(16 * 8) for page in range(len(sound) // 4096)]
    found = 0
    for bit in [*headers, *(chance.randrange(len(sound) * 8) for _ in range(EXAMPLES // 2))]:
        flip(file, bit)
        try:
            damage = check_directory(tmp_path / "book").damage
            found += bool(damage)
            assert damage or contents(tmp_path / "book") == expected, f"bit {bit} changed the journal unnoticed"
        finally:
            flip(file, bit)
    assert found > EXAMPLES // 8  # most of a file that has grown commit by commit is free pages
