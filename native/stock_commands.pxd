# Handlers and queries of stock: protobuf in, checks, stock rows, protobuf out.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport Command
from ringup.native.limits cimport LINES_MAX
from ringup.native.stock cimport Demand, Stock
from ringup.native.stock_tally cimport Tally
from ringup.native.wire cimport Span, Writer

# One line of a request, read in place.
cdef struct LineIn:
    Span code
    int64_t item  # row, or -1
    int64_t qty_milli

# What the requests of stock have in common.
cdef struct StockIn:
    Span location_code, hold_id, owner, reason
    int64_t location  # row, or -1
    int64_t ttl_ms
    int64_t line_count
    bint bad

cdef class StockCommands:
    cdef Catalog catalog
    cdef Stock stock
    cdef LineIn* lines  # scratch: of the request at hand, at most LINES_MAX
    cdef Demand* demands  # scratch: those of items that are tracked
    cdef int64_t* line_of  # scratch: demand -> line
    cdef int64_t demand_count
    cdef Tally sums  # scratch: by item

    cdef int receive_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int adjust_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int hold_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int extend_hold(self, Command* command, Writer* out) noexcept nogil
    cdef int release_hold(self, Command* command, Writer* out) noexcept nogil
    cdef int commit_hold(self, Command* command, Writer* out) noexcept nogil
    cdef int get_hold(self, Span request, Writer* out) noexcept nogil
    cdef int get_availability(self, Span request, Writer* out) noexcept nogil

    cdef StockIn read_request(
        self, Span body, uint32_t location_field, uint32_t lines_field, uint32_t text_field
    ) noexcept nogil
    cdef int check_lines(self, StockIn* request, bint signed, Writer* out) noexcept nogil
    cdef int check_known(self, StockIn* request, Writer* out) noexcept nogil
    cdef void keep_tracked(self, StockIn* request) noexcept nogil
    cdef void write_position(self, int64_t item, int64_t location, uint32_t field, Writer* out) noexcept nogil
