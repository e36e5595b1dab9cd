"""Put commands into and take answers out of the messages of a Session, as bytes.

The edge uses these so that a unary call and a stream give the core the same bytes.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t

from ringup.native.contract cimport (
    RESULT_CODE_OK,
    CommandReply_rejected,
    GetReceiptResponse_code,
    GetReceiptResponse_receipt,
    Rejected_message,
    SellResponse_receipt,
    SessionRequest_commands,
    SessionResponse_replies,
)
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    next_field,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_int,
    write_span,
    writer_free,
)


cdef inline Span _span(const uint8_t[::1] data) noexcept:
    return span_at(&data[0] if data.shape[0] else NULL, data.shape[0])


cdef inline Span _bytes_span(bytes data) noexcept:
    return span_at(<char*>data, len(data))


cdef bytes _take(Writer* writer):
    try:
        return PyBytes_FromStringAndSize(<char*>writer.data, writer.size)
    finally:
        writer_free(writer)


cdef Span _nth_reply(Span replies, int64_t index) except *:
    cdef Reader reader = reader_of(replies)
    cdef Span reply
    while next_field(&reader):
        if reader.field != SessionResponse_replies:
            skip_field(&reader)
            continue
        reply = read_span(&reader)
        if index == 0:
            return reply
        index -= 1
    raise IndexError(f"the batch has {index + 1} answers fewer than asked for")


cdef uint64_t _kind_of(Span command) noexcept:
    # The last field, as the core takes it.
    cdef Reader reader = reader_of(command)
    cdef uint64_t kind = 0
    while next_field(&reader):
        kind = reader.field
        skip_field(&reader)
    return kind


def wrap_command(int kind, const uint8_t[::1] request) -> bytes:
    """The `SessionRequest` with the one command `request` of kind (field number in `Command`) `kind`."""
    cdef Writer writer
    writer.data, writer.size, writer.capacity = NULL, 0, 0
    cdef int64_t mark = begin_message(&writer, SessionRequest_commands)
    cdef int64_t inner
    if request.shape[0]:
        write_span(&writer, kind, _span(request))
    else:  # an empty message is still a command of its kind
        inner = begin_message(&writer, kind)
        end_message(&writer, inner)
    end_message(&writer, mark)
    return _take(&writer)


def without_kinds(bytes request, bytes flags) -> tuple[bytes, list[tuple[int, int]]]:
    """A `SessionRequest` without the commands of the kinds (field numbers in `Command`) whose byte in `flags` is set.

    Also returns (position, kind) of each that was left out.  The others keep their bytes.  What is no SessionRequest
    is returned as it is, for the core to refuse.
    """
    cdef Span whole = span_at(<const char*>request, len(request))
    cdef Reader reader = reader_of(whole)
    cdef Span command
    cdef Writer writer
    cdef const char* flag = flags
    cdef uint64_t count = <uint64_t>len(flags), kind
    cdef int64_t position = 0, mark
    cdef list found = []
    while next_field(&reader) and reader.field == SessionRequest_commands:
        kind = _kind_of(read_span(&reader))
        if kind < count and flag[kind]:
            found.append((position, kind))
        position += 1
    if not found or reader.bad or reader.at != reader.end:
        return request, []
    reader = reader_of(whole)
    writer.data, writer.size, writer.capacity = NULL, 0, 0
    while next_field(&reader):
        command = read_span(&reader)
        kind = _kind_of(command)
        if kind < count and flag[kind]:
            continue
        if command.size:
            write_span(&writer, SessionRequest_commands, command)
        else:  # an empty command has a reply, too
            mark = begin_message(&writer, SessionRequest_commands)
            end_message(&writer, mark)
    return _take(&writer), found


def insert_replies(const uint8_t[::1] response, dict replies) -> bytes:
    """The `SessionResponse` with more CommandReplies: each will be at its position (the key)."""
    cdef Reader reader = reader_of(_span(response))
    cdef Writer writer
    cdef int64_t position = 0
    cdef bint is_more = True
    cdef bytes other
    writer.data, writer.size, writer.capacity = NULL, 0, 0
    while is_more:
        other = replies.get(position)
        if other is not None:
            write_span(&writer, SessionResponse_replies, span_at(<char*>other, len(other)))
            position += 1
        elif next_field(&reader):
            write_span(&writer, SessionResponse_replies, read_span(&reader))
            position += 1
        else:
            is_more = False
    return _take(&writer)


def unwrap_reply(const uint8_t[::1] response) -> tuple[int, bytes]:
    """(kind, response message) of the first reply of a `SessionResponse`."""
    cdef Reader reader = reader_of(_nth_reply(_span(response), 0))
    cdef Span body = span_at(NULL, 0)
    cdef int kind = 0
    while next_field(&reader):
        kind = <int>reader.field
        body = read_span(&reader)
    return kind, PyBytes_FromStringAndSize(body.data, body.size)


def rejected_message(int kind, const uint8_t[::1] body) -> str | None:
    """The text of a reply of kind `rejected`, None for any other kind."""
    cdef Reader reader = reader_of(_span(body))
    cdef Span text
    if kind != CommandReply_rejected:
        return None
    while next_field(&reader):
        if reader.field == Rejected_message:
            text = read_span(&reader)
            return PyBytes_FromStringAndSize(text.data, text.size).decode()
        skip_field(&reader)
    return ""


def nth_reply(const uint8_t[::1] response, int64_t index) -> bytes:
    """The `CommandReply` number `index` (from 0) of a `SessionResponse`."""
    cdef Span reply = _nth_reply(_span(response), index)
    return PyBytes_FromStringAndSize(reply.data, reply.size)


def nth_replies(const uint8_t[::1] response, set indexes) -> dict[int, bytes]:
    """The `CommandReply` at each index of a `SessionResponse` that is asked for, in one walk."""
    cdef Reader reader = reader_of(_span(response))
    cdef Span reply
    cdef int64_t at = 0, last = max(indexes)
    cdef dict found = {}
    while at <= last and next_field(&reader):
        reply = read_span(&reader)
        if at in indexes:
            found[at] = PyBytes_FromStringAndSize(reply.data, reply.size)
        at += 1
    if len(found) != len(indexes):
        raise IndexError(f"the batch has {at} answers, asked for number {last}")
    return found


def replace_replies(const uint8_t[::1] response, dict replacements) -> bytes:
    """The `SessionResponse` with the `CommandReply` at each position given put in place."""
    cdef Reader reader = reader_of(_span(response))
    cdef Writer writer
    cdef Span reply
    cdef int64_t position = 0
    cdef bytes other
    writer.data, writer.size, writer.capacity = NULL, 0, 0
    while next_field(&reader):
        reply = read_span(&reader)
        other = replacements.get(position)
        write_span(&writer, SessionResponse_replies, reply if other is None else span_at(<char*>other, len(other)))
        position += 1
    return _take(&writer)


def receipt_response(const uint8_t[::1] command_reply) -> bytes:
    """The `GetReceiptResponse` that shows the receipt in a sale's or return's `CommandReply`."""
    cdef Reader reader = reader_of(_span(command_reply)), inner
    cdef Writer writer
    cdef Span receipt = span_at(NULL, 0)
    writer.data, writer.size, writer.capacity = NULL, 0, 0
    while next_field(&reader):
        inner = reader_of(read_span(&reader))
        while next_field(&inner):
            if inner.field == SellResponse_receipt:  # the same number in ReturnLinesResponse; a test proves it
                receipt = read_span(&inner)
            else:
                skip_field(&inner)
    write_int(&writer, GetReceiptResponse_code, RESULT_CODE_OK)
    write_span(&writer, GetReceiptResponse_receipt, receipt)
    return _take(&writer)


cdef bytes _request_in(Span command):
    cdef Reader reader = reader_of(command)
    cdef Span body = span_at(NULL, 0)
    while next_field(&reader):
        body = read_span(&reader)
    return PyBytes_FromStringAndSize(body.data, body.size)


def nth_request(const uint8_t[::1] commands, int64_t index) -> bytes:
    """The request in `Command` number `index` (from 0) of a `SessionRequest`, as it came."""
    return _request_in(_nth_reply(_span(commands), index))  # the same field as a response's replies


def nth_requests(const uint8_t[::1] commands, set indexes) -> dict[int, bytes]:
    """The request in the `Command` at each index of a `SessionRequest` that is asked for, in one walk."""
    return {index: _request_in(_bytes_span(one)) for index, one in nth_replies(commands, indexes).items()}


def with_bytes(const uint8_t[::1] message, int field, bytes value) -> bytes:
    """A message with a bytes field added at its end."""
    cdef Writer writer
    writer.data, writer.size, writer.capacity = NULL, 0, 0
    write_span(&writer, field, span_at(<char*>value, len(value)))
    return _span(message).data[:_span(message).size] + _take(&writer)
