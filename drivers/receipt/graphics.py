"""Pictures for receipts: texts a printer has no letters for, logos, barcodes and QR codes as modules.

Pillow, fontTools, python-barcode and qrcode are imported at first use.
"""

from __future__ import annotations

import contextlib
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ringup.drivers.receipt.rows import text_width

if TYPE_CHECKING:
    from PIL.Image import Image

# Where common systems keep fonts with many scripts; a device file may name others (`bitmap_fonts`).
FONT_PATHS = (
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/truetype/noto/NotoSansMono-Regular.ttf",
    "/System/Library/Fonts/Supplemental/Arial Unicode.ttf",
    "C:/Windows/Fonts/arialuni.ttf",
    "C:/Windows/Fonts/msyh.ttc",
    "C:/Windows/Fonts/arial.ttf",
)
PICTURE_PIXELS_MAX = 4_000_000


@dataclass(frozen=True, slots=True)
class Bits:
    """A black-and-white picture: rows padded to whole bytes, the highest bit is leftmost, 1 is black."""

    pixels: bytes
    width: int
    height: int


@contextlib.contextmanager
def needed(package: str) -> Iterator[None]:
    """Around an import of the extra `devices`: a missing package is a ValueError that says how to get it."""
    try:
        yield
    except ImportError as error:
        raise ValueError(f"expected the package {package}, found none; pip install 'ringup[devices]'") from error


@lru_cache(maxsize=32)
def _font_characters(path: str) -> frozenset[int]:
    """The code points a font has glyphs for; empty if the file is no font."""
    try:
        from fontTools.ttLib import TTFont

        with TTFont(path, fontNumber=0, lazy=True) as font:
            return frozenset(font.getBestCmap() or ())
    except (ImportError, OSError, ValueError, KeyError):
        return frozenset()


def find_font(text: str, paths: Sequence[str] = ()) -> str | None:
    """The first font file that has a glyph for every character, `paths` before FONT_PATHS; else None."""
    needed = {ord(character) for character in text if not character.isspace()}
    for path in (*paths, *FONT_PATHS):
        if Path(path).is_file() and needed <= _font_characters(path):
            return path
    return None


def is_right_to_left(text: str) -> bool:
    """Whether a text holds letters of a script written from right to left."""
    return not text.isascii() and any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text)


