"""From the document to rows, in the order and words of a template."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ringup.drivers.receipt.document import Line, Receipt
from ringup.drivers.receipt.money import format_money, format_qty, format_rate
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
    TextRow,
)
from ringup.drivers.receipt.template import Template, default_template, fill

STRONG = Style(bold=True)


def lay_out(receipt: Receipt, template: Template | None = None) -> tuple[Row, ...]:
    """The rows of a receipt.

    A copy and a training receipt say so even if the template has no block for it: no layout can make
    a reprint look like the original.
    """
    template = template or default_template()
    layout = _Layout(receipt, template)
    kinds = {block.kind for block in template.blocks}
    rows: list[Row] = []
    for mark in ("training_mark", "copy_mark"):
        if mark not in kinds:
            rows += layout.block(mark, {})
    for block in template.blocks:
        marks_copy = block.kind in ("training_mark", "copy_mark")
        if block.when and not layout.fields[block.when] and not marks_copy:
            continue
        rows += layout.block(block.kind, block.options)
    return tuple(rows)


class _Layout:
    def __init__(self, receipt: Receipt, template: Template) -> None:
        self._receipt = receipt
        self._template = template
        self._labels = template.labels
        store = receipt.store
        self.fields: Mapping[str, str] = {
            "number": receipt.number,
            "at": receipt.at,
            "till": receipt.till,
            "cashier": receipt.cashier,
            "customer": receipt.customer,
            "store_name": store.name,
            "store_phone": store.phone,
            "store_tax_id": store.tax_id,
            "total": self._money(receipt.total_minor),
            "change": self._money(receipt.change_minor),
            "currency": receipt.currency,
            "line_count": str(len(receipt.lines)),
            "copy_number": str(receipt.copy_number) if receipt.copy_number else "",
        }

    def block(self, kind: str, options: Mapping[str, Any]) -> Iterator[Row]:
        handler: Callable[[Mapping[str, Any]], Iterator[Row]] = getattr(self, f"_{kind}")
        return handler(options)

    def _money(self, amount_minor: int) -> str:
        template = self._template
        return format_money(
            amount_minor,
            self._receipt.currency_digits,
            decimal_mark=template.decimal_mark,
            group_mark=template.group_mark,
        )

    @staticmethod
    def _style(options: Mapping[str, Any], base: Style = PLAIN) -> Style:
        return Style(
            bold=options.get("bold", base.bold),
            underline=options.get("underline", base.underline),
            reverse=options.get("reverse", base.reverse),
            width=options.get("width", base.width),
            height=options.get("height", base.height),
        )

    def _texts(self, texts: tuple[str, ...], options: Mapping[str, Any]) -> Iterator[Row]:
        for text in texts:
            yield TextRow(text, options.get("align", "left"), self._style(options))

    def _amount_row(self, label: str, amount_minor: int, style: Style = PLAIN, indent: int = 0) -> Row:
        return ColumnsRow((label, self._money(amount_minor)), style=style, indent=indent)

    # One method a kind of block.

    def _text(self, options: Mapping[str, Any]) -> Iterator[Row]:
        return self._texts((fill(options["text"], self.fields),), options)

    def _columns(self, options: Mapping[str, Any]) -> Iterator[Row]:
        yield ColumnsRow(tuple(fill(cell, self.fields) for cell in options["cells"]), style=self._style(options))

    def _rule(self, options: Mapping[str, Any]) -> Iterator[Row]:
        yield RuleRow(options.get("character", "-"))

    def _feed(self, options: Mapping[str, Any]) -> Iterator[Row]:
        yield FeedRow(options.get("lines", 1))

    def _logo(self, options: Mapping[str, Any]) -> Iterator[Row]:
        if self._receipt.logo_png:
            yield ImageRow(self._receipt.logo_png)

    def _store_address(self, options: Mapping[str, Any]) -> Iterator[Row]:
        return self._texts(self._receipt.store.address, options)

    def _header(self, options: Mapping[str, Any]) -> Iterator[Row]:
        return self._texts(self._receipt.header, options)

    def _footer(self, options: Mapping[str, Any]) -> Iterator[Row]:
        return self._texts(self._receipt.footer, options)

    def _copy_mark(self, options: Mapping[str, Any]) -> Iterator[Row]:
        if self._receipt.copy_number:
            style = self._style(options, Style(bold=True, height=2))
            yield TextRow(self._labels["copy"], options.get("align", "center"), style)

    def _training_mark(self, options: Mapping[str, Any]) -> Iterator[Row]:
        if self._receipt.is_training:
            yield TextRow(self._labels["training"], options.get("align", "center"), self._style(options, STRONG))

    def _lines(self, options: Mapping[str, Any]) -> Iterator[Row]:
        with_code = options.get("tax_code", True) and any(line.tax_code for line in self._receipt.lines)
        for line in self._receipt.lines:
            name = f"{self._labels['return']} {line.name}" if line.is_return else line.name
            cells: tuple[str, ...] = (
                name,
                self._money(line.amount_minor - sum(d.amount_minor for d in line.discounts)),
            )
            if with_code:
                cells += (line.tax_code or " ",)
            yield ColumnsRow(cells)
            if options.get("item_number") and line.item_number:
                yield TextRow(f"  {line.item_number}")
            if (detail := self._line_detail(line)) is not None:
                yield TextRow(detail, indent=2)
            for discount in line.discounts:
                amount = self._money(discount.amount_minor)
                yield ColumnsRow((discount.name, amount, " ") if with_code else (discount.name, amount), indent=2)
            for note in line.notes:
                yield TextRow(note, indent=2)

    def _line_detail(self, line: Line) -> str | None:
        """`3 x 1.99`, `0.345 kg x 12.90/kg`, `345 g x 1.99/100 g`; None for one piece at its price."""
        if line.price_minor is None or (line.qty_milli == 1000 and not line.unit):
            return None
        mark = self._template.decimal_mark
        qty = format_qty(line.qty_milli, decimal_mark=mark)
        price = self._money(line.price_minor)
        if not line.unit:
            per = "" if line.price_base_milli == 1000 else f"/{format_qty(line.price_base_milli, decimal_mark=mark)}"
            return f"{qty} x {price}{per}"
        base = "" if line.price_base_milli == 1000 else f"{format_qty(line.price_base_milli, decimal_mark=mark)} "
        return f"{qty} {line.unit} x {price}/{base}{line.unit}"

    def _discounts(self, options: Mapping[str, Any]) -> Iterator[Row]:
        with_code = any(line.tax_code for line in self._receipt.lines)  # amounts below each other
        for discount in self._receipt.discounts:
            amount = self._money(discount.amount_minor)
            cells = (discount.name, amount, " ") if with_code else (discount.name, amount)
            yield ColumnsRow(cells, style=self._style(options))

    def _total(self, options: Mapping[str, Any]) -> Iterator[Row]:
        receipt = self._receipt
        if receipt.rounding_minor:
            yield self._amount_row(self._labels["rounding"], receipt.rounding_minor)
        label = f"{self._labels['total']} {receipt.currency}"
        yield self._amount_row(label, receipt.total_minor, self._style(options))

    def _tenders(self, options: Mapping[str, Any]) -> Iterator[Row]:
        for tender in self._receipt.tenders:
            yield self._amount_row(tender.name, tender.amount_minor, self._style(options))
            for detail in tender.details:
                yield TextRow(detail, indent=2)

    def _change(self, options: Mapping[str, Any]) -> Iterator[Row]:
        if self._receipt.change_minor:
            yield self._amount_row(self._labels["change"], self._receipt.change_minor, self._style(options))

    def _taxes(self, options: Mapping[str, Any]) -> Iterator[Row]:
        receipt, labels = self._receipt, self._labels
        if not receipt.taxes:
            return
        mark = self._template.decimal_mark
        amounts = [tuple(map(self._money, (row.net_minor, row.tax_minor, row.gross_minor))) for row in receipt.taxes]
        heads = (labels["net"], labels["tax"], labels["gross"])
        widths = (0, *(max(len(head), *(len(row[at]) for row in amounts)) for at, head in enumerate(heads)))
        yield ColumnsRow((labels["tax_code"], *heads), widths)
        for row, cells in zip(receipt.taxes, amounts, strict=True):
            name = " ".join(filter(None, (row.code, row.name, format_rate(row.rate_ppm, decimal_mark=mark))))
            yield ColumnsRow((name, *cells), widths)

    def _barcode(self, options: Mapping[str, Any]) -> Iterator[Row]:
        if self._receipt.barcode:
            yield BarcodeRow(
                options.get("symbology", "code128"),
                self._receipt.barcode,
                options.get("height_dots", 80),
                options.get("module_dots", 2),
                options.get("show_text", True),
            )

    def _qr(self, options: Mapping[str, Any]) -> Iterator[Row]:
        if self._receipt.qr:
            yield QrRow(self._receipt.qr, options.get("module_dots", 5), options.get("level", "M"))
