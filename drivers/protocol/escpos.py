"""ESC/POS encoding: one plain function a command, bytes out.

Names and ranges follow Epson's ESC/POS Application Programming Guide.  A value out of range raises
ValueError; nothing here touches a device.  Text never passes through these functions raw: use
codepage.encode_text, which cannot emit a byte below 0x20.
"""

from __future__ import annotations

from typing import Literal

ESC, GS, DLE, FS, LF, HT = b"\x1b", b"\x1d", b"\x10", b"\x1c", b"\n", b"\t"

Align = Literal["left", "center", "right"]
HriPosition = Literal["none", "above", "below", "both"]

_ALIGN: dict[str, int] = {"left": 0, "center": 1, "right": 2}
_HRI: dict[str, int] = {"none": 0, "above": 1, "below": 2, "both": 3}
BAND_HEIGHT = 256  # rows of one raster command: small receive buffers overflow on taller ones

# symbology: (function A number or None, function B number, smallest and largest size of the data)
BARCODES: dict[str, tuple[int | None, int, int, int]] = {
    "upca": (0, 65, 11, 12),
    "upce": (1, 66, 6, 12),
    "ean13": (2, 67, 12, 13),
    "ean8": (3, 68, 7, 8),
    "code39": (4, 69, 1, 255),
    "itf": (5, 70, 2, 254),
    "codabar": (6, 71, 2, 255),
    "code93": (None, 72, 1, 255),
    "code128": (None, 73, 1, 250),
}
_CODE39 = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./")
_CODABAR = frozenset(b"0123456789ABCDabcd$+-./:")


def _check(name: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name}: expected {low} to {high}, found {value!r}")
    return value


def initialise() -> bytes:
    """ESC @: forget modes and styles.  `initialise()` -> `b"\\x1b@"`."""
    return ESC + b"@"


def select_code_page(number: int) -> bytes:
    """ESC t: characters 0x80 to 0xFF.  `select_code_page(19)` -> `b"\\x1bt\\x13"`."""
    return ESC + b"t" + bytes([_check("code page", number, 0, 255)])


def select_international(number: int) -> bytes:
    """ESC R: the national variant of ASCII; 0 is plain ASCII.  `select_international(0)` -> `b"\\x1bR\\x00"`."""
    return ESC + b"R" + bytes([_check("international set", number, 0, 255)])


def cancel_kanji() -> bytes:
    """FS .: bytes from 0x80 on are single letters.

    Printers made for East Asia wake up reading them in pairs: "é" and its neighbour become one ideograph.
    `cancel_kanji()` -> `b"\\x1c."`.
    """
    return FS + b"."


def font(number: int) -> bytes:
    """ESC M: 0 is font A, 1 is font B.  `font(1)` -> `b"\\x1bM\\x01"`."""
    return ESC + b"M" + bytes([_check("font", number, 0, 4)])


def bold(on: bool) -> bytes:
    """ESC E.  `bold(True)` -> `b"\\x1bE\\x01"`."""
    return ESC + b"E" + bytes([on])


def underline(dots: int) -> bytes:
    """ESC -: 0, 1 or 2 dots.  `underline(1)` -> `b"\\x1b-\\x01"`."""
    return ESC + b"-" + bytes([_check("underline", dots, 0, 2)])


def reverse(on: bool) -> bytes:
    """GS B: white on black.  `reverse(True)` -> `b"\\x1dB\\x01"`."""
    return GS + b"B" + bytes([on])


def size(width: int, height: int) -> bytes:
    """GS !: 1 to 8 times as wide and as high.  `size(2, 1)` -> `b"\\x1d!\\x10"`."""
    return GS + b"!" + bytes([(_check("width", width, 1, 8) - 1) << 4 | (_check("height", height, 1, 8) - 1)])


def align(side: Align) -> bytes:
    """ESC a, at the beginning of a line.  `align("center")` -> `b"\\x1ba\\x01"`."""
    if side not in _ALIGN:
        raise ValueError(f"align: expected left, center or right, found {side!r}")
    return ESC + b"a" + bytes([_ALIGN[side]])


def feed(lines: int) -> bytes:
    """ESC d: print and feed `lines`.  `feed(3)` -> `b"\\x1bd\\x03"`."""
    return ESC + b"d" + bytes([_check("lines", lines, 0, 255)])


