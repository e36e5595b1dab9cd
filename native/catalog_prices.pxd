# Price-book rows: protobuf in, checks, rows.
from libc.stdint cimport int64_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport Command
from ringup.native.wire cimport Span, Writer

# What a request says, read in place.
cdef struct PriceIn:
    Span item, location, channel, group
    int64_t min_qty_milli, max_qty_milli, price_minor, base_qty_milli, from_ns, to_ns
    bint overrides_base, removed, bad

cdef class PriceCommands:
    cdef Catalog catalog

    cdef int put_prices(self, Command* command, Writer* out) noexcept nogil

    cdef int check_price(self, PriceIn* price, int64_t index, Writer* out) noexcept nogil
