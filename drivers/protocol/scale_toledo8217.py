"""Toledo 8217 (also called ECR or 8213): the till asks `W`, the scale answers STX weight CR, or STX ? status CR.

Source: the Mettler Toledo 8217 service manual, ECR protocol; usual line 9600 7E1. The weight is sent only when it is
stable; everything else is a status byte. The frame has no unit: it is what the scale is set to.
"""

from __future__ import annotations

import re

from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.scale import (
    ScaleDecoder,
    ScaleEvent,
    ScaleReading,
    ScaleStatus,
    expect_ascii,
    format_weight,
    parse_unit,
    parse_weight,
)

STX, CR = 0x02, 0x0D
MOTION, OVER_CAPACITY, UNDER_ZERO, OUTSIDE_ZERO, CENTER_OF_ZERO, NET, BIT_6 = (1 << bit for bit in range(7))


def encode_toledo8217_request(command: str = "weight") -> bytes:
    """Return the byte of a command: weight W, high_resolution H, zero Z, tare T, clear_tare C.

    >>> encode_toledo8217_request("zero")
    b'Z'
    """
    commands = {"weight": b"W", "high_resolution": b"H", "zero": b"Z", "tare": b"T", "clear_tare": b"C"}
    if command not in commands:
        raise ParseError(f"expected one of {', '.join(commands)}, found {command!r}")
    return commands[command]


def parse_toledo8217(frame: bytes, unit: str = "kg", pattern: str | None = None) -> ScaleReading:
    """Read one answer, STX to CR, of a scale set to `unit`.

    `pattern` such as `00.000` is the only form then accepted, so that a lost character cannot give another
    weight. Without one, a point is required unless the unit is g.

    >>> str(parse_toledo8217(b"\\x0201.235\\r")), str(parse_toledo8217(b"\\x02?\\x61\\r"))
    ('1.235 kg stable', 'unstable (in motion)')
    """
    if len(frame) < 3 or frame[0] != STX or frame[-1] != CR:
        raise ParseError(f"expected STX ... CR, found {frame[:40]!r}; check protocol and parity")
    body = expect_ascii(frame)[1:-1]
    if body.startswith("?"):
        if len(body) != 2:
            raise ParseError(f"expected one status byte after ?, found {body[:40]!r}")
        return _status(ord(body[1]))
    is_net = body.endswith("N")
    number = body.removesuffix("N")
    if pattern is not None and not re.fullmatch(re.escape(pattern).replace("0", "[0-9]"), number):
        raise ParseError(f"expected a weight of the form {pattern}, found {number[:40]!r}; weigh again")
    value, decimals = parse_weight(number)
    if pattern is None and (len(number) > 8 or not re.fullmatch(r" *\d{2,}\.\d{1,4}|\d{4,7}", number)):
        raise ParseError(f"expected a weight such as 01.235, found {number[:40]!r}; weigh again")
    if not decimals and parse_unit(unit) != "g":
        raise ParseError(f"expected a decimal point in {unit}, found {number!r}; is the scale set to grams?")
    kind = "net" if is_net else None
    return ScaleReading(ScaleStatus.STABLE, value, decimals, parse_unit(unit), kind, is_zero=value == 0)


def _status(bits: int) -> ScaleReading:
    # Bits 5 and 6 are net weight and bad command on one scale, always 1 on another: they decide nothing here.
    if bits & OVER_CAPACITY:
        return ScaleReading(ScaleStatus.OVERLOAD, detail="over capacity")
    if bits & UNDER_ZERO:
        return ScaleReading(ScaleStatus.UNDERLOAD, detail="under zero")
    if bits & OUTSIDE_ZERO:
        return ScaleReading(ScaleStatus.ERROR, detail="outside the zero capture range")
    if bits & MOTION:
        return ScaleReading(ScaleStatus.UNSTABLE, detail="in motion")
    return ScaleReading(ScaleStatus.NO_WEIGHT, is_zero=bool(bits & CENTER_OF_ZERO))


def encode_toledo8217_weight(value: int, decimals: int = 3, width: int = 6, *, is_net: bool = False) -> bytes:
    """Return the answer of a scale with a stable weight, for simulators.

    >>> encode_toledo8217_weight(1235)
    b'\\x0201.235\\r'
    """
    return b"\x02" + format_weight(value, decimals, width).encode() + (b"N\r" if is_net else b"\r")


def encode_toledo8217_status(bits: int) -> bytes:
    """Return the status answer with the given bits; bit 5 and 6 are set, as most scales do.

    >>> encode_toledo8217_status(MOTION)
    b'\\x02?a\\r'
    """
    return bytes([STX, ord("?"), (bits & 0x1F) | 0x60, CR])


class Toledo8217Decoder(ScaleDecoder):
    """Answers of a Toledo 8217 in any chunking.

    >>> Toledo8217Decoder().feed(b"\\x0201.2")
    []
    """

    def __init__(self, unit: str = "kg", pattern: str | None = None, parity: str = "N") -> None:
        super().__init__(parity)
        self.unit, self.pattern = parse_unit(unit), pattern

    def cut(self) -> bytes | None:
        return self.cut_between(STX, CR)

    def read(self, frame: bytes) -> ScaleEvent | None:
        return parse_toledo8217(frame, self.unit, self.pattern)
