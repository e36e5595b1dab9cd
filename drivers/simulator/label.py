"""A ZPL label printer that prints to pictures and answers ~HS."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ringup.drivers.receipt import graphics
from ringup.drivers.simulator.base import Simulator

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT_SIZE_MAX = 1 << 20


@dataclass(slots=True)
class PrintedLabel:
    """One label: its texts in order, its barcodes and QR codes as data, and how to draw them."""

    width: int = 480
    length: int = 240
    texts: list[str] = field(default_factory=list)
    codes: list[tuple[str, str]] = field(default_factory=list)
    drawings: list[tuple[str, int, int, dict[str, Any]]] = field(default_factory=list)

    def image(self) -> Image:
        """The label as a grey picture."""
        from PIL import Image, ImageDraw

        paper = Image.new("L", (self.width, self.length), 255)
        draw = ImageDraw.Draw(paper)
        for kind, x, y, what in self.drawings:
            if kind == "text":
                path = graphics.find_font(what["text"]) or graphics.find_font("?")
                if path is None:
                    continue
                font = graphics._font(path, what["height"] * 4 // 5)
                draw.multiline_text((x, y), _wrap(what["text"], font, what["block"], what["lines"]), 0, font)
                continue
            bits = what["bits"]
            picture = Image.frombytes("1", (bits.width, bits.height), bits.pixels).point(lambda value: 255 - value)
            paper.paste(picture, (x, y))
            if kind == "ean13":
                path = graphics.find_font("0")
                if path is not None:
                    draw.text((x + 10, y + bits.height + 2), what["text"], 0, graphics._font(path, 18))
        return paper


def _wrap(text: str, font: Any, width: int, lines: int) -> str:
    if not width:
        return text
    pieces = [""]
    for word in text.split(" "):
        longer = f"{pieces[-1]} {word}".strip()
        if font.getlength(longer) <= width or not pieces[-1]:
            pieces[-1] = longer
        else:
            pieces.append(word)
    return "\n".join(pieces[:lines])


class LabelSimulator(Simulator):
    """`labels` are the printed ones.  Controls: the faults paper_out, head_open and paused."""

    kind = "label"
    fault_names = ("paper_out", "head_open", "paused")

    def __init__(self) -> None:
        super().__init__()
        self.labels: list[PrintedLabel] = []
        self.errors: list[str] = []
        self._waiting: list[str] = []
        self._buffer = ""

    def on_connect(self) -> None:
        self._buffer = ""

    def on_bytes(self, data: bytes) -> None:
        # Latin-1 keeps every byte; field data is decoded as UTF-8 where it is used.
        self._buffer += data.decode("latin-1")
        while match := re.search(r"~HS|\^XA.*?\^XZ", self._buffer, re.DOTALL):
            found = match[0]
            self._buffer = self._buffer[match.end() :]
            if found == "~HS":
                self._print_waiting()
                self.reply(self._status())
            else:
                self._waiting.append(found)
                self._print_waiting()
        if len(self._buffer) > FORMAT_SIZE_MAX:
            self._buffer = ""

    @property
    def texts(self) -> list[str]:
        """What can be read on each label, line by line."""
        with self.lock:
            return ["\n".join([*label.texts, *(data for _, data in label.codes)]) for label in self.labels]

    def png(self) -> bytes:
        """All labels below each other as PNG."""
        from io import BytesIO

        from PIL import Image

        with self.lock:
            pictures = [label.image() for label in self.labels]
        width = max((one.width for one in pictures), default=1)
        whole = Image.new("L", (width, sum(one.height + 8 for one in pictures) or 1), 200)
        top = 0
        for picture in pictures:
            whole.paste(picture, (0, top))
            top += picture.height + 8
        out = BytesIO()
        whole.save(out, "PNG")
        return out.getvalue()

    def _stopped(self) -> bool:
        return any(self.faults.is_on(name) for name in self.fault_names)

    def _print_waiting(self) -> None:
        while self._waiting and not self._stopped():
            try:
                self._print(self._waiting.pop(0))
            except (ValueError, IndexError) as error:
                self.errors.append(str(error))  # the real one prints what it understands; ours says why not

    def _status(self) -> bytes:
        paper_out, head_open, paused = (int(self.faults.is_on(name)) for name in self.fault_names)
        waiting = len(self._waiting)
        strings = (
            f"030,{paper_out},{paused},0240,{waiting:03},0,0,0,000,0,0,0",
            f"000,0,{head_open},0,0,2,4,0,{waiting:08},1,000",
            "0000,0",
        )
        return b"".join(b"\x02" + text.encode() + b"\x03\r\n" for text in strings)

    def _print(self, zpl: str) -> None:
        label = PrintedLabel()
        copies = 1
        x = y = 0
        height, block, lines, module, is_hex = 30, 0, 1, 2, False
        code: tuple[str, list[str]] | None = None
        for command, rest in re.findall(r"\^([A-Z][A-Z0-9@])([^^~]*)", zpl):
            args = rest.strip("\r\n").split(",")
            if command == "PW":
                label.width = int(args[0])
            elif command == "LL":
                label.length = int(args[0])
            elif command == "PQ":
                copies = int(args[0])
            elif command == "FO":
                x, y = int(args[0]), int(args[1])
                block, lines, is_hex, code = 0, 1, False, None
            elif command == "A0":
                height = int(args[1])
            elif command == "FB":
                block, lines = int(args[0]), int(args[1])
            elif command == "BY":
                module = int(args[0])
            elif command == "FH":
                is_hex = True
            elif command in ("BE", "BQ"):
                code = (command, args)
            elif command == "FD":
                self._draw(label, x, y, _field(rest, is_hex), code, height, block, lines, module)
        self.labels += [label] * copies

    def _draw(
        self,
        label: PrintedLabel,
        x: int,
        y: int,
        text: str,
        code: tuple[str, list[str]] | None,
        height: int,
        block: int,
        lines: int,
        module: int,
    ) -> None:
        if code is None:
            label.texts.append(text)
            label.drawings.append(("text", x, y, {"text": text, "height": height, "block": block, "lines": lines}))
        elif code[0] == "BE":
            label.codes.append(("ean13", text))
            row = [[dark == "1" for dark in graphics.barcode_modules("ean13", text)]]
            bits = graphics.modules_bits(row, module, quiet=0, repeat=int(code[1][1]))
            label.drawings.append(("ean13", x, y, {"text": text, "bits": bits}))
        else:
            level: Any = text[0]
            data = text.partition(",")[2]
            label.codes.append(("qr", data))
            bits = graphics.modules_bits(graphics.qr_modules(data, level), int(code[1][2]), quiet=0)
            label.drawings.append(("qr", x, y, {"bits": bits}))


def _field(raw: str, is_hex: bool) -> str:
    data = raw.encode("latin-1")
    if is_hex:
        data = re.sub(rb"_([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), data)
    return data.decode("utf-8", "replace")
