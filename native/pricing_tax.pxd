# Taxes of a basket: several on a line, inclusive and added, compound, per unit, dated, exact until rounded.
#
# On an amount G of a class every tax is a line a*N + b in the unknown net amount N: a percentage has
# a = rate * (1 + a of the taxes in its base), a tax by quantity has b = amount * quantity.  The
# inclusive ones are inside G, so N = (G - sum b) / (1 + sum a).  All a and b of a class share one
# denominator, so nothing is rounded before the place that the rules name.
from libc.stdint cimport int32_t, int64_t

from ringup.native.money cimport int128
from ringup.native.pricing_state cimport Basket
from ringup.native.promotion cimport Rules, Snapshot
from ringup.native.wire cimport Span

cdef enum:
    RATES_MAX = 8

cdef struct Rate:
    Span name
    int64_t rate_ppb
    int64_t per_unit
    bint inclusive
    int32_t base  # bit i: rate i of the class enlarges the base
    int32_t key  # row in Taxes.keys
    int64_t from_ns
    int64_t to_ns

cdef struct TaxKey:  # one row of the tax table
    Span name
    bint inclusive
    int64_t tax
    int64_t net
    bint seen
    int128 numerator  # exact sums of round_at total
    int128 denominator
    int64_t whole

cdef struct TaxClass:
    Span id
    Rate[8] rates
    int32_t rate_count
    # forms of the rates that are live now
    int64_t formed_ns
    bint formed
    bint by_quantity
    int128[8] slopes  # n_i: a_i = n_i / denominator
    int128[8] steps  # b_i of one unit, over the denominator
    bint[8] live
    int128 denominator
    int128 inside  # denominator + the slopes of the inclusive ones
    int128 inside_steps
    # sums of round_at total
    int128 gross
    int128 qty_milli
    bint touched

cdef struct Taxes:
    TaxClass* classes
    int64_t class_count
    int64_t class_capacity
    TaxKey* keys
    int64_t key_count
    int64_t key_capacity
    int64_t* added  # by line, then by charge
    int64_t* included
    int64_t* order  # keys in order of first use
    int64_t order_count
    int64_t added_capacity
    int64_t included_capacity
    int64_t order_capacity
    int64_t tax_added
    int64_t tax_included
    bint defect

cdef void taxes_clear(Taxes* taxes) noexcept nogil
cdef void taxes_free(Taxes* taxes) noexcept nogil
cdef void add_class(Taxes* taxes, Span id) noexcept nogil
cdef void add_rate(Taxes* taxes, Span name, int64_t rate_ppb, bint inclusive) noexcept nogil
cdef bint taxes_read(Taxes* taxes, Span class_body) noexcept nogil
cdef int32_t tax_class_row(Taxes* taxes, Span id) noexcept nogil
cdef void taxes_compute(Taxes* taxes, Basket* basket, Rules* rules, bint with_charges) noexcept nogil
cdef int64_t net_for_saving(Basket* basket, Snapshot snapshot, int64_t amount, const int32_t* charges,
                            int64_t charge_count) noexcept nogil
