"""ZPL II for label printers: fields, barcodes, a whole shelf label, and the printer's status.

Positions and sizes are in dots (203 or 300 to the inch).  Field data is written in UTF-8 (^CI28) with
^FH escapes, so that a `^` or `~` in an item name is printed and never obeyed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ringup.drivers.protocol.codepage import visible
from ringup.drivers.protocol.escpos import gs1_check_digit

STX, ETX = b"\x02", b"\x03"
STATUS_SIZE_MAX = 512


def _check(name: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name}: expected {low} to {high}, found {value!r}")
    return value


def field_data(text: str) -> str:
    """^FH^FD...^FS with everything special escaped.  `field_data("A^B")` -> `"^FH^FDA_5EB^FS"`."""
    out = []
    for character in visible(text):
        if character in "^~_\\" or not character.isprintable():
            out.append("".join(f"_{byte:02X}" for byte in character.encode()))
        else:
            out.append(character)
    return f"^FH^FD{''.join(out)}^FS"


def text(
    x: int, y: int, value: str, *, height: int = 30, width: int = 0, block_width: int = 0, lines: int = 1,
    align: Literal["L", "C", "R"] = "L",
) -> str:  # fmt: skip
    """A text in font 0; with `block_width` it wraps into up to `lines` (^FB).

    `text(10, 20, "Tea")` -> `"^FO10,20^A0N,30,30^FH^FDTea^FS"`.
    """
    _check("x", x, 0, 32000)
    _check("y", y, 0, 32000)
    _check("height", height, 10, 32000)
    block = f"^FB{_check('block width', block_width, 1, 9999)},{lines},0,{align}" if block_width else ""
    return f"^FO{x},{y}^A0N,{height},{width or height}{block}{field_data(value)}"


def ean13(x: int, y: int, digits: str, *, height: int = 80, module: int = 2) -> str:
    """An EAN-13 with its digits below (^BE); 12 digits get their check digit, 13 are checked.

    `ean13(10, 20, "400638133393")` -> `"^FO10,20^BY2^BEN,80,Y,N^FD4006381333931^FS"`.
    """
    if not (digits.isascii() and digits.isdigit() and len(digits) in (12, 13)):
        raise ValueError(f"EAN-13: expected 12 or 13 digits, found {digits!r}")
    check = gs1_check_digit(digits[:12])
    if len(digits) == 13 and digits[12] != check:
        raise ValueError(f"EAN-13: expected check digit {check}, found {digits[12]} in {digits!r}")
    _check("module", module, 1, 10)
    return f"^FO{x},{y}^BY{module}^BEN,{_check('height', height, 1, 32000)},Y,N^FD{digits[:12]}{check}^FS"


def qr(x: int, y: int, data: str, *, magnification: int = 4, level: Literal["L", "M", "Q", "H"] = "M") -> str:
    """A QR code, model 2 (^BQ).  `qr(0, 0, "A")` -> `"^FO0,0^BQN,2,4^FH^FDMA,A^FS"`."""
    if not data or len(data.encode()) > 2953:
        raise ValueError(f"QR: expected 1 to 2953 bytes, found {len(data.encode())}")
    body = field_data(data).removeprefix("^FH^FD")
    return f"^FO{x},{y}^BQN,2,{_check('magnification', magnification, 1, 10)}^FH^FD{level}A,{body}"


def label(fields: str, *, width: int, length: int, copies: int = 1) -> bytes:
    """A whole label format in UTF-8.  `label("", width=400, length=240)` begins with `b"^XA^CI28^PW400^LL240"`."""
    _check("width", width, 2, 32000)
    _check("length", length, 1, 32000)
    return f"^XA^CI28^PW{width}^LL{length}^LH0,0{fields}^PQ{_check('copies', copies, 1, 9999)}^XZ\n".encode()


@dataclass(frozen=True, slots=True)
class ShelfLabel:
    """A shelf label.  `price` and `unit_price` are texts as they are to be read (`"1.99"`, `"19.90 / kg"`)."""

    name: str
    price: str
    ean13: str = ""
    unit_price: str = ""
    qr: str = ""
    note: str = ""


def shelf_label(content: ShelfLabel, *, width: int = 480, length: int = 240, copies: int = 1) -> bytes:
    """A shelf label of 60 x 30 mm at 203 dpi: name, price large, unit price, EAN-13 left, QR right.

    Raises ValueError if something does not fit or a check digit is wrong.
    """
    if width < 320 or length < 200:
        raise ValueError(f"shelf label: expected at least 320 x 200 dots, found {width} x {length}")
    margin = 16
    qr_side = 116 if content.qr else 0
    inner = width - 2 * margin - (qr_side + margin if qr_side else 0)
    fields = [text(margin, 12, content.name, height=28, block_width=width - 2 * margin, lines=2)]
    # A long price is set smaller rather than cut: the price is what the label is for.
    price_height = max(30, min(72, inner * 2 // max(1, len(content.price))))
    fields.append(text(margin, 76, content.price, height=price_height))
    if content.unit_price or content.note:
        small = "  ".join(filter(None, (content.unit_price, content.note)))
        fields.append(text(margin, length - 24, small, height=20, block_width=inner, lines=1))
    if content.ean13:
        # The 95 modules and the quiet zones must fit beside the QR code.
        module = 2 if inner >= 113 * 2 else 1
        fields.append(ean13(margin + 9 * module, 154, content.ean13, height=length - 154 - 54, module=module))
    if content.qr:
        fields.append(
            qr(width - margin - qr_side, 76, content.qr, magnification=_qr_magnification(content.qr, qr_side))
        )
    return label("".join(fields), width=width, length=length, copies=copies)


def _qr_magnification(data: str, side: int) -> int:
    """The largest module size that keeps a QR code of level M within `side` dots."""
    # Byte capacity of versions 1 to 20 at level M, ISO/IEC 18004 table 7.
    capacities = (14, 26, 42, 62, 84, 106, 122, 152, 180, 213, 251, 287, 331, 362, 412, 450, 504, 560, 624, 666)
    size = len(data.encode())
    version = next((at for at, capacity in enumerate(capacities, 1) if size <= capacity), None)
    if version is None or (module := side // (17 + 4 * version)) < 1:
        raise ValueError(f"QR on a shelf label: expected a shorter text, found {size} bytes; use a short link")
    return min(10, module)


def host_status() -> bytes:
    """~HS: asks for the status that parse_host_status reads."""
    return b"~HS"


@dataclass(frozen=True, slots=True)
class LabelPrinterStatus:
    """What ~HS says.  `formats_waiting` and `labels_left` are 0 when all that was sent is printed."""

    paper_out: bool
    paused: bool
    formats_waiting: int
    buffer_full: bool
    head_open: bool
    ribbon_out: bool
    labels_left: int

    @property
    def problem(self) -> str | None:
        """What a person must do; None when nothing."""
        if self.head_open:
            return "print head open: close it"
        if self.paper_out:
            return "labels out: put in a new roll"
        if self.ribbon_out:
            return "ribbon out: put in a new ribbon"
        if self.paused:
            return "paused: press the pause button"
        return None


def parse_host_status(data: bytes) -> LabelPrinterStatus:
    """The three strings of ~HS (ZPL II guide, "Host Status Return"), each <STX>...<ETX><CR><LF>.

    Raises ValueError naming what is wrong.
    """
    if len(data) > STATUS_SIZE_MAX:
        raise ValueError(f"host status: expected at most {STATUS_SIZE_MAX} bytes, found {len(data)}")
    strings = [part.partition(ETX)[0] for part in data.split(STX)[1:] if ETX in part]
    if len(strings) != 3:
        raise ValueError(f"host status: expected 3 strings between STX and ETX, found {len(strings)}")
    try:
        first, second = (part.decode("ascii").split(",") for part in strings[:2])
    except UnicodeDecodeError as error:
        raise ValueError("host status: expected ASCII, found other bytes") from error
    if len(first) != 12 or len(second) != 11:
        raise ValueError(f"host status: expected 12 and 11 fields, found {len(first)} and {len(second)}")
    numbers = (*first[1:3], first[4], first[5], *second[2:4], second[8])
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise ValueError(f"host status: expected numbers, found {','.join(numbers)!r}")
    return LabelPrinterStatus(
        paper_out=first[1] != "0",
        paused=first[2] != "0",
        formats_waiting=int(first[4]),
        buffer_full=first[5] != "0",
        head_open=second[2] != "0",
        ribbon_out=second[3] != "0",
        labels_left=int(second[8]),
    )


class HostStatusParser:
    """`feed(bytes) -> statuses`, over any chunking; `errors` counts answers that could not be read."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.errors = 0

    def reset(self) -> None:
        """A new link: nothing half-received."""
        self._buffer.clear()

    def feed(self, data: bytes) -> list[LabelPrinterStatus]:
        """The statuses that are whole after `data`."""
        self._buffer += data
        statuses = []
        while self._buffer.count(ETX) >= 3:
            end = -1
            for _ in range(3):
                end = self._buffer.index(ETX, end + 1)
            try:
                statuses.append(parse_host_status(bytes(self._buffer[: end + 1])))
                del self._buffer[: end + 1]
            except ValueError:
                self.errors += 1
                del self._buffer[: self._buffer.index(ETX) + 1]  # the next string may begin a good answer
        if len(self._buffer) > STATUS_SIZE_MAX:
            self.errors += 1
            self._buffer.clear()
        return statuses
