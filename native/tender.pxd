# Paying: what is due in cash, and what change it gives.  Sell, ReturnLines and Simulate are this one function.
from libc.stdint cimport int64_t

from ringup.native.money cimport divide

cdef extern from *:
    """
    #define NOT_GIVEN INT64_MIN
    """
    const int64_t NOT_GIVEN

# How an amount in cash meets the coins that there are.
cdef struct CashRule:
    int64_t increment_minor  # the smallest coin, above zero
    int rounding  # of money.pxd

cdef struct Payment:
    bint cash
    int64_t amount_minor  # NOT_GIVEN takes what the others leave
    int64_t tendered_minor  # handed over in cash, or NOT_GIVEN

cdef struct Settlement:
    int64_t due_minor  # what the payments bring in all
    int64_t rounding_minor
    int64_t change_minor

cdef inline int64_t round_cash(int64_t amount_minor, CashRule* rule) noexcept nogil:
    """An amount in coins that exist; symmetric around zero, so a return mirrors its sale."""
    return <int64_t>divide(amount_minor, rule.increment_minor, rule.rounding) * rule.increment_minor

cdef Settlement settle_payments(
    const Payment* payments, int64_t count, int64_t total_minor, CashRule* rule
) noexcept nogil
