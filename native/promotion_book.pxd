# What is used of promotions: counters, single-use coupons, and what each sale took.
from libc.stdint cimport int32_t, int64_t, uint32_t

from ringup.native.index cimport Index
from ringup.native.pricing_state cimport Basket
from ringup.native.promotion_versions cimport Bytes, PromotionVersions
from ringup.native.table cimport Table
from ringup.native.wire cimport Span

cdef struct CouponRow:
    Bytes code
    int64_t promotion  # row
    int64_t sale  # row + 1 of the sale that used it

cdef struct CustomerUseRow:
    Bytes customer
    int64_t promotion  # row
    int64_t uses

cdef struct TakenRow:  # a promotion that a sale used
    int64_t promotion  # row
    int64_t discount_minor
    uint32_t customer_use  # row + 1
    uint32_t coupon  # row + 1

cdef class PromotionBook(PromotionVersions):
    cdef Table coupons, customer_uses, taken
    cdef Index coupon_index, customer_index
    cdef Span customer  # of the basket at hand
    # A sale that is priced again: what it used is not used as long.
    cdef int64_t aside_first, aside_count
    cdef int64_t aside_sale  # row + 1

    cdef int64_t find_coupon(self, Span code) noexcept nogil
    cdef int64_t find_customer_use(self, Span customer, int64_t promotion) noexcept nogil
    cdef int64_t customer_count(self, int32_t place) noexcept with gil
    cdef void add_coupon_code(self, Basket* basket, Span code) noexcept nogil
    cdef void take(self, Basket* basket, Span customer, int64_t sale, int64_t* first, int64_t* count) noexcept nogil
    cdef void set_aside(self, int64_t sale, int64_t first, int64_t count) noexcept nogil
    cdef void put_back(self) noexcept nogil
    cdef void give_back(self, int64_t first, int64_t count) noexcept nogil

cdef int64_t customer_uses(void* context, int32_t place) noexcept with gil
