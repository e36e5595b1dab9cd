"""Answers of a fold beside the answers that were given, when another version gave them.

The same version must give the same bytes again.  A later one may not: a field was added to an
answer, or a rule was mended and a sale of last year would cost something else today.  The first is
harmless and stands in `FIELD_SINCE_LAYOUT`; the second means that the state folded from the journal is
not the state that the callers were told of, and somebody has to know before the engine goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from google.protobuf.message import Message

from ringup.v1 import result_pb2, session_pb2

LISTED_MAX = 1000  # changed answers that are kept one by one; all are counted

# Fields that a layout added to answers: records of older layouts cannot have them, so they are left out of the
# comparison.  Name the field here with the LAYOUT_VERSION that first wrote it.
FIELD_SINCE_LAYOUT = {
    "ringup.v1.SellResponse.takes": 9,
    "ringup.v1.TransferStockResponse.takes": 9,
    "ringup.v1.PickOrderResponse.refund_minor": 34,
}


@dataclass(frozen=True, slots=True)
class ChangedAnswer:
    """One answer that this version would not give."""

    sequence: int
    index: int  # of the command in its batch, from 0
    command: str  # its kind, as in session.proto
    what: str  # the first field that differs: "code", "receipt.basket.total_minor", ...
    given: str
    now: str

    def __str__(self) -> str:
        """As a person reads it."""
        return (
            f"batch {self.sequence}, command {self.index} ({self.command}): {self.what} was {self.given}, is {self.now}"
        )


@dataclass(slots=True)
class Answers:
    """What the comparison has found so far."""

    changed_count: int = 0
    extended_count: int = 0  # only fields that the older version did not have
    changed: list[ChangedAnswer] = field(default_factory=list)  # the first LISTED_MAX

    def compare(self, sequence: int, layout: int, given: bytes, now: bytes) -> bool:
        """Take in one batch whose answers (bytes of a SessionResponse) differ; True when only fields were added.

        `layout` is the LAYOUT_VERSION that gave the answers.
        """
        before = session_pb2.SessionResponse.FromString(given).replies
        after = session_pb2.SessionResponse.FromString(now).replies
        changed = self.changed_count
        if len(before) != len(after):
            self._take(ChangedAnswer(sequence, 0, "", "number of answers", str(len(before)), str(len(after))))
            return False
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            if one == other:
                continue
            _drop_newer(other, layout)
            if one == other:
                self.extended_count += 1
                continue
            what, was, is_ = next(_differences(one, other), ("bytes", "other", "other"))
            kind = str(one.WhichOneof("body"))
            self._take(ChangedAnswer(sequence, index, kind, what.removeprefix(f"{kind}."), was, is_))
        return self.changed_count == changed

    def _take(self, one: ChangedAnswer) -> None:
        self.changed_count += 1
        if len(self.changed) < LISTED_MAX:
            self.changed.append(one)


def _drop_newer(message: Message, layout: int) -> None:
    """Clear the fields that a record of `layout` cannot have."""
    for one, value in message.ListFields():
        if FIELD_SINCE_LAYOUT.get(one.full_name, 0) > layout:
            message.ClearField(one.name)
        elif one.message_type is not None:
            for inner in value if one.is_repeated else (value,):
                _drop_newer(inner, layout)


def _differences(one: Message, other: Message, path: str = "") -> Iterator[tuple[str, str, str]]:
    """(field, value in one, value in other) of what differs, in the order of fields."""
    for own in one.DESCRIPTOR.fields:
        name = f"{path}{own.name}"
        was, is_ = getattr(one, own.name), getattr(other, own.name)
        if own.is_repeated:
            if len(was) != len(is_):
                yield f"{name} count", str(len(was)), str(len(is_))
            elif own.message_type is not None:
                for index, (left, right) in enumerate(zip(was, is_, strict=True)):
                    yield from _differences(left, right, f"{name}[{index}].")
            elif was != is_:
                yield name, _shown(list(was)), _shown(list(is_))
        elif own.message_type is not None:
            if one.HasField(own.name) != other.HasField(own.name):
                yield name, _SET[one.HasField(own.name)], _SET[other.HasField(own.name)]
            elif one.HasField(own.name):
                yield from _differences(was, is_, f"{name}.")
        elif was != is_:
            is_code = own.enum_type is not None and own.name == "code"
            yield name, _shown(was, is_code), _shown(is_, is_code)


_SET = {False: "not set", True: "set"}


def _shown(value: object, is_code: bool = False) -> str:
    if is_code and value in result_pb2.ResultCode.values():
        return str(result_pb2.ResultCode.Name(value)).removeprefix("RESULT_CODE_")
    return value.hex() if isinstance(value, bytes) else str(value)
