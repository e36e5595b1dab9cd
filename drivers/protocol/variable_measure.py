"""Price, weight or count inside an in-store EAN-13, read by template.

Sources: GS1 General Specifications 7.9.2 to 7.9.4 (price and weight check digits) and the rules that GS1's member
organisations publish for the prefixes 02 and 20 to 29. Which template a shop uses is the shop's own choice, so
templates are data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.gtin import check_gtin, gtin_check_digit, is_digits

KINDS = ("price", "weight", "count")


def _five_minus(digit: int) -> int:
    product = digit * 5
    return (product - product // 10) % 10


def _five_plus(digit: int) -> int:
    product = digit * 5
    return (product + product // 10) % 10


def _two_minus(digit: int) -> int:
    product = digit * 2
    return (product - product // 10) % 10


def _three(digit: int) -> int:
    return digit * 3 % 10


_WEIGHTS_4 = (_two_minus, _two_minus, _three, _five_minus)
_WEIGHTS_5 = (_five_plus, _two_minus, _five_minus, _five_plus, _two_minus)


def price_check_digit(value: str) -> int:
    """Return the price or weight check digit of four or five digits.

    Four digits: the weighted digits' sum times three. Five digits: the digit whose weight 5- makes the sum a
    multiple of ten.

    >>> price_check_digit("2875"), price_check_digit("14685")
    (9, 6)
    """
    if not is_digits(value) or len(value) not in (4, 5):
        raise ParseError(f"expected four or five digits of a price or weight, found {value!r}")
    weights = _WEIGHTS_4 if len(value) == 4 else _WEIGHTS_5
    total = sum(weigh(int(digit)) for weigh, digit in zip(weights, value, strict=True))
    if len(value) == 4:
        return total * 3 % 10
    return next(digit for digit in range(10) if _five_minus(digit) == -total % 10)


@dataclass(frozen=True, slots=True)
class MeasureTemplate:
    """How one prefix is laid out.

    `pattern` is 13 characters: leading digits are the prefix, then I item reference, K price check digit, V the
    measure, C the EAN-13 check digit. `kind` is price, weight or count; `decimals` are those of the measure, in the
    currency's major unit or in kilograms.
    """

    pattern: str
    kind: str
    decimals: int

    def __post_init__(self) -> None:
        match = re.fullmatch(r"\d{1,4}(?=.{9,})I+(?:K?V+|VK|V+K?)C", self.pattern)
        if match is None or len(self.pattern) != 13:
            raise ParseError(
                f"expected 13 characters such as 22IIIIKVVVVVC (prefix, I item, K check, V measure, C), "
                f"found {self.pattern!r}"
            )
        if "K" in self.pattern and self.pattern.count("V") not in (4, 5):
            raise ParseError(f"expected four or five V where there is a K, found {self.pattern!r}; drop the K")
        if self.kind not in KINDS:
            raise ParseError(f"expected price, weight or count, found {self.kind!r}")
        if not 0 <= self.decimals <= 6:
            raise ParseError(f"expected 0 to 6 decimals, found {self.decimals}")

    @property
    def prefix(self) -> str:
        """The leading digits that select this template."""
        return self.pattern[: len(self.pattern) - len(self.pattern.lstrip("0123456789"))]

    def field(self, text: str, letter: str) -> str:
        """Return the digits of `text` that stand where the pattern has `letter`."""
        return "".join(digit for digit, mark in zip(text, self.pattern, strict=True) if mark == letter)


@dataclass(frozen=True, slots=True)
class VariableMeasure:
    """What a variable-measure EAN-13 says.

    `lookup_gtin` is the same code with the measure zeroed and its check digits made right again: the key to find
    the item by. `value` and `decimals` are exact: 1250 with 3 decimals is 1.250 kg.
    """

    kind: str
    prefix: str
    item: str
    lookup_gtin: str
    value: int
    decimals: int

    @property
    def price_minor(self) -> int | None:
        """The price in hundredths of the currency unit, for prices with at most two decimals; None otherwise."""
        return self.value * 10 ** (2 - self.decimals) if self.kind == "price" and self.decimals <= 2 else None

    @property
    def qty_milli(self) -> int | None:
        """The quantity in thousandths (grams, or pieces x 1000); None for prices and for finer weights."""
        return self.value * 10 ** (3 - self.decimals) if self.kind != "price" and self.decimals <= 3 else None


def parse_template(text: str) -> MeasureTemplate:
    """Return the template of a configuration line, `PATTERN KIND DECIMALS`.

    >>> parse_template("28IIIIKVVVVVC weight 3").kind
    'weight'
    """
    parts = text.split()
    if len(parts) != 3 or not is_digits(parts[2]):
        raise ParseError(f"expected PATTERN KIND DECIMALS such as '22IIIIKVVVVVC price 2', found {text!r}")
    return MeasureTemplate(parts[0], parts[1], int(parts[2]))


def _templates(*lines: str) -> tuple[MeasureTemplate, ...]:
    return tuple(parse_template(line) for line in lines)


_BALTIC = _templates("23IIIIIIVVVVC weight 3", "24IIIIIIVVVVC weight 2", "25IIIIIIVVVVC weight 1")
_NORDIC = _templates("20IIIIIIVVVVC price 2", "21IIIIIIVVVVC price 1", "22IIIIIIVVVVC price 0") + _BALTIC
# Country (ISO 3166) -> the templates its GS1 organisation publishes.
TEMPLATES: dict[str, tuple[MeasureTemplate, ...]] = {
    "de": _templates(
        "22IIIIKVVVVVC price 2",
        "23IIIIKVVVVVC price 2",
        "25IIIIKVVVVVC count 0",
        "26IIIIKVVVVVC count 0",
        "28IIIIKVVVVVC weight 3",
        "29IIIIKVVVVVC weight 3",
    ),
    "dk": _templates(
        "21IIIIVVVVVVC price 2",
        "22IIIIVVVVVVC price 2",
        "23IIIIVVVVVVC price 2",
        "24IIIIVVVVVVC price 2",
        "26IIIIVVVVVVC weight 3",
        "27IIIIIVVVVVC weight 3",
        "28IIIIVVVVVVC weight 3",
    ),
    "gb": _templates("20IIIIIKVVVVC price 2"),
    "us": _templates("02IIIIIKVVVVC price 2"),
    "ee": _BALTIC,
    "fi": _BALTIC,
    "lt": _BALTIC,
    "lv": _BALTIC,
    "no": _NORDIC,
    "se": _NORDIC,
}


def parse_variable_measure(text: str, templates: Iterable[MeasureTemplate]) -> VariableMeasure | None:
    """Read an EAN-13 (or a UPC-A of 12 digits) by the first template with its prefix; None if no template has it.

    Raises ParseError for a wrong EAN-13 check digit or a wrong price check digit.

    >>> measure = parse_variable_measure("2212345012992", TEMPLATES["de"])
    >>> measure.item, measure.price_minor, measure.lookup_gtin
    ('1234', 1299, '2212340000000')
    """
    code = check_gtin(text)
    if len(code) == 12:
        code = f"0{code}"
    elif len(code) == 14 and code[0] == "0":
        code = code[1:]
    if len(code) != 13:
        return None
    template = next((one for one in templates if code.startswith(one.prefix)), None)
    if template is None:
        return None
    measure, check = template.field(code, "V"), template.field(code, "K")
    if check:
        expected = price_check_digit(measure)
        if int(check) != expected:
            raise ParseError(f"expected measure check digit {expected} in {code}, found {check}; scan or weigh again")
    item = template.field(code, "I")
    lookup = encode_variable_measure(template, item, 0)
    return VariableMeasure(template.kind, template.prefix, item, lookup, int(measure), template.decimals)


def encode_variable_measure(template: MeasureTemplate, item: str, value: int) -> str:
    """Return the EAN-13 of an item reference and a measure in the template's own decimals.

    >>> encode_variable_measure(TEMPLATES["de"][0], "1234", 1299)
    '2212345012992'
    """
    width, item_width = template.pattern.count("V"), template.pattern.count("I")
    if not (is_digits(item) and len(item) == item_width):
        raise ParseError(f"expected an item reference of {item_width} digits, found {item!r}")
    if not 0 <= value < 10**width:
        raise ParseError(f"expected a measure of at most {width} digits, found {value}; use another template")
    digits = str(value).zfill(width)
    check = str(price_check_digit(digits)) if "K" in template.pattern else ""
    fields = {"I": iter(item), "V": iter(digits), "K": iter(check)}
    payload = template.prefix + "".join(next(fields[mark]) for mark in template.pattern[len(template.prefix) : -1])
    return f"{payload}{gtin_check_digit(payload)}"
