"""GTIN-8/12/13/14, SSCC and GLN check digits, and UPC-E zero suppression.

Sources: GS1 General Specifications 7.9 (check digits) and 5.2.2.4 (UPC-E).
"""

from __future__ import annotations

from ringup.drivers.protocol.errors import ParseError

GTIN_LENGTHS = (8, 12, 13, 14)


def is_digits(text: str) -> bool:
    """Return True for one or more of 0-9 (other scripts' digits are not digits of a barcode)."""
    return text.isascii() and text.isdigit()


def gtin_check_digit(payload: str) -> int:
    """Return the GS1 check digit (0-9) of the digits that stand before it.

    The weights 3 and 1 alternate from the right, so one function serves GTIN, SSCC, GLN, GSIN and GSRN.

    >>> gtin_check_digit("400638133393")
    1
    """
    if not is_digits(payload):
        raise ParseError(f"expected digits before a check digit, found {payload!r}; pass digits only")
    total = sum(int(digit) * (3 if index % 2 == 0 else 1) for index, digit in enumerate(reversed(payload)))
    return -total % 10


def has_valid_check_digit(number: str) -> bool:
    """Return True if the last digit is the GS1 check digit of those before it (any length of two or more)."""
    return len(number) >= 2 and is_digits(number) and gtin_check_digit(number[:-1]) == int(number[-1])


def is_valid_gtin(text: str) -> bool:
    """Return True for 8, 12, 13 or 14 digits that end in their check digit.

    >>> is_valid_gtin("4006381333931"), is_valid_gtin("4006381333932")
    (True, False)
    """
    return len(text) in GTIN_LENGTHS and has_valid_check_digit(text)


def check_gtin(text: str) -> str:
    """Return `text` if it is a valid GTIN; raise ParseError naming the length or the digit expected if not."""
    if not is_digits(text) or len(text) not in GTIN_LENGTHS:
        raise ParseError(f"expected a GTIN of 8, 12, 13 or 14 digits, found {text!r}; scan it again")
    expected = gtin_check_digit(text[:-1])
    if expected != int(text[-1]):
        raise ParseError(f"expected check digit {expected} in {text!r}, found {text[-1]}; scan it again")
    return text


def to_gtin14(text: str) -> str:
    """Return a valid GTIN of any length as 14 digits, the form to look items up by.

    >>> to_gtin14("96385074")
    '00000096385074'
    """
    return check_gtin(text).zfill(14)


def shortest_gtin(text: str) -> str:
    """Return a valid GTIN in the shortest length that holds it without losing a digit: 8, 12, 13 or 14.

    >>> shortest_gtin("00000096385074"), shortest_gtin("04006381333931")
    ('96385074', '4006381333931')
    """
    digits = to_gtin14(text)
    for length in GTIN_LENGTHS:
        if digits[: 14 - length] == "0" * (14 - length):
            return digits[14 - length :]
    raise AssertionError("14 digits always fit 14")


def convert_gtin(text: str, length: int) -> str:
    """Return a valid GTIN with exactly `length` digits; raise ParseError where that would drop a digit.

    >>> convert_gtin("036000291452", 13)
    '0036000291452'
    """
    if length not in GTIN_LENGTHS:
        raise ParseError(f"expected a GTIN length of 8, 12, 13 or 14, found {length}; pass one of those")
    digits = to_gtin14(text)
    if digits[: 14 - length].strip("0"):
        raise ParseError(f"expected a GTIN that fits {length} digits, found {text!r}; use a longer form")
    return digits[14 - length :]


def is_valid_sscc(text: str) -> bool:
    """Return True for the 18 digits of a serial shipping container code with a right check digit.

    >>> is_valid_sscc("106141412345678908")
    True
    """
    return len(text) == 18 and has_valid_check_digit(text)


def is_valid_gln(text: str) -> bool:
    """Return True for the 13 digits of a global location number with a right check digit.

    >>> is_valid_gln("1234567890128")
    True
    """
    return len(text) == 13 and has_valid_check_digit(text)


def upce_to_upca(text: str) -> str:
    """Expand a UPC-E code of 6, 7 or 8 digits to the 12 digits of UPC-A.

    Six digits mean number system 0 without check digit, seven lack the check digit, eight have both. A wrong
    check digit or a number system other than 0 and 1 raises ParseError.

    >>> upce_to_upca("01234558")
    '012345000058'
    """
    if not is_digits(text) or len(text) not in (6, 7, 8):
        raise ParseError(f"expected 6, 7 or 8 digits of UPC-E, found {text!r}; scan it again")
    body = text if len(text) > 6 else f"0{text}"
    system, digits, last = body[0], body[1:7], body[6]
    if system not in "01":
        raise ParseError(f"expected UPC-E number system 0 or 1, found {system} in {text!r}; it is not UPC-E")
    if last in "012":
        payload = f"{system}{digits[:2]}{last}0000{digits[2:5]}"
    elif last == "3":
        payload = f"{system}{digits[:3]}00000{digits[3:5]}"
    elif last == "4":
        payload = f"{system}{digits[:4]}00000{digits[4]}"
    else:
        payload = f"{system}{digits[:5]}0000{last}"
    check = gtin_check_digit(payload)
    if len(text) == 8 and int(text[7]) != check:
        raise ParseError(f"expected UPC-E check digit {check} in {text!r}, found {text[7]}; scan it again")
    return f"{payload}{check}"


def upca_to_upce(text: str) -> str:
    """Suppress the zeros of a UPC-A code: the 8 digits of UPC-E, or ParseError where it cannot be shortened.

    >>> upca_to_upce("012345000058")
    '01234558'
    """
    if len(text) != 12:
        raise ParseError(f"expected the 12 digits of UPC-A, found {text!r}; pass the whole code")
    check_gtin(text)
    system, maker, item, check = text[0], text[1:6], text[6:11], text[11]
    if system not in "01":
        raise ParseError(f"expected UPC-A number system 0 or 1, found {system} in {text!r}; it has no UPC-E form")
    # The order matters: each code has exactly one UPC-E form (GS1 General Specifications 5.2.2.4.1).
    if maker[4] != "0" and item[:4] == "0000" and item[4] >= "5":
        return f"{system}{maker}{item[4]}{check}"
    if maker[4] == "0" and maker[3] != "0" and item[:4] == "0000":
        return f"{system}{maker[:4]}{item[4]}4{check}"
    if maker[3:] == "00" and maker[2] in "012" and item[:2] == "00":
        return f"{system}{maker[:2]}{item[2:]}{maker[2]}{check}"
    if maker[3:] == "00" and maker[2] not in "012" and item[:3] == "000":
        return f"{system}{maker[:3]}{item[3:]}3{check}"
    raise ParseError(f"{text!r} has no UPC-E form: too few zeros between maker and item; print it as UPC-A")
