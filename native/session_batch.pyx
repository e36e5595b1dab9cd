"""The batches of a client's Session: many commands in one message, each with a future of its own.

Only what a client does once for every command is here; streams, deadlines and resends are the client's.
There is no clock and no input or output.  The messages are those of protos/ringup/v1/session.proto.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from ringup.native.contract cimport SessionRequest_commands, SessionResponse_draining, SessionResponse_replies
from ringup.native.wire cimport (
    WIRE_BYTES,
    Reader,
    Span,
    Writer,
    next_field,
    put_varint,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
)

cdef enum:  # what a client knows of a command that has no answer
    _NEVER_SENT = 0
    _SENT = 1
    _UNSURE = 2
NEVER_SENT, SENT, UNSURE = _NEVER_SENT, _SENT, _UNSURE


@cython.freelist(1024)
cdef class Pending:
    """A command without an answer: its bytes, until when it is of use, and the future of its CommandReply's bytes."""

    cdef readonly object answer
    cdef public bytes command
    cdef readonly double deadline_s
    cdef public int state  # NEVER_SENT, SENT or UNSURE

    def __init__(self, answer, bytes command not None, double deadline_s):
        self.answer = answer
        self.command = command
        self.deadline_s = deadline_s
        self.state = _NEVER_SENT


cdef inline int64_t _varint_bytes(uint64_t value) noexcept:
    cdef int64_t size = 1
    while value >= 0x80:
        size += 1
        value >>= 7
    return size


cdef inline int64_t _framed_bytes(Pending pending) noexcept:
    """How many bytes a command takes in a `SessionRequest`."""
    cdef int64_t size = PyBytes_GET_SIZE(pending.command)
    return 1 + _varint_bytes(size) + size


def take(queue, int64_t commands_max, int64_t bytes_max, double answered_s, turn_away) -> list[Pending]:
    """Take the next batch from a deque of Pending: at most so many commands, and bytes where they are several.

    One whose caller went away is dropped; one that was never sent, and has its deadline before `answered_s`, when the
    batch will be answered, is given to `turn_away`.
    """
    cdef Pending pending
    cdef list batch = []
    cdef int64_t size = 0, count = 0
    popleft = queue.popleft
    while queue and count < commands_max:
        pending = queue[0]
        if not pending.answer.done():
            if pending.state == _NEVER_SENT and pending.deadline_s <= answered_s:
                turn_away(pending)
            else:
                size += _framed_bytes(pending)
                if size > bytes_max and count:
                    break
                if pending.state == _NEVER_SENT:
                    pending.state = _SENT
                batch.append(pending)
                count += 1
        popleft()
    return batch


def session_request(list batch not None) -> bytes:
    """The bytes of a `SessionRequest` with the commands of these Pending, in their order."""
    cdef Pending pending
    cdef Writer writer
    cdef int64_t size
    cdef bytes request
    writer.size = writer.capacity = 0
    for pending in batch:
        writer.capacity += _framed_bytes(pending)
    request = PyBytes_FromStringAndSize(NULL, writer.capacity)
    writer.data = <uint8_t*>PyBytes_AS_STRING(request)
    for pending in batch:
        size = PyBytes_GET_SIZE(pending.command)
        put_varint(&writer, SessionRequest_commands << 3 | WIRE_BYTES)
        put_varint(&writer, size)
        memcpy(writer.data + writer.size, PyBytes_AS_STRING(pending.command), size)
        writer.size += size
    return request


def split_replies(bytes data not None) -> tuple[list[bytes], bool]:
    """Take a `SessionResponse` apart: the bytes of each CommandReply, and whether the engine is draining.

    Raises ValueError for bytes that are no SessionResponse.  Fields that a newer engine adds are left out.
    """
    cdef Reader reader = reader_of(span_at(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)))
    cdef Span reply
    cdef list replies = []
    cdef bint draining = False
    while next_field(&reader):
        if reader.field == SessionResponse_replies:
            reply = read_span(&reader)
            if not reader.bad:
                replies.append(PyBytes_FromStringAndSize(reply.data, reply.size))
        elif reader.field == SessionResponse_draining:
            draining = read_int(&reader) != 0
        else:
            skip_field(&reader)
    if reader.bad:
        raise ValueError(
            f"expected a SessionResponse, found {PyBytes_GET_SIZE(data)} bytes that are none after {len(replies)} replies"
        )
    return replies, draining


def answer(list batch not None, list replies not None) -> None:
    """Give each of these Pending its reply; one whose caller went away, or was told something else, is left alone."""
    cdef Pending pending
    if len(batch) != len(replies):
        raise ValueError(f"expected {len(batch)} replies to a batch, found {len(replies)}")
    for pending, reply in zip(batch, replies):
        if not pending.answer.done():
            pending.answer.set_result(reply)
