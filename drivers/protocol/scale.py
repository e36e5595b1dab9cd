"""What every scale protocol says in the end: a reading, a reply to a command, or a damaged frame.

A weight is an int with a number of decimals and a unit; nothing is ever a float. A frame that is damaged, or that
says overload, underload or error, carries no number at all.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum

from ringup.drivers.protocol.errors import ParseError

FRAME_SIZE_MAX = 256
# Milligrams as (numerator, denominator); pound and ounces by the international agreement of 1959.
_MILLIGRAMS = {
    "mg": (1, 1),
    "g": (1000, 1),
    "kg": (1_000_000, 1),
    "t": (1_000_000_000, 1),
    "lb": (45359237, 100),
    "oz": (45359237, 1600),
    "ozt": (31103476800, 1_000_000),
    "ct": (200, 1),
}
UNIT_NAMES = {
    "kg": "kg",
    "g": "g",
    "mg": "mg",
    "t": "t",
    "lb": "lb",
    "lbs": "lb",
    "oz": "oz",
    "ozt": "ozt",
    "ct": "ct",
    "pcs": "pcs",
    "pc": "pcs",
}


class ScaleStatus(StrEnum):
    """What the scale says about its own reading."""

    STABLE = "stable"
    UNSTABLE = "unstable"
    OVERLOAD = "overload"
    UNDERLOAD = "underload"
    ERROR = "error"  # a fault of the scale: memory, calibration, zero not captured
    NO_WEIGHT = "no_weight"  # a status without a weight, and nothing wrong in it


@dataclass(frozen=True, slots=True)
class ScaleReading:
    """One reading. `value` (12345 with 3 decimals is 12.345) is None unless the status is stable or unstable.

    `kind` is gross, net or tare where the protocol says so. `tare` has the same decimals and unit as `value`.
    `unit_price_minor` and `price_minor` are what a price-computing scale (Dialog 06) multiplied.
    """

    status: ScaleStatus
    value: int | None = None
    decimals: int = 0
    unit: str = ""
    kind: str | None = None
    is_zero: bool = False
    tare: int | None = None
    unit_price_minor: int | None = None
    price_minor: int | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        assert self.value is None or self.status in (ScaleStatus.STABLE, ScaleStatus.UNSTABLE)

    @property
    def is_negative(self) -> bool:
        """True for a weight below zero, and for a scale that says it is."""
        return self.status is ScaleStatus.UNDERLOAD or (self.value is not None and self.value < 0)

    @property
    def is_sellable(self) -> bool:
        """True if goods may be sold by this reading: stable, above zero, gross or net."""
        return self.status is ScaleStatus.STABLE and self.value is not None and self.value > 0 and self.kind != "tare"

    @property
    def weight_mg(self) -> int | None:
        """The weight in milligrams (thousandths of a gram), rounded half away from zero for pounds and ounces."""
        if self.value is None or self.unit not in _MILLIGRAMS:
            return None
        numerator, denominator = _MILLIGRAMS[self.unit]
        denominator *= pow(10, self.decimals)
        whole: int = (abs(self.value) * numerator * 2 + denominator) // (denominator * 2)
        return -whole if self.value < 0 else whole

    @property
    def weight_grams(self) -> int | None:
        """The weight in grams where the scale shows whole grams, None where rounding would be needed."""
        if self.value is None or self.unit not in ("kg", "g", "mg", "t") or self.weight_mg is None:
            return None
        exact = self.value * _MILLIGRAMS[self.unit][0] == self.weight_mg * 10**self.decimals
        return self.weight_mg // 1000 if exact and self.weight_mg % 1000 == 0 else None

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.status}{f' ({self.detail})' if self.detail else ''}"
        return f"{format_weight(self.value, self.decimals)} {self.unit} {self.status}"


@dataclass(frozen=True, slots=True)
class ScaleReply:
    """An answer that is no reading: to zero, tare, an inquiry. `is_ok` says whether the scale did it."""

    command: str
    is_ok: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class ScaleDamage:
    """A frame that could not be read: its bytes and what was expected."""

    data: bytes
    reason: str


ScaleEvent = ScaleReading | ScaleReply | ScaleDamage


def parse_weight(text: str) -> tuple[int, int]:
    """Return (value, decimals) of a weight such as `+ 12.345`; raise ParseError for anything else.

    >>> parse_weight("-  0.125")
    (-125, 3)
    """
    match = re.fullmatch(r" *([+-]?) *([0-9]{1,9})(?:\.([0-9]{1,6}))? *", text)
    if match is None:
        raise ParseError(f"expected a weight such as 12.345, found {text[:40]!r}; weigh again")
    sign, whole, fraction = match.groups(default="")
    value = int(whole + fraction)
    return (-value if sign == "-" else value), len(fraction)


def format_weight(value: int, decimals: int, width: int = 0) -> str:
    """Return the weight as text, with leading zeros up to `width` characters (sign included).

    >>> format_weight(1235, 3), format_weight(-5, 2, 6)
    ('1.235', '-00.05')
    """
    digits = str(abs(value)).zfill(decimals + 1)
    text = f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
    sign = "-" if value < 0 else ""
    return sign + text.zfill(width - len(sign))


def parse_unit(text: str) -> str:
    """Return the unit's usual spelling; raise ParseError for one that is not known."""
    unit = UNIT_NAMES.get(text.strip().lower())
    if unit is None:
        raise ParseError(f"expected one of {', '.join(UNIT_NAMES)} as unit, found {text[:10]!r}; weigh again")
    return unit


