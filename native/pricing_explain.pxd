# The reasons of a price, written as messages: what applied, how often and where, or why not.
from libc.stdint cimport uint32_t

from ringup.native.pricing_state cimport Basket
from ringup.native.pricing_rates cimport Taxes
from ringup.native.promotion cimport Snapshot
from ringup.native.wire cimport Writer

cdef void write_explained(
    Writer* out, uint32_t field, Basket* basket, Snapshot snapshot, bint reasons
) noexcept nogil
cdef void write_coupons(Writer* out, uint32_t field, Basket* basket, Snapshot snapshot) noexcept nogil
cdef void write_free(Writer* out, uint32_t field, Basket* basket, Snapshot snapshot) noexcept nogil
cdef void write_charges(Writer* out, uint32_t field, Basket* basket, Taxes* taxes) noexcept nogil
cdef void write_taxes(Writer* out, uint32_t field, Taxes* taxes) noexcept nogil
cdef void write_search(Writer* out, uint32_t field, Basket* basket) noexcept nogil
