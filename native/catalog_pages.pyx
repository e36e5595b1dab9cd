"""What the catalog's handlers and queries share: counting what a command carries, and pages of an answer."""

from libc.stdint cimport int64_t, uint32_t

from ringup.native.command cimport MALFORMED, refuse
from ringup.native.contract cimport (
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_LINES_EMPTY,
    RESULT_CODE_OK,
    RESULT_CODE_TOO_MANY,
    ListLocationsRequest_page_size,
    ListLocationsRequest_page_token,
    SearchItemsResponse_next_page_token,
)
from ringup.native.limits cimport PAGE_SIZE_MAX, PUT_ROWS_MAX
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    next_field,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_span,
)

cdef enum:
    PAGE_SIZE_DEFAULT = 50


cdef int64_t count_field(Span body, uint32_t field) noexcept nogil:
    """How often a message field stands in `body`, or -1 where the bytes are malformed."""
    cdef Reader reader = reader_of(body)
    cdef int64_t count = 0
    while next_field(&reader):
        if reader.field == field:
            read_span(&reader)
            count += 1
        else:
            skip_field(&reader)
    return -1 if reader.bad else count


cdef int check_count(Span body, uint32_t field, const char* name, Writer* out) noexcept nogil:
    """Check that a put command carries between one and PUT_ROWS_MAX rows."""
    cdef int64_t count = count_field(body, field)
    cdef Span none = span_at(NULL, 0)
    if count < 0:
        return MALFORMED
    if count == 0:
        return refuse(out, RESULT_CODE_LINES_EMPTY, name, 0, none, 0, 1)
    if count > PUT_ROWS_MAX:
        return refuse(out, RESULT_CODE_TOO_MANY, name, 0, none, count, PUT_ROWS_MAX)
    return RESULT_CODE_OK


# Pages: a token is the row to go on with; rows of the catalog are never taken out.
cdef int first_row(Span token, int64_t* page_size, int64_t* row, Writer* out) noexcept nogil:
    cdef int64_t at
    if not 0 <= page_size[0] <= PAGE_SIZE_MAX:
        return refuse(out, RESULT_CODE_TOO_MANY, "page_size", 0, span_at(NULL, 0), page_size[0], PAGE_SIZE_MAX)
    if token.size > 12:
        return refuse(out, RESULT_CODE_FIELD_INVALID, "page_token", 0, token, token.size, 12)
    row[0] = 0
    for at in range(token.size):
        if not 48 <= token.data[at] <= 57:
            return refuse(out, RESULT_CODE_FIELD_INVALID, "page_token", 0, token, 0, 0)
        row[0] = row[0] * 10 + token.data[at] - 48
    page_size[0] = page_size[0] if page_size[0] else PAGE_SIZE_DEFAULT
    return RESULT_CODE_OK


cdef int read_page(Span request, int64_t* page_size, int64_t* row, Writer* out) noexcept nogil:
    """Read a ListLocationsRequest; the numbers are those of ListTaxClassesRequest, a test proves it."""
    cdef Reader reader = reader_of(request)
    cdef Span token = span_at(NULL, 0)
    while next_field(&reader):
        if reader.field == ListLocationsRequest_page_size:
            page_size[0] = read_int(&reader)
        elif reader.field == ListLocationsRequest_page_token:
            token = read_span(&reader)
        else:
            skip_field(&reader)
    if reader.bad:
        return MALFORMED
    return first_row(token, page_size, row, out)


cdef void write_token(int64_t row, Writer* out) noexcept nogil:
    """Write next_page_token, the same number in all answers with pages; a test proves it."""
    cdef char[24] digits
    cdef int64_t at = 24
    while row > 0:
        at -= 1
        digits[at] = <char>(48 + row % 10)
        row //= 10
    write_span(out, SearchItemsResponse_next_page_token, span_at(&digits[at], 24 - at))
