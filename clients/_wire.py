"""The contract as bytes: which call takes which message, and how commands are framed.  No I/O.

Every fact is read from the descriptors of ringup.v1, so that a new call needs no line here.  A
`SessionRequest` is put together and a `SessionResponse` taken apart as bytes (ringup.native.session_batch),
because a client that serializes each command once and parses only its own answer halves its work per sale.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from ringup.native import session_batch
from ringup.v1 import (
    admin_pb2,
    catalog_pb2,
    event_pb2,
    gift_card_pb2,
    loyalty_pb2,
    pricing_pb2,
    promotion_pb2,
    sale_pb2,
    session_pb2,
    stock_pb2,
)

from .errors import RejectedCommand

COMMAND_ID_BYTES = 16
BATCH_COMMANDS_MAX = 4096
BATCH_BYTES_MAX = 3 * 2**20
MESSAGE_BYTES_MAX = 4 * 2**20
COMMAND_BYTES_MAX = MESSAGE_BYTES_MAX - 64
"""With room for the tags and lengths around the largest command in a batch."""
SESSION_PATH = "/ringup.v1.SessionService/Session"

assert BATCH_BYTES_MAX < MESSAGE_BYTES_MAX

_LENGTH_DELIMITED = 2
_REJECTED_FIELD = session_pb2.CommandReply.DESCRIPTOR.fields_by_name["rejected"].number
_ID_PREFIX = b"\x0a\x10"  # field 1, 16 bytes: a test holds every command's command_id to this


class BrokenReplyError(ValueError):
    """The engine sent bytes that are no answer to what was asked; the stream is of no more use."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One call of the contract."""

    name: str
    """The call's name, "Sell"."""
    path: str
    """The call's path on the wire, "/ringup.v1.SaleService/Sell"."""
    request_class: type[Any]
    response_class: type[Any]
    field: int
    """The number of the request in Command, and of its answer in CommandReply; 0 for a query."""
    tag: bytes
    """The tag of that field; empty for a query."""

    @property
    def is_command(self) -> bool:
        """Whether the call changes state, and so carries a command_id."""
        return self.field != 0


def varint(number: int) -> bytes:
    """Return a whole number, 0 or more, as the wire's varint."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_VARINTS = tuple(varint(number) for number in range(2048))
"""The lengths of nearly all commands, ready made."""


def _length(size: int) -> bytes:
    return _VARINTS[size] if size < 2048 else varint(size)


def _kinds() -> Iterator[Kind]:
    numbers = {
        command.message_type.full_name: command.number
        for command in session_pb2.Command.DESCRIPTOR.oneofs_by_name["body"].fields
        if command.message_type is not None
    }
    for module in (
        admin_pb2,
        catalog_pb2,
        event_pb2,
        gift_card_pb2,
        loyalty_pb2,
        pricing_pb2,
        promotion_pb2,
        sale_pb2,
        stock_pb2,
    ):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if method.server_streaming:
                    continue
                number = numbers.pop(method.input_type.full_name, 0)
                yield Kind(
                    method.name,
                    f"/{service.full_name}/{method.name}",
                    GetMessageClass(method.input_type),
                    GetMessageClass(method.output_type),
                    number,
                    varint(number << 3 | _LENGTH_DELIMITED) if number else b"",
                )
    assert not numbers, f"commands without a call of their own: {sorted(numbers)}"


KIND_OF: dict[type[Any], Kind] = {kind.request_class: kind for kind in _kinds()}
_KIND_OF_FIELD = {kind.field: kind for kind in KIND_OF.values() if kind.is_command}
_KIND_OF_PATH = {kind.path: kind for kind in KIND_OF.values()}


def new_id() -> bytes:
    """Return a new 16-byte command id; keep it to resend the command after a crash of the caller."""
    return os.urandom(COMMAND_ID_BYTES)


def kind_of(request: Message) -> Kind:
    """Return the call that takes this message; TypeError names the nearest request."""
    kind = KIND_OF.get(type(request))
    if kind is None:
        found = type(request).__name__
        names = [known.request_class.__name__ for known in KIND_OF.values()]
        near = difflib.get_close_matches(found, names, 1, 0)
        raise TypeError(f"expected a request of ringup.v1, found {found}; did you mean {near[0]}?")
    return kind


def kind_of_path(path: str) -> Kind:
    """Return the call with this path; ValueError names the nearest."""
    kind = _KIND_OF_PATH.get(path)
    if kind is None:
        near = difflib.get_close_matches(path, list(_KIND_OF_PATH), 1, 0)
        raise ValueError(f"expected the path of a call of ringup.v1, found {path!r}; did you mean {near[0]!r}?")
    return kind


def request_bytes(kind: Kind, request: Message) -> bytes:
    """Return the request's bytes; a command without an id gets a new one.

    The message itself is left alone: a caller that fills it again for the next sale must not send the
    id of the last one.  Field 1 comes first in every serialization, so that putting it in front gives
    the very bytes that the message with this id has.
    """
    body = request.SerializeToString()
    if kind.is_command and not request.command_id:  # type: ignore[attr-defined]  # every command has it
        body = _ID_PREFIX + new_id() + body
    if len(body) > COMMAND_BYTES_MAX:
        raise too_large(len(body), kind.name)
    return body


def command_id_in(body: bytes) -> bytes:
    """Return the command_id in the bytes of a command's request; empty when there is none of 16 bytes."""
    return body[2 : 2 + COMMAND_ID_BYTES] if body.startswith(_ID_PREFIX) else b""


