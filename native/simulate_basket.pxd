# The basket of a Simulate request.
from libc.stdint cimport int64_t

from ringup.native.pricing_rates cimport Taxes
from ringup.native.pricing_state cimport Basket
from ringup.native.wire cimport Span, Writer

cdef struct BookLine:  # a line that asks for its price
    int64_t line
    Span uom

cdef class SimulatedBasket:
    cdef Basket basket
    cdef Taxes taxes
    cdef Writer out
    cdef Span currency
    cdef BookLine* book_lines
    cdef int64_t book_line_count, book_line_capacity
    cdef bint explains_prices
    cdef bint has_program
    cdef Span program_body
    cdef int64_t opening_micro
    cdef bint redeems

    cdef int refused(
        self, int code, const char* field, int64_t index, Span subject, int64_t found, int64_t limit
    ) noexcept nogil
    cdef int read_basket(self, Span body) noexcept nogil
    cdef int read_line(self, Span body, int64_t index) noexcept nogil
    cdef int read_charge(self, Span body, int64_t index) noexcept nogil
