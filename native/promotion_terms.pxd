# What the terms of a promotion say, read from its definition.
from ringup.native.promotion cimport Snapshot
from ringup.native.wire cimport Span

cdef bint read_condition(Snapshot snapshot, Span body) noexcept nogil
cdef bint read_benefit(Snapshot snapshot, Span body) noexcept nogil