def check_parity(data: bytes, parity: str) -> bytes:
    """Return 7-bit bytes of a line read as 8 bits: parity E, O, M or S is checked and taken off, N passes.

    >>> check_parity(bytes([0x41, 0xC3]), "E")
    b'AC'
    """
    if parity == "N":
        return data
    for byte in data:
        ones = byte.bit_count()
        wrong = {"E": ones & 1 == 1, "O": ones & 1 == 0, "M": byte < 0x80, "S": byte >= 0x80}.get(parity)
        if wrong is None:
            raise ParseError(f"expected parity N, E, O, M or S, found {parity!r}")
        if wrong:
            raise ParseError(f"expected {parity} parity, found the byte {byte:#04x}; check parity and cable")
    return bytes(byte & 0x7F for byte in data)


def add_parity(data: bytes, parity: str) -> bytes:
    """Return 7-bit bytes with the parity bit set, as a line read as 8 bits shows them."""
    if parity == "N":
        return data
    if parity not in ("E", "O", "M", "S"):
        raise ParseError(f"expected parity N, E, O, M or S, found {parity!r}")
    marked = bytearray()
    for byte in data:
        is_odd = (byte & 0x7F).bit_count() & 1 == 1
        high = parity == "M" or (parity == "E" and is_odd) or (parity == "O" and not is_odd)
        marked.append((byte & 0x7F) | (0x80 if high else 0))
    return bytes(marked)


class ScaleDecoder(ABC):
    """Frames of one protocol out of a stream in any chunking.

    `parity` is N unless the transport reads 8 bits of a line that carries 7 and a parity bit. A subclass finds the
    next frame (`cut`) and reads it (`read`).
    """

    def __init__(self, parity: str = "N") -> None:
        if parity not in ("N", "E", "O", "M", "S"):
            raise ParseError(f"expected parity N, E, O, M or S, found {parity!r}")
        self.parity = parity
        self.buffer = bytearray()

    def feed(self, data: bytes) -> list[ScaleEvent]:
        """Take bytes; return what is complete. Damage comes out as ScaleDamage, never as a number."""
        self.buffer += data
        events: list[ScaleEvent] = []
        while (frame := self.cut()) is not None:
            try:
                event = self.read(frame if self.parity == "N" else check_parity(frame, self.parity))
            except ParseError as error:
                event = ScaleDamage(frame, str(error))
            if event is not None:
                events.append(event)
        if len(self.buffer) > FRAME_SIZE_MAX:
            events.append(ScaleDamage(bytes(self.buffer), "expected the end of a frame; check protocol and speed"))
            self.buffer.clear()
        return events

    def reset(self) -> None:
        """Forget half a frame: the link was lost, or the answer is overdue."""
        self.buffer.clear()

    @abstractmethod
    def cut(self) -> bytes | None:
        """Take the next whole frame off the buffer, or return None and leave half a frame there."""

    @abstractmethod
    def read(self, frame: bytes) -> ScaleEvent | None:
        """Read one frame; None for what carries nothing. Raises ParseError."""

    def find(self, byte: int, start: int = 0) -> int:
        """Position of a byte in the buffer, whatever its parity bit says; -1 if it is not there."""
        at = self.buffer.find(byte, start)
        if self.parity == "N":
            return at
        other = self.buffer.find(byte | 0x80, start)
        return at if other < 0 else other if at < 0 else min(at, other)

    def take(self, size: int) -> bytes:
        """Take `size` bytes off the front of the buffer."""
        frame = bytes(self.buffer[:size])
        del self.buffer[:size]
        return frame

    def cut_between(self, start: int, end: int) -> bytes | None:
        """Take the frame from the last `start` before the first `end`; what stands before it is noise."""
        at_end = self.find(end)
        if at_end < 0:
            return None
        at_start = -1
        while True:
            found = self.find(start, at_start + 1)
            if found < 0 or found > at_end:
                break
            at_start = found
        frame = self.take(at_end + 1)
        return frame if at_start < 0 else frame[at_start:]


def expect_ascii(frame: bytes) -> str:
    """Return the frame as text; raise ParseError for a byte that is not 7-bit."""
    if not frame.isascii():
        raise ParseError(f"expected 7-bit characters, found {frame[:40]!r}; check parity and data bits")
    return frame.decode("ascii")
