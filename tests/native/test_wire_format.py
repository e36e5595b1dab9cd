"""The core's own reader and writer of the wire format beside google.protobuf: the same message in any legal
form of its bytes gives the same answer, and every answer is as short as protobuf itself would write it."""

from __future__ import annotations

import random

import pytest
from google.protobuf.message import Message

from ringup.engine.contract import methods
from ringup.native.core import Core, MalformedRequest
from ringup.native.envelope import wrap_command
from ringup.v1 import session_pb2
from support.callers import OK, body_of
from support.core import small_shop
from support.requests import message_type, method_of, prerequisites, samples, scrambled

QUERIES = ("GetItem", "SearchItems", "PriceBasket", "GetHold", "GetAvailability", "GetSettings")


def varint(value: int, pad: int = 0) -> bytes:
    """A varint, with `pad` bytes more than it needs; readers must take at least ten in all."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(min(pad, 10 - len(out))):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def rewritten(message: Message, rng: random.Random) -> bytes:
    """Other bytes for the same message: fields in another order, unknown ones between, longer varints."""
    groups: dict[int, list[bytes]] = {}
    for field, value in message.ListFields():
        for one in value if field.is_repeated else [value]:
            tag = varint(field.number << 3 | (0 if _is_number(field) else 2), rng.choice((0, 0, 1)))
            if _is_number(field):
                body = varint(int(one) & (1 << 64) - 1, rng.choice((0, 0, 2)))
            else:
                raw = one.encode() if isinstance(one, str) else one
                raw = rewritten(raw, rng) if isinstance(raw, Message) else bytes(raw)
                body = varint(len(raw), rng.choice((0, 0, 1))) + raw
            groups.setdefault(field.number, []).append(tag + body)
    unknown = [varint(900 << 3) + varint(rng.randrange(2**40)), varint(901 << 3 | 2) + b"\x03abc"]
    unknown += [varint(902 << 3 | 1) + bytes(8), varint(903 << 3 | 5) + bytes(4)]
    parts = [(rng.random(), part) for group in groups.values() for part in [b"".join(group)]]
    parts += [(rng.random(), part) for part in rng.sample(unknown, rng.randint(0, 4))]
    return b"".join(part for _, part in sorted(parts))


def _is_number(field: object) -> bool:
    return field.cpp_type not in (9, 10)  # type: ignore[attr-defined]  # neither string or bytes nor message


def _core() -> Core:
    shop = small_shop()
    for request in prerequisites():
        assert shop.send(request).code == 1
    return shop.core


@pytest.mark.parametrize("name", sorted(method.name for method in methods() if method.kind))
def test_a_command_means_the_same_in_any_legal_form(name: str) -> None:
    rng = random.Random(name)
    for round_ in range(12):
        message = samples()[name] if round_ == 0 else scrambled(samples()[name], rng)
        data = rewritten(message, rng)
        assert _read_back(data, message) == message, "the rewriting itself must be right"
        answers = []
        for body in (message.SerializeToString(), data):
            core = _core()
            core.begin(core.sequence + 1, core.now_ns)
            raw = core.apply(wrap_command(method_of(name).kind, body))[0]
            answers.append(session_pb2.SessionResponse.FromString(raw))
            assert answers[-1].ByteSize() == len(raw), "no byte more or less than protobuf would write"
        codes = [body_of(answer.replies[0]).code for answer in answers]
        assert (codes[0] == OK) == (codes[1] == OK), f"round {round_}: {message}"
        if codes[0] == OK:  # of several faults the one named may be the first in the bytes
            assert answers[0] == answers[1], f"round {round_}: {message}"


def _read_back(data: bytes, message: Message) -> Message:
    """What protobuf reads, without the fields that it does not know."""
    read = type(message).FromString(data)
    read.DiscardUnknownFields()  # type: ignore[attr-defined]
    return read


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_means_the_same_in_any_legal_form(name: str) -> None:
    rng, core = random.Random(name), _core()
    for _ in range(40):
        message = scrambled(samples()[name], rng)
        plain = core.query(name, message.SerializeToString(), core.now_ns)
        assert core.query(name, rewritten(message, rng), core.now_ns) == plain
        assert message_type(f"{name}Response").FromString(plain).ByteSize() == len(plain)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0b",  # a group
        b"\x0c",  # the end of a group
        b"\x0e",  # wire type 6
        b"\x0a\x05abc",  # longer than what follows
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length of 2**64 - 1
        b"\x0a" + b"\xff" * 10 + b"\x01",  # a varint of eleven bytes
        b"\x00\x00",  # field zero
        b"\x08\x01",  # a number where a text belongs
        b"\xf9\x01\x00\x00",  # an unknown fixed64 that is cut
    ],
)
def test_what_protobuf_refuses_or_another_type_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedRequest):
        _core().query("GetItem", data, 0)
