"""One receipt on every medium: what stands on it, what is reported, what a shop may change."""

from __future__ import annotations

import html.parser
import io
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringup.drivers.receipt import graphics
from ringup.drivers.receipt.document import Line, Receipt, TaxRow
from ringup.drivers.receipt.escpos import Rendered, render_escpos
from ringup.drivers.receipt.html import render_html
from ringup.drivers.receipt.layout import lay_out
from ringup.drivers.receipt.money import format_money, format_qty
from ringup.drivers.receipt.pdf import render_pdf
from ringup.drivers.receipt.profile import UnknownModel, printer_profile
from ringup.drivers.receipt.rows import (
    BarcodeRow,
    ColumnsRow,
    ImageRow,
    QrRow,
    Style,
    TextRow,
    text_lines,
    text_width,
    wrap,
)
from ringup.drivers.receipt.sample import sample_receipt
from ringup.drivers.receipt.template import TemplateError, default_template, parse_template
from ringup.drivers.receipt.text import render_text
from ringup.drivers.simulator.printer import PrinterSimulator

SAMPLE = sample_receipt(at="2025-03-01 10:11")


def _printed(rendered: Rendered, columns: int = 48, width_dots: int = 576) -> PrinterSimulator:
    simulator = PrinterSimulator(columns=columns, width_dots=width_dots)
    simulator.take_bytes(rendered.data)
    assert simulator.unknown_commands == []
    assert [note for roll in simulator.receipts for note in roll.notes] == []
    return simulator


def _png(width: int = 64, height: int = 32) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (width, height), "black").save(out, "PNG")
    return out.getvalue()


def _needs_font(text: str) -> None:
    if graphics.find_font(text) is None:
        pytest.skip(f"no font at hand has {text!r}")


@pytest.mark.parametrize("columns", [32, 42, 48])
def test_paper_says_what_plain_text_says_at_every_width(columns: int) -> None:
    profile = printer_profile(f"generic-{columns}")
    rows = lay_out(SAMPLE)
    rendered = render_escpos(rows, profile)
    assert rendered.is_faithful
    assert rendered.pictured == 0
    paper = _printed(rendered, columns, profile.width_dots).texts[0]
    words = re.findall(r"\S+", render_text(rows, columns))
    on_paper = re.findall(r"\S+", paper)
    missing = [word for word in words if word not in on_paper]
    assert missing == ["https://ringup.example/r/000042"]  # printed as a QR code
    assert max(map(len, paper.splitlines())) <= columns
    assert max(map(len, render_text(rows, columns).splitlines())) <= columns


def test_amounts_stand_below_each_other() -> None:
    text = render_text(lay_out(SAMPLE), 42)
    ends = {line.rindex(".") for line in text.splitlines() if re.search(r"\d\.\d\d A$|\d\.\d\d B$|off +-1\.00$", line)}
    assert len(ends) == 1


def test_barcode_and_qr_are_read_back_from_the_printed_picture(tmp_path: Path) -> None:
    zbarimg = shutil.which("zbarimg")
    if zbarimg is None:
        pytest.skip("zbarimg is not installed")
    codes = [("ean13", "4006381333931"), ("ean8", "96385074"), ("code39", "TILL-7"), ("itf", "12345670")]
    rows = [*lay_out(SAMPLE), *(BarcodeRow(symbology, data) for symbology, data in codes)]
    picture = tmp_path / "receipt.png"
    picture.write_bytes(_printed(render_escpos(rows, printer_profile("generic-48"))).png())
    run = subprocess.run([zbarimg, "-q", picture], capture_output=True, text=True, timeout=30, check=True)
    assert set(run.stdout.split()) == {
        "QR-Code:https://ringup.example/r/000042", "CODE-128:R000042", "EAN-13:4006381333931", "EAN-8:96385074",
        "CODE-39:TILL-7", "I2/5:12345670",
    }  # fmt: skip


def test_our_barcodes_have_the_modules_that_zint_draws() -> None:
    zint = shutil.which("zint")
    if zint is None:
        pytest.skip("zint is not installed")
    for symbology, name, data in (("ean13", "EANX", "4006381333931"), ("code128", "CODE128", "R000042")):
        run = subprocess.run(
            [zint, "-b", name, "-d", data, "--dump"], capture_output=True, text=True, timeout=30, check=True
        )
        first = run.stdout.split("\n", 1)[0].replace(" ", "")
        modules = bin(int(first, 16))[2:].zfill(len(first) * 4)
        ours = graphics.barcode_modules(symbology, data)
        assert modules.startswith(ours), symbology
        assert set(modules[len(ours) :]) <= {"0"}


