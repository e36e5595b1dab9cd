"""The hash of a command's body (native/body_hash.pxd), and how anybody makes a second body with the hash of a first."""

from __future__ import annotations

import struct

WORD = (1 << 64) - 1
_START = 0x94D049BB133111EB
_FIRST = 0x9E3779B97F4A7C15
_END = 0xBF58476D1CE4E5B9
_SPARE_FIELD = 1900  # no message has it: the core and every other reader pass over it


def _fold(one: int, other: int) -> int:
    product = one * other
    return (product & WORD) ^ (product >> 64)


def _steps(state: int, data: bytes) -> int:
    for at in range(0, len(data), 16):
        first, last = struct.unpack("<QQ", data[at : at + 16])
        state = _fold(first ^ _FIRST, last ^ state)
    return state


def _whole_steps(body: bytes) -> int:
    """Bytes before the last 1 to 16."""
    return (len(body) - 1) // 16 * 16


def body_hash(kind: int, body: bytes) -> int:
    """As it was written down when rows began to keep it; bodies of 17 bytes and more."""
    rest = body[_whole_steps(body) :]
    state = _steps(_START ^ len(body), body[: _whole_steps(body)])
    if len(rest) >= 8:
        first, last = int.from_bytes(rest[:8], "little"), int.from_bytes(rest[-8:], "little")
    elif len(rest) >= 4:
        first, last = int.from_bytes(rest[:4], "little"), int.from_bytes(rest[-4:], "little")
    else:
        first, last = rest[0] | rest[len(rest) // 2] << 8 | rest[-1] << 16, 0
    state = _fold(_fold(first ^ _FIRST, last ^ state) ^ _FIRST, _END)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        kind = (kind ^ kind >> 33) * factor & WORD
    return state ^ kind ^ kind >> 33


def second_body(body: bytes, fields: bytes) -> bytes:
    """A message that says `fields` and has the hash of `body`, as a command of the same kind.

    Sixteen bytes whose first half makes its factor 1 set the state to whatever their second half says, so they can undo
    all that stands before them.  They and the end of `body` go into one field that every reader passes over.
    """
    tail = body[_whole_steps(body) :]
    spare = -(len(fields) + 4) % 16  # after a tag and a length of two bytes each
    head = fields + _varint(_SPARE_FIELD << 3 | 2) + _varint(spare + 16 + len(tail)) + bytes(spare)
    here = _steps(_START ^ (len(head) + 16 + len(tail)), head)
    there = _steps(_START ^ len(body), body[: _whole_steps(body)])
    return head + struct.pack("<QQ", _FIRST ^ 1, here ^ there) + tail


def _varint(number: int) -> bytes:
    """Of two bytes, also where one would do."""
    return bytes([number & 0x7F | 0x80, number >> 7])