@lru_cache(maxsize=64)
def _font(path: str, size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(path, size)


def image_bits(image: Image) -> Bits:
    """A picture as bits; grey becomes black below half."""
    with needed("pillow"):
        from PIL import Image, ImageOps

    grey = image.convert("L")
    mono = ImageOps.invert(grey).point(lambda value: 255 if value >= 128 else 0).convert("1", dither=Image.Dither.NONE)
    return Bits(mono.tobytes(), image.width, image.height)


def text_bits(
    text: str,
    *,
    char_width: int,
    char_height: int,
    columns: int,
    align: Literal["left", "center", "right"] = "left",
    bold: bool = False,
    paths: Sequence[str] = (),
) -> Bits | None:
    """One printed line as a picture of `columns` characters; None if no font (or no Pillow) has its letters.

    Parts that are two or more spaces apart keep their columns, so that prices stay below each other.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        return None
    width = char_width * columns
    image = Image.new("L", (width, char_height + char_height // 4), 255)  # as tall as a line with its spacing
    draw = ImageDraw.Draw(image)
    parts = [(match.start(), match[0]) for match in re.finditer(r"\S+(?: \S+)*", text)]
    for at, part in parts:
        path = find_font(part, paths)
        if path is None:
            return None
        left_column = text_width(text[:at])
        cells = text_width(part)
        size = char_height - 4
        room = cells * char_width if len(parts) > 1 else width
        while size > 8 and draw.textlength(part, _font(path, size)) > room:
            size -= 1
        length = draw.textlength(part, _font(path, size))
        if align == "center":
            x = (width - length) / 2
        elif align == "right":
            x = width - length
        elif at == 0 or left_column == len(text) - len(text.lstrip(" ")):
            x = float(left_column * char_width)
        else:
            x = (left_column + cells) * char_width - length
        draw.text((x, char_height - 1), part, 0, _font(path, size), anchor="ls", stroke_width=int(bold) * 0.5)
    return image_bits(image)


def logo_bits(png: bytes, width_max: int) -> Bits:
    """A logo as bits, made smaller if it is too wide, on white.  Raises ValueError if it is no picture."""
    with needed("pillow"):
        from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(png)) as image:
            if image.width * image.height > PICTURE_PIXELS_MAX:
                raise ValueError(
                    f"logo: expected at most {PICTURE_PIXELS_MAX} pixels, found {image.width} x {image.height}"
                )
            layer = image.convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"logo: expected a picture (PNG, JPEG, BMP), found: {error}") from error
    paper = Image.new("RGBA", layer.size, "white")
    paper.alpha_composite(layer)
    if paper.width > width_max:
        paper = paper.resize((width_max, max(1, paper.height * width_max // paper.width)))
    return image_bits(paper.convert("L").convert("1").convert("L"))  # "1" dithers: photos stay readable


def barcode_modules(symbology: str, data: str) -> str:
    """A linear barcode as "1" for a dark and "0" for a light module, by python-barcode.

    Raises ValueError for data the symbology cannot carry.
    """
    with needed("python-barcode"):
        import barcode
        from barcode.errors import BarcodeError

    name = {"upca": "upca", "itf": "itf"}.get(symbology, symbology)
    try:
        if symbology == "code39":
            made = barcode.get(name, data, options={"add_checksum": False})
        else:
            made = barcode.get(name, data)
        return str(made.build()[0])
    except (BarcodeError, KeyError, ValueError) as error:
        raise ValueError(f"{symbology}: cannot be drawn from {data!r}: {error}") from error


def qr_modules(data: str | bytes, level: Literal["L", "M", "Q", "H"] = "M") -> list[list[bool]]:
    """A QR code without its quiet zone, True is dark, by qrcode.  Raises ValueError if it is too long."""
    with needed("qrcode"):
        import qrcode
        from qrcode.constants import ERROR_CORRECT_H, ERROR_CORRECT_L, ERROR_CORRECT_M, ERROR_CORRECT_Q
        from qrcode.exceptions import DataOverflowError

    levels = {"L": ERROR_CORRECT_L, "M": ERROR_CORRECT_M, "Q": ERROR_CORRECT_Q, "H": ERROR_CORRECT_H}
    code: Any = qrcode.QRCode(error_correction=levels[level], border=0)
    code.add_data(data)
    try:
        code.make(fit=True)
    except (DataOverflowError, ValueError) as error:
        raise ValueError(f"QR: {len(data)} characters do not fit at level {level}") from error
    return [list(map(bool, row)) for row in code.get_matrix()]


def qr_width(data: str | bytes, level: Literal["L", "M", "Q", "H"] = "M") -> int:
    """Modules along one side of a QR code, read as bytes; `qr_width("A")` is 21.  Raises ValueError if too long."""
    with needed("qrcode"):
        import qrcode
        from qrcode.exceptions import DataOverflowError
        from qrcode.util import MODE_8BIT_BYTE, QRData

    number = {"L": 1, "M": 0, "Q": 3, "H": 2}[level]
    code: Any = qrcode.QRCode(error_correction=number)
    code.add_data(QRData(data, mode=MODE_8BIT_BYTE))
    try:
        return 17 + 4 * int(code.best_fit(start=1))
    except (DataOverflowError, ValueError) as error:
        raise ValueError(f"QR: {len(data)} characters do not fit at level {level}") from error


def modules_bits(rows: Sequence[Sequence[bool]], module_dots: int, *, quiet: int = 4, repeat: int = 1) -> Bits:
    """Modules as a picture with a quiet zone; `repeat` draws a single row that many dots high."""
    with needed("pillow"):
        from PIL import Image

    height = repeat if len(rows) == 1 else len(rows) * module_dots
    width = (len(rows[0]) + 2 * quiet) * module_dots
    image = Image.new("L", (width, height + (0 if len(rows) == 1 else 2 * quiet * module_dots)), 255)
    for y, row in enumerate(rows):
        for x, dark in enumerate(row):
            if dark:
                left = (x + quiet) * module_dots
                top = 0 if len(rows) == 1 else (y + quiet) * module_dots
                image.paste(0, (left, top, left + module_dots, top + (repeat if len(rows) == 1 else module_dots)))
    return image_bits(image)
