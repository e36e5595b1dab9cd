"""Receipts as one self-contained HTML page: for e-mail and for the page behind the receipt's QR code."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape

from ringup.drivers.protocol.codepage import visible
from ringup.drivers.receipt import graphics
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
)

_CSS = (
    "body{background:#eee;margin:0;padding:1em}"
    "main{background:#fff;color:#000;font:15px/1.35 ui-monospace,monospace;margin:auto;max-width:26em;padding:1.5em}"
    ".r{display:flex;gap:1ch;justify-content:space-between}.r>span:first-child{flex:1;overflow-wrap:anywhere}"
    ".r>span+span{text-align:right;white-space:pre}"
    "p,.r{margin:0}p{overflow-wrap:anywhere}hr{border:0;border-top:1px dashed #000}"
    "figure{margin:.6em 0;text-align:center}"
    "svg,img{max-width:100%}"
)  # fmt: skip


def render_html(rows: Iterable[Row], *, title: str = "Receipt", language: str = "en") -> str:
    """The page.  Everything from the document is escaped; pictures are inline; no script, nothing loaded."""
    body = "\n".join(_row(row) for row in rows)
    return (
        f'<!doctype html>\n<html lang="{escape(language)}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{escape(visible(title))}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def _css(style: Style) -> str:
    rules = []
    if style.bold:
        rules.append("font-weight:bold")
    if style.underline:
        rules.append("text-decoration:underline")
    if style.reverse:
        rules.append("background:#000;color:#fff")
    if max(style.width, style.height) > 1:
        rules.append(f"font-size:{100 + 25 * (max(style.width, style.height) - 1)}%")
    return ";".join(rules)


def _attribute(*rules: str) -> str:
    css = ";".join(filter(None, rules))
    return f' style="{css}"' if css else ""


def _text(text: str) -> str:
    return escape(visible(text))


def _row(row: Row) -> str:
    if isinstance(row, TextRow):
        aligned = "" if row.align == "left" else f"text-align:{row.align}"
        indent = f"margin-left:{row.indent}ch" if row.indent else ""
        return f'<p dir="auto"{_attribute(aligned, indent, _css(row.style))}>{_text(row.text)}</p>'
    if isinstance(row, ColumnsRow):
        indent = f"margin-left:{row.indent}ch" if row.indent else ""
        cells = [f'<span dir="auto">{_text(row.cells[0])}</span>']
        for at, cell in enumerate(row.cells[1:], 1):
            width = max(len(cell), row.widths[at] if at < len(row.widths) else 0)
            cells.append(f'<span style="min-width:{width}ch">{_text(cell)}</span>')
        return f'<div class="r"{_attribute(indent, _css(row.style))}>{"".join(cells)}</div>'
    if isinstance(row, RuleRow):
        return "<hr>"
    if isinstance(row, FeedRow):
        return "<br>" * row.lines
    if isinstance(row, ImageRow):
        kind = "jpeg" if row.png[:2] == b"\xff\xd8" else "png"
        data = base64.b64encode(row.png).decode()
        return f'<figure><img alt="" src="data:image/{kind};base64,{data}"></figure>'
    return _code(row)


def _code(row: BarcodeRow | QrRow) -> str:
    try:
        if isinstance(row, QrRow):
            return f"<figure>{_svg(graphics.qr_modules(row.data, row.level), 4, 4, 1)}</figure>"
        modules = graphics.barcode_modules(row.symbology, row.data)
        picture = _svg([[module == "1" for module in modules]], 2, 10, row.height_dots)
        caption = f"<figcaption>{_text(row.data)}</figcaption>" if row.show_text else ""
        return f"<figure>{picture}{caption}</figure>"
    except ValueError:
        return f"<figure>{_text(row.data)}</figure>"  # what cannot be drawn is still written


def _svg(rows: list[list[bool]], dot: int, quiet: int, height: int) -> str:
    width = len(rows[0]) + 2 * quiet
    is_linear = len(rows) == 1
    tall = height if is_linear else (len(rows) + 2 * quiet) * dot
    paths = []
    for y, row in enumerate(rows):
        top, bar = (0, height) if is_linear else ((y + quiet) * dot, dot)
        x = 0
        while x < len(row):
            end = x
            while end < len(row) and row[end]:
                end += 1
            if end > x:
                paths.append(f"M{(x + quiet) * dot} {top}h{(end - x) * dot}v{bar}h-{(end - x) * dot}z")
            x = max(end, x + 1)
    return (
        f'<svg width="{width * dot}" height="{tall}" viewBox="0 0 {width * dot} {tall}" role="img">'
        f'<path d="{"".join(paths)}"/></svg>'
    )
