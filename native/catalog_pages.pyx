"""What queries share: the items that they ask about, and pages of an answer."""

from libc.stdint cimport int64_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport MALFORMED, refuse
from ringup.native.contract cimport (
    RESULT_CODE_FIELD_INVALID,
    RESULT_CODE_ITEM_UNKNOWN,
    RESULT_CODE_LINES_EMPTY,
    RESULT_CODE_OK,
    RESULT_CODE_TOO_MANY,
    ListLocationsRequest_page_size,
    ListLocationsRequest_page_token,
    SearchItemsResponse_next_page_token,
)
from ringup.native.limits cimport PAGE_SIZE_MAX
from ringup.native.wire cimport (
    Reader,
    Span,
    Writer,
    next_field,
    no_span,
    read_int,
    read_span,
    reader_of,
    skip_field,
    span_at,
    write_span,
)

cdef enum:
    PAGE_SIZE_DEFAULT = 50


cdef void ask_item(ItemsAsked* asked, Catalog catalog, Span code) noexcept nogil:
    if not asked.any_unknown and catalog.find_item(code) < 0:
        asked.any_unknown, asked.unknown, asked.unknown_code = True, asked.count, code
    asked.count += 1


cdef int check_item_count(ItemsAsked* asked, Writer* out) noexcept nogil:
    if asked.count > PAGE_SIZE_MAX:
        return refuse(out, RESULT_CODE_TOO_MANY, "item_ids", 0, no_span(), asked.count, PAGE_SIZE_MAX)
    if asked.count == 0:
        return refuse(out, RESULT_CODE_LINES_EMPTY, "item_ids", 0, no_span(), 0, 1)
    return RESULT_CODE_OK


cdef int check_items_known(ItemsAsked* asked, Writer* out) noexcept nogil:
    if asked.any_unknown:
        return refuse(out, RESULT_CODE_ITEM_UNKNOWN, "item_ids", asked.unknown, asked.unknown_code, 0, 0)
    return RESULT_CODE_OK


# Pages: a token is the row to go on with; rows of the catalog are never taken out.
cdef int first_row(Span token, int64_t* page_size, int64_t* row, Writer* out) noexcept nogil:
    cdef int64_t at
    if not 0 <= page_size[0] <= PAGE_SIZE_MAX:
        return refuse(out, RESULT_CODE_TOO_MANY, "page_size", 0, no_span(), page_size[0], PAGE_SIZE_MAX)
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
    cdef Span token = no_span()
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
