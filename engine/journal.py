"""The journal: what an engine must be able to ask of the log that holds its truth.

`Journal` is the whole interface.  LMDB on this machine stands behind it today (lmdb_store.py); a
replicated log can stand there as well, because nothing here assumes one process or one disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class JournalError(Exception):
    """The journal cannot be used; the message says what to do."""


class Fenced(JournalError):
    """Another owner acquired the partition at a later epoch: this one must stop at once."""


class AppendUnknown(JournalError):
    """An append may or may not have happened: this owner must stop and read the journal again."""


@dataclass(frozen=True, slots=True)
class Ancestor:
    """An engine that told a journal's beginning: the journal was restored from a backup of that engine."""

    engine_id: str
    last_batch: int  # the last batch that is that engine's, too
    last_event: int  # the last event up to there
    at_ns: int  # the clock value of that batch


class Journal(Protocol):
    """An append-only sequence of records, owned by one engine at a time."""

    @property
    def engine_id(self) -> str:
        """The journal's identity, made with it; a cursor of another journal is known by it."""

    @property
    def ancestors(self) -> tuple[Ancestor, ...]:
        """Whose its beginning is, oldest first; none for a journal that was never restored from a backup."""

    def acquire(self) -> int:
        """Become the owner; the new epoch fences every earlier owner off."""

    def append(self, sequence: int, *records: bytes | bytearray) -> None:
        """Make `records` durable as number `sequence`, the one after the last, and those that follow it.

        All or none.  Raises Fenced when another owner took over, AppendUnknown for any other failure.
        """

    def last_sequence(self) -> int:
        """The last record's number; 0 for an empty journal."""

    def get(self, sequence: int) -> bytes | None:
        """One record, or None when it was never written or is trimmed."""

    def read(self, from_sequence: int) -> Iterator[tuple[int, bytes]]:
        """Records from `from_sequence` on, in order, as far as they go when they are read."""

    def trim(self, before_sequence: int) -> int:
        """Give up the records before `before_sequence`; returns how many."""

    def close(self) -> None:
        """Release it; the object is of no use afterwards."""
