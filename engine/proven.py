"""Answers read back from the journal: for a resent command, and for a receipt that is asked for again.

A record proves itself by a digest over all of it, so reading one receipt of a batch of thousands costs the
digest of the whole batch: 6 ms for 4,096 sales, and 0.07 ms when it was proved before. What is asked for once is
asked for again: the receipts of a till stand in few batches, and a client resends a whole batch.
"""

from __future__ import annotations

from collections import OrderedDict

from ringup.engine.journal import Journal, JournalError
from ringup.engine.record import decode

KEPT_BYTES_MAX = 32 << 20


class ProvenReplies:
    """The answers of batches, proved when they are read first; the last ones read are kept."""

    def __init__(self, journal: Journal, kept_bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._journal = journal
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._kept_bytes_max = kept_bytes_max

    def of(self, sequence: int) -> bytes:
        """The bytes of a SessionResponse: all answers of a durable batch.

        Raises JournalError where the batch was trimmed, DamagedRecord where it is not what was written.
        """
        found = self._kept.get(sequence)
        if found is not None:
            self._kept.move_to_end(sequence)
            return found
        raw = self._journal.get(sequence)
        if raw is None:
            raise JournalError(f"batch {sequence} is not in the journal any more; look in its archive")
        replies = decode(raw, sequence, None).replies
        if len(replies) <= self._kept_bytes_max:
            self._kept[sequence] = replies
            self._kept_bytes += len(replies)
            while self._kept_bytes > self._kept_bytes_max:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1])
        return replies
