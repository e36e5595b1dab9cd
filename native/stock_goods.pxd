# Handlers about goods: receipts, corrections, counts, transfers, what is barred.
from libc.stdint cimport int64_t

from ringup.native.command cimport Command
from ringup.native.stock_request cimport LineIn, StockRequests
from ringup.native.wire cimport Span, Writer

cdef class GoodsCommands(StockRequests):
    cdef int receive_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int adjust_stock(self, Command* command, Writer* out) noexcept nogil
    cdef bint has_lot_lines(self, int64_t item, int64_t line_count) noexcept nogil
    cdef int count_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int transfer_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int remove_position(self, Command* command, Writer* out) noexcept nogil
    cdef int bar_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int64_t line_lot(self, LineIn* line) noexcept nogil
    cdef int64_t lot_position(self, LineIn* line, int64_t location) noexcept nogil
    cdef void change_level(self, int64_t item, int64_t location, int64_t change_milli) noexcept nogil
    cdef int check_level(
        self, int64_t item, int64_t level_milli, int64_t line, const char* field, Span subject, Writer* out
    ) noexcept nogil
