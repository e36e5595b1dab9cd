"""Receipts as a PDF as wide as receipt paper and as long as the receipt, by fpdf2 (imported at first use)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ringup.drivers.protocol.codepage import approximate
from ringup.drivers.receipt import graphics
from ringup.drivers.receipt.rows import (
    BarcodeRow,
    FeedRow,
    ImageRow,
    QrRow,
    Row,
    TextLine,
    text_lines,
    text_width,
)

MM_PER_POINT = 25.4 / 72
MARGIN_MM = 4.0
LENGTH_MM_MAX = 5000.0  # PDF readers stop at 200 inches: a longer receipt goes on over more pages


@dataclass(frozen=True, slots=True)
class RenderedPdf:
    """`replaced` lists (character, what stands in its place) for letters that no font at hand has."""

    data: bytes
    replaced: tuple[tuple[str, str], ...] = ()


def render_pdf(
    rows: Iterable[Row], *, columns: int = 42, width_mm: float = 80.0, title: str = "Receipt", fonts: Sequence[str] = ()
) -> RenderedPdf:
    """The receipt as a PDF.  `fonts` are TrueType files to look for letters in, before graphics.FONT_PATHS."""
    with graphics.needed("fpdf2"):
        from fpdf import FPDF

    writer = _Pdf(FPDF(unit="mm", format=(width_mm, LENGTH_MM_MAX)), columns, width_mm, fonts)
    pieces = [writer.measure(row) for row in rows]
    total_mm = sum(height_mm for height_mm, _ in pieces) + 2 * MARGIN_MM
    pdf = FPDF(unit="mm", format=(width_mm, min(LENGTH_MM_MAX, total_mm)))
    pdf.set_title(title)
    pdf.set_margins(0, 0, 0)
    pdf.set_auto_page_break(False)
    writer.start(pdf)
    for height_mm, draw in pieces:
        writer.draw(height_mm, draw)
    return RenderedPdf(bytes(pdf.output()), tuple(writer.replaced))


class _UnreadableFont(Exception):
    """fpdf2 cannot use a font that Pillow can: the line is drawn as a picture."""


class _Pdf:
    """Rows become (height, drawing) first, so that the page can be as long as they are."""

    def __init__(self, pdf: Any, columns: int, width_mm: float, fonts: Sequence[str]) -> None:
        self._pdf = pdf
        self._columns = columns
        self._width_mm = width_mm
        self._fonts = fonts
        self._cell_mm = (width_mm - 2 * MARGIN_MM) / columns
        self._size_pt = self._cell_mm / 0.602 / MM_PER_POINT  # a letter of DejaVu Sans Mono is 0.602 em wide
        self._line_mm = self._size_pt * MM_PER_POINT * 1.2
        self._families: dict[str, str] = {}
        self._y_mm = 0.0
        self.replaced: list[tuple[str, str]] = []

    def start(self, pdf: Any) -> None:
        self._pdf = pdf
        self._families.clear()
        pdf.add_page()
        self._y_mm = MARGIN_MM

    def draw(self, height_mm: float, draw: Any) -> None:
        if self._y_mm + height_mm > self._pdf.h - MARGIN_MM / 2 and self._y_mm > MARGIN_MM:
            self._pdf.add_page()
            self._y_mm = MARGIN_MM
        draw()
        self._y_mm += height_mm

    def measure(self, row: Row) -> tuple[float, Any]:
        if isinstance(row, FeedRow):
            return row.lines * self._line_mm, lambda: None
        if isinstance(row, ImageRow | BarcodeRow | QrRow):
            return self._measure_picture(row)
        lines = text_lines(row, self._columns)
        heights = [self._line_mm * line.style.height for line in lines]

        def draw() -> None:
            top_mm = self._y_mm
            for line, height_mm in zip(lines, heights, strict=True):
                self._draw_line(line, top_mm, height_mm)
                top_mm += height_mm

        return sum(heights), draw

    def _measure_picture(self, row: ImageRow | BarcodeRow | QrRow) -> tuple[float, Any]:
        from PIL import Image

        caption = ""
        try:
            if isinstance(row, ImageRow):
                bits = graphics.logo_bits(row.png, 512)
            elif isinstance(row, QrRow):
                bits = graphics.modules_bits(graphics.qr_modules(row.data, row.level), row.module_dots)
            else:
                modules = graphics.barcode_modules(row.symbology, row.data)
                dark = [[module == "1" for module in modules]]
                bits = graphics.modules_bits(dark, row.module_dots, quiet=10, repeat=row.height_dots)
                caption = row.data if row.show_text else ""
        except ValueError:
            if isinstance(row, ImageRow):
                return 0.0, lambda: None
            return self._line_mm, lambda: self._draw_line(TextLine(row.data, "center"), self._y_mm, self._line_mm)
        image = Image.frombytes("1", (bits.width, bits.height), bits.pixels).point(lambda value: 255 - value)
        width_mm = min(self._width_mm - 2 * MARGIN_MM, bits.width / 203 * 25.4)
        height_mm = width_mm * bits.height / bits.width
        caption_mm = self._line_mm if caption else 0.0

        def draw() -> None:
            stream = io.BytesIO()
            image.save(stream, "PNG")
            self._pdf.image(stream, (self._width_mm - width_mm) / 2, self._y_mm + 0.5, width_mm, height_mm)
            if caption:
                self._draw_line(TextLine(caption, "center"), self._y_mm + height_mm + 0.5, self._line_mm)

        return height_mm + caption_mm + 1.5, draw

    def _family(self, text: str) -> tuple[str, str]:
        """A font with all letters of the text, and the text as that font can show it."""
        path = graphics.find_font(text, self._fonts)
        if path is None and not _is_latin1(text):
            text = "".join(map(self._shown, text))
            path = graphics.find_font(text, self._fonts)
        if path is None:
            # Courier is in every reader, with the letters of Latin-1.
            return "Courier", "".join(c if _is_latin1(c) else self._instead(c) for c in text)
        if path not in self._families:
            family = f"f{len(self._families)}"
            try:
                self._pdf.add_font(family, fname=path)
            except Exception as error:
                # Font files come in more kinds than fpdf2 reads (collections, CFF outlines, damaged ones).
                raise _UnreadableFont(path) from error
            self._families[path] = family
        return self._families[path], text

    def _shown(self, character: str) -> str:
        """The character if anything at hand can show it, else what stands in its place."""
        if _is_latin1(character) or graphics.find_font(character, self._fonts):
            return character
        return self._instead(character)

    def _instead(self, character: str) -> str:
        instead = approximate(character)
        self.replaced.append((character, instead))
        return instead

    def _draw_line(self, line: TextLine, top_mm: float, height_mm: float) -> None:
        if graphics.is_right_to_left(line.text) and self._draw_shaped(line, top_mm, height_mm):
            return
        try:
            self._draw_parts(line, top_mm, height_mm)
        except _UnreadableFont:
            self._draw_shaped(line, top_mm, height_mm)

    def _draw_parts(self, line: TextLine, top_mm: float, height_mm: float) -> None:
        pdf, style = self._pdf, line.style
        families = [(at_columns, part, self._family(part)) for at_columns, part in _parts(line.text)]
        for at_columns, part, (family, text) in families:
            pdf.set_font(family, size=self._size_pt * style.height)
            pdf.set_stretching(100 * style.width / style.height)
            natural_mm = pdf.get_string_width(text)
            room_mm = text_width(part) * self._cell_mm * style.width
            if natural_mm > room_mm * 1.01:
                pdf.set_stretching(100 * style.width / style.height * room_mm / natural_mm)
                natural_mm = room_mm
            line_mm = text_width(line.text.strip()) * self._cell_mm * style.width
            left_mm = {
                "left": MARGIN_MM + at_columns * self._cell_mm * style.width,
                "center": (self._width_mm - line_mm) / 2,
                "right": self._width_mm - MARGIN_MM - line_mm,
            }[line.align]
            baseline_mm = top_mm + height_mm * 0.8
            pdf.set_text_color(255 if style.reverse else 0)
            if style.reverse:
                pdf.set_fill_color(0)
                pdf.rect(left_mm, top_mm, natural_mm, height_mm, style="F")
            pdf.text(left_mm, baseline_mm, text)
            if style.bold:
                pdf.text(left_mm + 0.12, baseline_mm, text)  # struck twice: monospaced fonts at hand may have no bold
            if style.underline:
                pdf.line(left_mm, baseline_mm + 0.4, left_mm + natural_mm, baseline_mm + 0.4)
            pdf.set_stretching(100)

    def _draw_shaped(self, line: TextLine, top_mm: float, height_mm: float) -> bool:
        """Draw a line with joined or right-to-left letters as a picture; False if no font has its letters.

        Pillow shapes them; fpdf2 would need one more library for that.
        """
        from PIL import Image

        columns = self._columns // line.style.width
        bits = graphics.text_bits(
            line.text,
            char_width=24 * line.style.width,
            char_height=48 * line.style.height,
            columns=columns,
            align=line.align,
            bold=line.style.bold,
            paths=self._fonts,
        )
        if bits is None:
            return False
        image = Image.frombytes("1", (bits.width, bits.height), bits.pixels).point(lambda value: 255 - value)
        stream = io.BytesIO()
        image.save(stream, "PNG")
        width_mm = columns * self._cell_mm * line.style.width
        self._pdf.image(stream, MARGIN_MM, top_mm, width_mm, height_mm, alt_text=line.text.strip())
        return True


def _is_latin1(text: str) -> bool:
    return all(character < "\u0100" for character in text)


def _parts(text: str) -> list[tuple[int, str]]:
    """Parts two or more spaces apart, each with its column, so that columns stay columns in any font."""
    import re

    return [(text_width(text[: match.start()]), match[0]) for match in re.finditer(r"\S+(?: \S+)*", text)]
