"""Answers read back from the journal: proved when they are read first, kept within a bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringup.engine.journal import JournalError
from ringup.engine.lmdb_store import LmdbJournal
from ringup.engine.proven import ProvenReplies
from ringup.engine.record import DamagedRecord, decode
from support.data_directory import write_directory


class CountingJournal:
    """A journal that counts what is read of it, and can be damaged."""

    def __init__(self, path: Path) -> None:
        self._journal = LmdbJournal(path / "journal", readonly=True)
        self.reads: list[int] = []
        self.damaged = False

    def get(self, sequence: int) -> bytes | None:
        self.reads.append(sequence)
        raw = self._journal.get(sequence)
        return raw[:-1] + bytes([raw[-1] ^ 1]) if raw is not None and self.damaged else raw

    def replies(self, sequence: int) -> bytes:
        return decode(self._journal.get(sequence) or b"", sequence, None).replies


@pytest.fixture
def journal(tmp_path: Path) -> CountingJournal:
    return CountingJournal(write_directory(tmp_path / "book").path)


def test_a_batch_is_proved_once(journal: CountingJournal) -> None:
    """Each GetReceipt once hashed the whole batch of its sale."""
    proven = ProvenReplies(journal)  # type: ignore[arg-type]  # only what it reads with
    for _ in range(100):
        for sequence in (3, 4, 5):
            assert proven.of(sequence) == journal.replies(sequence)
    assert journal.reads == [3, 4, 5]


def test_what_was_read_longest_ago_makes_room(journal: CountingJournal) -> None:
    size = len(journal.replies(3))
    proven = ProvenReplies(journal, kept_bytes_max=3 * size + size // 2)  # type: ignore[arg-type]  # the same
    for sequence in (3, 4, 5, 3, 6, 3, 4):
        assert proven.of(sequence) == journal.replies(sequence)
    assert journal.reads == [3, 4, 5, 6, 4]
    small = ProvenReplies(journal, kept_bytes_max=10)  # type: ignore[arg-type]  # the same
    assert small.of(3) == small.of(3) == journal.replies(3)  # too large to be kept


def test_damage_is_found_whenever_it_is_read(journal: CountingJournal) -> None:
    proven = ProvenReplies(journal)  # type: ignore[arg-type]  # the same
    journal.damaged = True
    for _ in range(2):
        with pytest.raises(DamagedRecord, match="record 3 of the journal"):
            proven.of(3)
    journal.damaged = False
    assert proven.of(3) == journal.replies(3)
    with pytest.raises(JournalError, match="batch 999 is not in the journal any more"):
        proven.of(999)
