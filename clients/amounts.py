"""Quantities and money from what people write, exactly.

The wire carries whole numbers only: quantities in thousandths of an item's unit (`qty_milli`) and
money in minor units of the engine's currency (`amount_minor`).  These helpers turn "1.5" and "9.99"
into them without a float on the way; a float is refused, because 0.1 + 0.2 is not 0.3 in binary.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

INT64_MAX = 2**63 - 1

Written = str | int | Decimal
"""A number as people write it: "1.5", 2 or Decimal("1.5"); never a float."""


def qty(units: Written) -> int:
    """Return a quantity in thousandths: qty("1.5") is 1500 and qty(2) is 2000.

    Raises TypeError for a float and ValueError for what is no number, has more than three decimals or
    does not fit 64 bits.
    """
    return _scaled(units, 3, "a quantity")


def minor(units: Written, currency_digits: int = 2) -> int:
    """Return an amount in minor units: minor("9.99") is 999 and minor("500", 0) is 500.

    currency_digits is the currency's number of decimals (ISO 4217: 2 for EUR, 0 for JPY, 3 for BHD).
    Raises TypeError for a float and ValueError for what is no number, has more decimals than the
    currency or does not fit 64 bits.
    """
    return _scaled(units, currency_digits, "an amount")


def major(amount_minor: int, currency_digits: int = 2) -> Decimal:
    """Return an amount as people read it: major(999) is Decimal("9.99")."""
    return Decimal(amount_minor).scaleb(-currency_digits)


def _scaled(written: Written, digits: int, what: str) -> int:
    # bool is an int to Python and never a number to a cashier.
    if isinstance(written, bool) or not isinstance(written, str | int | Decimal):
        raise TypeError(
            f"expected {what} as str, int or Decimal, found {type(written).__name__} {written!r}; "
            'write it as text, "1.5", so that nothing is rounded on the way'
        )
    try:
        number = Decimal(written.strip() if isinstance(written, str) else written)
    except InvalidOperation:
        raise ValueError(f'expected {what} such as "1.5", found {written!r}; use digits and one point') from None
    if not number.is_finite():
        raise ValueError(f"expected {what}, found {written!r}; give a finite number")
    _, digits_found, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # finite, see above
    # Before any arithmetic: 1e999999999 must not become an integer of that many digits.
    if len(digits_found) + exponent + digits > 19 and number:
        raise ValueError(f"expected {what} that fits 64 bits, found {written!r}; check the unit")
    shifted = int("".join(map(str, digits_found))) * (-1 if number.is_signed() else 1)
    if exponent + digits >= 0:
        scaled = shifted * 10 ** (exponent + digits) if shifted else 0
    else:
        scaled, rest = _divided(shifted, -(exponent + digits), len(digits_found))
        if rest:
            raise ValueError(f"expected {what} with at most {digits} decimals, found {written!r}; round it first")
    if abs(scaled) > INT64_MAX:
        raise ValueError(f"expected {what} that fits 64 bits, found {written!r}; check the unit")
    return scaled


def _divided(number: int, decimals: int, digit_count: int) -> tuple[int, bool]:
    """Return number over 10 to the decimals, and whether anything is left over."""
    if decimals > digit_count:  # smaller than one tenth: no need to build the power of ten
        return 0, number != 0
    power = 10**decimals
    return number // power, number % power != 0
