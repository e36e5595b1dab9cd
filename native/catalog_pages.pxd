# What queries share: the items that they ask about, and pages of an answer.
from libc.stdint cimport int64_t

from ringup.native.catalog cimport Catalog
from ringup.native.wire cimport Span, Writer, no_span

# The item ids of a query, told one by one with `ask_item`.
cdef struct ItemsAsked:
    int64_t count
    int64_t unknown  # index of the first that is unknown
    Span unknown_code
    bint any_unknown

cdef inline ItemsAsked nothing_asked() noexcept nogil:
    cdef ItemsAsked asked
    asked.count = asked.unknown = 0
    asked.unknown_code = no_span()
    asked.any_unknown = False
    return asked

cdef void ask_item(ItemsAsked* asked, Catalog catalog, Span code) noexcept nogil
cdef int check_item_count(ItemsAsked* asked, Writer* out) noexcept nogil  # TOO_MANY or LINES_EMPTY
cdef int check_items_known(ItemsAsked* asked, Writer* out) noexcept nogil
cdef int first_row(Span token, int64_t* page_size, int64_t* row, Writer* out) noexcept nogil
cdef int read_page(Span request, int64_t* page_size, int64_t* row, Writer* out) noexcept nogil
cdef void write_token(int64_t row, Writer* out) noexcept nogil
