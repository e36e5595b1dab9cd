# Locations and tills: protobuf in, checks, rows, protobuf out.
from libc.stdint cimport int64_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport Command
from ringup.native.wire cimport Span, Writer

# What a request says, read in place.
cdef struct PlaceIn:  # a location or till
    Span code, second
    int64_t flags
    bint bad

cdef class PlaceCommands:
    cdef Catalog catalog

    cdef int put_locations(self, Command* command, Writer* out) noexcept nogil
    cdef int put_tills(self, Command* command, Writer* out) noexcept nogil
    cdef int list_locations(self, Span request, Writer* out) noexcept nogil
