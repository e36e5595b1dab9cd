# What every command handler shares: its command, and the way to refuse one.
#
# A handler is a ladder of checks (reads only; the first failure wins, in the order of ResultCode)
# that ends in `refuse`, then an apply part that cannot fail.  It writes the fields of its response
# message to `out`; every response has code = 1 and problem = 2.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ringup.native.wire cimport Span, Writer

# A hold as nearly all are, where the command was read ahead: see stock_hold_plain.pyx.
cdef struct PlainHold:
    int64_t position  # row, likely enough to be found there; -1: this is no such hold, and nothing else here counts
    int64_t item  # row
    int64_t location  # row
    int64_t qty_milli  # as it was read, not checked
    int64_t ttl_ms
    Span code  # the item's own
    Span place  # the location's code
    uint32_t found_stamp  # of the positions when this one was found

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
    PlainHold hold

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
