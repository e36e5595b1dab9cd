# The rules of a loyalty program, and the arithmetic of points.  Sell, PriceBasket and Simulate are these functions.
from libc.stdint cimport int64_t

from ringup.native.index cimport Index
from ringup.native.money cimport HALF_UP, divide, int128
from ringup.native.wire cimport Span

cdef extern from *:
    """
    #define POINT_MICRO 1000000LL
    #define POINTS_MICRO_MAX 1000000000000000000LL  /* a balance: 10^12 points */
    #define EARN_POINTS_MICRO_MAX 1000000000000000LL
    """
    const int64_t POINT_MICRO
    const int64_t POINTS_MICRO_MAX
    const int64_t EARN_POINTS_MICRO_MAX

cdef enum:
    PROGRAM_BYTES_MAX = 16000
    PROGRAM_NAMES_MAX = 4000  # items and categories that earn

cdef struct Program:
    int64_t earn_basis  # EarnBasis
    int64_t earn_points_micro
    bint earn_before_redemption
    int64_t burn_points
    int64_t value_minor_per_point
    Span reward_item
    int64_t reward_qty
    Index names  # of what earns; empty when all goods do
    Span* texts
    int64_t name_count
    int64_t category_from  # texts from here on are categories

cdef struct Defect:
    int code  # ResultCode, 0 when there is none
    const char* field
    int64_t found
    int64_t limit

# What one basket does to a balance.
cdef struct Tally:
    int64_t earned_micro
    int64_t burned_micro
    int64_t redeemed_minor
    bint rewarded  # the reward item goes with it

cdef Defect program_read(Program* program, Span body) noexcept nogil
cdef void program_free(Program* program) noexcept nogil
cdef bint program_takes(Program* program, Span item, const Span* categories, int64_t category_count) noexcept nogil

cdef inline int64_t offer_minor(Program* program, int64_t balance_micro) noexcept nogil:
    """What a balance can take off goods at most, in one redemption; zero when it does not suffice."""
    if program.burn_points == 0 or balance_micro < program.burn_points * POINT_MICRO or program.reward_item.size:
        return 0
    return program.burn_points * program.value_minor_per_point

cdef inline bint rewards(Program* program, int64_t balance_micro) noexcept nogil:
    """Whether a balance buys the reward item."""
    return program.reward_item.size > 0 and balance_micro >= program.burn_points * POINT_MICRO

cdef inline int64_t burned_micro(Program* program, int64_t redeemed_minor) noexcept nogil:
    """The whole points that an amount taken off costs."""
    if program.value_minor_per_point == 0:
        return 0
    return (redeemed_minor + program.value_minor_per_point - 1) // program.value_minor_per_point * POINT_MICRO

# What the goods that count earn, or POINTS_MICRO_MAX + 1 where that is beyond all limits.
cdef int64_t earned_micro(
    Program* program, int64_t qty_milli, int64_t paid_minor, int64_t redeemed_minor, int exponent
) noexcept nogil
