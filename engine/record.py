"""One batch as the journal keeps it: a record that proves itself and the one before it.

    header | digest of the record before | commands | replies | digest

The digest is SHA-256 over everything before it, so it is checksum and link of the hash chain in
one: a flipped bit anywhere breaks this record, a replaced record breaks the next one.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

MAGIC = b"RJ01"
DIGEST_BYTES = 32
GENESIS = bytes(DIGEST_BYTES)  # what the first record links to
# magic, layout of the core that wrote it, sequence, clock value in ns, bytes of commands, bytes of replies
_HEADER = struct.Struct(">4s16sQqQQ")
OVERHEAD_BYTES = _HEADER.size + 2 * DIGEST_BYTES


class DamagedRecord(Exception):
    """A record that is not what was written."""


@dataclass(frozen=True, slots=True)
class Record:
    """A batch read back: `commands` and `replies` are bytes of a SessionRequest and a SessionResponse."""

    sequence: int
    now_ns: int
    layout: str
    commands: bytes
    replies: bytes
    digest: bytes

    @property
    def layout_version(self) -> int:
        """The LAYOUT_VERSION of the core that wrote it; 0 where it says none."""
        number = self.layout.partition("/")[0]
        return int(number) if number.isdecimal() else 0


def encode(
    sequence: int, now_ns: int, layout: str, commands: list[bytes], replies: list[bytes], previous: bytes
) -> tuple[bytes, bytes]:
    """The record's bytes and its digest, the next record's `previous`."""
    header = _HEADER.pack(
        MAGIC, layout.encode()[:16], sequence, now_ns, sum(map(len, commands)), sum(map(len, replies))
    )
    body = b"".join([header, previous, *commands, *replies])
    digest = hashlib.sha256(body).digest()
    return body + digest, digest


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
    magic, layout, number, now_ns, commands_bytes, replies_bytes = _HEADER.unpack_from(view)
    if magic != MAGIC:
        raise damaged(f"expected it to begin with {MAGIC!r}, found {bytes(magic)!r}")
    digest = bytes(view[-DIGEST_BYTES:])
    if hashlib.sha256(view[:-DIGEST_BYTES]).digest() != digest:
        raise damaged("its checksum differs from its bytes")
    if number != sequence:
        raise damaged(f"it says it is record {number}")
    if len(view) != OVERHEAD_BYTES + commands_bytes + replies_bytes:
        raise damaged(f"expected {OVERHEAD_BYTES + commands_bytes + replies_bytes} bytes, found {len(view)}")
    if previous is not None and bytes(view[_HEADER.size : _HEADER.size + DIGEST_BYTES]) != previous:
        raise damaged("it does not follow the record before it: one of the two was replaced")
    start = _HEADER.size + DIGEST_BYTES
    return Record(
        sequence=sequence,
        now_ns=now_ns,
        layout=layout.rstrip(b"\0").decode("ascii", "replace"),
        commands=bytes(view[start : start + commands_bytes]),
        replies=bytes(view[start + commands_bytes : start + commands_bytes + replies_bytes]),
        digest=digest,
    )
