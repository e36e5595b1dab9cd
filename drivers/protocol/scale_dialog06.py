"""Dialog 06: the till sends the unit price, the scale weighs, multiplies and shows, and answers with all three.

Source: Mettler Toledo DIVA service manual 6.1.8, also in Bizerba, Dibal and Ohaus manuals; usual line 9600 7O1.
Records to the scale begin with EOT STX; fields are parted by ESC. The scale answers ACK or NAK, and the till fetches
the result by EOT ENQ, or the reason of a NAK by record 08.
"""

from __future__ import annotations

from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.scale import (
    ScaleDecoder,
    ScaleEvent,
    ScaleReading,
    ScaleReply,
    ScaleStatus,
    expect_ascii,
)

STX, ETX, EOT, ENQ, ACK, NAK, ESC = 0x02, 0x03, 0x04, 0x05, 0x06, 0x15, 0x1B
REQUEST_RESULT = bytes([EOT, ENQ])
REQUEST_STATUS = b"\x04\x0208\x03"
# Status 3 is kilograms with three decimals; the pound forms carry 5 digits too.
_UNITS = {"0": ("lb-oz", 0), "1": ("lb", 2), "2": ("lb", 3), "3": ("kg", 3)}
STATUS_TEXTS = {
    "00": "no error",
    "01": "general error",
    "02": "parity error or buffer overflow",
    "10": "invalid record number",
    "11": "invalid unit price",
    "12": "invalid tare",
    "13": "invalid text",
    "20": "still in motion",
    "21": "no motion since the last weighing",
    "22": "calculation not finished",
    "30": "below the minimum weight",
    "31": "below zero",
    "32": "overload",
}


def encode_dialog06_price(unit_price_minor: int, tare: int | None = None, text: str | None = None) -> bytes:
    """Return record 01, 03, 04 or 05: price per kilogram in minor units, tare in grams, item text.

    >>> encode_dialog06_price(1299)
    b'\\x04\\x0201\\x1b001299\\x1b\\x03'
    """
    if not 0 <= unit_price_minor <= 999999:
        raise ParseError(f"expected a unit price of 0 to 999999 minor units, found {unit_price_minor}")
    if tare is not None and not 0 <= tare <= 9999:
        raise ParseError(f"expected a tare of 0 to 9999 grams, found {tare}")
    fields = [f"{unit_price_minor:06d}"]
    if tare is not None:
        fields.append(f"{tare:04d}")
    if text is not None:
        # No control character of a text may end the record early.
        clean = "".join(c for c in text if c.isascii() and c.isprintable())
        fields.append(f"{clean:13.13}")
    record = {(False, False): "01", (True, False): "03", (False, True): "04", (True, True): "05"}[
        (tare is not None, text is not None)
    ]
    tail = "\x1b\x03" if record == "01" else "\x03"
    return f"\x04\x02{record}\x1b".encode("ascii") + "\x1b".join(fields).encode("ascii") + tail.encode("ascii")


def parse_dialog06(frame: bytes) -> ScaleReading | ScaleReply:
    """Read ACK, NAK, or a record 02 (result), 09 (status) or 11 (checksums) from STX to ETX.

    >>> reading = parse_dialog06(b"\\x0202\\x1b3\\x1b01235\\x1b001299\\x1b001604\\x03")
    >>> str(reading), reading.unit_price_minor, reading.price_minor
    ('1.235 kg stable', 1299, 1604)
    """
    if frame == bytes([ACK]):
        return ScaleReply("ack", True)
    if frame == bytes([NAK]):
        return ScaleReply("nak", False, "the scale has no result; ask for its status")
    text = expect_ascii(frame)
    if len(text) < 5 or text[0] != "\x02" or text[-1] != "\x03":
        raise ParseError(f"expected STX ... ETX, found {frame[:40]!r}; check protocol and parity")
    record, *fields = text[1:-1].split("\x1b")
    if record == "09" and len(fields) == 1 and fields[0] in STATUS_TEXTS:
        return _status(fields[0])
    if record == "11" and len(fields) == 1 and fields[0][:1] in ("0", "1", "2"):
        wanted = {"0": "checksums invalid", "1": "checksums valid", "2": "checksums wanted"}[fields[0][0]]
        return ScaleReply("checksum", fields[0] == "1", wanted + (f" {fields[0][1:]}" if fields[0][1:] else ""))
    if record == "02" and len(fields) == 4:
        return _result(fields, text)
    raise ParseError(f"expected record 02, 09 or 11 of Dialog 06, found {text[:40]!r}; weigh again")


