"""Receipts as ESC/POS bytes for one printer model, with a report of everything that was not printed as meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

from ringup.drivers.protocol import escpos
from ringup.drivers.protocol.codepage import approximate, can_encode, encode_text, visible
from ringup.drivers.receipt import graphics
from ringup.drivers.receipt.profile import CHAR_HEIGHT_DOTS, PrinterProfile
from ringup.drivers.receipt.rows import (
    PLAIN,
    BarcodeRow,
    ColumnsRow,
    FeedRow,
    ImageRow,
    QrRow,
    Row,
    RuleRow,
    Style,
    TextLine,
    TextRow,
    text_lines,
)

CHUNK_SIZE = 4096  # rows are gathered up to about this size: what is sent between two questions to the printer


@dataclass(frozen=True, slots=True)
class Replaced:
    """A character that could not be printed, what stands in its place, and the line it is in."""

    character: str
    instead: str
    line: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """`chunks` end at row boundaries; together they are the receipt, begun by ESC @ and ended by a cut.

    `replaced` is what must be told to a person, `pictured` counts lines printed as pictures, `omitted`
    says which rows could not be printed at all and why.
    """

    chunks: tuple[bytes, ...]
    replaced: tuple[Replaced, ...] = ()
    pictured: int = 0
    omitted: tuple[str, ...] = ()

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def is_faithful(self) -> bool:
        return not (self.replaced or self.omitted)


@dataclass(slots=True)
class _Writer:
    profile: PrinterProfile
    fonts: Sequence[str]
    page: int | None = None
    style: Style = PLAIN
    align: str = "left"
    replaced: list[Replaced] = field(default_factory=list)
    pictured: int = 0
    omitted: list[str] = field(default_factory=list)

    def row(self, row: Row) -> bytes:
        if isinstance(row, FeedRow):
            return escpos.feed(min(255, row.lines)) if row.lines else b""
        if isinstance(row, ImageRow):
            return self._image(row)
        if isinstance(row, BarcodeRow):
            return self._barcode(row)
        if isinstance(row, QrRow):
            return self._qr(row)
        return self._text(row)

    def _text(self, row: TextRow | ColumnsRow | RuleRow) -> bytes:
        """A row of text: letters where the printer has them, else a picture, else the nearest letters."""
        before = (self.page, self.style, self.align, self.pictured)
        printed = [self._line(line) for line in text_lines(row, self.profile.columns)]
        if any(line is None for line in printed):
            self.page, self.style, self.align, self.pictured = before
            # Replaced before the row is broken into lines: "EUR" is wider than "€", and a price must not be pushed off.
            printed = [self._letters(line) for line in text_lines(self._approximated(row), self.profile.columns)]
        return b"".join(filter(None, printed))

    def _approximated(self, row: TextRow | ColumnsRow | RuleRow) -> TextRow | ColumnsRow | RuleRow:
        if isinstance(row, RuleRow):
            return RuleRow(self._nearest(row.character, row.character))
        if isinstance(row, TextRow):
            return replace(row, text=self._nearest(row.text, row.text))
        line = " ".join(row.cells)
        return replace(row, cells=tuple(self._nearest(cell, line) for cell in row.cells))

    def _nearest(self, text: str, line: str) -> str:
        out = []
        for character in visible(text):
            if can_encode(character, self.profile.pages):
                out.append(character)
                continue
            instead = approximate(character)
            self.replaced.append(Replaced(character, instead, visible(line).strip()))
            out.append(instead)
        return "".join(out)

    def _aligned(self, align: str) -> bytes:
        if align == self.align:
            return b""
        self.align = align
        return escpos.align(align)  # type: ignore[arg-type]  # the rows' own Align

    def _styled(self, style: Style) -> bytes:
        before, self.style = self.style, style
        out = b""
        if style.bold != before.bold:
            out += escpos.bold(style.bold)
        if style.underline != before.underline:
            out += escpos.underline(int(style.underline))
        if style.reverse != before.reverse:
            out += escpos.reverse(style.reverse)
        if (style.width, style.height) != (before.width, before.height):
            out += escpos.size(style.width, style.height)
        return out

    def _line(self, line: TextLine) -> bytes | None:
        """One line; None if the printer has neither the letters nor a way to draw them."""
        encodable = line.text.isascii() or can_encode(line.text, self.profile.pages)
        if encodable and not graphics.is_right_to_left(line.text):
            return self._letters(line)
        picture = self._pictured(line) if self.profile.has_pictures else None
        if picture is None and encodable:
            self.omitted.append(f"the direction of {line.text.strip()!r}: this printer prints no pictures")
            return self._letters(line)
        return picture

    def _letters(self, line: TextLine) -> bytes:
        encoded = encode_text(line.text.rstrip() or " ", self.profile.pages, self.page)
        assert not encoded.replaced, "what the printer does not have was to be replaced before"
        self.page = encoded.page
        return self._aligned(line.align) + self._styled(line.style) + encoded.data + escpos.LF

    def _pictured(self, line: TextLine) -> bytes | None:
        profile = self.profile
        bits = graphics.text_bits(
            line.text,
            char_width=profile.char_width_dots * line.style.width,
            char_height=CHAR_HEIGHT_DOTS * line.style.height,
            columns=profile.columns // line.style.width,
            align=line.align,
            bold=line.style.bold,
            paths=self.fonts,
        )
        if bits is None:
            return None
        self.pictured += 1
        return self._aligned("left") + self._styled(PLAIN) + self._bits(bits)

    def _bits(self, bits: graphics.Bits) -> bytes:
        draw = escpos.raster if self.profile.has_raster else escpos.column_image
        return draw(bits.pixels, bits.width, bits.height)

    def _image(self, row: ImageRow) -> bytes:
        if not self.profile.has_pictures:
            self.omitted.append("the logo: this printer prints no pictures")
            return b""
        try:
            bits = graphics.logo_bits(row.png, self.profile.width_dots)
        except ValueError as error:
            self.omitted.append(str(error))
            return b""
        return self._aligned("center") + self._bits(bits)

    def _barcode(self, row: BarcodeRow) -> bytes:
        profile = self.profile
        hri: escpos.HriPosition = "below" if row.show_text else "none"
        try:
            module_dots = self._fitting(row.module_dots, escpos.barcode_width(row.symbology, row.data))
            return (
                self._aligned("center")
                + self._styled(PLAIN)
                + escpos.barcode(
                    row.symbology,
                    row.data,
                    height_dots=row.height_dots,
                    module_dots=min(6, module_dots),
                    hri=hri,
                    function_b=profile.has_barcode_b,
                )
                + escpos.LF
            )
        except ValueError as error:
            if "function A" not in str(error) or not profile.has_pictures:
                self.omitted.append(str(error))
                return self._data_as_text(row.data)
        try:
            dark = [[module == "1" for module in graphics.barcode_modules(row.symbology, row.data)]]
            module_dots = self._fitting(row.module_dots, len(dark[0]))
            bits = graphics.modules_bits(dark, module_dots, quiet=0, repeat=row.height_dots)
        except ValueError as error:
            self.omitted.append(str(error))
            return self._data_as_text(row.data)
        return self._aligned("center") + self._bits(bits) + (self._data_as_text(row.data) if row.show_text else b"")

    def _qr(self, row: QrRow) -> bytes:
        try:
            if self.profile.has_qr:
                module_dots = row.module_dots
                # Without the package there is no telling how large it becomes; most fit.
                if find_spec("qrcode") is not None:
                    module_dots = self._fitting(module_dots, graphics.qr_width(row.data, row.level))
                code = escpos.qr(row.data.encode(), module_dots=module_dots, level=row.level)
                return self._aligned("center") + code + escpos.LF
            if self.profile.has_pictures:
                modules = graphics.qr_modules(row.data, row.level)
                module_dots = self._fitting(row.module_dots, len(modules))
                bits = graphics.modules_bits(modules, module_dots, quiet=0)
                return self._aligned("center") + self._bits(bits)
        except ValueError as error:
            self.omitted.append(str(error))
            return self._data_as_text(row.data)
        self.omitted.append(f"QR code {row.data!r}: this printer prints no pictures")
        return self._data_as_text(row.data)

    def _fitting(self, module_dots: int, modules: int) -> int:
        """The module size at which a code fits on the paper, up to `module_dots`; ValueError if none does."""
        fitting = min(module_dots, self.profile.width_dots // modules)
        if fitting < 1:
            raise ValueError(
                f"code of {modules} modules: expected at most {self.profile.width_dots}, the dots of the paper"
            )
        return fitting

    def _data_as_text(self, data: str) -> bytes:
        return self._text(TextRow(data, "center"))


def render_escpos(
    rows: Iterable[Row], profile: PrinterProfile, *, fonts: Sequence[str] = (), cut: bool = True
) -> Rendered:
    """The bytes for one printer model.

    A line that no code page of the printer holds, or that runs from right to left, becomes a picture;
    where that is not possible either, the nearest letter is printed and reported in `replaced`.  Text
    from the document can never be a command: no byte below 0x20 comes from it.
    """
    writer = _Writer(profile, fonts)
    chunks = tuple(_chunks(rows, writer, cut))
    return Rendered(chunks, tuple(writer.replaced), writer.pictured, tuple(writer.omitted))


def _chunks(rows: Iterable[Row], writer: _Writer, cut: bool) -> Iterator[bytes]:
    chunk = bytearray(escpos.initialise() + escpos.cancel_kanji() + escpos.select_international(0))
    for row in rows:
        chunk += writer.row(row)
        if len(chunk) >= CHUNK_SIZE:
            yield bytes(chunk)
            chunk.clear()
    chunk += writer._styled(PLAIN) + writer._aligned("left")
    if cut and writer.profile.has_cut:
        chunk += escpos.feed(1) + escpos.cut(feed_dots=0)
    elif cut:
        chunk += escpos.feed(5)
    yield bytes(chunk)
