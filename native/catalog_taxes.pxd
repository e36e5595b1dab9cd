# Tax classes: protobuf in, checks, rows, protobuf out.
from libc.stdint cimport int64_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport Command
from ringup.native.wire cimport Span, Writer

# What a request says, read in place.
cdef struct TaxClassIn:
    Span body, code
    int64_t count
    bint bad

cdef struct TaxIn:
    Span name
    int64_t rate_ppb, flags
    bint bad

cdef class TaxCommands:
    cdef Catalog catalog

    cdef int put_tax_classes(self, Command* command, Writer* out) noexcept nogil
    cdef int list_tax_classes(self, Span request, Writer* out) noexcept nogil

    cdef int check_tax_class(self, TaxClassIn* tax_class, int64_t index, Writer* out) noexcept nogil
