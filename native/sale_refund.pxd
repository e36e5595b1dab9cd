# What comes back refunds what was paid.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.sale_book cimport SaleChargeRow, SaleLineRow
from ringup.native.sale_request cimport SaleRequests

cdef class SaleRefunds(SaleRequests):
    cdef int64_t* weights  # scratch, by line of the return

    cdef void refund_line(self, SaleLineRow* sold, int64_t before_milli, int64_t qty_milli) noexcept nogil
    cdef void refund_charge(self, SaleChargeRow* sold) noexcept nogil
    cdef int64_t taxes_of(self, uint32_t tax_set, uint32_t first_tax, int64_t tax_minor, int64_t* taxes) noexcept nogil
    cdef int64_t charges_paid(self, int64_t original, bint returned) noexcept nogil
    cdef void scale_refund(self, int64_t refund_minor) noexcept nogil
