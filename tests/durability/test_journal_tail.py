"""A power cut between a commit and the next: the journal's description may be that of the commit before.

What a cut leaves is made here byte by byte: all that a sync has seen, and of what came after it any choice of pages.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import pytest

from ringup.engine import lmdb_store
from ringup.engine.lmdb_store import DamagedStore, DirectoryLock, LmdbJournal, StoreFailed, check_pages
from ringup.engine.record import GENESIS, decode, encode

PAGE = 4096
NOW_NS = 1_700_000_000_000_000_000
SIZES = (1, 300, 1500, 1900, 2100, 4000, 4100, 9000, 50_000)  # in a page of the tree, one page, several


class Book:
    """A journal, and all that a disk may have of it when the power goes."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.rng = path, random.Random(seed)
        self.journal = LmdbJournal(path)
        self.journal.acquire()
        self.digest, self.sequence = GENESIS, 0
        self.records: dict[int, bytes] = {}
        self.synced = self.bytes()
        """What the disk has for certain: the file when the last commit's sync ended."""

    def bytes(self) -> bytes:
        return (self.path / "data.mdb").read_bytes()

    def make(self, size: int) -> bytes:
        self.sequence += 1
        record, self.digest = encode(
            self.sequence, NOW_NS + self.sequence, "1/test", [self.rng.randbytes(size)], [b"reply"], self.digest
        )
        self.records[self.sequence] = bytes(record)
        return bytes(record)

    def append(self, count: int = 1) -> None:
        """One commit, and what its sync has seen: all but the description written after it."""
        before = self.bytes()
        first = self.sequence + 1
        self.journal.append(first, *(self.make(self.rng.choice(SIZES)) for _ in range(count)))
        after = bytearray(self.bytes())
        for number in (0, 1):  # the description that this commit replaced
            at = slice(number * PAGE, (number + 1) * PAGE)
            after[at] = before[at]
        self.synced = bytes(after)

    def cut(self, to: Path, unsynced: bytes) -> None:
        """The file after a cut: of what differs in `unsynced`, some pages reached the disk, and some in part."""
        disk = bytearray(self.synced)
        disk += bytes(max(0, len(unsynced) - len(disk)))
        for at in range(0, len(unsynced), PAGE):
            page = unsynced[at : at + PAGE]
            if page != disk[at : at + PAGE] and self.rng.random() < 0.5:
                size = PAGE if at < 2 * PAGE or self.rng.random() < 0.8 else 512 * self.rng.randrange(8)
                disk[at : at + size] = page[:size]
        to.mkdir()
        (to / "data.mdb").write_bytes(disk[: self.rng.choice((len(disk), len(self.synced)))])


def _found(path: Path) -> dict[int, bytes]:
    """All records of a journal, which must follow each other, in a file whose every page is proved."""
    journal = LmdbJournal(path)
    found = dict(journal.read(journal.first_sequence()))
    journal.close()
    digest = None
    for sequence, data in found.items():
        digest = decode(data, sequence, digest).digest
    assert list(found) == list(range(min(found, default=1), len(found) + min(found, default=1)))
    check_pages(path)
    return found


@pytest.mark.parametrize("seed", range(12))
def test_a_cut_at_any_time_keeps_every_commit_that_had_ended(tmp_path: Path, seed: int) -> None:
    book = Book(tmp_path / "journal", seed)
    needed = 0
    for number in range(40):
        book.append(book.rng.choice((1, 1, 2, 4)))
        if book.rng.random() < 0.1:
            book.journal.trim(book.sequence - book.rng.randrange(3))
            book.synced = book.bytes()
        elif book.rng.random() < 0.1:
            book.journal.close()
            book.journal = LmdbJournal(book.path)
            book.journal.acquire()
            book.synced = book.bytes()
        ended, digest = book.sequence, book.digest
        # The next commit has begun: any of its pages, and of this one's description, may have reached the disk.
        after = _next_commit(book, tmp_path / f"next{number}")
        cut = tmp_path / f"cut{number}"
        book.cut(cut, after)
        needed += _last_named(cut) < ended
        found = _found(cut)
        assert max(found) >= ended, f"commit {number} had ended and is gone"
        for sequence in range(min(found), ended + 1):
            assert found[sequence] == book.records[sequence]
        book.sequence, book.digest = ended, digest
        shutil.rmtree(cut)
    assert needed > 2, "the description was that of the commit before too seldom to prove anything"
    book.journal.close()


def _next_commit(book: Book, path: Path) -> bytes:
    """The file before the sync of one commit more, made elsewhere: its pages, and not its description."""
    path.mkdir()
    (path / "data.mdb").write_bytes(book.bytes())
    env = lmdb.open(str(path), map_size=1 << 30, max_dbs=2)
    with env.begin(db=env.open_db(b"records"), write=True) as txn:
        for size in book.rng.choices(SIZES, k=2):
            record = book.make(size)
            txn.put(struct.pack(">Q", book.sequence), record, append=True)
    env.close()
    found = (path / "data.mdb").read_bytes()
    shutil.rmtree(path)
    return book.bytes()[: 2 * PAGE] + found[2 * PAGE :]


