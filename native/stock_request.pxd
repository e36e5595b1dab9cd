# What the requests of stock have in common: lines, scopes, the checks on them, and answers.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport ITEM_KIT, ITEM_MEASURED, ITEM_UNTRACKED, Catalog
from ringup.native.stock cimport Demand, Stock
from ringup.native.stock_lines cimport Chain
from ringup.native.stock_scope cimport ScopeIn, Want
from ringup.native.stock_tally cimport Tally
from ringup.native.wire cimport Span, Writer

# One line of a request, read in place.
cdef struct LineIn:
    Span code
    Span location_code
    Span lot_code
    int64_t item  # row, or -1
    int64_t location  # row, or -1: none named or unknown
    int64_t qty_milli
    int64_t received_ns
    int64_t expires_ns
    bint barred

# What a request says; each handler reads the fields that it has.
cdef struct StockIn:
    Span location_code, item_code, hold_id, order_id, text, to_code, lot_code, scope
    Span channel_code, collection_code  # of the scope
    int64_t location, item  # rows, or -1
    int64_t qty_milli, ttl_ms
    int64_t line_count, scope_place_count
    bint flag, has_qty, has_scope, bad

cdef class StockRequests:
    cdef Catalog catalog
    cdef Stock stock
    cdef LineIn* lines  # scratch: of the request at hand, at most LINES_MAX
    cdef Want* wants  # scratch: their sums
    cdef int64_t want_count
    cdef int64_t want_capacity
    cdef Tally sums  # scratch
    cdef ScopeIn scope  # of the request at hand

    cdef inline bint is_measured(self, int64_t item) noexcept nogil:
        return self.catalog.item(item).flags & (ITEM_MEASURED | ITEM_KIT) == ITEM_MEASURED  # kits are whole

    cdef inline bint is_tracked(self, int64_t item) noexcept nogil:
        return self.catalog.item(item).flags & ITEM_UNTRACKED == 0

    cdef inline bint is_kit(self, int64_t item) noexcept nogil:
        return self.catalog.item(item).flags & ITEM_KIT != 0

    cdef bint stands(self, int64_t item, int64_t location) noexcept nogil
    cdef int64_t most_kits_milli(self, int64_t item) noexcept nogil
    cdef int check_stocked(self, StockIn* request, Writer* out) noexcept nogil
    cdef void read_line(self, Span body, StockIn* request) noexcept nogil
    cdef void read_scope(self, Span body, StockIn* request) noexcept nogil
    cdef void find_named(self, StockIn* request) noexcept nogil
    cdef int check_line_count(self, StockIn* request, Writer* out) noexcept nogil
    cdef int check_quantities(self, StockIn* request, bint signed, bint sold, Writer* out) noexcept nogil
    cdef int check_quantity(self, StockIn* request, int64_t qty_milli, const char* field, Writer* out) noexcept nogil
    cdef int check_known(self, StockIn* request, bint located, Writer* out) noexcept nogil
    cdef int check_item_and_place(self, StockIn* request, bint located, Writer* out) noexcept nogil
    cdef int check_goods(self, StockIn* request, Writer* out) noexcept nogil
    cdef int check_item_goods(self, StockIn* request, Writer* out) noexcept nogil
    cdef int check_scope(self, StockIn* request, Writer* out) noexcept nogil
    cdef int check_positions(self, StockIn* request, Writer* out) noexcept nogil
    cdef void sum_wants(self, StockIn* request) noexcept nogil
    cdef Want want_of(self, int64_t line) noexcept nogil
    cdef int refuse_short(self, StockIn* request, uint32_t short_field, Writer* out) noexcept nogil
    cdef void write_shorts(self, uint32_t short_field, Writer* out) noexcept nogil
    cdef void write_plan(self, uint32_t field, Writer* out) noexcept nogil
    cdef void write_plan_of_kits(self, uint32_t field, Writer* out) noexcept nogil
    cdef void write_chain(self, const Chain* chain, uint32_t field, Writer* out) noexcept nogil
    cdef void write_take(
        self, uint32_t field, int64_t item, int64_t location, int64_t lot, int64_t qty_milli, bint owed, int64_t kit,
        Writer* out
    ) noexcept nogil
    cdef void write_positions(self, StockIn* request, uint32_t field, Writer* out) noexcept nogil
    cdef void write_position(self, int64_t item, int64_t location, uint32_t field, Writer* out) noexcept nogil

cdef int refuse_hold(Writer* out, int code, Span hold_id) noexcept nogil
cdef int refuse_hold_id(Writer* out, Span hold_id) noexcept nogil
