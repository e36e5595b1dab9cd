"""ZVT, the protocol of German payment terminals: APDUs, what they are called, and how they follow each other.

Source: ECR-Interface ZVT-Protocol PA00P015 (commands, bitmaps, error messages) and PA00P016 (transport). Amounts are
minor units in BCD. The till (ECR) sends a command; the terminal (PT) acknowledges, reports, and ends with a
completion or an abort; each side acknowledges each APDU of the other with 80 00 00.

What is in an APDU is read and written by `zvt_fields`; `zvt_commands` is what the till says, `zvt_reports` what the
terminal says, `zvt_terminal` the terminal's side for simulators, and `zvt_serial` the blocks of a serial line.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringup.drivers.protocol.errors import ParseError

ACK = 0x8000
STATUS_INFORMATION = 0x040F
INTERMEDIATE_STATUS = 0x04FF
STATUS_ENQUIRY = 0x0501
REGISTRATION = 0x0600
AUTHORISATION = 0x0601
LOG_OFF = 0x0602
COMPLETION = 0x060F
ABORT = 0x061E
REPEAT_RECEIPT = 0x0620
REVERSAL = 0x0630
REFUND = 0x0631
END_OF_DAY = 0x0650
DIAGNOSIS = 0x0670
INITIALISATION = 0x0693
ABORT_REQUEST = 0x06B0
PRINT_LINE = 0x06D1
PRINT_TEXT_BLOCK = 0x06D3


@dataclass(frozen=True, slots=True)
class Apdu:
    """One APDU: its control field (class and instruction, 0x0601) and its data block."""

    control: int
    data: bytes = b""

    @property
    def is_ack(self) -> bool:
        """True for 80 00 and for 84 00, the older positive acknowledgement."""
        return self.control in (0x8000, 0x8400)

    @property
    def error(self) -> int | None:
        """The code of a negative acknowledgement 84 xx, or None."""
        return self.control & 0xFF if self.control >> 8 == 0x84 and self.control & 0xFF else None


def encode_apdu(control: int, data: bytes = b"") -> bytes:
    """Return control field, length and data; lengths from 255 on take three bytes, low byte first.

    >>> encode_apdu(0x8000).hex(" ")
    '80 00 00'
    """
    if len(data) > 0xFFFF or not 0 <= control <= 0xFFFF:
        raise ParseError(f"expected at most 65535 bytes of data, found {len(data)}")
    size = bytes([len(data)]) if len(data) < 0xFF else b"\xff" + len(data).to_bytes(2, "little")
    return control.to_bytes(2, "big") + size + data


def encode_ack() -> bytes:
    """Return the acknowledgement 80 00 00."""
    return encode_apdu(ACK)


def encode_nack(error: int) -> bytes:
    """Return the negative acknowledgement 84 xx 00."""
    return encode_apdu(0x8400 | error)


def parse_apdu(data: bytes) -> Apdu:
    """Read exactly one APDU; raise ParseError if bytes are missing or left over.

    >>> parse_apdu(bytes.fromhex("06 0F 00")).control == COMPLETION
    True
    """
    found = _split_apdu(data)
    if found is None or found[1] != len(data):
        raise ParseError(f"expected one whole APDU, found {len(data)} bytes; the frame is damaged")
    return found[0]


def _split_apdu(data: bytes | bytearray) -> tuple[Apdu, int] | None:
    if len(data) < 3:
        return None
    size, start = data[2], 3
    if size == 0xFF:
        if len(data) < 5:
            return None
        size, start = int.from_bytes(data[3:5], "little"), 5
    if len(data) < start + size:
        return None
    return Apdu(int.from_bytes(data[:2], "big"), bytes(data[start : start + size])), start + size


class ApduDecoder:
    """APDUs out of a TCP stream in any chunking: over TCP they follow each other without framing.

    >>> decoder = ApduDecoder()
    >>> decoder.feed(bytes.fromhex("80 00")), decoder.feed(bytes.fromhex("00 04 FF 01 0A"))[1].data
    ([], b'\\n')
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Apdu]:
        """Take bytes; return the APDUs that are complete."""
        self._buffer += data
        found: list[Apdu] = []
        while (split := _split_apdu(self._buffer)) is not None:
            found.append(split[0])
            del self._buffer[: split[1]]
        return found

    @property
    def pending_size(self) -> int:
        """Bytes of an APDU that has begun."""
        return len(self._buffer)

    def reset(self) -> None:
        """Forget what has begun: the link was lost."""
        self._buffer.clear()
