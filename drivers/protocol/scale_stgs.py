"""The ASCII line that A&D, CAS, Kern and many others send: `ST,GS,+  1.235kg`, by itself or when asked.

Source: the RS-232 chapters of A&D (`ST,+00123.45  g`), CAS (`ST,GS,id,lamp, 1.235 kg`) and compatible manuals. ST is
stable, US unstable, OL overload, QT a count; GS gross, NT net, TR tare.
"""

from __future__ import annotations

import re

from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.scale import (
    ScaleDecoder,
    ScaleEvent,
    ScaleReading,
    ScaleStatus,
    format_weight,
    parse_unit,
    parse_weight,
)

_LINE = re.compile(
    rb"(ST|US|OL|QT)(?:,(GS|NT|TR))?(?:,[^,],[^,])?,"
    rb"(?:(?P<number>[ ]*[+-]?[ ]*[0-9]+(?:\.[0-9]+)?)[ ]*(?P<unit>[A-Za-z]{1,3})[ ]*|(?P<rest>[^,]{0,20}))",
    re.DOTALL,
)
_KINDS = {b"GS": "gross", b"NT": "net", b"TR": "tare", None: None}


def encode_stgs_request(command: str = "weight") -> bytes:
    """Return a command of the scales that are asked: weight Q, zero Z, tare T, each with CR LF.

    >>> encode_stgs_request()
    b'Q\\r\\n'
    """
    commands = {"weight": b"Q\r\n", "zero": b"Z\r\n", "tare": b"T\r\n"}
    if command not in commands:
        raise ParseError(f"expected one of {', '.join(commands)}, found {command!r}")
    return commands[command]


def parse_stgs(line: bytes, width: int | None = None) -> ScaleReading:
    """Read one line without or with its CR LF.

    `width` is the number of characters from the sign to the last digit, where the scale always sends the same.

    >>> str(parse_stgs(b"ST,GS,+  1.235kg")), str(parse_stgs(b"OL,GS,+9999999kg"))
    ('1.235 kg stable', 'overload (above the range)')
    """
    match = _LINE.fullmatch(line.removesuffix(b"\n").removesuffix(b"\r"))
    if match is None:
        raise ParseError(f"expected a line such as ST,GS,+  1.235kg, found {line[:40]!r}; weigh again")
    header, kind, rest = match[1], _KINDS[match[2]], match["rest"]
    if header == b"OL":
        field = rest if rest is not None else match["number"]
        if field.strip().startswith(b"-"):
            return ScaleReading(ScaleStatus.UNDERLOAD, kind=kind, detail="below the range")
        return ScaleReading(ScaleStatus.OVERLOAD, kind=kind, detail="above the range")
    if rest is not None:
        raise ParseError(f"expected a weight and a unit, found {line[:40]!r}; weigh again")
    number = match["number"].decode("ascii")
    if width is not None and len(number) != width:
        raise ParseError(f"expected {width} characters of weight, found {number!r}; weigh again")
    value, decimals = parse_weight(number)
    unit = parse_unit(match["unit"].decode("ascii"))
    if (header == b"QT") != (unit == "pcs"):
        raise ParseError(f"expected QT for pieces and ST or US for weights, found {line[:40]!r}; weigh again")
    status = ScaleStatus.UNSTABLE if header == b"US" else ScaleStatus.STABLE
    return ScaleReading(status, value, decimals, unit, kind, value == 0, value if kind == "tare" else None)


def encode_stgs(
    value: int, decimals: int = 3, unit: str = "kg", *, header: str = "ST", kind: str = "GS", width: int = 8
) -> bytes:
    """Return one line, for simulators.

    >>> encode_stgs(1235)
    b'ST,GS,+  1.235kg\\r\\n'
    """
    sign = "-" if value < 0 else "+"
    return f"{header},{kind},{sign}{format_weight(abs(value), decimals):>{width - 1}}{unit}\r\n".encode("ascii")


class StGsDecoder(ScaleDecoder):
    """Lines of an ST/GS scale in any chunking; CR LF, CR or LF may end them."""

    def __init__(self, width: int | None = None, parity: str = "N") -> None:
        super().__init__(parity)
        self.width = width

    def cut(self) -> bytes | None:
        ends = [at for at in (self.find(0x0D), self.find(0x0A)) if at >= 0]
        return self.take(min(ends) + 1) if ends else None

    def read(self, frame: bytes) -> ScaleEvent | None:
        line = frame.rstrip(b"\r\n")
        return parse_stgs(line, self.width) if line else None
