"""Fields in the data of a ZVT APDU: BCD, lengths (LLVAR), bitmaps (BMP), TLV containers, text.

Source: ECR-Interface ZVT-Protocol PA00P015 (bitmaps).
"""

from __future__ import annotations

from ringup.drivers.protocol.errors import ParseError

CURRENCIES = {"EUR": 978, "CHF": 756, "GBP": 826, "USD": 840, "PLN": 985, "CZK": 203, "DKK": 208, "SEK": 752}
# BMP -> bytes of data; -2 and -3 mean LLVAR and LLLVAR, -1 a TLV container.
BITMAP_SIZES = {
    **dict.fromkeys((0x01, 0x02, 0x03, 0x05, 0x19, 0x27, 0x8A, 0x8C, 0xA0, 0xD0, 0xD2, 0xD3, 0xE0, 0xE9, 0xEA), 1),
    **dict.fromkeys((0xF0, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD), 1),
    **dict.fromkeys((0x0D, 0x0E, 0x17, 0x3A, 0x49, 0x87), 2),
    **dict.fromkeys((0x0B, 0x0C, 0x37, 0x3D, 0x88, 0xAA), 3),
    **dict.fromkeys((0x29, 0x70, 0x71), 4),
    **dict.fromkeys((0x72, 0x73, 0x74, 0x75), 1),
    0xBA: 5,
    0x04: 6,
    0x3B: 8,
    0xEB: 8,
    0x2A: 15,
    0x06: -1,
    **dict.fromkeys((0x22, 0x23, 0x2D, 0x8B, 0xA7, 0xD1), -2),
    **dict.fromkeys(range(0xE1, 0xE9), -2),
    **dict.fromkeys(range(0xF1, 0xF9), -2),
    **dict.fromkeys((0x24, 0x2E, 0x3C, 0x60, 0x92, 0x9A, 0xAF), -3),
}


def encode_bcd(value: int, size: int) -> bytes:
    """Return a number as packed BCD of `size` bytes.

    >>> encode_bcd(1999, 6).hex(" ")
    '00 00 00 00 19 99'
    """
    if not 0 <= value < 100**size:
        raise ParseError(f"expected a number of at most {2 * size} digits, found {value}")
    return bytes.fromhex(f"{value:0{2 * size}d}")


def parse_bcd(data: bytes) -> int:
    """Return the number of packed BCD; raise ParseError for a nibble above 9.

    >>> parse_bcd(bytes.fromhex("00 00 00 00 19 99"))
    1999
    """
    text = data.hex()
    if not text.isdecimal():
        raise ParseError(f"expected BCD digits, found {text[:40]!r}; the frame is damaged")
    return int(text)


def encode_llvar(data: bytes, digits: int = 2) -> bytes:
    """Return data behind its length in FxFy (LLVAR, 2 digits) or FxFyFz (LLLVAR, 3 digits).

    >>> encode_llvar(b"VISA").hex(" ")
    'f0 f4 56 49 53 41'
    """
    if len(data) >= 10**digits:
        raise ParseError(f"expected at most {10**digits - 1} bytes, found {len(data)}")
    return bytes(0xF0 | int(digit) for digit in f"{len(data):0{digits}d}") + data


def parse_bitmaps(data: bytes, *, stop_at_unknown: bool = False) -> dict[int, bytes]:
    """Return BMP -> data of a data block; the data of BMP 06 is its TLV objects.

    A bitmap that is not known has no known length: it raises ParseError, or ends the reading.

    >>> {hex(bmp): value.hex() for bmp, value in parse_bitmaps(bytes.fromhex("27 00 04 00 00 00 00 19 99")).items()}
    {'0x27': '00', '0x4': '000000001999'}
    """
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        bmp = data[at]
        at += 1
        size = BITMAP_SIZES.get(bmp)
        if size is None and stop_at_unknown:
            break
        if size is None:
            raise ParseError(f"expected a known bitmap, found {bmp:02X}; its length is not known")
        if size == -1:
            size, at = parse_tlv_size(data, at)
        elif size < 0:
            digits = data[at : at - size]
            if len(digits) != -size or any(byte & 0x0F > 9 for byte in digits):
                raise ParseError(f"expected a length FxFy after bitmap {bmp:02X}, found {digits.hex()}")
            at -= size
            size = int("".join(str(byte & 0x0F) for byte in digits))
        if at + size > len(data):
            raise ParseError(f"expected {size} bytes in bitmap {bmp:02X}, found {len(data) - at}; the frame is damaged")
        found[bmp] = data[at : at + size]
        at += size
    return found


