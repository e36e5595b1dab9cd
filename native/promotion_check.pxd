# What is certain to be wrong with promotions that are sound one by one: found before they are published.
from libc.stdint cimport int64_t

from ringup.native.wire cimport Span

cdef struct Contradiction:
    int64_t found  # what is asked at least
    int64_t limit  # what is allowed at most

cdef bint contradicts_itself(Span definition, Contradiction* out) noexcept nogil
cdef bytes bytes_of(Span span)
cdef list free_item_edges(Span definition)
cdef object free_item_circle(list edges)
