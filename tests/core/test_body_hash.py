"""The hash of a command's body is kept in rows: this version must make the one that older versions wrote."""

from __future__ import annotations

import struct

import pytest

from ringup.v1 import catalog_pb2
from support.core import command_of, small_shop

WORD = (1 << 64) - 1
KIND = command_of(catalog_pb2.PutLocationsRequest()).DESCRIPTOR.fields_by_name["put_locations"].number


def _fold(one: int, other: int) -> int:
    product = one * other
    return (product & WORD) ^ (product >> 64)


def _body_hash(kind: int, body: bytes) -> int:
    """As it was written down when rows began to keep it; bodies of 17 bytes and more."""
    state, rest = 0x94D049BB133111EB ^ len(body), body
    while len(rest) > 16:
        first, last = struct.unpack("<QQ", rest[:16])
        state, rest = _fold(first ^ 0x9E3779B97F4A7C15, last ^ state), rest[16:]
    if len(rest) >= 8:
        first, last = int.from_bytes(rest[:8], "little"), int.from_bytes(rest[-8:], "little")
    elif len(rest) >= 4:
        first, last = int.from_bytes(rest[:4], "little"), int.from_bytes(rest[-4:], "little")
    else:
        first, last = rest[0] | rest[len(rest) // 2] << 8 | rest[-1] << 16, 0
    state = _fold(_fold(first ^ 0x9E3779B97F4A7C15, last ^ state) ^ 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        kind = (kind ^ kind >> 33) * factor & WORD
    return state ^ kind ^ kind >> 33


@pytest.mark.parametrize("name_bytes", range(1, 34))
def test_rows_keep_the_hash_that_they_always_kept(name_bytes: int) -> None:
    shop = small_shop()
    place = catalog_pb2.Location(location_id="X", name="n" * name_bytes)
    request = catalog_pb2.PutLocationsRequest(command_id=b"i" * 16, locations=[place])
    assert shop.send(request).code == 1
    replies = next(table for table in shop.core.tables if table.name == "replies")
    row = next(row for row in map(replies.get_row, range(replies.count)) if b"i" * 16 in row)
    assert _body_hash(KIND, request.SerializeToString()).to_bytes(8, "little") in row
