# Counting what a command carries, and pages of an answer.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.wire cimport Span, Writer

cdef int64_t count_field(Span body, uint32_t field) noexcept nogil  # -1: malformed
cdef int check_count(Span body, uint32_t field, const char* name, Writer* out) noexcept nogil
cdef int first_row(Span token, int64_t* page_size, int64_t* row, Writer* out) noexcept nogil
cdef int read_page(Span request, int64_t* page_size, int64_t* row, Writer* out) noexcept nogil
cdef void write_token(int64_t row, Writer* out) noexcept nogil
