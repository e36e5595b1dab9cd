# Tax classes as pricing sees them: the rates of each and their exact forms.
#
# On an amount G of a class every tax is a line a*N + b in the unknown net amount N: a percentage has
# a = rate * (1 + a of the taxes in its base), a tax by quantity has b = amount * quantity.  The
# inclusive ones are inside G, so N = (G - sum b) / (1 + sum a).  All a and b of a class share one
# denominator, so nothing is rounded before the place that the rules name.
from libc.stdint cimport int32_t, int64_t

from ringup.native.money cimport int128
from ringup.native.wire cimport Span

cdef enum:
    RATES_MAX = 8

cdef struct Rate:
    Span name
    int32_t symbol  # of the name in the catalog, NO_SYMBOL where the name stands alone
    int64_t rate_ppb
    int64_t per_unit
    bint inclusive
    int32_t base  # bit i: rate i of the class enlarges the base
    int32_t key  # row in Taxes.keys
    int64_t from_ns
    int64_t to_ns

cdef struct TaxKey:  # a named tax
    Span name
    int32_t symbol
    bint inclusive
    int64_t tax
    int64_t net
    bint seen
    int32_t owner  # the class of this basket that has it, the first where several have
    int32_t owner_rate
    bint shared  # by several classes of this basket, or several rates of one
    int128 numerator  # exact sums of round_at total
    int128 denominator
    int64_t whole

cdef struct TaxClass:
    Span id
    Rate[8] rates
    int32_t rate_count
    bint loaded
    bint dated  # a rate has a time
    # forms of the rates that are live now
    int64_t formed_ns
    bint formed
    bint unfit  # beyond what can be computed exactly
    bint by_quantity
    bint narrow  # slopes and inside are below 2^30 and 2^31
    bint small  # so far in this basket, and no amount is beyond 2^31 or below zero
    int128[8] slopes  # n_i: a_i = n_i / denominator
    int128[8] steps  # b_i of one unit, over the denominator
    bint[8] live
    int128 denominator
    int128 inside  # denominator + the slopes of the inclusive ones
    int128 inside_steps
    # sums over the basket, of round_at total
    int128 gross
    int128 qty_milli
    bint touched

cdef struct TaxPlace:  # a line or charge
    int32_t tax_class  # NO_SYMBOL: untaxed
    int32_t first  # of its class's rate_count parts
    int64_t amount  # what its taxes are computed on, inclusive ones in it
    int64_t qty_milli
    int64_t included
    int64_t added

cdef struct Taxes:
    TaxClass* classes
    int64_t class_count
    int64_t class_capacity
    TaxKey* keys
    int64_t key_count
    int64_t key_capacity
    # of the basket at hand
    int64_t at_ns
    TaxPlace* places  # lines, then charges
    int64_t place_count
    int64_t place_capacity
    int64_t* parts  # by place, then rate
    int64_t part_count
    int64_t part_capacity
    int128* rests
    int64_t rest_capacity
    int32_t* touched  # classes, in order of first use
    int64_t touched_count
    int64_t touched_capacity
    int64_t* order  # keys, in order of first use
    int64_t order_count
    int64_t order_capacity
    int64_t tax_added
    int64_t tax_included
    bint beyond  # a tax is beyond the limits: the numbers mean nothing

cdef void taxes_clear(Taxes* taxes) noexcept nogil
cdef void taxes_free(Taxes* taxes) noexcept nogil
cdef void taxes_make_room(Taxes* taxes, int64_t classes) noexcept nogil
cdef Rate* add_rate(TaxClass* at, int32_t symbol, int64_t rate_ppb, int64_t per_unit, bint inclusive,
                    int32_t base) noexcept nogil
cdef void name_rates(Taxes* taxes, TaxClass* at) noexcept nogil
cdef bint taxes_read(Taxes* taxes, Span class_body) noexcept nogil
cdef int32_t tax_class_row(Taxes* taxes, Span id) noexcept nogil
cdef void form_rates(TaxClass* at, int64_t now_ns) noexcept nogil
cdef int128 common_divisor(int128 a, int128 b) noexcept nogil
