# Sales and returns in one object.
#
# The classes build on each other, one idea each: the book, tenders, stock, requests and receipts, refunds, returns,
# and the sale itself, which puts them together.
from libc.stdint cimport uint64_t

from ringup.native.command cimport Command
from ringup.native.sale_returns cimport SaleReturns
from ringup.native.wire cimport Writer

cdef class Sales(SaleReturns):
    cdef int sell(self, Command* command, uint64_t body_hash, Writer* out) noexcept nogil