def test_what_the_printer_has_no_letters_for_is_a_picture() -> None:
    names = ("שלום עולם", "قهوة عربية", "绿茶 龙井", "Ελληνικά ķ")
    for name in names:
        _needs_font(name)
    receipt = replace(SAMPLE, lines=tuple(Line(name, 100) for name in names))
    rendered = render_escpos(lay_out(receipt), printer_profile("generic-42"))
    assert rendered.replaced == ()
    assert rendered.pictured == 4
    simulator = _printed(rendered, 42, 512)
    assert "?" not in simulator.texts[0]


def test_what_cannot_be_printed_at_all_is_reported() -> None:
    profile = replace(printer_profile("generic-42"), has_raster=False, has_column_image=False, has_qr=False)
    receipt = replace(SAMPLE, lines=(Line("绿茶 ș", 100),), logo_png=_png())
    rendered = render_escpos(lay_out(receipt), profile)
    assert [(one.character, one.instead) for one in rendered.replaced] == [("绿", "?"), ("茶", "?"), ("ș", "s")]
    assert "绿茶" in rendered.replaced[0].line
    assert len(rendered.omitted) == 2
    assert not rendered.is_faithful
    assert "https://ringup.example/r/000042" in _printed(rendered, 42, 512).texts[0].replace("\n", "")


def test_a_letter_that_no_font_has_is_reported_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphics, "FONT_PATHS", ())
    rendered = render_escpos([TextRow("茶")], printer_profile("generic-42"))
    assert [(one.character, one.instead) for one in rendered.replaced] == [("茶", "?")]


def test_printers_without_raster_get_the_logo_in_columns() -> None:
    profile = replace(printer_profile("generic-42"), has_raster=False)
    simulator = _printed(render_escpos([ImageRow(_png(60, 30))], profile), 42, 512)
    picture = simulator.image()
    dark = sum(picture.histogram()[:100])
    assert dark == 60 * 30


def test_a_logo_too_wide_is_made_to_fit_and_one_that_is_none_is_reported() -> None:
    profile = printer_profile("generic-32")
    assert graphics.logo_bits(_png(2000, 100), profile.width_dots).width == 384
    rendered = render_escpos([ImageRow(b"no picture"), TextRow("still printed")], profile)
    assert "expected a picture" in rendered.omitted[0]
    assert "still printed" in _printed(rendered, 32, 384).texts[0]


def test_a_barcode_that_cannot_be_is_reported_and_its_data_printed() -> None:
    rendered = render_escpos([BarcodeRow("ean13", "4006381333932")], printer_profile("generic-42"))
    assert "expected check digit 1" in rendered.omitted[0]
    assert "4006381333932" in _printed(rendered, 42, 512).texts[0]


def test_a_code_too_wide_for_the_paper_is_drawn_finer_or_reported() -> None:
    """Story: a fiscal QR code of 400 characters on 58 mm paper: the printer printed nothing and said nothing."""
    fiscal = "V0;955002-00;Kassenbeleg-V1;Beleg^0.00_2.55_0.00_0.00_0.00^2.55:Bar;" + "a" * 330
    profile = printer_profile("generic-32")
    rendered = render_escpos([QrRow(fiscal, module_dots=6)], profile)
    module_dots = rendered.data[rendered.data.index(b"(k\x03\x001C") + 6]
    assert graphics.qr_width(fiscal) == len(graphics.qr_modules(fiscal)) == 77
    assert module_dots == 384 // 77
    assert rendered.is_faithful
    assert any(line.bits is not None for line in _printed(rendered, 32, 384).receipts[0].lines)
    control = PrinterSimulator(columns=32, width_dots=384)
    control.take_bytes(rendered.data.replace(b"(k\x03\x001C\x04", b"(k\x03\x001C\x06"))
    assert control.receipts[0].notes == ["the QR code is too wide for the paper"]
    barcode = render_escpos([BarcodeRow("code128", "R" * 15, module_dots=3)], profile)
    assert barcode.data[barcode.data.index(b"\x1dw") + 2] == 384 // (11 * 17 + 13)
    rendered = render_escpos([BarcodeRow("code128", "R" * 40)], profile)
    assert "code of 475 modules: expected at most 384" in rendered.omitted[0]
    assert "R" * 32 in _printed(rendered, 32, 384).texts[0]


