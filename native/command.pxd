# What every command handler shares: its command, and the way to refuse one.
#
# A handler is a ladder of checks (reads only; the first failure wins, in the order of ResultCode)
# that ends in `refuse`, then an apply part that cannot fail.  It writes the fields of its response
# message to `out`; every response has code = 1 and problem = 2.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ringup.native.wire cimport Span, Writer

cdef struct Command:
    Span body  # the request message
    const uint8_t* id  # 16 bytes, where it is taken
    int64_t id_size
    uint64_t id_hash  # the index hash of the id
    int kind  # the field of Command; 0: none
    bint bad  # malformed before its id
    int64_t now_ns  # the batch's clock value
    int64_t sequence  # the batch
    int64_t index  # of the command in the batch

cdef int refuse(
    Writer* out, int code, const char* field, int64_t index, Span subject, int64_t found, int64_t limit
) noexcept nogil

cdef enum:
    # Not a ResultCode: the bytes are no request of this kind, so nothing is changed or remembered.
    MALFORMED = -1

cdef bint is_code(Span span) noexcept nogil  # 1 to 64 bytes of text
cdef bint is_code_or_empty(Span span) noexcept nogil
cdef bint is_text(Span span, int64_t size_max) noexcept nogil  # at most size_max bytes of UTF-8
cdef int ok(Writer* out) noexcept nogil  # writes code OK and returns it

cdef int64_t count_field(Span body, uint32_t field) noexcept nogil
cdef int check_count(Span body, uint32_t field, const char* name, Writer* out) noexcept nogil
