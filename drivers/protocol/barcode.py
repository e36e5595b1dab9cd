"""A scanned text, understood: the one function a till calls, and every barcode function under one name.

`decode` never raises for text: what cannot be understood is a Scan of kind UNKNOWN that says why, because a cashier
needs an answer for every beep. The functions it is made of raise ParseError.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ringup.drivers.protocol.aim import AimIdentifier, aim_identifier, parse_aim
from ringup.drivers.protocol.codes import (
    CouponCode,
    ReceiptCode,
    encode_coupon_code,
    encode_receipt_code,
    parse_coupon_code,
    parse_gs1_coupon,
    parse_receipt_code,
)
from ringup.drivers.protocol.digital_link import build_digital_link, is_web_address, parse_digital_link
from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.gs1 import (
    FNC1_CHARACTERS,
    GROUP_SEPARATOR,
    Element,
    build_element_string,
    build_hri,
    gmn_check_characters,
    parse_element,
    parse_element_string,
    parse_hri,
)
from ringup.drivers.protocol.gs1_dates import REFERENCE_YEAR
from ringup.drivers.protocol.gtin import (
    check_gtin,
    convert_gtin,
    gtin_check_digit,
    has_valid_check_digit,
    is_digits,
    is_valid_gln,
    is_valid_gtin,
    is_valid_sscc,
    shortest_gtin,
    to_gtin14,
    upca_to_upce,
    upce_to_upca,
)
from ringup.drivers.protocol.variable_measure import (
    TEMPLATES,
    MeasureTemplate,
    VariableMeasure,
    encode_variable_measure,
    parse_template,
    parse_variable_measure,
    price_check_digit,
)

__all__ = [
    "TEMPLATES",
    "AimIdentifier",
    "CouponCode",
    "Element",
    "MeasureTemplate",
    "ParseError",
    "ReceiptCode",
    "Scan",
    "ScanKind",
    "VariableMeasure",
    "aim_identifier",
    "build_digital_link",
    "build_element_string",
    "build_hri",
    "check_gtin",
    "convert_gtin",
    "decode",
    "encode_coupon_code",
    "encode_receipt_code",
    "encode_variable_measure",
    "gmn_check_characters",
    "gtin_check_digit",
    "has_valid_check_digit",
    "is_valid_gln",
    "is_valid_gtin",
    "is_valid_sscc",
    "parse_aim",
    "parse_coupon_code",
    "parse_digital_link",
    "parse_element",
    "parse_element_string",
    "parse_gs1_coupon",
    "parse_hri",
    "parse_receipt_code",
    "parse_template",
    "parse_variable_measure",
    "price_check_digit",
    "shortest_gtin",
    "to_gtin14",
    "upca_to_upce",
    "upce_to_upca",
]

SCAN_LENGTH_MAX = 8192


class ScanKind(StrEnum):
    """What a scan is, and so what the till does with it."""

    GTIN = "gtin"  # find the item by `gtin`
    VARIABLE_MEASURE = "variable_measure"  # find the item by `measure.lookup_gtin`; price or weight in `measure`
    GS1 = "gs1"  # element strings; `gtin` is set where (01) or (02) is among them
    DIGITAL_LINK = "digital_link"  # the same from a web address
    SSCC = "sscc"
    RECEIPT = "receipt"
    COUPON = "coupon"
    TEXT = "text"  # none of ours: a voucher, a badge, a web page
    UNKNOWN = "unknown"  # damaged, or says one thing and is another: do not sell by it


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan, understood. `text` is the data without the symbology identifier; `gtin` has 14 digits.

    `gtin_if_upce` is set where eight digits are valid both as EAN-8 (then `gtin`) and as UPC-E: look the item up by
    the second where the first is not known.
    """

    kind: ScanKind
    text: str
    symbology: str | None = None
    aim: AimIdentifier | None = None
    gtin: str | None = None
    gtin_if_upce: str | None = None
    addon: str | None = None
    sscc: str | None = None
    elements: tuple[Element, ...] = ()
    measure: VariableMeasure | None = None
    receipt: ReceiptCode | None = None
    coupon: CouponCode | None = None
    problem: str | None = None

    def element(self, *ais: str) -> Element | None:
        """Return the first element whose AI is one of `ais`, or None."""
        return next((element for element in self.elements if element.ai in ais), None)

    @property
    def batch(self) -> str | None:
        """Batch or lot number, AI (10)."""
        return found.value if (found := self.element("10")) else None

    @property
    def serial(self) -> str | None:
        """Serial number, AI (21)."""
        return found.value if (found := self.element("21")) else None

    @property
    def expires(self) -> dt.date | None:
        """Use-by date (17), or sell-by (16), or best-before (15): the first that is there."""
        found = self.element("17") or self.element("7003") or self.element("16") or self.element("15")
        return found.date if found else None

    @property
    def weight_grams(self) -> int | None:
        """Net weight in grams from AI (310n) or a variable-measure weight; None if absent or not whole grams."""
        if self.measure is not None and self.measure.kind == "weight":
            return self.measure.qty_milli
        found = next((element for element in self.elements if element.ai.startswith("310")), None)
        if found is None or found.value_int is None:
            return None
        whole, rest = divmod(found.value_int * 1000, 10**found.decimals)
        return None if rest else whole


