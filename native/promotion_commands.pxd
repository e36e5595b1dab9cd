# Commands and queries of promotions.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport Catalog
from ringup.native.command cimport Command
from ringup.native.promotion_book cimport PromotionBook
from ringup.native.wire cimport Span, Writer

cdef class PromotionCommands:
    cdef Catalog catalog
    cdef PromotionBook book

    cdef int put_promotions(self, Command* command, Writer* out) noexcept nogil
    cdef int set_state(self, Command* command, Writer* out) noexcept nogil
    cdef int put_rules(self, Command* command, Writer* out) noexcept nogil
    cdef bint rules_are_sound(self, Span rules) noexcept with gil
    cdef int put_coupons(self, Command* command, Writer* out) noexcept nogil
    cdef bint takes_codes(self, int64_t row) noexcept nogil

    cdef int check_all(self, Span body, uint32_t field, Writer* out) noexcept nogil
    cdef int check(self, Span body, uint32_t field, Writer* out) noexcept with gil
    cdef int check_free_items(self, dict ids, list edges, Writer* out)

    cdef int check_promotions(self, Span request, Writer* out) noexcept nogil
    cdef int list_promotions(self, Span request, Writer* out) noexcept nogil
    cdef void write_published(self, Writer* out, int64_t row) noexcept nogil
