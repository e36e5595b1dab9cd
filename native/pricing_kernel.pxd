# The price of a basket: one function for sales, quotes and trials.
#
# It is pure: the basket, the snapshot of promotions and the taxes go in, prices and their reasons
# come out, nothing else is read or written.  No Python object, no clock, no float.
from libc.stdint cimport int32_t, int64_t

from ringup.native.pricing_state cimport Basket, Verdict
from ringup.native.pricing_tax cimport Taxes
from ringup.native.promotion cimport Promotion, Snapshot

cdef int64_t price_basket(Basket* basket, Snapshot snapshot, Taxes* taxes) noexcept nogil
cdef bint conditions_hold(Basket* basket, Snapshot snapshot, Promotion* promotion, Verdict* verdict) noexcept nogil
cdef bint apply_promotion(Basket* basket, Snapshot snapshot, int32_t number, Verdict* verdict) noexcept nogil
cdef int coupon_outcome(Basket* basket, Snapshot snapshot, int64_t coupon, int32_t* promotion) noexcept nogil
