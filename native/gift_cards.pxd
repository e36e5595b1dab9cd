# Gift cards: one row a card.  What a card was loaded with, what it paid and what came back never shrink, so the
# balance is always the sum of its movements.
from libc.stdint cimport int64_t, uint32_t

from ringup.native.catalog cimport Catalog, Text
from ringup.native.command cimport Command
from ringup.native.index cimport Index
from ringup.native.table cimport Table
from ringup.native.wire cimport Span, Writer

cdef enum:
    GIFT_CARD_BLOCKED = 1

cdef struct GiftCardRow:
    Text code
    uint32_t flags
    uint32_t padding
    int64_t loaded_minor
    int64_t spent_minor
    int64_t refunded_minor

cdef class GiftCards:
    cdef readonly list tables
    cdef Catalog catalog  # keeps the codes
    cdef Table cards
    cdef Index card_index

    cdef inline const GiftCardRow* card(self, int64_t row) noexcept nogil:
        return <const GiftCardRow*>self.cards.row(row)

    cdef inline int64_t balance_minor(self, int64_t row) noexcept nogil:
        return self.card(row).loaded_minor + self.card(row).refunded_minor - self.card(row).spent_minor

    cdef void rebuild(self) noexcept nogil
    cdef int64_t find(self, Span code) noexcept nogil
    cdef int check_pays(self, Span code, const char* field, int64_t index, int64_t* row, Writer* out) noexcept nogil
    cdef int check_takes(
        self, Span code, const char* field, int64_t amount_minor, int64_t* row, Writer* out
    ) noexcept nogil
    cdef void spend(self, int64_t row, int64_t amount_minor) noexcept nogil
    cdef void refund(self, int64_t row, int64_t amount_minor) noexcept nogil

    cdef int handle(self, int kind, Command* command, Writer* out) noexcept nogil
    cdef int issue(self, Command* command, Writer* out) noexcept nogil
    cdef int check_issue(self, Span body, Writer* out) noexcept nogil
    cdef int top_up(self, Command* command, Writer* out) noexcept nogil
    cdef int block(self, Command* command, Writer* out) noexcept nogil
    cdef int get_gift_card(self, Span request, Writer* out) noexcept nogil
