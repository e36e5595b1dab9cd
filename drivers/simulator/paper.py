"""The paper of the simulated printer: ESC/POS commands become lines, and lines a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ringup.drivers.protocol.escpos_decode import Command
from ringup.drivers.receipt import graphics
from ringup.drivers.receipt.profile import COMMON_PAGES, UnknownModel, printer_profile

if TYPE_CHECKING:
    from PIL.Image import Image

CELL_HEIGHT = 24
LINE_HEIGHT = 30
_SYMBOLOGY = {
    0: "upca", 1: "upce", 2: "ean13", 3: "ean8", 4: "code39", 5: "itf", 6: "codabar", 72: "code93", 73: "code128",
}  # fmt: skip
_ALIGNS = {0: "left", 1: "center", 2: "right"}


@lru_cache(maxsize=1)
def _pages() -> Mapping[int, str]:
    """The common code pages, and where the capability data is at hand those of a well-equipped printer."""
    try:
        return {**printer_profile("TM-T88V").pages, **COMMON_PAGES}
    except UnknownModel:
        return COMMON_PAGES


@dataclass(frozen=True, slots=True)
class _Style:
    bold: bool = False
    underline: bool = False
    reverse: bool = False
    width: int = 1
    height: int = 1
    is_font_b: bool = False


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of text runs, or a picture `bits`; `height` in dots."""

    runs: tuple[tuple[str, _Style], ...]
    align: str
    height: int
    bits: graphics.Bits | None = None


