# How a sale is paid and a return is paid back.
from libc.stdint cimport int64_t

from ringup.native.limits cimport TENDERS_MAX
from ringup.native.sale_book cimport SaleBook
from ringup.native.tender cimport CashRule
from ringup.native.wire cimport Span, Writer

cdef struct TenderIn:
    int64_t method
    int64_t amount_minor
    Span reference
    int64_t gift_card  # row, for that method

cdef class SaleTenders(SaleBook):
    cdef TenderIn[TENDERS_MAX] tenders
    cdef int64_t tender_count, cash_rounding_minor, change_minor

    cdef bint read_tender(self, Span body) noexcept nogil
    cdef int check_tenders(self, Writer* out) noexcept nogil
    cdef CashRule cash_rule(self) noexcept nogil
    cdef int settle(self, Writer* out) noexcept nogil
    cdef int check_gift_cards(self, Writer* out) noexcept nogil
    cdef int check_balances(self, Writer* out) noexcept nogil
    cdef void spend_gift_cards(self) noexcept nogil
    cdef void refund_tender(self, int64_t method, Span reference, int64_t gift_card) noexcept nogil
