"""What every command handler shares."""

from libc.stdint cimport int64_t, uint32_t, uint8_t
from libc.string cimport strlen

from ringup.native.contract cimport (
    RESULT_CODE_LINES_EMPTY,
    RESULT_CODE_OK,
    RESULT_CODE_TOO_MANY,
    Problem_field,
    Problem_found,
    Problem_index,
    Problem_limit,
    Problem_subject,
    PutItemsResponse_code,
    PutItemsResponse_problem,
)
from ringup.native.limits cimport CODE_BYTES_MAX, PUT_ROWS_MAX
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    begin_message,
    end_message,
    is_utf8,
    next_of,
    no_span,
    read_span,
    reader_of,
    span_at,
    write_int,
    write_span,
)


cdef int refuse(
    Writer* out, int code, const char* field, int64_t index, Span subject, int64_t found, int64_t limit
) noexcept nogil:
    """Write the answer of a refused request: `code`, and the problem for a program to read.  Returns `code`."""
    cdef int64_t mark
    write_int(out, PutItemsResponse_code, code)  # the same numbers in every response; a test proves it
    mark = begin_message(out, PutItemsResponse_problem)
    write_span(out, Problem_field, span_at(field, strlen(field)))
    write_int(out, Problem_index, index)
    if subject.size <= 2 * CODE_BYTES_MAX and is_utf8(subject):  # never echo what is not text
        write_span(out, Problem_subject, subject)
    write_int(out, Problem_found, found)
    write_int(out, Problem_limit, limit)
    end_message(out, mark)
    return code


cdef bint is_text(Span span, int64_t size_max) noexcept nogil:
    cdef int64_t at
    cdef uint8_t byte, before = 0
    if span.size > size_max:
        return False
    for at in range(span.size):
        byte = <uint8_t>span.data[at]
        # Control characters (C0, DEL, and C1 as UTF-8 writes it) have no place in what printers and screens show.
        if byte < 32 or byte == 127 or (before == 0xc2 and byte < 0xa0):
            return False
        before = byte
    return is_utf8(span)


cdef bint is_code_or_empty(Span span) noexcept nogil:
    return is_text(span, CODE_BYTES_MAX)


cdef bint is_code(Span span) noexcept nogil:
    return span.size > 0 and is_text(span, CODE_BYTES_MAX)


cdef int ok(Writer* out) noexcept nogil:
    write_int(out, PutItemsResponse_code, RESULT_CODE_OK)
    return RESULT_CODE_OK


cdef int64_t count_field(Span body, uint32_t field) noexcept nogil:
    """How often a message field stands in `body`, or -1 where the bytes are malformed."""
    cdef Reader reader = reader_of(body)
    cdef int64_t count = 0
    while next_of(&reader, field):
        read_span(&reader)
        count += 1
    return -1 if reader.bad else count


cdef int check_count(Span body, uint32_t field, const char* name, Writer* out) noexcept nogil:
    """Check that a put command carries between one and PUT_ROWS_MAX rows."""
    cdef int64_t count = count_field(body, field)
    if count < 0:
        return MALFORMED
    if count == 0:
        return refuse(out, RESULT_CODE_LINES_EMPTY, name, 0, no_span(), 0, 1)
    if count > PUT_ROWS_MAX:
        return refuse(out, RESULT_CODE_TOO_MANY, name, 0, no_span(), count, PUT_ROWS_MAX)
    return RESULT_CODE_OK
