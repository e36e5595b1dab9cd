# Items: protobuf in, checks, rows, protobuf out.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport Command
from ringup.native.embedded_codes cimport EmbeddedCodes
from ringup.native.index cimport Index
from ringup.native.wire cimport Span, Writer

# What a request says, read in place.
cdef struct ItemIn:
    Span body, code, name, tax_class
    Span uom
    int64_t flags, barcode_count, category_count, floor_minor, deposit_minor, base_units_ppm
    bint bad

cdef class ItemCommands:
    cdef Catalog catalog
    cdef EmbeddedCodes codes
    cdef Index scratch  # barcodes named by the request at hand

    cdef int put_items(self, Command* command, Writer* out) noexcept nogil
    cdef int get_item(self, Span request, Writer* out) noexcept nogil
    cdef int search_items(self, Span request, Writer* out) noexcept nogil

    cdef int check_item(self, ItemIn* item, int64_t index, Span request, Writer* out) noexcept nogil
    cdef int check_rules(self, ItemIn* item, int64_t index, Writer* out) noexcept nogil
    cdef bint claim_barcode(self, Span barcode, int64_t at, Span request) noexcept nogil
    cdef bint same_barcodes(self, int64_t row, ItemIn* item) noexcept nogil
    cdef void put_categories(self, int64_t row, ItemIn* item) noexcept nogil
    cdef void write_item(self, int64_t row, uint32_t field, Writer* out) noexcept nogil
    cdef void write_prices(self, int64_t item, int64_t location, Writer* out) noexcept nogil
    cdef bint item_matches(self, int64_t row, Span text) noexcept nogil
