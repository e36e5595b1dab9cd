"""Exact integer money: rounding by name and shares that always sum to the whole."""

from libc.stdint cimport int64_t
from libc.stdlib cimport abort, free, malloc


cdef int64_t share_until(int64_t amount, int64_t qty_milli, int64_t whole_milli) noexcept nogil:
    """What the first `qty_milli` of `whole_milli` (> 0) have of an amount: the shares of parts always sum to it.

    Whole units have equal shares, the first units one more where it does not come out even; a quantity that is
    not whole is shared in proportion, as is a part of one unit.
    """
    cdef int64_t units = whole_milli // 1000, at = qty_milli // 1000, size, share
    if whole_milli % 1000:
        return multiply_divide(amount, qty_milli, whole_milli, HALF_UP)
    size = -amount if amount < 0 else amount
    share = size // units * at + min(at, size % units)
    if qty_milli % 1000:
        share += multiply_divide(size // units + (at < size % units), qty_milli % 1000, 1000, HALF_UP)
    return -share if amount < 0 else share


cdef void allocate(int64_t amount, const int64_t* weights, int64_t* shares, int64_t count) noexcept nogil:
    """Split `amount` over `count` lines by weight (>= 0), largest remainder, ties to the first line.

    The shares sum to `amount` exactly.  With all weights zero the first lines get the units.
    Each floor loses less than one unit, so fewer than `count` units remain to be given out.
    """
    cdef int128 total = 0
    cdef int64_t i, best, given = 0, size = -amount if amount < 0 else amount
    cdef int64_t sign = -1 if amount < 0 else 1
    cdef int128* rests
    if count <= 0:
        return
    for i in range(count):
        total += weights[i]
    rests = <int128*>malloc(count * sizeof(int128))
    if rests == NULL:
        abort()
    for i in range(count):
        if total == 0:
            shares[i] = size / count
            rests[i] = 0
        else:
            shares[i] = <int64_t>(<int128>size * weights[i] / total)
            rests[i] = <int128>size * weights[i] - <int128>shares[i] * total
        given += shares[i]
    while given < size:
        best = 0
        for i in range(1, count):
            if rests[i] > rests[best]:
                best = i
        shares[best] += 1
        rests[best] = -1
        given += 1
    for i in range(count):
        shares[i] *= sign
    free(rests)


def round_divide(numerator: int, denominator: int, rounding: int = HALF_UP) -> int:
    """`numerator / denominator` rounded by one of the ROUNDING_* numbers; for tests and tools."""
    if denominator <= 0:
        raise ValueError(f"the denominator must be above zero, found {denominator}")
    return <int64_t>divide(<int64_t>numerator, <int64_t>denominator, rounding)


def multiply_divide_rounded(a: int, b: int, divisor: int, rounding: int = HALF_UP) -> int:
    """`a * b / divisor`, rounded once, with a 128-bit product between."""
    if divisor <= 0:
        raise ValueError(f"the divisor must be above zero, found {divisor}")
    return multiply_divide(a, b, divisor, rounding)


def first_share(amount: int, qty_milli: int, whole_milli: int) -> int:
    """What the first `qty_milli` of `whole_milli` have of an amount: refunds of parts sum to the whole."""
    if not 0 <= qty_milli <= whole_milli or whole_milli == 0:
        raise ValueError(f"a part must be within a whole above zero, found {qty_milli} of {whole_milli}")
    return share_until(amount, qty_milli, whole_milli)


def allocate_shares(amount: int, weights: list[int]) -> list[int]:
    """Shares of `amount` by `weights`, largest remainder; they sum to `amount`."""
    cdef int64_t count = len(weights), i
    if count == 0 or min(weights) < 0:
        raise ValueError(f"weights must be one or more numbers not below zero, found {weights}")
    cdef int64_t* buffer = <int64_t*>malloc(2 * count * sizeof(int64_t))
    if buffer == NULL:
        raise MemoryError
    try:
        for i in range(count):
            buffer[i] = weights[i]
        allocate(amount, buffer, buffer + count, count)
        return [buffer[count + i] for i in range(count)]
    finally:
        free(buffer)
