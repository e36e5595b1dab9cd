"""GS1 element strings: what GS1-128, DataBar, DataMatrix and GS1 QR carry, and their human-readable form.

Sources: GS1 General Specifications 7.8 (processing of element strings) and 3 (each Application Identifier).
Numbers stay exact: an int and its number of decimals.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.gs1_ai import (
    CHARACTER_SET_NAMES,
    PREDEFINED_LENGTHS,
    ApplicationIdentifier,
    Component,
    application_identifiers,
    find_application_identifier,
)
from ringup.drivers.protocol.gs1_dates import REFERENCE_YEAR, parse_date, parse_long_date, parse_time
from ringup.drivers.protocol.gtin import gtin_check_digit

GROUP_SEPARATOR = "\x1d"
FNC1_CHARACTERS = ("\x1d", "\xe8")  # as GS, or as ISO 8859-1 232, which some scanners send for a leading FNC1
ELEMENT_COUNT_MAX = 100


@dataclass(frozen=True, slots=True)
class Element:
    """One element string.

    `value_int` and `decimals` are set for counts, measures, amounts and percentages (`1250` with 3 decimals is
    1.250); `currency` is the ISO 4217 number of AIs 391n and 393n. `date`, `end_date` and `time` are set for date
    AIs. `parts` holds the components of composed AIs such as (253).
    """

    ai: str
    value: str
    title: str
    parts: tuple[str, ...] = ()
    value_int: int | None = None
    decimals: int = 0
    currency: str | None = None
    date: dt.date | None = None
    end_date: dt.date | None = None
    time: dt.time | None = None

    def __str__(self) -> str:
        return f"({self.ai}){self.value}"


def parse_element_string(
    text: str, separators: Sequence[str] = (GROUP_SEPARATOR,), reference_year: int = REFERENCE_YEAR
) -> tuple[Element, ...]:
    """Parse concatenated element strings, `01...10ABC<GS>21...`, into elements.

    A leading FNC1 is dropped, and extra separators are tolerated, as 7.8.6 asks. Raises ParseError for an unknown
    AI, a missing separator, a wrong length, character, check digit or date: a label read wrong gives nothing.

    >>> [str(e) for e in parse_element_string("010950600013435210ABC123\\x1d3103001250")]
    ['(01)09506000134352', '(10)ABC123', '(3103)001250']
    """
    marks = tuple(separators)
    if any(len(mark) != 1 for mark in marks) or not marks:
        raise ParseError(f"expected separators of one character each, found {list(marks)!r}; GS is '\\x1d'")
    rest = text[1:] if text.startswith(FNC1_CHARACTERS) else text
    elements: list[Element] = []
    while rest:
        if rest[0] in marks:
            rest = rest[1:]
            continue
        identifier = find_application_identifier(rest)
        if identifier is None:
            raise ParseError(f"expected a GS1 Application Identifier at {rest[:4]!r}; a separator may be missing")
        value, rest = _split_value(identifier, rest, marks)
        elements.append(parse_element(identifier.ai, value, reference_year))
        if len(elements) > ELEMENT_COUNT_MAX:
            raise ParseError(f"expected at most {ELEMENT_COUNT_MAX} element strings; the data is not a GS1 label")
    if not elements:
        raise ParseError("expected at least one GS1 element string, found none; scan it again")
    return tuple(elements)


def parse_hri(text: str, reference_year: int = REFERENCE_YEAR) -> tuple[Element, ...]:
    r"""Parse the human-readable form, `(01)09506000134352(10)ABC123`. Write `\(` for a ( inside a value.

    >>> [e.value for e in parse_hri("(01)09506000134352(10)ABC123")]
    ['09506000134352', 'ABC123']
    """
    pairs = re.findall(r"\((\d{2,4})\)((?:\\\(|[^(])*)", text)
    if "".join(f"({ai}){value}" for ai, value in pairs) != text or not pairs:
        raise ParseError(f"expected (AI)value(AI)value, found {text[:80]!r}; write a ( inside a value as \\(")
    return tuple(parse_element(ai, value.replace("\\(", "("), reference_year) for ai, value in pairs)


def build_element_string(elements: Iterable[Element | tuple[str, str]], separator: str = GROUP_SEPARATOR) -> str:
    """Concatenate elements or (AI, value) pairs as a scanner would send them, with separators where needed.

    >>> build_element_string([("10", "AB"), ("01", "09506000134352")])
    '10AB\\x1d0109506000134352'
    """
    pieces: list[str] = []
    table = application_identifiers()
    for item in elements:
        ai, value = (item.ai, item.value) if isinstance(item, Element) else item
        parse_element(ai, value)
        pieces.append(ai + value + (separator if table[ai].needs_separator else ""))
    return "".join(pieces).removesuffix(separator)


def build_hri(elements: Iterable[Element]) -> str:
    r"""Return the human-readable form of elements; a ( inside a value is written `\(`."""
    return "".join(f"({element.ai}){element.value.replace('(', chr(92) + '(')}" for element in elements)


def parse_element(ai: str, value: str, reference_year: int = REFERENCE_YEAR) -> Element:
    """Check one AI and its whole data, and return the element; raise ParseError saying what is wrong with it.

    >>> element = parse_element("3922", "1099")
    >>> element.value_int, element.decimals
    (1099, 2)
    """
    identifier = application_identifiers().get(ai)
    if identifier is None:
        raise ParseError(
            f"expected a GS1 Application Identifier, found ({ai}); it is not in the General Specifications"
        )
    parts = _split_components(identifier, value)
    fields = _Fields()
    for component, part in parts:
        _check_component(identifier, component, part, fields, reference_year)
    if fields.end_date is not None and fields.date is not None and fields.end_date < fields.date:
        raise ParseError(
            f"expected ({ai}) to end on or after {fields.date}, found {fields.end_date}; the label is wrong"
        )
    if ai in ("8013", "8014"):
        _check_alphanumeric_pair(ai, value)
    return Element(
        ai,
        value,
        identifier.title,
        tuple(part for _, part in parts) if len(identifier.components) > 1 else (),
        fields.value_int,
        fields.decimals,
        fields.currency,
        fields.date,
        fields.end_date,
        fields.time,
    )


@dataclass(slots=True)
class _Fields:
    value_int: int | None = None
    decimals: int = 0
    currency: str | None = None
    date: dt.date | None = None
    end_date: dt.date | None = None
    time: dt.time | None = None


def _split_value(identifier: ApplicationIdentifier, text: str, marks: tuple[str, ...]) -> tuple[str, str]:
    predefined = PREDEFINED_LENGTHS.get(identifier.ai[:2])
    end = len(text)
    for mark in marks:
        found = text.find(mark)
        end = min(end, found) if found >= 0 else end
    if predefined is not None:
        end = min(end, predefined)
    return text[len(identifier.ai) : end], text[end:]


def _split_components(identifier: ApplicationIdentifier, value: str) -> list[tuple[Component, str]]:
    if not identifier.length_min <= len(value) <= identifier.length_max:
        low, high = identifier.length_min, identifier.length_max
        wanted = str(low) if low == high else f"{low} to {high}"
        raise ParseError(
            f"expected {wanted} characters after ({identifier.ai}), found {len(value)} in {value[:40]!r}; "
            "a separator may be missing"
        )
    parts: list[tuple[Component, str]] = []
    rest = value
    for component in identifier.components:
        if not rest and component.is_optional:
            continue
        part, rest = rest[: component.length_max], rest[component.length_max :]
        if len(part) < component.length_min:
            raise ParseError(f"expected {component.length_min} characters more in ({identifier.ai}), found {part!r}")
        if not component.allows(part):
            raise ParseError(
                f"expected {CHARACTER_SET_NAMES[component.charset]} in ({identifier.ai}), found {part[:40]!r}; "
                "scan it again"
            )
        parts.append((component, part))
    return parts


def _check_component(
    identifier: ApplicationIdentifier, component: Component, part: str, fields: _Fields, reference_year: int
) -> None:
    wrong = ""
    match component.check:
        case "csum":
            expected = gtin_check_digit(part[:-1])
            wrong = "" if expected == int(part[-1]) else f"check digit {expected}"
        case "date":
            fields.date = parse_date(part, reference_year)
        case "enddate":
            fields.end_date = parse_date(part, reference_year)
        case "datetime":
            fields.date, fields.time = parse_date(part[:6], reference_year), parse_time(part[6:])
        case "prodtime":
            if len(part) % 2:
                wrong = "YYMMDDHH, then MM and SS or nothing,"
            else:
                fields.date, fields.time = parse_date(part[:6], reference_year), parse_time(part[6:])
        case "time":
            fields.time = parse_time(part)
        case "longdate":
            fields.date = parse_long_date(part)
        case "longdatetime":
            fields.date, fields.time = parse_long_date(part[:8]), parse_time(part[8:])
        case "decimal":
            fields.value_int, fields.decimals = int(part), int(identifier.ai[3])
        case "int":
            fields.value_int = int(part)
        case "currency":
            fields.currency = part
        case "yesno":
            wrong = "" if part in "01" else "0 or 1"
        case "zero":
            wrong = "" if part == "0" else "a 0 first"
        case "minus":
            wrong = "" if part == "-" else "a minus sign or nothing last"
        case "slash":
            wrong = "" if part == "/" else "a slash between two digits"
        case "alpha2":
            wrong = "" if part.isalpha() and part.isupper() else "a country code of two letters"
        case "triples":
            wrong = "" if len(part) % 3 == 0 else "country codes of three digits"
        case "pieces":
            wrong = "" if 1 <= int(part[:2]) <= int(part[2:]) else "piece n of m"
    if wrong:
        raise ParseError(f"expected {wrong} in ({identifier.ai}), found {part!r}; scan it again")


def _check_alphanumeric_pair(ai: str, value: str) -> None:
    expected = gmn_check_characters(value[:-2]) if len(value) > 2 else ""
    if value[-2:] != expected:
        raise ParseError(f"expected check characters {expected!r} at the end of ({ai}), found {value!r}; scan it again")


_SET_82 = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_SET_32 = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83)


def gmn_check_characters(payload: str) -> str:
    """Return the two check characters of a global model number (General Specifications 7.9.5).

    >>> gmn_check_characters("1987654Ad4X4bL5ttr2310c")
    '2K'
    """
    if len(payload) > len(_PRIMES) or any(character not in _SET_82 for character in payload):
        raise ParseError(f"expected up to {len(_PRIMES)} characters of GS1 set 82, found {payload[:40]!r}")
    total = sum(_SET_82.index(c) * prime for c, prime in zip(reversed(payload), _PRIMES, strict=False)) % 1021
    return _SET_32[total >> 5] + _SET_32[total & 31]
