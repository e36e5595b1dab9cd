"""What every command handler shares."""

from libc.stdint cimport int64_t
from libc.string cimport strlen

from ringup.native.contract cimport (
    Problem_field,
    Problem_found,
    Problem_index,
    Problem_limit,
    Problem_subject,
    PutItemsResponse_code,
    PutItemsResponse_problem,
)
from ringup.native.wire cimport Span, Writer, begin_message, end_message, span_at, write_int, write_span


cdef int refuse(
    Writer* out, int code, const char* field, int64_t index, Span subject, int64_t found, int64_t limit
) noexcept nogil:
    """Write the answer of a refused request: `code`, and the problem for a program to read.  Returns `code`."""
    cdef int64_t mark
    write_int(out, PutItemsResponse_code, code)  # the same numbers in every response; tests/unit proves it
    mark = begin_message(out, PutItemsResponse_problem)
    write_span(out, Problem_field, span_at(field, strlen(field)))
    write_int(out, Problem_index, index)
    write_span(out, Problem_subject, subject)
    write_int(out, Problem_found, found)
    write_int(out, Problem_limit, limit)
    end_message(out, mark)
    return code
