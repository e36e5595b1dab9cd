# The promotions that were published: definitions, versions, stores' clocks, and the snapshot of those in force.
from libc.stdint cimport int64_t

from ringup.native.catalog cimport Catalog
from ringup.native.index cimport Index
from ringup.native.promotion cimport Snapshot, Usage
from ringup.native.table cimport Heap, Table
from ringup.native.wire cimport Span

cdef enum:
    DEFINITION_BYTES_MAX = 16384  # of one promotion
    STATE_ACTIVE = 1
    STATE_PAUSED = 2
    STATE_ENDED = 3

cdef struct Bytes:  # in the heap
    int64_t at
    int64_t size

cdef struct PromotionRow:
    Bytes id
    Bytes now
    Bytes next
    int64_t next_ns
    int64_t version
    int64_t used
    int64_t cancelled
    int64_t spent_minor
    int64_t state

cdef struct RulesRow:
    Bytes rules
    int64_t offset_count

cdef struct OffsetRow:
    int64_t location  # row + 1, 0 for all others
    int64_t from_ns
    int64_t offset_s

cdef class PromotionVersions:
    cdef readonly list tables
    cdef Catalog catalog
    cdef Heap heap
    cdef Table promotions, rules, offsets
    cdef Index promotion_index
    cdef Snapshot snapshot  # never None
    cdef int64_t* row_of  # by place in the snapshot
    cdef int64_t* place_of  # by row, -1 when it takes no part
    cdef Usage* usage  # by place
    cdef int64_t row_capacity, place_capacity, usage_capacity
    cdef bint stale
    cdef int64_t valid_from_ns, valid_to_ns  # of the snapshot: another version is in force outside
    cdef int64_t due_ns  # the first instant at which a waiting version comes into force

    cdef void rebuild(self) noexcept nogil
    cdef void publish_due(self, int64_t now_ns) noexcept nogil
    cdef inline void see(self, int64_t at_ns) noexcept nogil:
        # Make `snapshot` the one in force at an instant.
        if self.stale or not self.valid_from_ns <= at_ns < self.valid_to_ns:
            self.refresh(at_ns)

    cdef void refresh(self, int64_t at_ns) noexcept with gil
    cdef Span in_force(self, PromotionRow* promotion, int64_t at_ns) noexcept nogil
    cdef void bring_into_force(self, PromotionRow* promotion, Bytes definition) noexcept nogil
    cdef int64_t find(self, Span id) noexcept nogil
    cdef int64_t offset_s(self, int64_t location, int64_t at_ns) noexcept nogil
    cdef Bytes store(self, Span span) noexcept nogil
    cdef Span text(self, Bytes bytes) noexcept nogil
    cdef bytes rules_bytes(self)
