"""Exact arithmetic of the pricing oracle: rounding, sharing out, currencies.

Everything is an int (minor units) or a Fraction; a float never takes part. A number that arrived as a JSON float
(10.5) is read through its shortest decimal form, which is what its author typed.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

# ISO 4217 exponents that are not 2.
NO_DECIMALS = (
    *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW"),
    *("PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"),
)
THREE_DECIMALS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
EXPONENTS = dict.fromkeys(NO_DECIMALS, 0) | dict.fromkeys(THREE_DECIMALS, 3)


def exponent(currency: str) -> int:
    """Decimal places of a currency's minor unit."""
    return EXPONENTS.get(currency, 2)


def exact(number: int | float | str | Decimal | Fraction) -> Fraction:
    """The number its author wrote, exactly."""
    return Fraction(number) if isinstance(number, int | Fraction) else Fraction(str(number))


def decimal_text(number: Fraction) -> str:
    """A terminating fraction as plain decimal text without trailing zeros."""
    text = f"{Decimal(number.numerator) / Decimal(number.denominator):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rounded(value: Fraction | int, mode: str = "half_up") -> int:
    """Round to an integer. Negative values mirror positive ones, so a return undoes a sale exactly."""
    value = Fraction(value)
    sign = -1 if value < 0 else 1
    whole, rest = divmod(abs(value), 1)
    whole = int(whole)
    if mode == "half_up":
        up = rest >= Fraction(1, 2)
    elif mode == "half_down":
        up = rest > Fraction(1, 2)
    elif mode == "half_even":
        up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1)
    elif mode == "up":
        up = rest > 0
    elif mode == "down":
        up = False
    else:
        raise ValueError(f"rounding: expected half_up, half_down, half_even, up or down, found {mode!r}")
    return sign * (whole + (1 if up else 0))


def allocate(amount: int, weights: Sequence[int | Fraction]) -> list[int]:
    """Share `amount` in proportion to `weights` by largest remainder; ties go to the first; the sum is exact.

    Where every weight is zero the shares are as equal as can be.
    """
    if not weights:
        return []
    sign = -1 if amount < 0 else 1
    total = sum((Fraction(w) for w in weights), Fraction(0))
    if total == 0:
        weights, total = [1] * len(weights), Fraction(len(weights))
    quotas = [abs(amount) * Fraction(w) / total for w in weights]
    shares = [int(q // 1) for q in quotas]
    by_rest = sorted(range(len(quotas)), key=lambda i: (-(quotas[i] - shares[i]), i))
    for i in by_rest[: abs(amount) - sum(shares)]:
        shares[i] += 1
    return [sign * share for share in shares]


def allocate_capped(amount: int, weights: Sequence[int | Fraction], caps: Sequence[int]) -> list[int]:
    """`allocate`, with no share above its cap: what a full bin cannot take is shared over the others.

    What no bin can take is not given. `amount` is not negative.
    """
    shares = [0] * len(weights)
    left = min(amount, sum(caps))
    open_bins = [i for i in range(len(weights)) if weights[i] > 0 and caps[i] > 0]
    while left > 0 and open_bins:
        tries = allocate(left, [weights[i] for i in open_bins])
        full = [i for i, share in zip(open_bins, tries, strict=True) if share > caps[i]]
        if not full:
            for i, share in zip(open_bins, tries, strict=True):
                shares[i] = share
            return shares
        for i in full:
            shares[i] = caps[i]
            left -= caps[i]
            open_bins.remove(i)
    return shares
