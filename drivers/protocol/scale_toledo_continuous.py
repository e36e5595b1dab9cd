"""Toledo continuous output: STX, three status words, six digits of weight, six of tare, CR and a checksum.

Source: the continuous mode chapters of Mettler Toledo (IND445, 8142) and Cardinal manuals. The scale sends it several
times a second without being asked; the checksum is switched on or off in the scale.
"""

from __future__ import annotations

from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.scale import ScaleDecoder, ScaleEvent, ScaleReading, ScaleStatus

STX, CR = 0x02, 0x0D
_UNITS = {1: "g", 2: "t", 3: "oz", 4: "ozt"}


def toledo_checksum(data: bytes) -> int:
    """Return the checksum byte: the two's complement of the sum of the low seven bits, seven bits long.

    >>> toledo_checksum(b"\\x02-0 001235000000\\r")
    41
    """
    return -sum(byte & 0x7F for byte in data) & 0x7F


def parse_toledo_continuous(frame: bytes, checksum: bool | None = None) -> ScaleReading:
    """Read one frame of 17 bytes, or 18 with its checksum; the short form without tare has six bytes less.

    `checksum` None accepts both and checks what is there.

    >>> str(parse_toledo_continuous(b"\\x02-0 001235000000\\r"))
    '1.235 kg stable'
    """
    has_checksum = len(frame) in (18, 12)
    if len(frame) not in (17, 18, 11, 12) or (checksum is not None and checksum != has_checksum):
        raise ParseError(f"expected 17 bytes and a checksum where it is switched on, found {len(frame)} bytes")
    if has_checksum and toledo_checksum(frame[:-1]) != frame[-1] & 0x7F:
        raise ParseError(f"expected checksum {toledo_checksum(frame[:-1])}, found {frame[-1]}; weigh again")
    body = frame[:-1] if has_checksum else frame
    if body[0] != STX or body[-1] != CR or not frame.isascii():
        raise ParseError(f"expected STX ... CR of 7-bit characters, found {frame!r}; check protocol and parity")
    word_a, word_b, word_c = body[1], body[2], body[3]
    if word_a & 0x60 != 0x20 or word_c & 0x20 == 0:
        raise ParseError(f"expected status words with bit 5 set, found {body[1:4]!r}; check protocol and parity")
    weight, tare = _digits(body[4:10]), _digits(body[10:16]) if len(body) == 17 else 0
    scaling = (word_a & 7) - 2  # 0 and 1 mean two and one zeros after the last digit sent
    unit = _UNITS.get(word_c & 7) if word_c & 7 else ("kg" if word_b & 0x10 else "lb")
    if unit is None:
        raise ParseError(f"expected a unit of weight, found unit code {word_c & 7}; set the scale to kg")
    decimals, factor = max(0, scaling), 10 ** max(0, -scaling)
    if word_c & 0x10:  # expanded by ten: one digit more than the display shows
        decimals, factor = (decimals + 1, 1) if factor == 1 else (0, factor // 10)
    kind = "net" if word_b & 1 else "gross"
    if word_b & 4:
        if word_b & 2:
            return ScaleReading(ScaleStatus.UNDERLOAD, kind=kind, detail="below the range")
        return ScaleReading(ScaleStatus.OVERLOAD, kind=kind, detail="above the range")
    if word_b & 0x40:
        return ScaleReading(ScaleStatus.ERROR, kind=kind, detail="zero not captured since power-up")
    value = -weight * factor if word_b & 2 else weight * factor
    status = ScaleStatus.UNSTABLE if word_b & 8 else ScaleStatus.STABLE
    return ScaleReading(status, value, decimals, unit, kind, value == 0, tare * factor)


def _digits(field: bytes) -> int:
    digits = field.lstrip(b" ")
    if not digits.isdigit():
        raise ParseError(f"expected six digits, found {field!r}; weigh again")
    return int(digits)


def encode_toledo_continuous(
    value: int,
    decimals: int = 3,
    *,
    tare: int = 0,
    is_kg: bool = True,
    is_net: bool = False,
    in_motion: bool = False,
    out_of_range: bool = False,
    checksum: bool = True,
) -> bytes:
    """Return one frame, for simulators.

    >>> encode_toledo_continuous(1235, checksum=False)
    b'\\x02-0 001235000000\\r'
    """
    if not 0 <= decimals <= 5 or abs(value) > 999999 or not 0 <= tare <= 999999:
        raise ParseError(f"expected six digits with at most five decimals, found {value} with {decimals}")
    word_a = 0x28 | (decimals + 2)
    word_b = 0x20 | is_net | (value < 0) << 1 | out_of_range << 2 | in_motion << 3 | is_kg << 4
    frame = bytes([STX, word_a, word_b, 0x20]) + f"{abs(value):06d}{tare:06d}".encode() + bytes([CR])
    return frame + bytes([toledo_checksum(frame)]) if checksum else frame


class ToledoContinuousDecoder(ScaleDecoder):
    """Frames of a continuous Toledo output in any chunking; `checksum` must be what the scale is set to."""

    def __init__(self, *, checksum: bool = True, short: bool = False, parity: str = "N") -> None:
        super().__init__(parity)
        self.checksum = checksum
        self._size = (11 if short else 17) + checksum

    def cut(self) -> bytes | None:
        start = self.find(STX)
        if start < 0:
            self.buffer.clear()
            return None
        del self.buffer[:start]
        if len(self.buffer) < self._size:
            return None
        at_cr = self._size - 1 - self.checksum
        if self.buffer[at_cr] & 0x7F == CR:
            return self.take(self._size)
        # Not a frame: go on at the next STX, which may be the start of a whole one.
        after = self.find(STX, 1)
        return self.take(after if 0 < after < self._size else self._size)

    def read(self, frame: bytes) -> ScaleEvent | None:
        return parse_toledo_continuous(frame, self.checksum)
