# Tax classes: protobuf in, checks, rows, protobuf out.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport Catalog, TaxRow
from ringup.native.command cimport Command
from ringup.native.limits cimport TAXES_PER_CLASS_MAX
from ringup.native.wire cimport Span, Writer

cdef enum:
    PERIODS_MAX = 2 * TAXES_PER_CLASS_MAX + 1  # in which a class's taxes do not change

# What a request says, read in place.
cdef struct TaxIn:
    Span body, name
    int64_t rate_ppb, per_unit_minor, from_ns, to_ns
    uint32_t flags
    uint32_t base  # bit i: tax i of the class enlarges the base
    bint bad

cdef struct TaxClassIn:
    Span body, code
    int64_t count
    TaxIn taxes[TAXES_PER_CLASS_MAX]
    int64_t order[TAXES_PER_CLASS_MAX]  # each after those that enlarge its base
    int64_t period_count
    int64_t starts[PERIODS_MAX]
    uint32_t live[PERIODS_MAX]  # by period, bit i: tax i is due
    bint bad

cdef class TaxCommands:
    cdef Catalog catalog
    cdef TaxClassIn asked  # the class at hand

    cdef int put_tax_classes(self, Command* command, Writer* out) noexcept nogil
    cdef int list_tax_classes(self, Span request, Writer* out) noexcept nogil

    cdef void read_class(self, Span body) noexcept nogil
    cdef int check_class(self, int64_t index, Writer* out) noexcept nogil
    cdef int check_tax(self, TaxIn* tax, int64_t index, Writer* out) noexcept nogil
    cdef int check_bases(self, int64_t index, Writer* out) noexcept nogil
    cdef int base_in_order(self, uint32_t base, uint32_t live) noexcept nogil
    cdef int check_periods(self, int64_t index, Writer* out) noexcept nogil
    cdef void put_class(self) noexcept nogil
    cdef void put_sets(self, int64_t row) noexcept nogil
    cdef TaxRow tax_row(self, int64_t number) noexcept nogil
    cdef void write_tax(self, const TaxRow* taxes, int64_t count, int64_t number, Writer* out) noexcept nogil
