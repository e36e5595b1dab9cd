# What makes a resend safe: each command's id, a hash of its body, and where its answer stands in the journal.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ringup.native.command cimport Command
from ringup.native.index cimport Index
from ringup.native.table cimport Table

cdef enum:
    REPLY_INDEX_BITS = 24  # commands in a batch; the sequence has the other 40 bits

cdef struct ReplyRow:
    uint8_t[16] id
    uint64_t body_hash
    uint64_t reply_at  # sequence << REPLY_INDEX_BITS | index
    int64_t at_ns
    uint32_t next  # row + 1: the next younger one, or the next free one
    uint32_t padding

cdef struct RepliesGlobals:
    uint32_t oldest  # row + 1
    uint32_t youngest
    uint32_t free
    uint32_t padding
    int64_t live_count

cdef inline uint64_t reply_at_of(int64_t sequence, int64_t index) noexcept nogil:
    return (<uint64_t>sequence << REPLY_INDEX_BITS) | <uint64_t>index

cdef class Replies:
    cdef readonly list tables
    cdef Table rows, globals
    cdef Index index

    cdef void rebuild(self) noexcept nogil
    cdef const ReplyRow* find(self, const uint8_t* id, uint64_t hash) noexcept nogil
    cdef void remember(self, const Command* command, uint64_t body_hash) noexcept nogil
    cdef void forget_before(self, int64_t at_ns) noexcept nogil
