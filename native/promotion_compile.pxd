# From definitions of promotions and rules to a snapshot.
from libc.stdint cimport uint32_t

from ringup.native.promotion cimport Snapshot
from ringup.native.wire cimport Span

cdef bint add_promotion(Snapshot snapshot, Span body) noexcept nogil
cdef void read_rules(Snapshot snapshot, Span body) noexcept nogil
cdef bint compile_promotions(
    Snapshot snapshot, Span request, uint32_t promotion_field, uint32_t rules_field
) noexcept nogil