def as_command(kind: Kind, body: bytes) -> bytes:
    """Return the bytes of a Command whose body is this request."""
    if not kind.is_command:
        raise TypeError(f"expected a command, found {kind.name}, a query; use call() for it")
    return b"".join((kind.tag, _length(len(body)), body))


def opened(command: bytes) -> tuple[Kind | None, bytes]:
    """Return what a Command is and its body; no kind for bytes that are no command of this contract."""
    try:
        tag, at = _varint_at(command, 0)
        length, at = _varint_at(command, at)
    except BrokenReplyError:
        return None, b""
    kind = _KIND_OF_FIELD.get(tag >> 3)
    return kind, command[at : at + length]


def split_replies(data: bytes) -> tuple[list[bytes], bool]:
    """Take a SessionResponse apart: the bytes of each CommandReply, and whether the engine is draining.

    Raises BrokenReplyError for bytes that are no SessionResponse.
    """
    try:
        return session_batch.split_replies(data)
    except ValueError as error:
        raise BrokenReplyError(str(error)) from None


def parsed_reply(kind: Kind, reply: bytes) -> Any:
    """Return the response message in the bytes of a CommandReply.

    Raises RejectedCommand when the engine could not read the command, BrokenReplyError when the bytes
    answer another command.
    """
    tag, at = _varint_at(reply, 0)
    length, at = _varint_at(reply, at)
    body = reply[at : at + length]
    if tag >> 3 == kind.field:
        return parsed(kind, body)
    if tag >> 3 == _REJECTED_FIELD:
        raise RejectedCommand(session_pb2.Rejected.FromString(body).message)
    raise BrokenReplyError(f"expected the answer to {kind.name}, found field {tag >> 3} of CommandReply")


def parsed(kind: Kind, body: bytes) -> Any:
    """Return the response message in these bytes, or raise BrokenReplyError."""
    try:
        return kind.response_class.FromString(body)
    except Exception as error:  # protobuf's DecodeError, in whichever implementation is in use
        raise BrokenReplyError(f"expected a {kind.response_class.__name__}, found {len(body)} other bytes") from error


def too_large(size: int, name: str) -> ValueError:
    """Return the error of a command or request that no message has room for."""
    return ValueError(f"expected {name} of at most {COMMAND_BYTES_MAX:,} bytes, found {size:,}; send fewer rows")


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 70:
        if at >= len(data):
            raise BrokenReplyError("expected more bytes, found the end of the message")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise BrokenReplyError("expected a number of at most 10 bytes, found a longer one")