@pytest.mark.parametrize("symbology", ["upca", "ean13", "ean8", "code39", "code128"])
def test_the_width_of_a_barcode_is_never_less_than_what_is_drawn(symbology: str) -> None:
    from ringup.drivers.protocol.escpos import barcode_width

    data = {"upca": "01234567890", "ean13": "400638133393", "ean8": "9638507"}
    for text in (data.get(symbology, "1234"), data.get(symbology, "R000042")):
        assert barcode_width(symbology, text) >= len(graphics.barcode_modules(symbology, text))


def test_models_are_found_by_any_case_and_unknown_ones_name_the_nearest() -> None:
    assert printer_profile("tm-t88v").columns == 42
    assert printer_profile("Epson TM-T88V").has_process_id
    with pytest.raises(UnknownModel, match="did you mean 'TM-T88V'"):
        printer_profile("TM-T88-V")
    with pytest.raises(ValueError, match="columns: expected 16 to"):
        printer_profile("TM-T88V", columns=100)


# The template.


def test_a_shop_changes_words_order_and_marks() -> None:
    template = parse_template(
        """
        [money]
        decimal_mark = ","
        group_mark = "."
        [labels]
        total = "SUMME"
        copy = "KOPIE"
        [[block]]
        kind = "text"
        text = "Bon {number}"
        [[block]]
        kind = "total"
        bold = true
        """
    )
    receipt = replace(SAMPLE, total_minor=123456789)
    text = render_text(lay_out(receipt, template), 32)
    assert text.splitlines() == ["Bon 000042", "SUMME EUR           1.234.567,89"]