def _last_named(path: Path) -> int:
    """The last record that the file's description names, as LMDB reads it."""
    env = lmdb.open(str(path), map_size=1 << 30, max_dbs=2, readonly=True, lock=False)
    with env.begin(db=env.open_db(b"records", create=False)) as txn, txn.cursor() as cursor:
        last = struct.unpack(">Q", cursor.key())[0] if cursor.last() else 0
    env.close()
    return int(last)


@contextmanager
def _failing_at(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(lmdb_store, name, fail)
        yield


def _cut_without_description(path: Path, seed: int = 3) -> tuple[Book, Path]:
    """A journal of some commits whose last the description does not name."""
    book = Book(path / "journal", seed)
    for _ in range(6):
        book.append(3)
    cut = path / "cut"
    cut.mkdir()
    (cut / "data.mdb").write_bytes(book.synced)
    assert _last_named(cut) == book.sequence - 3
    return book, cut


def test_who_only_reads_finds_them_and_writes_nothing(tmp_path: Path) -> None:
    """A backup made before the engine starts again must not be without them."""
    book, cut = _cut_without_description(tmp_path)
    before = (cut / "data.mdb").read_bytes()
    journal = LmdbJournal(cut, readonly=True)
    assert journal.last_sequence() == book.sequence
    assert dict(journal.read(1)) == book.records
    assert dict(journal.read(book.sequence)) == {book.sequence: book.records[book.sequence]}
    assert journal.get(book.sequence) == book.records[book.sequence]
    assert journal.get(book.sequence + 1) is None
    assert journal.head(book.sequence, 20) == book.records[book.sequence][:20]
    journal.copy(tmp_path / "copy")
    journal.close()
    assert (cut / "data.mdb").read_bytes() == before
    assert _last_named(tmp_path / "copy") == book.sequence
    assert _found(tmp_path / "copy") == book.records


def test_a_first_commit_that_is_not_named(tmp_path: Path) -> None:
    book = Book(tmp_path / "journal", 5)
    book.append(2)
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "data.mdb").write_bytes(book.synced)
    journal = LmdbJournal(cut, readonly=True)
    assert (journal.first_sequence(), journal.last_sequence()) == (1, 2)
    journal.close()
    assert _found(cut) == book.records


def test_beside_an_engine_at_work_only_what_is_named_counts(tmp_path: Path) -> None:
    """Its next commit is written before it is durable."""
    book, cut = _cut_without_description(tmp_path)
    lock = DirectoryLock(tmp_path)
    journal = LmdbJournal(cut, readonly=True)
    assert journal.last_sequence() == book.sequence - 3
    journal.close()
    lock.close()


