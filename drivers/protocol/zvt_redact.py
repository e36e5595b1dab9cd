"""ZVT as a monitor or a log may show it: APDUs without card numbers, tracks and expiry dates."""

from __future__ import annotations

from ringup.drivers.protocol.card_numbers import mask_card_numbers
from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.zvt import (
    AUTHORISATION,
    INTERMEDIATE_STATUS,
    PRINT_LINE,
    PRINT_TEXT_BLOCK,
    REFUND,
    REVERSAL,
    STATUS_INFORMATION,
    Apdu,
)
from ringup.drivers.protocol.zvt_fields import BITMAP_SIZES, parse_tlv_size

_SENSITIVE_BITMAPS = (0x22, 0x23, 0x24, 0x2D, 0x2E, 0x3A, 0x0E, 0xD1, 0xAF, 0xA7)
# EMV tags that carry a card number, a track or an expiry date.
_SENSITIVE_TAGS = (0x56, 0x57, 0x5A, 0x5F20, 0x5F24, 0x9F6B, 0x9F1F, 0x9F20, 0x1F08, 0x1F09, 0x1F0A)


def redact_apdu(apdu: Apdu) -> Apdu:
    """Return the APDU with card numbers, tracks and expiry overwritten by EE: what a monitor or a log may show.

    >>> redact_apdu(Apdu(STATUS_INFORMATION, bytes.fromhex("27 00 22 F0 F8 41 11 11 11 11 11 11 11"))).data.hex()
    '270022f0f8411111eeeeee1111'
    """
    if apdu.control not in (STATUS_INFORMATION, AUTHORISATION, REFUND, REVERSAL, INTERMEDIATE_STATUS):
        if apdu.control in (PRINT_LINE, PRINT_TEXT_BLOCK):
            masked = mask_card_numbers(apdu.data.decode("latin-1")).encode("latin-1")
            return Apdu(apdu.control, masked.ljust(len(apdu.data), b"#")[: len(apdu.data)])
        return apdu
    data = bytearray(apdu.data)
    at = 3 if apdu.control in (REFUND, REVERSAL) else 2 if apdu.control == INTERMEDIATE_STATUS else 0
    try:
        while at < len(data):
            bmp = data[at]
            start, size = _bitmap_span(bytes(data), at)
            if bmp == 0x22 and size >= 7:
                data[start + 3 : start + size - 2] = b"\xee" * (size - 5)
            elif bmp in _SENSITIVE_BITMAPS:
                data[start : start + size] = b"\xee" * size
            elif bmp == 0x06:
                _redact_tlv(data, start, start + size)
            at = start + size
    except ParseError:
        data[at:] = b"\xee" * (len(data) - at)  # what is not understood may hold anything
    return Apdu(apdu.control, bytes(data))


def _bitmap_span(data: bytes, at: int) -> tuple[int, int]:
    size = BITMAP_SIZES.get(data[at])
    if size is None:
        raise ParseError(f"expected a known bitmap, found {data[at]:02X}")
    at += 1
    if size == -1:
        size, at = parse_tlv_size(data, at)
    elif size < 0:
        digits = data[at : at - size]
        at -= size
        size = int("".join(str(min(byte & 0x0F, 9)) for byte in digits) or "0")
    if at + size > len(data):
        raise ParseError("expected more bytes in a bitmap")
    return at, size


def _redact_tlv(data: bytearray, start: int, end: int) -> None:
    at = start
    while at < end:
        tag = data[at]
        at += 1
        if tag & 0x1F == 0x1F and at < end:
            tag = tag << 8 | data[at]
            at += 1
        size, at = parse_tlv_size(bytes(data[:end]), at)
        if at + size > end:
            raise ParseError("expected more bytes in a TLV object")
        if tag in _SENSITIVE_TAGS:
            data[at : at + size] = b"\xee" * size
        elif tag in (0x60, 0x62, 0x64, 0xE0) or tag in (0x2F, 0x25, 0x24):
            _redact_tlv(data, at, at + size)
        at += size
