"""MT-SICS, the Mettler Toledo Standard Interface Command Set: lines of a command name, a status and a value.

Source: MT-SICS Reference Manual, levels 0 and 1. `S S     100.00 g` is a stable weight, `S D` a changing one, `S I`
means not executable now, `S +` and `S -` over and under range.
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

COMMANDS = {
    "weight": "S",
    "weight_now": "SI",
    "weight_repeat": "SIR",
    "zero": "Z",
    "zero_now": "ZI",
    "tare": "T",
    "tare_now": "TI",
    "clear_tare": "TAC",
    "reset": "@",
    "model": "I2",
    "serial_number": "I4",
}
_WEIGHT = re.compile(r"(S|SI|SIR|SR|SNR|T|TI|TA) ([SDA]) ( *[+-]?[0-9][0-9.]*) ([A-Za-z]{1,3}) *")
_READINGS = ("S", "SI", "SIR", "SR", "SNR")
_ERRORS = {
    "ES": "the scale does not know the command",
    "ET": "the scale received a damaged command; check parity and speed",
    "EL": "the scale cannot do that with this parameter",
}


def encode_mtsics(command: str = "weight_now", *parameters: str) -> bytes:
    """Return a command line; `command` is a name of COMMANDS or an MT-SICS command itself.

    >>> encode_mtsics("weight_now"), encode_mtsics("TA", "0.125", "kg")
    (b'SI\\r\\n', b'TA 0.125 kg\\r\\n')
    """
    line = " ".join([COMMANDS.get(command, command), *parameters])
    if not line.isascii() or not line.isprintable() or not line:
        raise ParseError(f"expected printable characters in a command, found {line[:40]!r}")
    return line.encode("ascii") + b"\r\n"


def parse_mtsics(line: bytes, width: int | None = None) -> ScaleReading | ScaleReply:
    """Read one line without or with its CR LF.

    `width` 10 accepts only the field of ten characters that the manual prescribes, so that a lost character
    cannot give another weight; None accepts any, as some scales send fewer.

    >>> str(parse_mtsics(b"S S     100.00 g")), str(parse_mtsics(b"SI D     1.235 kg\\r\\n"))
    ('100.00 g stable', '1.235 kg unstable')
    """
    text = expect_ascii(line).removesuffix("\n").removesuffix("\r")
    if not text.isprintable() or not text:
        raise ParseError(f"expected a line of MT-SICS, found {line[:40]!r}; check protocol and speed")
    if text in _ERRORS:
        return ScaleReply(text, False, _ERRORS[text])
    match = _WEIGHT.fullmatch(text)
    if match is not None:
        return _weight(match, text, width)
    name, _, rest = text.partition(" ")
    status, _, parameters = rest.partition(" ")
    if not re.fullmatch(r"@|[A-Z]{1,4}[0-9]{0,3}", name) or not status:
        raise ParseError(f"expected a command name and a status, found {text[:40]!r}; check protocol and speed")
    if name in _READINGS:
        return _no_weight(status, parameters, text)
    if status in ("A", "B", "S", "D") and not (name in ("T", "TI", "TA") and parameters):
        return ScaleReply(name, True, parameters)
    reasons = {
        "I": "not now: in motion or busy",
        "L": "wrong parameter",
        "+": "above the range",
        "-": "below the range",
    }
    if status in reasons:
        return ScaleReply(name, False, reasons[status])
    raise ParseError(f"expected a status A, B, I, L, + or -, found {text[:40]!r}; check protocol and speed")


def _weight(match: re.Match[str], text: str, width: int | None) -> ScaleReading:
    name, status, number, unit = match.groups()
    if width is not None and len(number) != width:
        raise ParseError(f"expected a weight field of {width} characters, found {text[:40]!r}; weigh again")
    if (status == "A") != (name == "TA"):
        raise ParseError(f"expected S or D before a weight, found {text[:40]!r}; weigh again")
    value, decimals = parse_weight(number)
    state = ScaleStatus.UNSTABLE if status == "D" else ScaleStatus.STABLE
    if name in _READINGS:
        return ScaleReading(state, value, decimals, parse_unit(unit), is_zero=value == 0)
    return ScaleReading(state, value, decimals, parse_unit(unit), "tare", value == 0, tare=value)


def _no_weight(status: str, parameters: str, text: str) -> ScaleReading:
    if parameters and not parameters.startswith("Error"):
        raise ParseError(f"expected a weight and a unit, found {text[:40]!r}; weigh again")
    if parameters:
        return ScaleReading(ScaleStatus.ERROR, detail=parameters)
    readings = {
        "I": ScaleReading(ScaleStatus.UNSTABLE, detail="no stable weight in time, or busy"),
        "+": ScaleReading(ScaleStatus.OVERLOAD, detail="above the range"),
        "-": ScaleReading(ScaleStatus.UNDERLOAD, detail="below the range"),
        "L": ScaleReading(ScaleStatus.ERROR, detail="wrong parameter"),
    }
    if status not in readings:
        raise ParseError(f"expected a weight, or I, +, - or L, found {text[:40]!r}; weigh again")
    return readings[status]


def encode_mtsics_weight(
    value: int, decimals: int = 3, unit: str = "kg", *, name: str = "S", is_stable: bool = True
) -> bytes:
    """Return an answer with a weight, for simulators.

    >>> encode_mtsics_weight(1235)
    b'S S      1.235 kg\\r\\n'
    """
    return f"{name} {'S' if is_stable else 'D'} {format_weight(value, decimals):>10} {unit}\r\n".encode("ascii")


class MtSicsDecoder(ScaleDecoder):
    """Lines of an MT-SICS scale in any chunking."""

    def __init__(self, width: int | None = None, parity: str = "N") -> None:
        super().__init__(parity)
        self.width = width

    def cut(self) -> bytes | None:
        at_end = self.find(0x0A)
        return None if at_end < 0 else self.take(at_end + 1)

    def read(self, frame: bytes) -> ScaleEvent | None:
        return parse_mtsics(frame, self.width) if frame.strip(b"\r\n") else None
