"""ZVT over a serial line: DLE STX data DLE ETX CRC, each block answered by ACK or NAK.

Source: PA00P016 (transport protocol). A DLE in the data is doubled. The CRC (CCITT, reflected, start 0, low byte first)
runs over the data without the doubling and over ETX. Usual line 9600 8N2.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringup.drivers.protocol.errors import ParseError

STX, ETX, ACK, DLE, NAK = 0x02, 0x03, 0x06, 0x10, 0x15
BLOCK_SIZE_MAX = 70_000


def zvt_crc(data: bytes) -> int:
    """Return the CRC of data that already ends in ETX.

    >>> hex(zvt_crc(bytes.fromhex("80 00 00 03")))
    '0x1ff5'
    """
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
    return crc


def encode_serial_block(apdu: bytes) -> bytes:
    """Return an APDU in its serial frame.

    >>> encode_serial_block(bytes.fromhex("80 00 00")).hex(" ")
    '10 02 80 00 00 10 03 f5 1f'
    """
    doubled = apdu.replace(b"\x10", b"\x10\x10")
    return b"\x10\x02" + doubled + b"\x10\x03" + zvt_crc(apdu + b"\x03").to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class SerialBlock:
    """A whole block with a right CRC: send ACK."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SerialControl:
    """ACK (`is_ack`) or NAK for the block sent last."""

    is_ack: bool


@dataclass(frozen=True, slots=True)
class SerialDamage:
    """A block that must not be believed: send NAK and it comes again."""

    reason: str


SerialEvent = SerialBlock | SerialControl | SerialDamage


def parse_serial_block(frame: bytes) -> bytes:
    """Return the APDU of exactly one frame; raise ParseError for a wrong frame or CRC.

    >>> parse_serial_block(bytes.fromhex("10 02 80 00 00 10 03 f5 1f")).hex(" ")
    '80 00 00'
    """
    events = SerialDecoder().feed(frame)
    if len(events) != 1 or not isinstance(events[0], SerialBlock):
        reason = events[0].reason if events and isinstance(events[0], SerialDamage) else "it is not one whole block"
        raise ParseError(f"expected DLE STX ... DLE ETX CRC, found {frame[:20].hex(' ')}: {reason}")
    return events[0].data


class SerialDecoder:
    """Blocks, ACKs and NAKs out of a serial stream in any chunking."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[SerialEvent]:
        """Take bytes; return the events that are complete."""
        self._buffer += data
        events: list[SerialEvent] = []
        while self._buffer:
            first = self._buffer[0]
            if first in (ACK, NAK):
                del self._buffer[0]
                events.append(SerialControl(first == ACK))
            elif first == DLE and len(self._buffer) > 1 and self._buffer[1] == STX:
                if not self._block(events):
                    break
            elif first == DLE and len(self._buffer) == 1:
                break
            else:
                del self._buffer[0]  # noise between blocks
        return events

    def reset(self) -> None:
        """Forget half a block: the link was lost, or the character time-out has passed."""
        self._buffer.clear()

    @property
    def pending_size(self) -> int:
        """Bytes of a block that has begun."""
        return len(self._buffer)

    def _block(self, events: list[SerialEvent]) -> bool:
        data = bytearray()
        at = 2
        while at + 1 < len(self._buffer):
            byte, after = self._buffer[at], self._buffer[at + 1]
            if byte != DLE:
                data.append(byte)
                at += 1
            elif after == DLE:
                data.append(DLE)
                at += 2
            elif after == ETX:
                if len(self._buffer) < at + 4:
                    return False
                found = int.from_bytes(self._buffer[at + 2 : at + 4], "little")
                del self._buffer[: at + 4]
                expected = zvt_crc(bytes(data) + b"\x03")
                if found == expected:
                    events.append(SerialBlock(bytes(data)))
                else:
                    events.append(SerialDamage(f"expected CRC {expected:04X}, found {found:04X}"))
                return True
            else:
                # DLE STX inside: the end was lost and a new block begins. Any other DLE is damage.
                del self._buffer[: at if after == STX else at + 2]
                events.append(SerialDamage(f"expected DLE DLE or DLE ETX, found 10 {after:02X}"))
                return True
            if len(data) > BLOCK_SIZE_MAX:
                self._buffer.clear()
                events.append(SerialDamage(f"expected at most {BLOCK_SIZE_MAX} bytes in a block"))
                return True
        return False