def feed_dots(dots: int) -> bytes:
    """ESC J: print and feed `dots` of vertical motion.  `feed_dots(24)` -> `b"\\x1bJ\\x18"`."""
    return ESC + b"J" + bytes([_check("dots", dots, 0, 255)])


def line_spacing(dots: int | None) -> bytes:
    """ESC 3, or ESC 2 for the default.  `line_spacing(24)` -> `b"\\x1b3\\x18"`."""
    return ESC + b"2" if dots is None else ESC + b"3" + bytes([_check("line spacing", dots, 0, 255)])


def cut(*, partial: bool = True, feed_dots: int = 0) -> bytes:
    """GS V 65/66: feed the paper to the knife and cut.  `cut()` -> `b"\\x1dVB\\x00"`."""
    return GS + b"V" + (b"B" if partial else b"A") + bytes([_check("feed", feed_dots, 0, 255)])


def drawer_pulse(pin: Literal[2, 5] = 2, on_ms: int = 120, off_ms: int = 240) -> bytes:
    """ESC p: open the drawer on connector pin 2 or 5.

    Both times count in steps of 2 ms up to 510 ms; the off time is the pause before another pulse and
    must not be shorter than the on time (ESC/POS guide, ESC p), or the solenoid overheats and the
    drawer opens every second time.  `drawer_pulse(2, 120, 240)` -> `b"\\x1bp\\x00<x"`.
    """
    if pin not in (2, 5):
        raise ValueError(f"drawer pin: expected 2 or 5, found {pin!r}")
    for name, value in (("on_ms", on_ms), ("off_ms", off_ms)):
        _check(name, value, 2, 510)
        if value % 2:
            raise ValueError(f"{name}: expected an even number of milliseconds, found {value}")
    if off_ms < on_ms:
        raise ValueError(f"off_ms: expected at least on_ms ({on_ms}), found {off_ms}")
    return ESC + b"p" + bytes([0 if pin == 2 else 1, on_ms // 2, off_ms // 2])


def drawer_pulse_now(pin: Literal[2, 5] = 2, on_ms: int = 100) -> bytes:
    """DLE DC4 1: open the drawer at once, even when the printer is off-line (paper out).

    In steps of 100 ms up to 800.  `drawer_pulse_now(2, 100)` -> `b"\\x10\\x14\\x01\\x00\\x01"`.
    """
    if pin not in (2, 5):
        raise ValueError(f"drawer pin: expected 2 or 5, found {pin!r}")
    if on_ms % 100 or not 100 <= on_ms <= 800:
        raise ValueError(f"on_ms: expected 100 to 800 in steps of 100, found {on_ms!r}")
    return DLE + b"\x14\x01" + bytes([0 if pin == 2 else 1, on_ms // 100])


def request_status(number: Literal[1, 2, 3, 4]) -> bytes:
    """DLE EOT: real-time status: 1 printer and drawer, 2 off-line cause, 3 error cause, 4 paper.

    Answered at once, also off-line and before the data in the buffer.  `request_status(4)` -> `b"\\x10\\x04\\x04"`.
    """
    return DLE + b"\x04" + bytes([_check("status", number, 1, 4)])


def recover(clear: bool) -> bytes:
    """DLE ENQ: after a cause of error is mended, go on (1) or clear the buffers (2).

    `recover(True)` -> `b"\\x10\\x05\\x02"`.
    """
    return DLE + b"\x05" + (b"\x02" if clear else b"\x01")


def enable_status_back(*, drawer: bool = True, offline: bool = True, error: bool = True, paper: bool = True) -> bytes:
    """GS a: the printer reports changes by itself, in four bytes.  `enable_status_back()` -> `b"\\x1da\\x0f"`."""
    return GS + b"a" + bytes([drawer | offline << 1 | error << 2 | paper << 3])


def transmit_status(what: Literal["paper", "drawer"]) -> bytes:
    """GS r: answered when everything sent before has been processed.

    `transmit_status("paper")` -> `b"\\x1dr\\x01"`.
    """
    if what not in ("paper", "drawer"):
        raise ValueError(f"status: expected paper or drawer, found {what!r}")
    return GS + b"r" + (b"\x01" if what == "paper" else b"\x02")


def request_process_id(token: bytes) -> bytes:
    """GS ( H: the printer says `token` (4 characters of 0x20 to 0x7E) when all before it is printed.

    `request_process_id(b"0042")` -> `b"\\x1d(H\\x06\\x0000" b"0042"`.
    """
    if len(token) != 4 or not all(0x20 <= byte <= 0x7E for byte in token):
        raise ValueError(f"process id: expected 4 characters of 0x20 to 0x7E, found {token!r}")
    return GS + b"(H\x06\x0000" + token


def clear_buffers() -> bytes:
    """DLE DC4 8: throw away everything not printed yet; newer printers answer `7%\\0`."""
    return DLE + b"\x14\x08\x01\x03\x14\x01\x06\x02\x08"


def request_model() -> bytes:
    """GS I 67: the model name, answered as `_NAME\\0`.  `request_model()` -> `b"\\x1dIC"`."""
    return GS + b"IC"


def raster(pixels: bytes, width: int, height: int) -> bytes:
    """GS v 0: a picture, one bit a dot, 1 is black, rows padded to whole bytes.

    Sent in bands of at most BAND_HEIGHT rows.  `raster(b"\\xf0", 4, 1)` -> `b"\\x1dv0\\x00\\x01\\x00\\x01\\x00\\xf0"`.
    """
    row_size = (_check("width", width, 1, 4096) + 7) // 8
    _check("height", height, 1, 65535)
    if len(pixels) != row_size * height:
        raise ValueError(f"raster: expected {row_size * height} bytes for {width} x {height}, found {len(pixels)}")
    out = bytearray()
    for top in range(0, height, BAND_HEIGHT):
        rows = min(BAND_HEIGHT, height - top)
        out += GS + b"v0\x00" + row_size.to_bytes(2, "little") + rows.to_bytes(2, "little")
        out += pixels[top * row_size : (top + rows) * row_size]
    return bytes(out)


def column_image(pixels: bytes, width: int, height: int) -> bytes:
    """ESC * 33: the same picture for printers without raster: strips of 24 rows, column by column."""
    row_size = (_check("width", width, 1, 2047) + 7) // 8
    if len(pixels) != row_size * height:
        raise ValueError(f"image: expected {row_size * height} bytes for {width} x {height}, found {len(pixels)}")
    out = bytearray(line_spacing(24))
    for top in range(0, height, 24):
        out += ESC + b"*\x21" + width.to_bytes(2, "little")
        for x in range(width):
            column = 0
            for y in range(top, top + 24):
                black = y < height and pixels[y * row_size + x // 8] >> (7 - x % 8) & 1
                column = column << 1 | black
            out += column.to_bytes(3, "big")
        out += LF
    return bytes(out + line_spacing(None))


def barcode(
    symbology: str,
    data: str,
    *,
    height_dots: int = 80,
    module_dots: int = 2,
    hri: HriPosition = "below",
    function_b: bool = True,
) -> bytes:
    """GS h, GS w, GS H, GS k: a barcode the printer draws itself.

    `symbology` is a key of BARCODES; the data is checked, so that a wrong digit is an error here and
    not a blank strip on paper.  Code 128 is encoded in set B, or C for an even number of digits.
    `barcode("ean8", "9638507")` ends in `b"\\x1dkD\\x089638507" b"4"`: a missing check digit is added.
    """
    if symbology not in BARCODES:
        raise ValueError(f"barcode: expected one of {', '.join(BARCODES)}, found {symbology!r}")
    if hri not in _HRI:
        raise ValueError(f"hri: expected one of {', '.join(_HRI)}, found {hri!r}")
    function_a_number, function_b_number, size_min, size_max = BARCODES[symbology]
    raw = _barcode_data(symbology, data)
    if not size_min <= len(raw) <= size_max:
        raise ValueError(f"{symbology}: expected {size_min} to {size_max} characters, found {len(raw)}")
    if symbology == "code128":
        if len(raw) % 2 == 0 and raw.isdigit():
            raw = b"{C" + bytes(int(raw[at : at + 2]) for at in range(0, len(raw), 2))
        else:
            raw = b"{B" + raw.replace(b"{", b"{{")
    head = (
        GS + b"h" + bytes([_check("height", height_dots, 1, 255)])
        + GS + b"w" + bytes([_check("module", module_dots, 1, 6)])
        + GS + b"H" + bytes([_HRI[hri]])
    )  # fmt: skip
    if function_b:
        return head + GS + b"k" + bytes([function_b_number, _check("size", len(raw), 1, 255)]) + raw
    if function_a_number is None:
        raise ValueError(f"{symbology}: this printer knows only function A of GS k; print it as a picture")
    return head + GS + b"k" + bytes([function_a_number]) + raw + b"\0"


def barcode_width(symbology: str, data: str) -> int:
    """Modules that a barcode takes at most, without quiet zones: printers print nothing if it is too wide.

    `barcode_width("ean13", "400638133393")` -> `95`, `barcode_width("code128", "R000042")` -> `112`.
    """
    size = len(_barcode_data(symbology, data))
    if symbology == "code128":
        letters = size // 2 if data.isdigit() and size % 2 == 0 else size
        return 11 * (letters + 2) + 13
    return {
        "upca": 95,
        "ean13": 95,
        "ean8": 67,
        "upce": 51,
        "code39": 16 * (size + 2),
        "itf": 9 * size + 9,
        "codabar": 12 * size,
        "code93": 9 * (size + 4) + 1,
    }[symbology]


def _barcode_data(symbology: str, data: str) -> bytes:
    try:
        raw = data.encode("ascii")
    except UnicodeEncodeError as error:
        raise ValueError(f"{symbology}: expected ASCII, found {data!r}") from error
    if symbology in ("upca", "ean13", "ean8"):
        full_size = {"upca": 12, "ean13": 13, "ean8": 8}[symbology]
        if not raw.isdigit() or len(raw) not in (full_size - 1, full_size):
            raise ValueError(f"{symbology}: expected {full_size - 1} or {full_size} digits, found {data!r}")
        check = gs1_check_digit(data[: full_size - 1])
        if len(raw) == full_size and data[-1] != check:
            raise ValueError(f"{symbology}: expected check digit {check}, found {data[-1]} in {data!r}")
        return raw[: full_size - 1] + check.encode()
    if symbology == "upce" and not (raw.isdigit() and len(raw) in (6, 7, 8, 11, 12)):
        raise ValueError(f"upce: expected 6, 7, 8, 11 or 12 digits, found {data!r}")
    if symbology == "itf" and not (raw.isdigit() and len(raw) % 2 == 0):
        raise ValueError(f"itf: expected an even number of digits, found {data!r}")
    if symbology == "code39" and not set(raw) <= _CODE39:
        raise ValueError(f"code39: expected 0-9, A-Z, space and $%*+-./, found {data!r}")
    if symbology == "codabar" and not set(raw) <= _CODABAR:
        raise ValueError(f"codabar: expected digits and $+-./: between A, B, C or D, found {data!r}")
    if symbology in ("code93", "code128") and not all(0x20 <= byte <= 0x7E for byte in raw):
        raise ValueError(f"{symbology}: expected printable ASCII, found {data!r}")
    return raw


def gs1_check_digit(digits: str) -> str:
    """The mod-10 check digit of GS1 General Specifications 7.9.  `gs1_check_digit("629104150021")` -> `"3"`."""
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"check digit: expected digits, found {digits!r}")
    total = sum(int(digit) * (3 if at % 2 == 0 else 1) for at, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def qr(data: bytes, *, module_dots: int = 5, level: Literal["L", "M", "Q", "H"] = "M") -> bytes:
    """GS ( k: a QR code, model 2, that the printer draws itself; up to 2,953 bytes.

    `qr(b"A")` ends in `b"\\x1d(k\\x03\\x001Q0"`.
    """
    if not 1 <= len(data) <= 2953:
        raise ValueError(f"QR: expected 1 to 2953 bytes, found {len(data)}")
    if level not in ("L", "M", "Q", "H"):
        raise ValueError(f"QR level: expected L, M, Q or H, found {level!r}")

    def function(body: bytes) -> bytes:
        return GS + b"(k" + len(body).to_bytes(2, "little") + body

    return (
        function(b"1A2\0")
        + function(b"1C" + bytes([_check("module", module_dots, 1, 16)]))
        + function(b"1E" + bytes([48 + "LMQH".index(level)]))
        + function(b"1P0" + data)
        + function(b"1Q0")
    )