def encode_tlv(*objects: tuple[int, bytes]) -> bytes:
    """Return data objects one after another, without the container's own BMP and length.

    >>> encode_tlv((0x0A, b"\\x06\\xd3"), (0x1F07, b"\\x02")).hex(" ")
    '0a 02 06 d3 1f 07 01 02'
    """
    return b"".join(_encode_tag(tag) + _encode_tlv_size(len(data)) + data for tag, data in objects)


def encode_tlv_container(*objects: tuple[int, bytes]) -> bytes:
    """Return a TLV container as a BMP: 06, length, data objects."""
    body = encode_tlv(*objects)
    return b"\x06" + _encode_tlv_size(len(body)) + body


def _encode_tag(tag: int) -> bytes:
    return tag.to_bytes(1 if tag <= 0xFF else 2, "big")


def _encode_tlv_size(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    return bytes([0x81, size]) if size <= 0xFF else b"\x82" + size.to_bytes(2, "big")


def parse_tlv(data: bytes) -> list[tuple[int, bytes]]:
    """Return (tag, data) of the data objects in a container; constructed ones stay bytes, parse them again.

    >>> parse_tlv(bytes.fromhex("25 06 07 04 54 45 53 54"))
    [(37, b'\\x07\\x04TEST')]
    """
    objects: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        if data[at] in (0x00, 0xFF):  # filling between data objects
            at += 1
            continue
        tag = data[at]
        at += 1
        if tag & 0x1F == 0x1F:
            while True:
                if at >= len(data) or tag > 0xFFFF:
                    raise ParseError("expected the rest of a TLV tag, found the end; the frame is damaged")
                tag = tag << 8 | data[at]
                at += 1
                if not data[at - 1] & 0x80:
                    break
        size, at = parse_tlv_size(data, at)
        if at + size > len(data):
            raise ParseError(f"expected {size} bytes in TLV {tag:X}, found {len(data) - at}; the frame is damaged")
        objects.append((tag, data[at : at + size]))
        at += size
    return objects


def parse_tlv_size(data: bytes, at: int) -> tuple[int, int]:
    """Read the size of a TLV object; returns it and where the data begin.

    >>> parse_tlv_size(bytes.fromhex("82 01 00"), 0)
    (256, 3)
    """
    first = data[at] if at < len(data) else 0xFF
    if first < 0x80:
        return first, at + 1
    width = first & 0x7F
    if width not in (1, 2) or at + 1 + width > len(data):
        raise ParseError(f"expected a TLV length of one to three bytes, found {first:02X}; the frame is damaged")
    return int.from_bytes(data[at + 1 : at + 1 + width], "big"), at + 1 + width


def currency_code(currency: str | int) -> bytes:
    """Return the two BCD bytes of a currency, given as ISO 4217 letters or number."""
    number = CURRENCIES.get(currency, 0) if isinstance(currency, str) else currency
    if not 0 < number < 1000:
        raise ParseError(f"expected one of {', '.join(CURRENCIES)} or an ISO 4217 number, found {currency!r}")
    return encode_bcd(number, 2)


def decode_text(data: bytes) -> str:
    """Return text of the terminal (code page 437 unless it is told otherwise) without control characters.

    >>> decode_text(b"K\\x84se \\x00")
    'Käse'
    """
    return "".join(c for c in data.decode("cp437") if c.isprintable()).rstrip()