def test_no_template_can_hide_that_a_receipt_is_a_copy_or_training() -> None:
    template = parse_template('[[block]]\nkind = "total"\n')
    copy = replace(SAMPLE, copy_number=1, is_training=True)
    text = render_text(lay_out(copy, template))
    assert "*** COPY ***" in text
    assert "TRAINING" in text
    hidden = parse_template('[[block]]\nkind = "copy_mark"\nwhen = "customer"\n[[block]]\nkind = "total"\n')
    assert "*** COPY ***" in render_text(lay_out(copy, hidden))
    with pytest.raises(TemplateError, match="copy: expected a text"):
        parse_template('[labels]\ncopy = " "\n[[block]]\nkind = "total"\n')


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[block\n", "expected TOML"),
        ("[labels]\n", "at least one"),
        ("[lables]\n", "did you mean 'labels'"),
        ('[labels]\ntotl = "x"\n[[block]]\nkind="total"\n', "did you mean 'total'"),
        ('[[block]]\nkind = "totals"\n', "did you mean 'total'"),
        ('[[block]]\nkind = "text"\ntxt = "x"\n', "did you mean 'text'"),
        ('[[block]]\nkind = "text"\n', "expected a key `text`"),
        ('[[block]]\nkind = "text"\ntext = "{numbr}"\n', "did you mean 'number'"),
        ('[[block]]\nkind = "text"\ntext = "{number.__class__}"\n', "field: expected one of"),
        ('[[block]]\nkind = "text"\ntext = "x"\nalign = "centre"\n', "did you mean 'center'|expected one of left"),
        ('[[block]]\nkind = "text"\ntext = "x"\nheight = 9\n', "expected 1 to 8"),
        ('[[block]]\nkind = "text"\ntext = "x"\nbold = 1\n', "expected bool"),
        ('[[block]]\nkind = "columns"\ncells = [1]\n', "expected a list of texts"),
        ('[[block]]\nkind = "rule"\nwhen = "tills"\n', "did you mean 'till'"),
        ('[money]\ndecimal_mark = "abc"\n[[block]]\nkind = "rule"\n', "at most one character"),
    ],
)
def test_what_is_wrong_in_a_template_is_named(text: str, words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        parse_template(text)


def test_braces_in_a_name_stay_a_name() -> None:
    template = parse_template('[[block]]\nkind = "text"\ntext = "{cashier}"\n')
    assert render_text(lay_out(replace(SAMPLE, cashier="{number}{oops"), template)) == "{number}{oops\n"


def test_the_default_template_uses_every_kind_a_receipt_needs() -> None:
    kinds = {block.kind for block in default_template().blocks}
    assert {"logo", "lines", "discounts", "total", "taxes", "tenders", "change", "barcode", "qr", "footer"} <= kinds


# Laws of the layout.


@given(st.text(max_size=80), st.integers(2, 60))
def test_wrapping_loses_no_letter_and_fits(text: str, columns: int) -> None:
    pieces = wrap(text, columns)
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")
    assert all(text_width(piece) <= columns for piece in pieces)


@given(st.text(max_size=60), st.integers(-(10**12), 10**12), st.sampled_from([32, 42, 48]))
def test_a_price_is_never_cut_or_parted_from_its_line(name: str, amount_minor: int, columns: int) -> None:
    price = format_money(amount_minor)
    lines = text_lines(ColumnsRow((name, price, "A")), columns)
    assert lines[-1].text.rstrip().endswith(f"{price} A")
    assert all(text_width(line.text) <= columns for line in lines)


@given(st.integers(-(10**18), 10**18), st.integers(0, 4))
def test_money_is_read_back_as_it_was(amount_minor: int, digits: int) -> None:
    text = format_money(amount_minor, digits, decimal_mark=",", group_mark=".")
    assert int(text.replace(".", "").replace(",", "")) == amount_minor
    assert format_qty(amount_minor).count(".") <= 1


# HTML and PDF.


class _Texts(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_html_shows_the_same_and_executes_nothing() -> None:
    evil = "<script>alert(1)</script>\" onload='x' &amp; \x1b"
    receipt = replace(SAMPLE, lines=(Line(evil, 100), Line("绿茶", 200)), cashier=evil, footer=(evil,), logo_png=_png())
    page = render_html(lay_out(receipt), title=evil)
    parser = _Texts()
    parser.feed(page)
    assert "script" not in parser.tags
    text = "".join(parser.texts)
    assert text.count("<script>alert(1)</script>") == 4
    assert "绿茶" in text
    assert "\x1b" not in page
    assert 'src="http' not in page
    assert {"svg", "img", "figure"} <= parser.tags


def test_html_codes_are_read_back(tmp_path: Path) -> None:
    """The SVG paths are drawn here with Pillow: no browser is needed to see what they say."""
    zbarimg = shutil.which("zbarimg")
    if zbarimg is None:
        pytest.skip("zbarimg is not installed")
    from PIL import Image

    page = render_html([QrRow("https://ringup.example/r/1"), BarcodeRow("ean13", "4006381333931")])
    found = set()
    for at, (width, height, path) in enumerate(re.findall(r'<svg width="(\d+)" height="(\d+)".*?d="(.*?)"', page)):
        picture = Image.new("L", (int(width), int(height)), 255)
        for x, y, w, h in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)", path):
            picture.paste(0, (int(x), int(y), int(x) + int(w), int(y) + int(h)))
        name = tmp_path / f"{at}.png"
        picture.save(name)
        found |= set(subprocess.run([zbarimg, "-q", name], capture_output=True, text=True, timeout=30).stdout.split())
    assert found == {"QR-Code:https://ringup.example/r/1", "EAN-13:4006381333931"}


def test_a_letter_that_becomes_three_pushes_no_price_off_the_paper() -> None:
    """ "€" on a printer that has none is printed as "EUR", and the line is broken anew."""
    profile = replace(printer_profile("generic-32"), pages={0: "cp437"}, has_raster=False, has_column_image=False)
    row = ColumnsRow(("Voucher € € € summer", "€ 10.00", "A"))
    rendered = render_escpos([row], profile)
    text = _printed(rendered, 32, 384).texts[0]
    assert max(map(len, text.splitlines())) <= 32
    assert "EUR 10.00 A" in text
    assert [one.instead for one in rendered.replaced] == ["EUR"] * 4


def test_a_row_that_is_laid_out_anew_leaves_the_printers_modes_as_they_were() -> None:
    profile = replace(printer_profile("generic-32"), pages={0: "cp437", 18: "cp852"}, has_raster=False)
    profile = replace(profile, has_column_image=False)
    rows = [TextRow("ł " * 20 + "茶", "center", Style(bold=True)), TextRow("after ł")]
    rendered = render_escpos(rows, profile)
    simulator = _printed(rendered, 32, 384)
    assert simulator.texts[0].count("ł") == 21
    (after,) = [line for line in simulator.receipts[0].lines if "".join(text for text, _ in line.runs) == "after ł"]
    assert after.align == "left"
    assert not after.runs[0][1].bold
    before = next(line for line in simulator.receipts[0].lines if line.runs)
    assert (before.align, before.runs[0][1].bold) == ("center", True)


def test_hebrew_without_pictures_is_reported_as_printed_the_wrong_way_round() -> None:
    profile = replace(printer_profile("generic-32"), pages={36: "cp862"}, has_raster=False, has_column_image=False)
    rendered = render_escpos([TextRow("שלום")], profile)
    assert rendered.replaced == ()
    assert "the direction of 'שלום'" in rendered.omitted[0]


def test_pdf_is_as_long_as_the_receipt_and_reports_what_it_cannot_show(monkeypatch: pytest.MonkeyPatch) -> None:
    _needs_font("€é")
    short, long = (render_pdf(lay_out(replace(SAMPLE, lines=SAMPLE.lines * times))) for times in (1, 10))
    assert short.data.startswith(b"%PDF-")
    assert short.replaced == ()
    heights = [float(re.search(rb"/MediaBox \[0 0 [\d.]+ ([\d.]+)\]", one.data)[1]) for one in (short, long)]  # type: ignore[index]  # a PDF has one
    assert heights[1] > heights[0] * 2
    monkeypatch.setattr(graphics, "FONT_PATHS", ())
    rendered = render_pdf([TextRow("茶 é ł")])
    assert rendered.replaced == (("茶", "?"), ("ł", "?"))


def test_a_pdf_of_ten_thousand_lines_goes_on_over_pages() -> None:
    receipt = replace(SAMPLE, lines=tuple(Line(f"Item {number}", number) for number in range(10_000)))
    rendered = render_pdf(lay_out(receipt))
    assert len(re.findall(rb"/Type /Page\b", rendered.data)) > 5


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=40), st.integers(-(10**15), 10**15))
def test_any_name_and_amount_renders_on_every_medium(name: str, amount_minor: int) -> None:
    receipt = Receipt(
        number=name,
        store=SAMPLE.store,
        lines=(Line(name, amount_minor, notes=(name,)),),
        total_minor=amount_minor,
        taxes=(TaxRow("A", 190_000, amount_minor, 0, amount_minor, name),),
        barcode=name,
        qr=name,
    )
    rows = lay_out(receipt)
    rendered = render_escpos(rows, printer_profile("generic-32"))
    simulator = PrinterSimulator(columns=32, width_dots=384)
    simulator.take_bytes(rendered.data)
    assert simulator.pulses == []
    assert len(simulator.receipts) == 1
    assert format_money(amount_minor) in simulator.texts[0]
    assert format_money(amount_minor) in render_text(rows, 32)
    assert "</html>" in render_html(rows, title=name)
    assert render_pdf(rows).data.startswith(b"%PDF-")


def test_a_font_that_the_pdf_library_cannot_read_makes_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    from fpdf import FPDF

    _needs_font("é")

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("CFF outlines")

    monkeypatch.setattr(FPDF, "add_font", refuse)
    rendered = render_pdf([TextRow("Café")])
    assert b"/Subtype /Image" in rendered.data
    assert rendered.replaced == ()


def test_without_the_extra_packages_a_receipt_is_printed_and_the_way_to_get_them_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    profile = replace(printer_profile("generic-42"), has_qr=False)
    for package in ("PIL", "qrcode", "fontTools", "fontTools.ttLib", "fpdf"):
        monkeypatch.setitem(sys.modules, package, None)
    graphics._font_characters.cache_clear()
    rendered = render_escpos(lay_out(replace(SAMPLE, logo_png=b"x", cashier="茶")), profile)
    assert len(rendered.omitted) == 2
    assert all("pip install 'ringup[devices]'" in why for why in rendered.omitted)
    assert [one.character for one in rendered.replaced] == ["茶"]
    with pytest.raises(ValueError, match="package fpdf2"):
        render_pdf(lay_out(SAMPLE))
    graphics._font_characters.cache_clear()
