"""QR codes that a till prints and reads back: receipts and coupons.

RingUp's own codes use only the QR alphanumeric set, so they print small, and end in a CRC, so that a character lost
on the way from a keyboard-wedge scanner is noticed. Receipts under the German and Austrian fiscal rules and the GS1
coupon AIs are read too. Sources: DSFinV-K 2.3 appendix I; RKSV annex, Detailspezifikation 8; GS1 US coupon guidelines.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from ringup.drivers.protocol.errors import ParseError

CODE_LENGTH_MAX = 4096


@dataclass(frozen=True, slots=True)
class ReceiptCode:
    """A receipt named by its QR code. `total_minor` is in hundredths; `issued` is a day or a time as printed."""

    scheme: str  # ringup, de or at
    store: str
    till: str
    number: str
    issued: str
    total_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class CouponCode:
    """A coupon: RingUp's own code, or the fields of GS1 (8110), (8112) and (255)."""

    scheme: str  # ringup, gs1_8110, gs1_8112, gcn or ean
    code: str
    issuer: str = ""
    serial: str = ""
    save_value: int | None = None


def crc16_ccitt(data: bytes, crc: int = 0xFFFF) -> int:
    """Return the CRC-16/IBM-3740 (CCITT-FALSE) of `data`.

    >>> hex(crc16_ccitt(b"123456789"))
    '0x29b1'
    """
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


_NAME = re.compile(r"[0-9A-Z$%+\-./ ]{1,40}")


def _seal(body: str) -> str:
    return f"{body}*{crc16_ccitt(body.encode('ascii')):04X}"


def _checked_name(text: str, what: str) -> str:
    if not _NAME.fullmatch(text):
        raise ParseError(f"expected a {what} of 1 to 40 characters from 0-9 A-Z $%+-./ and space, found {text!r}")
    return text


def encode_receipt_code(
    store: str, till: str, number: str, issued: dt.date, total_minor: int, currency: str = "EUR"
) -> str:
    """Return the text of a receipt's QR code.

    >>> encode_receipt_code("BERLIN1", "T3", "4711", dt.date(2026, 11, 22), 1999)
    'RINGUP:R1:BERLIN1:T3:4711:20261122:1999:EUR*A40C'
    """
    names = [_checked_name(*pair) for pair in ((store, "store"), (till, "till"), (number, "receipt number"))]
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise ParseError(f"expected a currency code of three letters, found {currency!r}")
    return _seal(":".join(["RINGUP:R1", *names, f"{issued:%Y%m%d}", str(int(total_minor)), currency]))


def encode_coupon_code(code: str) -> str:
    """Return the text of a coupon's QR code.

    >>> encode_coupon_code("SUMMER-26-000123")
    'RINGUP:C1:SUMMER-26-000123*B2E5'
    """
    return _seal(f"RINGUP:C1:{_checked_name(code, 'coupon code')}")


def parse_receipt_code(text: str) -> ReceiptCode | None:
    """Read a receipt's QR code (RingUp's, German V0, Austrian R1-AT); None if it is no receipt code.

    Raises ParseError for a code that begins like a receipt and is damaged.
    """
    if len(text) > CODE_LENGTH_MAX:
        return None
    if text.startswith("RINGUP:R1:"):
        return _parse_own_receipt(text)
    if text.startswith("V0;"):
        return _parse_german_receipt(text)
    if re.match(r"_R1-AT\d+_", text):
        return _parse_austrian_receipt(text)
    return None


def parse_coupon_code(text: str) -> CouponCode | None:
    """Read RingUp's coupon code; None if the text is something else. A damaged one raises ParseError."""
    if not text.startswith("RINGUP:C1:") or len(text) > CODE_LENGTH_MAX:
        return None
    return CouponCode("ringup", _checked_name(_unseal(text).removeprefix("RINGUP:C1:"), "coupon code"))


