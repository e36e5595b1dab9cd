"""The batches of a client's Session: many commands in one message, each with a future of its own.

Only what a client does once for every command is here; streams, deadlines and resends are the client's.
There is no clock (the client's event loop has one) and no input or output.  The messages are those of
protos/ringup/v1/session.proto.
"""

from collections import deque

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport INFINITY
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


cdef class Admission:
    """What a client's pace foretells, kept where every command looks at it; the pace sets it at each answered batch.

    A command takes `command_s` behind up to `foretold_commands` others, by the usual batches, and `large_command_s`
    behind up to `large_foretold_commands`, by the largest: more is not known.  A wait may take `caution` of the time
    that is left.
    """

    cdef public double foretold_commands, command_s, large_foretold_commands, large_command_s
    cdef readonly double caution

    def __init__(self, double caution):
        self.caution = caution

    cpdef bint admits(self, int64_t ahead, double left_s):
        """Whether a command with left_s until its deadline may queue behind so many."""
        cdef double wait_s_max = self.caution * left_s
        return (
            min(<double>ahead, self.foretold_commands) * self.command_s <= wait_s_max
            and min(<double>ahead, self.large_foretold_commands) * self.large_command_s <= wait_s_max
        )


cdef class Outbox:
    """The commands that wait for a stream, and what is looked at when one more comes.

    Whoever takes them out says so: `sent_commands` is how many are in flight, `timer_at_s` for when the timer is set
    (infinity: it is not), `is_open` whether more may come, `is_idle` whether `_attend` is to be called for the next.
    Its subclass has `_attend()`, `_arm(at_s)` and `_refused(command)`, which returns the error of a command that is too
    large or would come too late.
    """

    cdef readonly object queue  # deque of Pending
    cdef public int64_t sent_commands
    cdef public double timer_at_s
    cdef public bint is_open, is_idle
    cdef readonly Admission pace
    cdef int64_t _command_bytes_max
    cdef object _append, _new_future, _now

    def __init__(self, loop, Admission pace not None, int64_t command_bytes_max):
        self.queue = deque()
        self.timer_at_s = INFINITY
        self.is_open = self.is_idle = True
        self.pace = pace
        self._command_bytes_max = command_bytes_max
        self._append, self._new_future, self._now = self.queue.append, loop.create_future, loop.time

    def post(self, bytes command not None, double timeout_s):
        """Queue the bytes of a Command; the future gives its CommandReply's bytes or raises NoAnswer.

        Raises Overloaded, and queues nothing, when so much waits that timeout_s would pass: no future, as refusing must
        cost far less than answering.
        """
        cdef Pending pending
        cdef int64_t waiting = len(self.queue)
        if not self.is_open:
            raise RuntimeError("expected an open client, found a closed one; make a new client")
        if (waiting and not self.pace.admits(waiting + self.sent_commands, timeout_s)) or (
            PyBytes_GET_SIZE(command) > self._command_bytes_max
        ):
            raise self._refused(command)
        pending = Pending.__new__(Pending)
        pending.answer = self._new_future()
        pending.command = command
        pending.deadline_s = <double>self._now() + timeout_s
        self._append(pending)
        if pending.deadline_s < self.timer_at_s:
            self._arm(pending.deadline_s)
        if self.is_idle:
            self._attend()
        return pending.answer


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
    cdef int64_t left = len(queue)
    popleft = queue.popleft
    while left and count < commands_max:
        pending = popleft()
        left -= 1
        if pending.answer.done():
            continue
        if pending.state == _NEVER_SENT and pending.deadline_s <= answered_s:
            turn_away(pending)
            continue
        size += _framed_bytes(pending)
        if size > bytes_max and count:
            queue.appendleft(pending)
            break
        if pending.state == _NEVER_SENT:
            pending.state = _SENT
        batch.append(pending)
        count += 1
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
