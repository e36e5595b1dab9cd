# Handlers about goods and rules: receipts, corrections, counts, transfers, policies, channels, till sales.
from libc.stdint cimport int64_t

from ringup.native.command cimport Command
from ringup.native.stock_request cimport LineIn, StockIn, StockRequests
from ringup.native.wire cimport Span, Writer

cdef class GoodsCommands(StockRequests):
    cdef int receive_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int adjust_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int sell_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int count_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int transfer_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int remove_position(self, Command* command, Writer* out) noexcept nogil
    cdef int bar_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int expect_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int reorder_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int list_reorders(self, Span request, Writer* out) noexcept nogil

    cdef void plan_kit_sale(self, int64_t index, int64_t location) noexcept nogil
    cdef int64_t line_lot(self, LineIn* line) noexcept nogil
    cdef int64_t lot_position(self, LineIn* line, int64_t location) noexcept nogil
    cdef void change_level(self, int64_t item, int64_t location, int64_t change_milli) noexcept nogil
    cdef bint has_lot_lines(self, int64_t item, int64_t line_count) noexcept nogil
    cdef int check_level(
        self, int64_t item, int64_t level_milli, int64_t line, const char* field, Span subject, Writer* out
    ) noexcept nogil