# Symbology names a caller may pass, and what they allow.
_LENGTHS = {"ean8": (8,), "ean13": (13,), "upca": (12,), "upce": (6, 7, 8), "itf14": (14,), "gtin14": (14,)}
_GS1_NAMES = {"gs1_128", "gs1_databar", "gs1_composite", "gs1_datamatrix", "gs1_qr", "gs1_dotcode"}


def decode(
    text: str,
    symbology: str | None = None,
    *,
    templates: Iterable[MeasureTemplate] = (),
    separators: Sequence[str] = (GROUP_SEPARATOR,),
    reference_year: int = REFERENCE_YEAR,
) -> Scan:
    """Understand one scanned text.

    `text` may begin with an AIM identifier (`]E0`); `symbology` names what the scanner said otherwise: an AIM
    identifier without `]` or one of ean8, ean13, upca, upce, itf14, gs1_128, gs1_databar, gs1_datamatrix, gs1_qr.
    `templates` are the shop's variable-measure templates, for instance `TEMPLATES["de"]`.

    Eight digits that are valid both as EAN-8 and as UPC-E are EAN-8 unless the scanner says upce.

    >>> scan = decode("]E04006381333931")
    >>> scan.kind.value, scan.gtin, scan.symbology
    ('gtin', '04006381333931', 'ean13')
    """
    if len(text) > SCAN_LENGTH_MAX:
        return Scan(
            ScanKind.UNKNOWN,
            text[:80],
            problem=f"expected at most {SCAN_LENGTH_MAX} characters, found {len(text)}; set the scanner's suffix",
        )
    aim, data = parse_aim(text.strip(" \t\r\n"))
    if aim is None and symbology is not None and re.fullmatch(r"\]?[A-Za-z][0-9A-Za-z]", symbology):
        try:
            aim = aim_identifier(symbology)
        except ParseError as error:
            return Scan(ScanKind.UNKNOWN, data, problem=str(error))
        symbology = None
    name = symbology if symbology is not None else (aim.gs1 or aim.symbology if aim is not None else None)
    reader = _Reader(data, aim, name, tuple(templates), tuple(separators), reference_year)
    try:
        return reader.read()
    except ParseError as error:
        return Scan(ScanKind.UNKNOWN, data, name, aim, problem=str(error))