def parse_gs1_coupon(ai: str, value: str) -> CouponCode | None:
    """Read the data of AI 255 (GCN), 8110 (North American coupon) or 8112 (positive offer file); None for others.

    `save_value` is the raw save value of (8110): cents, or what its save value code says.

    >>> parse_gs1_coupon("8112", "006141411234560012345").serial
    '012345'
    """
    if ai == "255":
        return CouponCode("gcn", value, value[:12], value[13:])
    if ai not in ("8110", "8112"):
        return None
    if not (value.isascii() and value.isdigit()):
        raise ParseError(f"expected digits in ({ai}), found {value[:40]!r}; scan it again")
    if ai == "8112":
        reader = _Digits(value, ai)
        if reader.take(1) not in "01":
            raise ParseError(f"expected coupon format 0 or 1 in (8112), found {value[0]}")
        issuer, _offer = reader.take(6 + int(reader.take(1))), reader.take(6)
        serial = reader.take(6 + int(reader.take(1)))
        if reader.rest:
            raise ParseError(f"expected nothing after the serial number of (8112), found {reader.rest!r}")
        return CouponCode("gs1_8112", value, issuer, serial)
    reader = _Digits(value, ai)
    issuer, _offer = reader.take(6 + int(reader.take(1))), reader.take(6)
    width = int(reader.take(1))
    if not 1 <= width <= 5:
        raise ParseError(f"expected a save value of 1 to 5 digits in (8110), found {width}")
    return CouponCode("gs1_8110", value, issuer, save_value=int(reader.take(width)))


@dataclass(slots=True)
class _Digits:
    rest: str
    ai: str

    def take(self, count: int) -> str:
        if len(self.rest) < count:
            raise ParseError(f"expected {count} digits more in ({self.ai}), found {self.rest!r}; scan it again")
        head, self.rest = self.rest[:count], self.rest[count:]
        return head


def _unseal(text: str) -> str:
    body, star, seal = text.rpartition("*")
    if not star or not text.isascii() or _seal(body) != text:
        raise ParseError(f"expected a RingUp code that ends in its checksum, found *{seal[:8]}; scan it again")
    return body


def _parse_own_receipt(text: str) -> ReceiptCode:
    fields = _unseal(text).split(":")
    if len(fields) != 8 or not re.fullmatch(r"\d{8}", fields[5]) or not re.fullmatch(r"-?\d{1,15}", fields[6]):
        raise ParseError(f"expected RINGUP:R1:store:till:number:YYYYMMDD:total:currency, found {text[:80]!r}")
    return ReceiptCode("ringup", fields[2], fields[3], fields[4], fields[5], int(fields[6]), fields[7])


def _amount_minor(text: str, mark: str) -> int:
    match = re.fullmatch(rf"(-?)(\d{{1,12}}){re.escape(mark)}(\d\d)", text)
    if match is None or not text.isascii():
        raise ParseError(f"expected an amount such as 12{mark}34 on the receipt code, found {text[:20]!r}")
    sign, units, cents = match.groups()
    value = int(units) * 100 + int(cents)
    return -value if sign else value


def _parse_german_receipt(text: str) -> ReceiptCode:
    fields = text.split(";")
    kind, _, rest = fields[3].partition("^") if len(fields) == 12 else ("", "", "")
    gross = rest.partition("^")[0].split("_")
    if kind not in ("Beleg", "AVBelegstorno", "AVTransfer", "AVRechnung", "AVBestellung") or len(gross) != 5:
        raise ParseError(f"expected the 12 fields of a Kassenbeleg-V1 code, found {text[:80]!r}; scan it again")
    return ReceiptCode(
        "de", "", fields[1], fields[4], fields[6], sum(_amount_minor(part, ".") for part in gross), "EUR"
    )


def _parse_austrian_receipt(text: str) -> ReceiptCode:
    fields = text.split("_")
    if len(fields) != 14:
        raise ParseError(f"expected the 13 fields of an RKSV receipt code, found {len(fields) - 1}; scan it again")
    total = sum(_amount_minor(part, ",") for part in fields[5:10])
    return ReceiptCode("at", "", fields[2], fields[3], fields[4], total, "EUR")
