# Exact integer arithmetic: 128-bit products, named rounding, shares that sum.
from libc.stdint cimport int64_t

cdef extern from *:
    # Cython only needs a wide integer by name; the C compiler makes it 128 bits.
    ctypedef long long int128 "__int128"

cdef enum Rounding:
    HALF_UP = 0  # ties away from zero: the commercial rule (EN 16931, ARTS)
    HALF_DOWN = 1
    HALF_EVEN = 2
    UP = 3  # away from zero
    DOWN = 4  # toward zero
    CEILING = 5
    FLOOR = 6

cdef inline int128 divide(int128 numerator, int128 denominator, int rounding) noexcept nogil:
    """numerator / denominator (> 0) rounded to an integer; symmetric around zero but for CEILING and FLOOR."""
    cdef bint negative = numerator < 0
    cdef int128 size = -numerator if negative else numerator
    cdef int128 quotient = size / denominator
    cdef int128 rest = size - quotient * denominator
    if rest != 0:
        if rounding == HALF_UP:
            quotient += 2 * rest >= denominator
        elif rounding == HALF_DOWN:
            quotient += 2 * rest > denominator
        elif rounding == HALF_EVEN:
            quotient += 2 * rest > denominator or (2 * rest == denominator and quotient % 2 == 1)
        elif rounding == UP:
            quotient += 1
        elif rounding == CEILING:
            quotient += not negative
        elif rounding == FLOOR:
            quotient += negative
    return -quotient if negative else quotient

cdef inline int64_t multiply_divide(int64_t a, int64_t b, int64_t divisor, int rounding) noexcept nogil:
    """a * b / divisor (> 0), exact in between; the caller keeps the result within int64 by the limits."""
    return <int64_t>divide(<int128>a * b, divisor, rounding)

cdef int64_t share_until(int64_t amount, int64_t qty_milli, int64_t whole_milli) noexcept nogil
cdef void allocate(int64_t amount, const int64_t* weights, int64_t* shares, int64_t count) noexcept nogil
