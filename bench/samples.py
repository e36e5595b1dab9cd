"""One sale and its answer as bytes, from a bare core: what an echo answers with."""

from __future__ import annotations

from dataclasses import dataclass

from bench.in_process import BareCore
from bench.shop import Ids, field, is_ok, sales, session_request
from ringup.native.envelope import unwrap_reply


@dataclass(frozen=True, slots=True)
class Sample:
    """Sizes and answers of a request."""

    command_bytes: int
    reply: bytes
    """Bytes of a CommandReply."""
    unary_reply: bytes
    """Bytes of the response message in it."""


def sale_sample(lines: int = 10) -> Sample:
    """A sale of so many lines."""
    ids = Ids(99)
    core, command = BareCore(200, ids), sales(200, ids, lines=lines).command()
    response = core.apply(session_request([command]))
    kind, body = unwrap_reply(response)
    reply = field(kind, body)
    assert is_ok(reply)
    assert response == field(1, reply)
    return Sample(len(command), reply, body)
