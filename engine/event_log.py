"""Durable events for readers: the last ones from memory, older ones from the journal, any of them again.

Readers come one `read` at a time and wait for `news` in between, so a slow one holds no memory and no transaction:
what is kept for all of them together is RECENT_BYTES.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ringup.engine.lmdb_store import LmdbJournal
from ringup.engine.record import HEADER_BYTES, decode, last_event_of
from ringup.native.core import Core
from ringup.native.envelope import with_bytes
from ringup.v1 import event_pb2

RECENT_BYTES = 4 << 20  # packed events kept in memory
MESSAGE_BYTES = 256 << 10  # of one EventBatch, about
_ENGINE_ID_FIELD = event_pb2.EventBatch.DESCRIPTOR.fields_by_name["engine_id"].number
READ_BYTES = 1 << 20  # packed events taken from the journal at a time


@dataclass(frozen=True, slots=True)
class Packed:
    """The events of one batch, packed."""

    batch: int
    now_ns: int
    last: int  # sequence of its last event
    events: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """Events as a reader gets them: `data` is the bytes of an EventBatch."""

    first: int
    last: int
    data: bytes


class EventLog:
    """All durable events of an engine.  Use it on the event loop's thread."""

    def __init__(self, journal: LmdbJournal, core: Core) -> None:
        """`core` is up to date with the journal."""
        self._journal, self._core = journal, core
        self._recent: deque[Packed] = deque()
        self._recent_bytes = 0
        self._recent_after = core.event_sequence  # events beyond this one are all in memory
        self._news = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="events")
        self.last = core.event_sequence  # the last durable event
        self.batch = core.sequence  # the last durable batch
        self.is_draining = False

    def committed(self, batch: int, now_ns: int, last: int, events: bytes) -> None:
        """A batch is durable."""
        self.batch = batch
        if events:
            self._recent.append(Packed(batch, now_ns, last, events))
            self._recent_bytes += len(events)
            while self._recent_bytes > RECENT_BYTES and len(self._recent) > 1:
                dropped = self._recent.popleft()
                self._recent_bytes -= len(dropped.events)
                self._recent_after = dropped.last
            self.last = last
        self._tell()

    def drain(self) -> None:
        """Wake all readers for the last time."""
        self.is_draining = True
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def news(self) -> None:
        """Wait until another batch is durable, or the engine drains; true to the moment of the call."""
        if not self.is_draining:
            await self._news.wait()

    async def durable(self, batch: int) -> None:
        """Wait until this batch is durable, or the engine drains."""
        while self.batch < batch and not self.is_draining:
            await self.news()

    async def first(self) -> int:
        """The sequence of the first event that is kept, or that will be."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._first)

    async def read(self, from_sequence: int) -> list[Part]:
        """Events from this sequence on, of one batch or more; empty when there are none yet.

        Raises DamagedRecord, and JournalError for events that are trimmed.
        """
        if from_sequence > self.last:
            return []
        if from_sequence > self._recent_after:
            found = self._from_memory(from_sequence)
        else:
            found = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._from_journal, from_sequence, self.batch
            )
        parts: list[Part] = []
        for packed in found:
            told_by = self._told_by(packed.last)
            parts += (
                Part(first, last, with_bytes(data, _ENGINE_ID_FIELD, told_by) if told_by else data)
                for first, last, data in self._core.expand_events(
                    packed.events, packed.batch, packed.now_ns, from_sequence, MESSAGE_BYTES
                )
            )
        return parts

    def _told_by(self, sequence: int) -> bytes:
        """The engine that told an event first, where it is an ancestor of this one."""
        for one in self._journal.ancestors:
            if sequence <= one.last_event:
                return one.engine_id.encode()
        return b""

    def _from_memory(self, from_sequence: int) -> list[Packed]:
        found: list[Packed] = []
        for packed in reversed(self._recent):
            if packed.last < from_sequence:
                break
            found.append(packed)
        found.reverse()
        size = 0
        for count, packed in enumerate(found, 1):
            size += len(packed.events)
            if size >= READ_BYTES:
                return found[:count]
        return found

    # In the reading thread

    def _last_at(self, batch: int) -> int:
        """The sequence of the last event up to a batch that the journal has."""
        return last_event_of(self._journal.head(batch, HEADER_BYTES))

    def _first(self) -> int:
        oldest = self._journal.first_sequence()
        if oldest <= 1:
            return 1
        record = decode(self._journal.get(oldest) or b"", oldest, None)
        return record.last_event + 1 - int.from_bytes(record.events[:8], "little")  # the count is in front

    def _from_journal(self, from_sequence: int, last_batch: int) -> list[Packed]:
        """Find the batch by halves, then read on; each look is a transaction of its own."""
        low, high = max(self._journal.first_sequence(), 1), last_batch
        while low < high:
            middle = (low + high) // 2
            if self._last_at(middle) >= from_sequence:
                high = middle
            else:
                low = middle + 1
        found: list[Packed] = []
        size = 0
        while low <= last_batch and size < READ_BYTES:
            record = decode(self._journal.get(low) or b"", low, None)
            if record.events and record.last_event >= from_sequence:
                found.append(Packed(low, record.now_ns, record.last_event, record.events))
                size += len(record.events)
            low += 1
        return found

    def close(self) -> None:
        """Release the reading thread."""
        self._thread.shutdown()
