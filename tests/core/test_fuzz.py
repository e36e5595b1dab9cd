"""Random and mutated requests to the core: never a crash, a hang, an answer that is no message, or a trace.

RINGUP_FUZZ_CASES sets how many there are (default 15,000), RINGUP_SEED which.
"""

from __future__ import annotations

import os
import random

import pytest
from google.protobuf.message import Message

from ringup.engine.contract import methods
from ringup.native.core import MalformedRequest
from ringup.native.envelope import wrap_command
from ringup.v1 import session_pb2
from support import cpu_time
from support.core import CoreHarness, small_shop
from support.requests import (
    message_type,
    method_of,
    mutated,
    prerequisites,
    samples,
    scrambled,
    set_text,
    string_fields,
    written_samples,
)

CASES = int(os.environ.get("RINGUP_FUZZ_CASES", "15000"))
SEED = int(os.environ.get("RINGUP_SEED", "1"))
OK, FIELD_INVALID = 1, 10
COMMANDS = sorted(method.name for method in methods() if method.kind)
NOT_OF_THE_CORE = ("GetStats", "GetReceipt", "ReadEvents")
QUERIES = sorted(m.name for m in methods() if not m.kind and not m.streams and m.name not in NOT_OF_THE_CORE)


def _shop() -> CoreHarness:
    shop = small_shop()
    for answer in (shop.send(request) for request in prerequisites()):
        assert answer.code == OK, answer
    return shop


def _answer(shop: CoreHarness, name: str, data: bytes) -> tuple[str, Message]:
    """The kind and message of the core's answer to the bytes of one command."""
    reply = shop.raw(wrap_command(method_of(name).kind, data)).replies[0]
    kind = str(reply.WhichOneof("body"))
    return kind, getattr(reply, kind)


@pytest.mark.parametrize("name", sorted(set(COMMANDS) & set(written_samples())))
def test_a_written_sample_is_valid(name: str) -> None:
    """Or the cases below would all be refused for another reason."""
    kind, answer = _answer(_shop(), name, samples()[name].SerializeToString())
    assert kind != "rejected"
    assert answer.code == OK, answer  # type: ignore[attr-defined]


def test_no_command_leaves_a_crash_a_hang_or_a_trace_when_it_is_no_command() -> None:
    rng, shop, base = random.Random(SEED), _shop(), samples()
    rejected = answered = 0
    for case in range(CASES):
        name = rng.choice(COMMANDS)
        message = base[name]
        if rng.random() < 0.6:
            message = scrambled(message, rng)
        message.command_id = rng.randbytes(16)  # type: ignore[attr-defined]
        data = message.SerializeToString()
        if rng.random() < 0.6:
            data = mutated(data, rng)
        shop.now_ns += 1000
        shop.core.begin(shop.core.sequence + 1, shop.now_ns)
        before = shop.core.digest() if case % 7 == 0 else b""
        frame = wrap_command(method_of(name).kind, data)
        with cpu_time.at_most(1.0, f"seed {SEED}, case {case}: {name} {data.hex()}"):
            raw, kept, _ = shop.core.apply(frame)
        replies = session_pb2.SessionResponse.FromString(raw).replies
        assert len(replies) == 1, f"seed {SEED}, case {case}: {name} {data.hex()}"
        if replies[0].WhichOneof("body") == "rejected":
            rejected += 1
            assert kept == 0
            assert not before or shop.core.digest() == before, f"seed {SEED}, case {case}: {name} {data.hex()}"
        else:
            answered += 1
            shop.journal.append((shop.core.sequence, shop.core.now_ns, [frame], [raw]))
            shop.core.end()
            continue
        shop.journal.append((shop.core.sequence, shop.core.now_ns, [], []))
        shop.core.end()
    assert rejected > CASES // 20
    assert answered > CASES // 5
    assert shop.refold().digest() == shop.core.digest(), "the journal folds to another state"
    assert shop.core.receipt_gaps() == 0


def test_no_query_leaves_a_crash_a_hang_or_a_trace() -> None:
    rng, shop, base = random.Random(SEED), _shop(), samples()
    before, malformed = shop.core.digest(), 0
    for case in range(CASES // 3):
        name = rng.choice(QUERIES)
        data = scrambled(base[name], rng).SerializeToString()
        if rng.random() < 0.5:
            data = mutated(data, rng)
        with cpu_time.at_most(1.0, f"seed {SEED}, case {case}: {name} {data.hex()}"):
            try:
                raw = shop.core.query(name, data, shop.now_ns)
            except MalformedRequest:
                malformed += 1
            else:
                message_type(f"{name}Response").FromString(raw)
    assert malformed > CASES // 60
    assert shop.core.digest() == before


def test_random_bytes_are_no_session_request() -> None:
    rng, shop = random.Random(SEED), _shop()
    for _ in range(CASES // 3):
        data = rng.randbytes(rng.randint(0, 60))
        shop.core.begin(shop.core.sequence + 1, shop.now_ns)
        before = shop.core.digest()
        try:
            raw, kept, _ = shop.core.apply(data)
        except MalformedRequest:
            assert shop.core.digest() == before
            continue
        answer = session_pb2.SessionResponse.FromString(raw)
        assert kept == 0
        assert all(reply.HasField("rejected") for reply in answer.replies)


@pytest.mark.parametrize("name", [*COMMANDS, *QUERIES])
def test_what_is_no_text_is_refused_in_every_string_field(name: str) -> None:
    """Not UTF-8, in every string of the message and its parts."""
    marker, no_text = "@marker@", b"\xff\xfe@@\xed\xa0\x80\xc0"
    fields = list(string_fields(samples()[name]))
    for number, (path, _, _) in enumerate(fields):
        request = samples()[name]
        _, holder, field = list(string_fields(request))[number]
        set_text(holder, field, marker)
        data = request.SerializeToString()
        assert data.count(marker.encode()) == 1, path
        data = data.replace(marker.encode(), no_text)
        shop = _shop()
        if name in COMMANDS:
            kind, answer = _answer(shop, name, data)
            assert kind != "rejected", path
        else:
            answer = message_type(f"{name}Response").FromString(shop.core.query(name, data, shop.now_ns))
            if name == "SearchItems":  # nothing is found by it
                assert not answer.items  # type: ignore[attr-defined]
                continue
        assert answer.code != OK, f"{path}: {answer}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_text_of_a_megabyte_is_refused_in_every_string_field(name: str) -> None:
    for number, (path, _, _) in enumerate(string_fields(samples()[name])):
        request = samples()[name]
        _, holder, field = list(string_fields(request))[number]
        set_text(holder, field, "x" * (1 << 20))
        shop = _shop()
        kind, answer = _answer(shop, name, request.SerializeToString())
        assert kind != "rejected", path
        assert answer.code != OK, path  # type: ignore[attr-defined]
        assert answer.ByteSize() < 500, f"{path}: the answer does not repeat it"
