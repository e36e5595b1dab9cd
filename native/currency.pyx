"""Currencies: which have a minor unit that is not a hundredth, and which codes there are (ISO 4217)."""

from libc.stdint cimport int64_t

from ringup.native.money cimport HALF_UP, divide, int128
from ringup.native.wire cimport Span

cdef const char* _NONE = (
    b"BIFCLPDJFGNFISKJPYKMFKRWPYGRWF"
    b"UGXUYIVNDVUVXAFXOFXPF"
)
cdef const char* _THREE = b"BHDIQDJODKWDLYDOMRTND"
cdef const char* _FOUR = b"CLFUYW"
cdef const char* _HUNDREDTHS = (
    b"AEDAFNALLAMDANGAOAARSAUDAWGAZNBAMBBDBDTBGNBMDBNDBOBBOVBRLBSDBTNBWPBYNBZDCADCDFCHECHFCHWCNYCOPCOU"
    b"CRCCUCCUPCVECZKDKKDOPDZDEGPERNETBEURFJDFKPGBPGELGHSGIPGMDGTQGYDHKDHNLHRKHTGHUFIDRILSINRIRRJMDKES"
    b"KGSKHRKPWKYDKZTLAKLBPLKRLRDLSLMADMDLMGAMKDMMKMNTMOPMRUMURMVRMWKMXNMXVMYRMZNNADNGNNIONOKNPRNZDPAB"
    b"PENPGKPHPPKRPLNQARRONRSDRUBSARSBDSCRSDGSEKSGDSHPSLESLLSOSSRDSSPSTNSVCSYPSZLTHBTJSTMTTOPTRYTTDTWD"
    b"TZSUAHUSDUSNUYUUZSVEDVESWSTXCDYERZARZMWZWLZWG"
)


cdef bint _stands_in(const char* codes, const char* code) noexcept nogil:
    while codes[0] != 0:
        if codes[0] == code[0] and codes[1] == code[1] and codes[2] == code[2]:
            return True
        codes += 3
    return False


cdef int currency_exponent(const char* code) noexcept nogil:
    if _stands_in(_NONE, code):
        return 0
    if _stands_in(_THREE, code):
        return 3
    return 4 if _stands_in(_FOUR, code) else 2


cdef bint is_currency(Span code) noexcept nogil:
    return code.size == 3 and (
        _stands_in(_HUNDREDTHS, code.data) or _stands_in(_NONE, code.data) or _stands_in(_THREE, code.data)
        or _stands_in(_FOUR, code.data)
    )


def known_currencies() -> list[str]:
    """Every code of ISO 4217 whose exponent is known."""
    codes = (_HUNDREDTHS + _NONE + _THREE + _FOUR).decode()
    return sorted(codes[at:at + 3] for at in range(0, len(codes), 3))


def exponent(currency: str) -> int:
    """Digits behind the point of a currency's minor unit.  Raises ValueError for a code that nobody knows."""
    code = currency.upper()
    if code not in known_currencies():
        raise ValueError(f"currency: {currency!r} has no known exponent; expected a code of ISO 4217")
    letters = code.encode()
    return currency_exponent(letters)


def convert_minor(amount_minor: int, rate_numerator: int, rate_denominator: int, ours: str, theirs: str) -> int:
    """An amount in our minor units in theirs, at `rate` units of theirs for one of ours, rounded half up once.

    Raises ValueError for an unknown currency, OverflowError beyond 64 bits.
    """
    cdef int shift = exponent(theirs) - exponent(ours)
    cdef int64_t amount = amount_minor, numerator = rate_numerator, denominator = rate_denominator
    cdef int128 product = <int128>amount * numerator, divisor = denominator
    if denominator < 1:
        raise ValueError(f"a rate's denominator must be above zero, found {rate_denominator}")
    while shift > 0:
        product *= 10
        shift -= 1
    while shift < 0:
        divisor *= 10
        shift += 1
    product = divide(product, divisor, HALF_UP)
    if not -(<int128>1 << 63) <= product < <int128>1 << 63:
        raise OverflowError(f"{amount_minor:,} {ours} are too many {theirs} to count")
    return <int64_t>product
