# Goods that a till elsewhere sold.
from libc.stdint cimport int64_t

from ringup.native.command cimport Command
from ringup.native.stock_goods cimport GoodsCommands
from ringup.native.wire cimport Writer

cdef class StockSales(GoodsCommands):
    cdef int sell_stock(self, Command* command, Writer* out) noexcept nogil
    cdef void plan_kit_sale(self, int64_t index, int64_t location) noexcept nogil
