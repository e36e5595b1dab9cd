"""The journal: what an engine must be able to ask of the log that holds its truth.

`Journal` is the whole interface.  LMDB on this machine stands behind it today (lmdb_store.py); a
replicated log can stand there as well, because nothing here assumes one process or one disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class JournalError(Exception):
    """The journal cannot be used; the message says what to do."""


class Fenced(JournalError):
    """Another owner acquired the partition at a later epoch: this one must stop at once."""


class AppendUnknown(JournalError):
    """An append may or may not have happened: this owner must stop and read the journal again."""


class Journal(Protocol):
    """An append-only sequence of records, owned by one engine at a time."""

    @property
    def engine_id(self) -> str:
        """The journal's identity, made with it; a cursor of another journal is known by it."""

    def acquire(self) -> int:
        """Become the owner; the new epoch fences every earlier owner off."""

    def append(self, sequence: int, record: bytes) -> None:
        """Make `record` durable as number `sequence`, the one after the last.

        Raises Fenced when another owner took over, AppendUnknown for any other failure.
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
