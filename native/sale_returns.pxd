# Returns: what may come back of a sale, and what becomes of it.
from libc.stdint cimport int64_t, uint64_t

from ringup.native.command cimport Command
from ringup.native.sale_refund cimport SaleRefunds
from ringup.native.wire cimport Span, Writer

# What a ReturnLinesRequest says.
cdef struct ReturnIn:
    Span body, till, sale_id, receipt_till, reason, refund_reference, original_sale
    int64_t receipt_number, refund_method, refund_policy, line_count, charge_count
    bint bad

cdef struct ReturnLineIn:
    int64_t line, qty_milli
    bint scrapped, bad

cdef class SaleReturns(SaleRefunds):
    cdef int64_t* sold_milli  # by line of the sale that a return is of
    cdef int64_t* kept_milli
    cdef Writer kept

    cdef int return_lines(self, Command* command, uint64_t body_hash, Writer* out) noexcept nogil
    cdef ReturnIn read_return(self, Span body) noexcept nogil
    cdef ReturnLineIn read_return_line(self, Span body) noexcept nogil
    cdef int check_return(self, ReturnIn* asked, Writer* out) noexcept nogil
    cdef int64_t find_original(self, ReturnIn* asked) noexcept nogil
    cdef int check_return_line(
        self, ReturnLineIn* line, int64_t index, int64_t original, Writer* out
    ) noexcept nogil
    cdef int check_return_charge(self, Span id, int64_t index, int64_t original, Writer* out) noexcept nogil
    cdef void take_back(self, ReturnIn* asked, int64_t original, int64_t location, Writer* out) noexcept nogil
    cdef int price_kept(self, ReturnIn* asked, int64_t original, int64_t* total_minor, Writer* out) noexcept nogil
    cdef void give_back_promotions(self, int64_t original, int64_t now_ns) noexcept nogil
