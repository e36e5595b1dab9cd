"""NCI (Weigh-Tronix) SCP-01: the till asks `W CR`, the scale answers LF weight unit CR LF S hh CR ETX.

Source: Weigh-Tronix SCP-01 (8408-14788-01), also in Avery, Brecknell and Mettler manuals; some scales leave out the S
or the second LF. The weight comes only with its status characters, and they have the last word.
"""

from __future__ import annotations

import re

from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.scale import (
    ScaleDecoder,
    ScaleEvent,
    ScaleReading,
    ScaleReply,
    ScaleStatus,
    expect_ascii,
    format_weight,
    parse_unit,
    parse_weight,
)

LF, ETX = 0x0A, 0x03
_FRAME = re.compile(
    r"\n(?:(?P<weight>[-+ 0-9.^_]+)(?P<unit>[A-Za-z]{1,3}) *(?:(?P<ounces>[0-9. ]+)OZ)?\r\n?)?"
    r"S?(?P<status>[0-?p-\x7f]{2,4})\r?\x03",
    re.IGNORECASE,
)


def encode_nci_request(command: str = "weight") -> bytes:
    """Return a command: weight W, status S, zero Z, tare T, high_resolution H, units U.

    >>> encode_nci_request()
    b'W\\r'
    """
    commands = {"weight": "W", "status": "S", "zero": "Z", "tare": "T", "high_resolution": "H", "units": "U"}
    if command not in commands:
        raise ParseError(f"expected one of {', '.join(commands)}, found {command!r}")
    return f"{commands[command]}\r".encode()


def parse_nci(frame: bytes, width: int | None = None) -> ScaleReading | ScaleReply:
    """Read one answer, LF to ETX.

    `width` is the number of characters of the weight, point included; SCP-01 says six, and then a lost character
    cannot give another weight. None accepts any, as some scales send more or suppress zeros.

    >>> str(parse_nci(b"\\n01.235KG\\r\\nS00\\r\\x03")), str(parse_nci(b"\\nS10\\r\\x03"))
    ('1.235 kg stable', 'unstable (in motion)')
    """
    text = expect_ascii(frame)
    if text in ("\n?\r\x03", "\r?\n\x03"):
        return ScaleReply("?", False, "the scale does not know the command")
    match = _FRAME.fullmatch(text)
    if match is None:
        raise ParseError(f"expected LF weight unit CR LF S status CR ETX, found {frame[:40]!r}; weigh again")
    status, detail, kind, is_zero = _status(match["status"])
    if match["weight"] is None or status not in (ScaleStatus.STABLE, ScaleStatus.UNSTABLE):
        if status is ScaleStatus.STABLE:
            status = ScaleStatus.NO_WEIGHT
        return ScaleReading(status, kind=kind, is_zero=is_zero, detail=detail)
    unit = parse_unit(match["unit"])
    if width is not None and match["ounces"] is None and len(match["weight"]) != width:
        raise ParseError(f"expected a weight of {width} characters, found {match['weight']!r}; weigh again")
    value, decimals = parse_weight(match["weight"])
    if match["ounces"] is not None:
        ounces, ounce_decimals = parse_weight(match["ounces"])
        if unit != "lb" or decimals or ounces >= 16 * 10**ounce_decimals:
            raise ParseError(f"expected pounds and less than 16 ounces, found {text[:40]!r}; weigh again")
        value, decimals, unit = value * 16 * 10**ounce_decimals + ounces, ounce_decimals, "oz"
    return ScaleReading(status, value, decimals, unit, kind, is_zero or value == 0, detail=detail)


def _status(characters: str) -> tuple[ScaleStatus, str, str | None, bool]:
    codes = [ord(character) for character in characters]
    if any(code & 0x30 != 0x30 for code in codes) or codes[0] & 0x40:
        raise ParseError(f"expected status characters with bits 4 and 5 set, found {characters!r}; weigh again")
    if bool(codes[1] & 0x40) != (len(codes) > 2) or (len(codes) > 2 and bool(codes[2] & 0x40) != (len(codes) > 3)):
        raise ParseError(f"expected as many status characters as bit 6 announces, found {characters!r}; weigh again")
    first, second, third = codes[0], codes[1], codes[2] if len(codes) > 2 else 0
    kind = ("net" if third & 4 else "gross") if third else None
    is_zero = bool(first & 2)
    faults = [
        name
        for is_set, name in (
            (first & 4, "RAM error"),
            (first & 8, "EEPROM error"),
            (second & 4, "ROM error"),
            (second & 8, "faulty calibration"),
            (third & 8, "initial zero error"),
        )
        if is_set
    ]
    if faults:
        return ScaleStatus.ERROR, ", ".join(faults), kind, is_zero
    if second & 2:
        return ScaleStatus.OVERLOAD, "over capacity", kind, is_zero
    if second & 1:
        return ScaleStatus.UNDERLOAD, "under capacity", kind, is_zero
    if first & 1:
        return ScaleStatus.UNSTABLE, "in motion", kind, is_zero
    return ScaleStatus.STABLE, "", kind, is_zero


def encode_nci_weight(value: int, decimals: int = 3, unit: str = "kg", status: str = "00", width: int = 6) -> bytes:
    """Return the answer with a weight, for simulators.

    >>> encode_nci_weight(1235)
    b'\\n01.235KG\\r\\nS00\\r\\x03'
    """
    return f"\n{format_weight(value, decimals, width)}{unit.upper()}\r\nS{status}\r\x03".encode("ascii")


def encode_nci_status(*, motion: bool = False, zero: bool = False, under: bool = False, over: bool = False) -> bytes:
    """Return the answer without a weight, for simulators.

    >>> encode_nci_status(over=True)
    b'\\nS02\\r\\x03'
    """
    return f"\nS{chr(0x30 | motion | zero << 1)}{chr(0x30 | under | over << 1)}\r\x03".encode("ascii")


class NciDecoder(ScaleDecoder):
    """Answers of an NCI scale in any chunking."""

    def __init__(self, width: int | None = None, parity: str = "N") -> None:
        super().__init__(parity)
        self.width = width

    def cut(self) -> bytes | None:
        at_end = self.find(ETX)
        if at_end < 0:
            return None
        frame = self.take(at_end + 1)
        plain = bytes(byte & 0x7F for byte in frame) if self.parity != "N" else frame
        at_start = plain.find(LF)
        return frame[max(0, at_start) :]

    def read(self, frame: bytes) -> ScaleEvent | None:
        return parse_nci(frame, self.width)