class Paper:
    """Runs printing commands; `text` is what can be read on it, `image()` what it looks like."""

    def __init__(self, width_dots: int, columns: int) -> None:
        self.width_dots = width_dots
        self.columns = columns
        self.cell_width = width_dots // columns
        self.lines: list[_Line] = []
        self.notes: list[str] = []  # what the printer would have refused, in words
        self.reset()

    def reset(self) -> None:
        """ESC @: modes back to their defaults; what is printed stays, the begun line is dropped."""
        self._style = _Style()
        self._align = "left"
        self._codec = "cp437"
        self._spacing = LINE_HEIGHT
        self._runs: list[tuple[str, _Style]] = []
        self._used = 0
        self._barcode = {"height": 162, "width": 3, "hri": 0}
        self._qr = {"module": 3, "level": 0}
        self._qr_data = b""
        self._graphics: tuple[graphics.Bits, tuple[int, int]] | None = None

    @property
    def is_blank(self) -> bool:
        return not self.lines and not self._runs

    @property
    def text(self) -> str:
        return "".join("".join(text for text, _ in line.runs) + "\n" for line in self.lines)

    def run(self, command: Command) -> int:
        """Run a printing command; returns how many lines of paper it took."""
        before = len(self.lines)
        name, args = command.name, command.args
        if name == "text":
            self._print(command.data.decode(self._codec, "replace"))
        elif name == "line_feed":
            self._end_line()
        elif name == "feed":
            self.end_line_if_begun()
            for _ in range(args[0]):
                self._end_line()
        elif name == "feed_dots":
            self.end_line_if_begun()
            self.lines.append(_Line((), "left", max(1, args[0])))
        elif name == "raster":
            self._picture(graphics.Bits(command.data, args[1] * 8, args[2]))
        elif name == "bit_image":
            self._bit_image(args[0], args[1], command.data)
        elif name == "barcode":
            self._print_barcode(args[0], command.data)
        elif name == "gs_block" and args[0] == 0x6B and command.data[:1] == b"1":
            self._qr_function(command.data[1:])
        elif name == "gs_block" and args[0] == 0x4C and command.data[:1] == b"0":
            self._graphics_function(command.data[1:])
        else:
            self._set(name, args)
        return len(self.lines) - before

    def _set(self, name: str, args: tuple[int, ...]) -> None:
        style = self._style
        if name == "initialise":
            self.reset()
        elif name == "code_page":
            codec = _pages().get(args[0])
            if codec is None:
                self.notes.append(f"code page {args[0]} is not in this printer")
            self._codec = codec or "cp437"
        elif name in ("bold", "double_strike"):
            self._style = replace(style, bold=bool(args[0] & 1))
        elif name == "underline":
            self._style = replace(style, underline=args[0] % 48 > 0)
        elif name == "reverse":
            self._style = replace(style, reverse=bool(args[0] & 1))
        elif name == "size":
            self._style = replace(style, width=(args[0] >> 4 & 7) + 1, height=(args[0] & 7) + 1)
        elif name == "font":
            self._style = replace(style, is_font_b=args[0] % 48 == 1)
        elif name == "print_mode":
            mode = args[0]
            self._style = _Style(
                bold=bool(mode & 0x08),
                underline=bool(mode & 0x80),
                height=2 if mode & 0x10 else 1,
                width=2 if mode & 0x20 else 1,
                is_font_b=bool(mode & 1),
            )
        elif name == "align" and not self._runs:  # in mid-line the command is ignored
            self._align = _ALIGNS.get(args[0] % 48, "left")
        elif name == "absolute_position":
            self._move_to(args[0] | args[1] << 8)
        elif name == "relative_position":
            dots = args[0] | args[1] << 8
            self._move_to(self._used + (dots - 0x10000 if dots >= 0x8000 else dots))
        elif name == "line_spacing":
            self._spacing = args[0]
        elif name == "default_line_spacing":
            self._spacing = LINE_HEIGHT
        elif name == "barcode_height":
            self._barcode["height"] = max(1, args[0])
        elif name == "barcode_width":
            self._barcode["width"] = max(1, args[0])
        elif name == "hri":
            self._barcode["hri"] = args[0] % 48

    def _cell(self, style: _Style) -> int:
        return (self.cell_width * 3 // 4 if style.is_font_b else self.cell_width) * style.width

    def _print(self, text: str) -> None:
        cell = self._cell(self._style)
        for character in text:
            if self._used + cell > self.width_dots:
                self._end_line()
            self._used += cell
            if self._runs and self._runs[-1][1] == self._style:
                self._runs[-1] = (self._runs[-1][0] + character, self._style)
            else:
                self._runs.append((character, self._style))

    def _move_to(self, dots: int) -> None:
        """Spaces up to a position to the right; there is no way back on this paper."""
        plain, self._style = self._style, _Style()
        while self._used + self.cell_width <= min(dots, self.width_dots):
            self._print(" ")
        self._style = plain

    def end_line_if_begun(self) -> None:
        """Print a line that no line feed has ended yet."""
        if self._runs:
            self._end_line()

    def _end_line(self) -> None:
        highest = max((style.height for _, style in self._runs), default=1)
        height = max(self._spacing, CELL_HEIGHT * highest + 6 if self._runs else 0)
        self.lines.append(_Line(tuple(self._runs), self._align, height))
        self._runs = []
        self._used = 0

    def _picture(self, bits: graphics.Bits) -> None:
        self.end_line_if_begun()
        if bits.width and bits.height:
            self.lines.append(_Line((), self._align, bits.height, bits))

    def _bit_image(self, mode: int, width: int, data: bytes) -> None:
        rows = 24 if mode in (32, 33) else 8
        row_size = (width + 7) // 8
        pixels = bytearray(row_size * rows)
        for x in range(width):
            column = int.from_bytes(data[x * rows // 8 : (x + 1) * rows // 8], "big")
            for y in range(rows):
                if column >> (rows - 1 - y) & 1:
                    pixels[y * row_size + x // 8] |= 0x80 >> x % 8
        self._picture(graphics.Bits(bytes(pixels), width, rows))

    def _print_barcode(self, number: int, data: bytes) -> None:
        number = number - 65 if 65 <= number <= 71 else number
        symbology = _SYMBOLOGY.get(number)
        text = data.decode("ascii", "replace")
        if symbology == "code128":
            text = code128_text(data)
        if symbology is None:
            self.notes.append(f"barcode type {number} is not in this printer")
            return
        try:
            modules = graphics.barcode_modules(symbology, text)
        except ValueError as error:
            self.notes.append(str(error))
            return
        if len(modules) * self._barcode["width"] > self.width_dots:
            self.notes.append(f"{symbology} {text!r} is too wide for the paper")  # a real one prints nothing either
            return
        row = [[module == "1" for module in modules]]
        self._picture(graphics.modules_bits(row, self._barcode["width"], quiet=10, repeat=self._barcode["height"]))
        if self._barcode["hri"] & 2:
            self.lines.append(_Line(((text, _Style()),), self._align, LINE_HEIGHT))

    def _qr_function(self, body: bytes) -> None:
        function, rest = body[0] if body else 0, body[1:]
        if function == 0x43 and rest:
            self._qr["module"] = max(1, min(16, rest[0]))
        elif function == 0x45 and rest:
            self._qr["level"] = (rest[0] - 48) % 4
        elif function == 0x50:
            self._qr_data = rest[1:]
        elif function == 0x51 and self._qr_data:
            level: Any = "LMQH"[self._qr["level"]]
            try:
                modules = graphics.qr_modules(self._qr_data, level)
            except ValueError as error:
                self.notes.append(str(error))
                return
            if len(modules) * self._qr["module"] > self.width_dots:
                self.notes.append("the QR code is too wide for the paper")
                return
            self._picture(graphics.modules_bits(modules, self._qr["module"]))

    def _graphics_function(self, body: bytes) -> None:
        """GS ( L: function 112 keeps a picture, function 50 prints it."""
        if body[:1] in (b"p",) and len(body) >= 9:
            width, height = int.from_bytes(body[5:7], "little"), int.from_bytes(body[7:9], "little")
            if len(body) - 9 >= (width + 7) // 8 * height:
                scale = max(1, min(2, body[2])), max(1, min(2, body[3]))
                self._graphics = graphics.Bits(body[9 : 9 + (width + 7) // 8 * height], width, height), scale
        elif body[:1] in (b"2", b"\x02") and self._graphics is not None:
            self._picture(_scaled(*self._graphics))
            self._graphics = None

    def image(self) -> Image:
        """The paper as a grey picture, black on white."""
        from PIL import Image

        height = sum(line.height for line in self.lines) + 24
        paper = Image.new("L", (self.width_dots, height), 255)
        top = 12
        for line in self.lines:
            if line.bits is not None:
                self._paste(paper, line, top)
            else:
                self._draw(paper, line, top)
            top += line.height
        return paper

    def _left(self, line: _Line, width: int) -> int:
        room = self.width_dots - width
        return {"left": 0, "center": max(0, room // 2), "right": max(0, room)}[line.align]

    def _paste(self, paper: Image, line: _Line, top: int) -> None:
        from PIL import Image

        bits = line.bits
        assert bits is not None
        picture = Image.frombytes("1", (bits.width, bits.height), bits.pixels).point(lambda value: 255 - value)
        paper.paste(picture, (self._left(line, bits.width), top))

    def _draw(self, paper: Image, line: _Line, top: int) -> None:
        from PIL import Image, ImageDraw

        left = self._left(line, sum(len(text) * self._cell(style) for text, style in line.runs))
        base = top + line.height - 6
        for text, style in line.runs:
            cell = self._cell(style)
            tall = CELL_HEIGHT * style.height
            for character in text:
                natural = Image.new("L", (self.cell_width, CELL_HEIGHT), 255)
                path = graphics.find_font(character) or graphics.find_font("?")
                if path is not None:
                    draw = ImageDraw.Draw(natural)
                    font = graphics._font(path, 19)
                    draw.text((0, 18), character, 0, font, anchor="ls", stroke_width=0.5 if style.bold else 0)
                if style.reverse:
                    natural = natural.point(lambda value: 255 - value)
                paper.paste(natural.resize((cell, tall)), (left, base - tall))
                if style.underline:
                    paper.paste(0, (left, base - 1, left + cell, base + 1))
                left += cell


def _scaled(bits: graphics.Bits, scale: tuple[int, int]) -> graphics.Bits:
    from PIL import Image

    if scale == (1, 1):
        return bits
    picture = Image.frombytes("1", (bits.width, bits.height), bits.pixels)
    larger = picture.resize((bits.width * scale[0], bits.height * scale[1]))
    return graphics.Bits(larger.tobytes(), larger.width, larger.height)


def code128_text(data: bytes) -> str:
    """The text of Code 128 data as GS k takes it: `code128_text(b"{C\\x0c\\x22")` -> `"1234"`."""
    text, at, code_set = "", 0, "B"
    while at < len(data):
        if data[at : at + 1] == b"{" and at + 1 < len(data):
            mark = chr(data[at + 1])
            if mark in "ABC":
                code_set = mark
            elif mark == "{":
                text += "{"
            at += 2
            continue
        text += f"{data[at]:02}" if code_set == "C" else chr(data[at])
        at += 1
    return text
