# Taxes of a basket: several on a line, inclusive and added, compound, per unit, dated, exact until rounded.
#
# A caller opens with `taxes_begin`, gives each line and charge with `taxes_place` and `taxes_book`, and
# closes with `taxes_finish`; then each place has its parts, and they sum to the named taxes.
from libc.stdint cimport int32_t, int64_t

from ringup.native.pricing_rates cimport Taxes
from ringup.native.pricing_state cimport Basket
from ringup.native.promotion cimport Rules, Snapshot

cdef void taxes_begin(Taxes* taxes, int64_t at_ns) noexcept nogil
cdef void taxes_place(Taxes* taxes, int32_t tax_class) noexcept nogil
cdef void taxes_book(Taxes* taxes, Rules* rules, int64_t amount, int64_t qty_milli, int64_t times) noexcept nogil
cdef void taxes_add(Taxes* taxes, Rules* rules, int32_t tax_class, int64_t amount, int64_t qty_milli) noexcept nogil
cdef void taxes_finish(Taxes* taxes, Rules* rules) noexcept nogil
cdef void taxes_compute(Taxes* taxes, Basket* basket, Rules* rules, bint with_charges) noexcept nogil
cdef int64_t net_for_saving(Basket* basket, Snapshot snapshot, int64_t amount, const int32_t* charges,
                            int64_t charge_count) noexcept nogil
