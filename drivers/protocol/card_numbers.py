"""Card numbers: what of them may be kept, and how they are found where a terminal failed to mask them."""

from __future__ import annotations

import re


def truncate_card_number(data: bytes) -> tuple[str | None, str | None]:
    """Return (first six, last four) digits of BMP 22; masked digits (E) and short numbers give None.

    >>> truncate_card_number(bytes.fromhex("4711 00EE EEEE 1234"))
    ('471100', '1234')
    """
    digits = data.hex().rstrip("f")
    if len(digits) < 13:
        return None, None
    first, last = digits[:6], digits[-4:]
    return (first if first.isdecimal() else None), (last if last.isdecimal() else None)


_LONG_NUMBER = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")


def mask_card_numbers(text: str) -> str:
    """Return text in which each number that may be a card's (13 to 19 digits, Luhn) keeps only its last four.

    >>> mask_card_numbers("Karte 4111 1111 1111 1111")
    'Karte ############1111'
    """

    def mask(match: re.Match[str]) -> str:
        digits = re.sub(r"\D", "", match[0])
        return "#" * (len(digits) - 4) + digits[-4:] if _is_luhn(digits) else match[0]

    return _LONG_NUMBER.sub(mask, text)


def _is_luhn(digits: str) -> bool:
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if index % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
