"""One batch as the journal keeps it: a record that proves itself and the one before it.

    header | digest of the record before | commands | replies | events | digest

The digest is SHA-256 over everything before it, so it is checksum and link of the hash chain in
one: a flipped bit anywhere breaks this record, a replaced record breaks the next one.

Records of format 1 have no events and no number of the last event; they stay readable.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

MAGIC = b"RJ02"
MAGIC_WITHOUT_EVENTS = b"RJ01"
DIGEST_BYTES = 32
GENESIS = bytes(DIGEST_BYTES)  # what the first record links to
# magic, layout of the core that wrote it, sequence, clock value in ns, bytes of commands, bytes of replies
_HEADER_WITHOUT_EVENTS = struct.Struct(">4s16sQqQQ")
# the same, then bytes of events, sequence of the last event up to here
_HEADER = struct.Struct(">4s16sQqQQQQ")
HEADER_BYTES = _HEADER.size
OVERHEAD_BYTES = _HEADER_WITHOUT_EVENTS.size + 2 * DIGEST_BYTES  # at least


class DamagedRecord(Exception):
    """A record that is not what was written."""


@dataclass(frozen=True, slots=True)
class Record:
    """A batch read back: `commands` and `replies` are bytes of a SessionRequest and a SessionResponse.

    `events` are the packed events of the batch (native/events.pxd), `last_event` is the sequence of the last event
    of this batch or, where it has none, of those before it.
    """

    sequence: int
    now_ns: int
    layout: str
    commands: bytes
    replies: bytes
    digest: bytes
    events: bytes = b""
    last_event: int = 0

    @property
    def layout_version(self) -> int:
        """The LAYOUT_VERSION of the core that wrote it; 0 where it says none."""
        number = self.layout.partition("/")[0]
        return int(number) if number.isdecimal() else 0


def encode(
    sequence: int,
    now_ns: int,
    layout: str,
    commands: list[bytes],
    replies: list[bytes],
    previous: bytes,
    events: bytes = b"",
    last_event: int = 0,
) -> tuple[bytearray, bytes]:
    """The record's bytes and its digest, the next record's `previous`."""
    header = _HEADER.pack(
        MAGIC,
        layout.encode()[:16],
        sequence,
        now_ns,
        sum(map(len, commands)),
        sum(map(len, replies)),
        len(events),
        last_event,
    )
    record = bytearray().join([header, previous, *commands, *replies, events])
    digest = hashlib.sha256(record).digest()
    record += digest
    return record, digest


def decode(data: bytes | memoryview, sequence: int, previous: bytes | None) -> Record:
    """Read record `sequence`; `previous` is the digest of the one before (None: not compared).

    Raises DamagedRecord, which names the record and what was found.
    """

    def damaged(found: str) -> DamagedRecord:
        return DamagedRecord(
            f"record {sequence} of the journal: {found}; restore the data directory from a backup (ringup restore)"
        )

    view = memoryview(data)
    if len(view) < OVERHEAD_BYTES:
        raise damaged(f"expected at least {OVERHEAD_BYTES} bytes, found {len(view)}")
    magic = bytes(view[: len(MAGIC)])
    events_bytes = last_event = 0
    if magic == MAGIC and len(view) >= _HEADER.size + 2 * DIGEST_BYTES:
        _, layout, number, now_ns, commands_bytes, replies_bytes, events_bytes, last_event = _HEADER.unpack_from(view)
        start = _HEADER.size
    elif magic == MAGIC_WITHOUT_EVENTS:
        _, layout, number, now_ns, commands_bytes, replies_bytes = _HEADER_WITHOUT_EVENTS.unpack_from(view)
        start = _HEADER_WITHOUT_EVENTS.size
    else:
        raise damaged(f"expected it to begin with {MAGIC!r}, found {magic!r} in {len(view)} bytes")
    digest = bytes(view[-DIGEST_BYTES:])
    if hashlib.sha256(view[:-DIGEST_BYTES]).digest() != digest:
        raise damaged("its checksum differs from its bytes")
    if number != sequence:
        raise damaged(f"it says it is record {number}")
    expected = start + 2 * DIGEST_BYTES + commands_bytes + replies_bytes + events_bytes
    if len(view) != expected:
        raise damaged(f"expected {expected} bytes, found {len(view)}")
    if previous is not None and bytes(view[start : start + DIGEST_BYTES]) != previous:
        raise damaged("it does not follow the record before it: one of the two was replaced")
    start += DIGEST_BYTES
    replies_at = start + commands_bytes
    events_at = replies_at + replies_bytes
    return Record(
        sequence=sequence,
        now_ns=now_ns,
        layout=layout.rstrip(b"\0").decode("ascii", "replace"),
        commands=bytes(view[start:replies_at]),
        replies=bytes(view[replies_at:events_at]),
        events=bytes(view[events_at : events_at + events_bytes]),
        last_event=last_event,
        digest=digest,
    )


def head_of(data: bytes | memoryview) -> tuple[int, int] | None:
    """(sequence, bytes) of the record that begins here, as its first HEADER_BYTES say; nothing is proved."""
    if len(data) < HEADER_BYTES or data[: len(MAGIC)] != MAGIC:
        return None
    _, _, sequence, _, commands_bytes, replies_bytes, events_bytes, _ = _HEADER.unpack_from(data)
    return sequence, HEADER_BYTES + 2 * DIGEST_BYTES + commands_bytes + replies_bytes + events_bytes


def last_event_of(head: bytes) -> int:
    """The sequence of the last event up to a record, from its first HEADER_BYTES; nothing is proved."""
    return int(_HEADER.unpack(head)[-1]) if head.startswith(MAGIC) and len(head) == HEADER_BYTES else 0
