"""What the last commits before a power cut wrote, where the file's description does not name it.

The journal's store syncs the pages of a commit and not the description that names them (MDB_NOMETASYNC): that reaches
the disk with the next commit's pages, so that a commit costs one sync and not two.  After a power cut the description
may therefore be that of the commit before, and the newest records stand in pages that it calls free or that lie beyond
its last one.  No commit overwrites them: LMDB gives only those pages out again that were free two commits before.

Each record proves itself and names the digest of the one before it.  So the pages are looked through, and what is not
the next link of the chain is not believed: a commit that was not whole, or whatever else such a page holds.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator

from ringup.engine.lmdb_pages import Meta, Walk, read_metas
from ringup.engine.record import HEADER_BYTES, DamagedRecord, decode, head_of

_LEAF, _OVERFLOW = 2, 4  # flags of a page
_PAGE = struct.Struct("=QHHHH")  # its number, padding, flags, end of the offsets of its entries, begin of the entries
_NODE = struct.Struct("=HHHH")  # low and high half of the value's size, flags, bytes of the key
_KEY_BYTES = 8
_READ_PAGES = 256  # at once
Places = dict[int, list[tuple[int, int]]]  # by a record's sequence: where in the file it may be, and its bytes


def records_after(file: int, sequence: int, digest: bytes) -> list[bytes]:
    """The records that follow number `sequence`, whose digest is `digest`, in pages that the file does not name.

    Nobody may write the file meanwhile.  Raises PageDamage.
    """
    places: Places = {}
    meta = max(read_metas(file), key=lambda one: one.transaction)
    for at, page in _unnamed_pages(file, meta):
        for begin, value in _values(page):
            head = head_of(value)
            if head is not None and head[0] > sequence:
                places.setdefault(head[0], []).append((at + begin, head[1]))
    found: list[bytes] = []
    while (record := _next(file, places, sequence + 1, digest)) is not None:
        data, digest = record
        found.append(data)
        sequence += 1
    return found


def _next(file: int, places: Places, sequence: int, previous: bytes) -> tuple[bytes, bytes] | None:
    """The record of this number and its digest, if one of its places has it."""
    file_bytes = os.fstat(file).st_size
    for at, size in places.get(sequence, ()):
        if at + size > file_bytes:  # its head is not all of it; what stood on the page before says any size
            continue
        data = os.pread(file, size, at)
        try:
            return data, decode(data, sequence, previous).digest
        except DamagedRecord:
            continue
    return None


def chain(records: Iterable[bytes], sequence: int, digest: bytes) -> list[bytes]:
    """Those of `records` that follow number `sequence` without a gap, whose digest is `digest`."""
    found: list[bytes] = []
    for data in records:
        head = head_of(data)
        if head is None or head[0] != sequence + 1:
            continue
        try:
            digest = decode(data, sequence + 1, digest).digest
        except DamagedRecord:
            break
        found.append(data)
        sequence += 1
    return found


def _unnamed_pages(file: int, meta: Meta) -> Iterator[tuple[int, memoryview]]:
    """(place in the file, bytes) of each page that is free or lies beyond the last one."""
    page_bytes = meta.free.page_bytes
    pages = sorted(Walk(file, meta).free_pages())
    pages += range(meta.last_page + 1, os.fstat(file).st_size // page_bytes)
    at = 0
    while at < len(pages):
        count = 1
        while count < _READ_PAGES and at + count < len(pages) and pages[at + count] == pages[at] + count:
            count += 1
        place = pages[at] * page_bytes
        data = memoryview(os.pread(file, count * page_bytes, place))
        for begin in range(0, len(data), page_bytes):
            yield place + begin, data[begin : begin + page_bytes]
        at += count


def _values(page: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(where in the page, bytes) of the beginning of each value that may be a record."""
    _, _, flags, lower, _ = _PAGE.unpack_from(page)
    if flags == _OVERFLOW:
        yield _PAGE.size, page[_PAGE.size : _PAGE.size + HEADER_BYTES]
    elif flags == _LEAF and _PAGE.size <= lower <= len(page):
        for (offset,) in struct.iter_unpack("=H", page[_PAGE.size : lower - lower % 2]):
            if offset + _NODE.size + _KEY_BYTES <= len(page):
                begin = offset + _NODE.size + _KEY_BYTES
                yield begin, page[begin : begin + HEADER_BYTES]