@dataclass(frozen=True, slots=True)
class _Reader:
    data: str
    aim: AimIdentifier | None
    name: str | None
    templates: tuple[MeasureTemplate, ...]
    separators: tuple[str, ...]
    reference_year: int

    def read(self) -> Scan:
        if not self.data:
            raise ParseError("expected data, found an empty scan; scan it again")
        match self.name:
            case "ean13":
                return self.retail(self.data)
            case "ean13_addon":
                return self.with_addon()
            case "addon2" | "addon5":
                return Scan(ScanKind.TEXT, self.data, self.name, self.aim, addon=self.data)
            case "ean8" | "upca" | "upce" | "itf14" | "gtin14":
                if len(self.data) not in _LENGTHS[self.name]:
                    raise ParseError(
                        f"expected {self.name} with {_LENGTHS[self.name]} digits, found {self.data[:40]!r}"
                    )
                return self.gtin(upce_to_upca(self.data) if self.name == "upce" else self.data)
            case name if name in _GS1_NAMES:
                return self.link() if is_web_address(self.data) else self.gs1()
            case None:
                return self.guess()
            case _:
                return self.free_text()

    def retail(self, digits: str) -> Scan:
        """EAN/UPC as ]E0 carries it: 13 digits by the standard, 12 or 8 from scanners that do not fill up."""
        if len(digits) == 8 and not is_valid_gtin(digits):
            return self.gtin(upce_to_upca(digits))
        return self.gtin(digits)

    def with_addon(self) -> Scan:
        for size in (5, 2):
            main, addon = self.data[:-size], self.data[-size:]
            if len(main) in (12, 13) and is_valid_gtin(main) and is_digits(addon):
                return self.gtin(main, addon)
        if is_digits(self.data) and len(self.data) in (12, 13):
            return self.gtin(self.data)
        raise ParseError(f"expected an EAN-13 with two or five digits more, found {self.data[:40]!r}; scan it again")

    def gtin(self, digits: str, addon: str | None = None) -> Scan:
        name = self.name or {8: "ean8", 12: "upca", 13: "ean13", 14: "gtin14"}.get(len(digits))
        gtin = to_gtin14(digits)
        kind, measure, coupon = ScanKind.GTIN, None, None
        if gtin[0] == "0" and len(digits) != 8:
            measure = parse_variable_measure(digits, self.templates)
            # GS1 prefixes 981-984 and 99 are coupons; number system 5 is the older U.S. coupon.
            if gtin[1:3] == "99" or gtin[1:4] in ("981", "982", "983", "984") or gtin[1:3] == "05":
                coupon = CouponCode("ean", gtin[1:], gtin[1:4])
        if measure is not None:
            kind = ScanKind.VARIABLE_MEASURE
        elif coupon is not None:
            kind = ScanKind.COUPON
        other = None
        if len(digits) == 8 and self.name not in ("ean8", "upce"):
            try:
                other = to_gtin14(upce_to_upca(digits))
            except ParseError:
                other = None  # EAN-8 only, as nearly always
        return Scan(kind, self.data, name, self.aim, gtin, other, addon, measure=measure, coupon=coupon)

    def gs1(self) -> Scan:
        return self.from_elements(ScanKind.GS1, parse_element_string(self.data, self.separators, self.reference_year))

    def link(self) -> Scan:
        return self.from_elements(ScanKind.DIGITAL_LINK, parse_digital_link(self.data, self.reference_year))

    def from_elements(self, kind: ScanKind, elements: tuple[Element, ...]) -> Scan:
        by_ai: dict[str, str] = {}
        for element in elements:
            if by_ai.setdefault(element.ai, element.value) != element.value:
                raise ParseError(f"expected one value of ({element.ai}), found two; two labels were read as one")
        coupon = next((found for e in elements if (found := parse_gs1_coupon(e.ai, e.value)) is not None), None)
        if coupon is not None and "01" not in by_ai:
            kind = ScanKind.COUPON
        gtin = by_ai.get("01") or by_ai.get("02")
        if kind is ScanKind.GS1 and gtin is None and "00" in by_ai:
            kind = ScanKind.SSCC
        return Scan(kind, self.data, self.name, self.aim, gtin, sscc=by_ai.get("00"), elements=elements, coupon=coupon)

    def guess(self) -> Scan:
        """No identifier: the length and the check digits decide, and doubt makes it plain text."""
        data = self.data
        if data.startswith(FNC1_CHARACTERS) or GROUP_SEPARATOR in data:
            return self.gs1()
        if re.match(r"\(\d{2,4}\)", data):
            return self.from_elements(ScanKind.GS1, parse_hri(data, self.reference_year))
        if not is_digits(data):
            return self.gs1_or_text() if re.match(r"0[012]\d{14}", data) else self.free_text()
        if len(data) == 8 and not is_valid_gtin(data):
            return self.gtin(upce_to_upca(data))
        if len(data) in (8, 12, 13, 14):
            return self.gtin(data)
        if is_valid_sscc(data):
            return Scan(ScanKind.SSCC, data, None, self.aim, sscc=data)
        return self.gs1_or_text() if re.match(r"0[012]\d{14}", data) else self.free_text()

    def gs1_or_text(self) -> Scan:
        """Scanners with identifiers switched off send GS1-128 bare; check digits tell it from other numbers."""
        try:
            return self.gs1()
        except ParseError:
            return self.free_text()

    def free_text(self) -> Scan:
        receipt, coupon = parse_receipt_code(self.data), parse_coupon_code(self.data)
        if receipt is not None:
            return Scan(ScanKind.RECEIPT, self.data, self.name, self.aim, receipt=receipt)
        if coupon is not None:
            return Scan(ScanKind.COUPON, self.data, self.name, self.aim, coupon=coupon)
        if is_web_address(self.data):
            try:
                return self.link()
            except ParseError as error:
                return Scan(ScanKind.TEXT, self.data, self.name, self.aim, problem=str(error))
        return Scan(ScanKind.TEXT, self.data, self.name, self.aim)
