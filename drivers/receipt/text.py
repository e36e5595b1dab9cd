"""Receipts as plain text: for e-mail, logs and screens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ringup.drivers.protocol.codepage import visible
from ringup.drivers.receipt.rows import (
    BarcodeRow,
    ColumnsRow,
    FeedRow,
    ImageRow,
    QrRow,
    Row,
    RuleRow,
    Style,
    TextRow,
    pad,
    text_lines,
    wrap,
)


def render_text(rows: Iterable[Row], columns: int = 42) -> str:
    """The receipt in lines of at most `columns`; barcodes and QR codes as the text they carry."""
    out: list[str] = []
    for row in rows:
        if isinstance(row, FeedRow):
            out += [""] * row.lines
        elif isinstance(row, ImageRow):
            continue  # a logo says nothing in text
        elif isinstance(row, BarcodeRow | QrRow):
            out += [pad(piece, columns, "center").rstrip() for piece in wrap(visible(row.data), columns)]
        elif isinstance(row, TextRow | ColumnsRow):
            plain = replace(row, style=Style())  # double-width letters are as wide as others here
            out += [pad(line.text, columns, line.align).rstrip() for line in text_lines(plain, columns)]
        else:
            assert isinstance(row, RuleRow)
            out += [line.text for line in text_lines(row, columns)]
    return "\n".join(out) + "\n"
