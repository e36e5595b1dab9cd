"""Currencies: which have a minor unit that is not a hundredth, and which codes there are (ISO 4217)."""

from libc.stdint cimport int64_t

from ringup.native.money cimport HALF_UP, divide, int128

cdef const char* _NONE = (
    b"BIFCLPDJFGNFISKJPYKMFKRWPYGRWF"
    b"UGXUYIVNDVUVXAFXOFXPF"
)
cdef const char* _THREE = b"BHDIQDJODKWDLYDOMRTND"
cdef const char* _FOUR = b"CLFUYW"
_HUNDREDTHS = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK
HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR
MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP
SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD YER ZAR
ZMW ZWL ZWG
""".split()


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


def known_currencies() -> list[str]:
    """Every code of ISO 4217 whose exponent is known."""
    others = (_NONE + _THREE + _FOUR).decode()
    return sorted([*_HUNDREDTHS, *(others[at:at + 3] for at in range(0, len(others), 3))])


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
