# Price-book rows: protobuf in, checks, rows.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport Catalog, TermsRow
from ringup.native.command cimport Command
from ringup.native.settings cimport SettingsTable
from ringup.native.wire cimport Span, Writer

cdef enum:
    IN_PRICE_ROWS = 0  # rows that stand in a field price_rows
    IN_ROWS = 6  # in a field rows: so much of a problem's field is left out

# What a request says, read in place.
cdef struct PriceIn:
    Span body, item, location, channel, group, list, currency, uom
    int64_t min_qty_milli, max_qty_milli, price_minor, base_qty_milli, from_ns, to_ns
    bint overrides_base, removed, ruled, bad

cdef PriceIn read_price(Span body) noexcept nogil
cdef int check_terms(PriceIn* price, int64_t index, int place, Writer* out) noexcept nogil
cdef TermsRow terms_of_price(Catalog catalog, PriceIn* price, Span own_currency) noexcept nogil
cdef uint32_t find_currency(Catalog catalog, Span currency, Span own_currency) noexcept nogil
cdef int read_attributes(
    Catalog catalog, Span request, uint32_t field, uint32_t* pairs, int64_t* count, Writer* out
) noexcept nogil
cdef void write_terms(Catalog catalog, const TermsRow* terms, Writer* out) noexcept nogil

cdef class PriceCommands:
    cdef Catalog catalog
    cdef SettingsTable settings

    cdef int put_prices(self, Command* command, Writer* out) noexcept nogil
    cdef int check_price(self, PriceIn* price, int64_t index, Writer* out) noexcept nogil
