# Handlers about goods on their way.
from ringup.native.command cimport Command
from ringup.native.stock_sell cimport StockSales
from ringup.native.wire cimport Span, Writer

cdef class ReorderCommands(StockSales):
    cdef int expect_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int reorder_stock(self, Command* command, Writer* out) noexcept nogil
    cdef int list_reorders(self, Span request, Writer* out) noexcept nogil