def test_a_second_cut_while_the_first_is_made_good(tmp_path: Path) -> None:
    """The pages of the records are free, and what makes them good may overwrite them: they are kept beside first."""
    book, cut = _cut_without_description(tmp_path)

    def torn(*_: object) -> None:
        data = bytearray((cut / "data.mdb").read_bytes())
        last = (book.synced[PAGE * 2 :].find(book.records[book.sequence - 2])) + 2 * PAGE
        data[last : last + 100] = bytes(100)
        (cut / "data.mdb").write_bytes(data)
        raise StoreFailed("the power is gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lmdb_store, "_put", torn)
        with pytest.raises(StoreFailed):
            LmdbJournal(cut)
    assert _found(cut) == book.records
    assert not (cut / "unnamed").exists()


def test_a_cut_while_they_are_kept_beside(tmp_path: Path) -> None:
    book, cut = _cut_without_description(tmp_path)
    (cut / "unnamed.new").write_bytes(book.records[book.sequence - 2][:50])
    assert _found(cut) == book.records


def test_what_was_kept_beside_and_is_made_good_is_not_taken_twice(tmp_path: Path) -> None:
    book, cut = _cut_without_description(tmp_path)
    kept = b"".join(book.records[number] for number in range(book.sequence - 2, book.sequence + 1))
    assert _found(cut) == book.records
    (cut / "unnamed").write_bytes(kept)  # the cut came before it was deleted
    assert _found(cut) == book.records
    assert not (cut / "unnamed").exists()


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book, cut = _cut_without_description(tmp_path)
    with _failing_at(monkeypatch, "_write_whole"), pytest.raises(StoreFailed, match="make room or mend the disk"):
        LmdbJournal(cut)
    assert _found(cut) == book.records


def test_pages_that_look_like_records_and_are_none(tmp_path: Path) -> None:
    """Another chain's record with the next number, and one that was not written whole."""
    book, cut = _cut_without_description(tmp_path)
    other, _ = encode(book.sequence + 1, NOW_NS, "1/test", [b"x"], [b""], b"\1" * 32)
    torn, _ = encode(book.sequence + 1, NOW_NS, "1/test", [b"x" * 9000], [b""], book.digest)
    number = len(book.synced) // PAGE
    pages = [
        struct.pack("=QHHI", number, 0, 4, 1) + bytes(other) + bytes(PAGE - 16 - len(other)),
        struct.pack("=QHHI", number + 1, 0, 4, 3) + bytes(torn)[: PAGE - 16],  # and no more of it
        struct.pack("=QHHHH", number + 2, 0, 2, 4000, 4090) + b"\xff" * (PAGE - 16),
        os.urandom(PAGE),
    ]
    (cut / "data.mdb").write_bytes(book.synced + b"".join(pages))
    assert _found(cut) == book.records


def test_nothing_is_written_before_the_records_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a transaction would write could lie where they stand."""
    _, cut = _cut_without_description(tmp_path)
    before, seen = (cut / "data.mdb").read_bytes(), []
    find: Callable[..., list[bytes]] = lmdb_store.records_after

    def look(*args: int) -> list[bytes]:
        seen.append((cut / "data.mdb").read_bytes())
        return find(*args)

    monkeypatch.setattr(lmdb_store, "records_after", look)
    LmdbJournal(cut).close()
    assert seen == [before]


def test_a_damaged_list_of_free_pages_is_no_reason_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, cut = _cut_without_description(tmp_path)

    def damaged(*_: object) -> list[bytes]:
        raise lmdb_store.PageDamage("the list of free pages has another length than it says")

    monkeypatch.setattr(lmdb_store, "records_after", damaged)
    with pytest.raises(DamagedStore, match="restore the data directory"):
        LmdbJournal(cut)


def test_a_head_that_says_more_than_the_file_has(tmp_path: Path) -> None:
    """The rest of an overwritten page behind the beginning of a record: lengths beyond all bounds."""
    book, cut = _cut_without_description(tmp_path)
    head = bytearray(encode(book.sequence + 1, NOW_NS, "1/test", [b"x"], [b""], book.digest)[0])
    head[36:60] = b"\xff" * 24
    number = len(book.synced) // PAGE
    page = struct.pack("=QHHI", number, 0, 4, 1) + bytes(head) + bytes(PAGE - 16 - len(head))
    (cut / "data.mdb").write_bytes(book.synced + page)
    assert _found(cut) == book.records


def test_a_description_that_only_the_memory_has_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync failed, and the kernel took for written what was not.

    The next start found the last description in memory and wrote the one after it beside a description that was
    three commits older; a power cut then left a file that was refused as damaged, with every record in it.
    """
    book = Book(tmp_path / "journal", 4)
    for _ in range(5):
        book.append()
    book.journal.close()
    memory, disk, write = tmp_path / "journal", bytearray(book.synced), os.pwrite
    before = book.bytes()
    assert before != disk

    def pwrite(file: int, data: bytes, at: int) -> int:
        disk[at : at + len(data)] = data
        return write(file, data, at)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        journal = LmdbJournal(memory)
        journal.acquire()
        after = book.bytes()
        journal.close()
    disk += bytes(len(after) - len(disk))
    for at in range(0, len(after), PAGE):  # what LMDB wrote
        if after[at : at + PAGE] != before[at : at + PAGE]:
            disk[at : at + PAGE] = after[at : at + PAGE]
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "data.mdb").write_bytes(disk)
    assert _found(cut) == book.records


def test_a_new_file_has_its_name_when_it_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut while the first start made it left a file that every later start refused, or a name that was gone."""
    path, synced, sync = tmp_path / "journal", list[tuple[Path, bool]](), os.fsync

    def fsync(file: int) -> None:
        synced.append((Path(os.readlink(f"/proc/self/fd/{file}")), (path / "data.mdb").exists()))
        sync(file)

    (path / "new").mkdir(parents=True)
    (path / "new" / "data.mdb").write_bytes(bytes(5000))  # what a cut left
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        LmdbJournal(path).close()
    assert synced == [(path / "new" / "data.mdb", False), (path, True), (tmp_path, True)]
    assert sorted(one.name for one in path.iterdir()) == ["data.mdb", "lock.mdb"]


_APPENDS = """
import sys
from pathlib import Path
from ringup.engine.lmdb_store import LmdbJournal
journal = LmdbJournal(Path(sys.argv[1]))
journal.acquire()
for number in range(1, 101):
    journal.append(number, bytes(3000))
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_one_sync_a_commit(tmp_path: Path) -> None:
    """A call that syncs, or a write to a file that was opened so that each write is one."""
    log = tmp_path / "log"
    calls = "trace=fdatasync,fsync,msync,openat,pwrite64"
    run = [sys.executable, "-c", _APPENDS, str(tmp_path / "journal")]
    subprocess.run(["strace", "-f", "-e", calls, "-o", str(log), *run], check=True, timeout=120)
    syncing: set[str] = set()
    syncs = 0
    for line in log.read_text().splitlines():
        if "openat(" in line:
            (syncing.add if "SYNC" in line else syncing.discard)(line.rpartition("= ")[2])
        elif found := re.search(r"pwrite64\((\d+),", line):
            syncs += found[1] in syncing
        elif "sync(" in line:
            syncs += 1
    assert 100 <= syncs <= 115, f"100 commits and a start made {syncs} syncs"
