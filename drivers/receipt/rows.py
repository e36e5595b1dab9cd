"""Rows: a laid-out receipt, the one thing all renderers read.  No widths in dots, no bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from ringup.drivers.protocol.codepage import visible

Align = Literal["left", "center", "right"]


@dataclass(frozen=True, slots=True)
class Style:
    bold: bool = False
    underline: bool = False
    reverse: bool = False
    width: int = 1  # times the normal character width, 1 to 8
    height: int = 1


PLAIN = Style()


@dataclass(frozen=True, slots=True)
class TextRow:
    text: str
    align: Align = "left"
    style: Style = PLAIN
    indent: int = 0


@dataclass(frozen=True, slots=True)
class ColumnsRow:
    """Cells beside each other: the first takes what is left and wraps, the others are as wide as given.

    `widths` are in characters, 0 meaning "as wide as its text"; cells after the first align right.
    """

    cells: tuple[str, ...]
    widths: tuple[int, ...] = ()
    style: Style = PLAIN
    indent: int = 0


@dataclass(frozen=True, slots=True)
class RuleRow:
    character: str = "-"


@dataclass(frozen=True, slots=True)
class FeedRow:
    lines: int = 1


@dataclass(frozen=True, slots=True)
class BarcodeRow:
    symbology: str
    data: str
    height_dots: int = 80
    module_dots: int = 2
    show_text: bool = True


@dataclass(frozen=True, slots=True)
class QrRow:
    data: str
    module_dots: int = 5
    level: Literal["L", "M", "Q", "H"] = "M"


@dataclass(frozen=True, slots=True)
class ImageRow:
    png: bytes = field(repr=False)


Row = TextRow | ColumnsRow | RuleRow | FeedRow | BarcodeRow | QrRow | ImageRow


def char_width(character: str) -> int:
    """Columns a character takes: 2 for East Asian wide ones, 0 for combining marks."""
    if character < "\u0300":
        return 1
    import unicodedata

    if unicodedata.combining(character) or unicodedata.category(character) == "Mn":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def text_width(text: str) -> int:
    """Columns a text takes.  `text_width("茶 tea")` -> `6`."""
    return len(text) if text.isascii() else sum(map(char_width, text))


def wrap(text: str, columns: int) -> list[str]:
    """Break a text at spaces into pieces of at most `columns`; a longer word is broken where it must.

    Nothing is dropped: item names are never cut off.  `wrap("Organic oat milk", 8)` -> `["Organic", "oat milk"]`.
    """
    if columns < 2:
        raise ValueError(f"columns: expected at least 2, found {columns}")
    pieces: list[str] = []
    piece, piece_width = "", 0
    for word in text.split(" "):
        word_width = text_width(word)
        if piece and piece_width + 1 + word_width <= columns:
            piece, piece_width = f"{piece} {word}", piece_width + 1 + word_width
            continue
        if piece:
            pieces.append(piece)
        piece, piece_width = word, word_width
        while piece_width > columns:
            taken, taken_width = 0, 0
            while taken_width + char_width(piece[taken]) <= columns:
                taken_width += char_width(piece[taken])
                taken += 1
            pieces.append(piece[:taken])
            piece, piece_width = piece[taken:], piece_width - taken_width
    pieces.append(piece)
    return pieces


def pad(text: str, columns: int, align: Align) -> str:
    """Fill a text with spaces to `columns`; longer texts stay as they are."""
    gap = max(0, columns - text_width(text))
    left = {"left": 0, "right": gap, "center": gap // 2}[align]
    return " " * left + text + " " * (gap - left)


@dataclass(frozen=True, slots=True)
class TextLine:
    """One printed line of text, already as wide as the paper allows."""

    text: str
    align: Align = "left"
    style: Style = PLAIN


def text_lines(row: TextRow | ColumnsRow | RuleRow, columns: int) -> list[TextLine]:
    """Break a row into lines for a paper of `columns` characters.  Control characters come out visible."""
    if isinstance(row, RuleRow):
        return [TextLine((visible(row.character) or "-")[0] * columns)]
    usable = max(2, columns // row.style.width)
    if isinstance(row, TextRow):
        # Only the template's own line breaks count; those in data have become spaces before.
        indent = " " * row.indent
        pieces = wrap(visible(row.text), max(2, usable - row.indent))
        return [TextLine(indent + piece, row.align, row.style) for piece in pieces]
    return [TextLine(text, "left", row.style) for text in _columns(row, usable)]


def _columns(row: ColumnsRow, columns: int) -> Iterable[str]:
    cells = [visible(cell) for cell in row.cells]
    widths = [max(text_width(cell), row.widths[at] if at < len(row.widths) else 0) for at, cell in enumerate(cells)]
    rest = sum(width + 1 for width in widths[1:])
    first = columns - row.indent - rest
    indent = " " * row.indent
    if first >= 8 or text_width(cells[0]) <= first:
        *above, last = wrap(cells[0], first) if first >= 2 else [cells[0]]
        for piece in above:
            yield indent + piece
        tail = "".join(" " + pad(cell, width, "right") for cell, width in zip(cells[1:], widths[1:], strict=True))
        yield indent + pad(last, first, "left") + tail
        return
    # Amounts leave the name no room: the name goes above, the amounts below, each whole.
    for piece in wrap(cells[0], max(2, columns - row.indent)):
        yield indent + piece
    below = " ".join(cell for cell in cells[1:] if cell)
    for piece in wrap(below, columns):
        yield pad(piece, columns, "right")