def _result(fields: list[str], text: str) -> ScaleReading:
    unit, weight, unit_price, price = fields
    lengths = (len(weight), len(unit_price), len(price))
    if unit not in _UNITS or lengths not in ((5, 6, 6), (5, 5, 6)) or not (weight + unit_price + price).isdigit():
        raise ParseError(f"expected 5 digits of weight, 5 or 6 of unit price, 6 of price, found {text[:60]!r}")
    name, decimals = _UNITS[unit]
    value = int(weight)
    if name == "lb-oz":  # two digits of pounds, three of ounces and eighths
        pounds, ounces, eighths = value // 1000, value // 10 % 100, value % 10
        if ounces > 15 or eighths > 7:
            raise ParseError(f"expected pounds, ounces and eighths, found {weight}; weigh again")
        value, name, decimals = ((pounds * 16 + ounces) * 8 + eighths) * 125, "oz", 3
    return ScaleReading(
        ScaleStatus.STABLE,
        value,
        decimals,
        name,
        is_zero=value == 0,
        unit_price_minor=int(unit_price),
        price_minor=int(price),
    )


def _status(code: str) -> ScaleReading | ScaleReply:
    detail = STATUS_TEXTS[code]
    if code == "00":
        return ScaleReply("status", True, detail)
    status = {
        "20": ScaleStatus.UNSTABLE,
        "22": ScaleStatus.UNSTABLE,
        "21": ScaleStatus.NO_WEIGHT,
        "30": ScaleStatus.NO_WEIGHT,
        "31": ScaleStatus.UNDERLOAD,
        "32": ScaleStatus.OVERLOAD,
    }.get(code, ScaleStatus.ERROR)
    return ScaleReading(status, detail=detail)


def encode_dialog06_result(weight_grams: int, unit_price_minor: int, price_minor: int) -> bytes:
    """Return record 02 in kilograms, for simulators.

    >>> encode_dialog06_result(1235, 1299, 1604)
    b'\\x0202\\x1b3\\x1b01235\\x1b001299\\x1b001604\\x03'
    """
    return f"\x0202\x1b3\x1b{weight_grams:05d}\x1b{unit_price_minor:06d}\x1b{price_minor:06d}\x03".encode("ascii")


def encode_dialog06_status(code: str) -> bytes:
    """Return record 09 with a code of STATUS_TEXTS, for simulators.

    >>> encode_dialog06_status("20")
    b'\\x0209\\x1b20\\x03'
    """
    if code not in STATUS_TEXTS:
        raise ParseError(f"expected one of {', '.join(STATUS_TEXTS)}, found {code!r}")
    return f"\x0209\x1b{code}\x03".encode("ascii")


def price_of(weight_grams: int, unit_price_minor: int) -> int:
    """Return weight times price per kilogram, rounded half up to the minor unit, as the scale does.

    >>> price_of(1235, 1299)
    1604
    """
    return (weight_grams * unit_price_minor * 2 + 1000) // 2000


class Dialog06Decoder(ScaleDecoder):
    """Answers of a Dialog 06 scale in any chunking."""

    def cut(self) -> bytes | None:
        while self.buffer:
            first = self.buffer[0] & 0x7F if self.parity != "N" else self.buffer[0]
            if first in (ACK, NAK):
                return self.take(1)
            if first == STX:
                at_end = self.find(ETX)
                again = self.find(STX, 1)
                if again > 0 and (at_end < 0 or again < at_end):
                    return self.take(again)  # a record that lost its end
                return self.take(at_end + 1) if at_end >= 0 else None
            del self.buffer[0]
        return None

    def read(self, frame: bytes) -> ScaleEvent | None:
        return parse_dialog06(frame)
