"""Barcodes against biip, which nobody here wrote, and against laws and vectors of the standards."""

from __future__ import annotations

import datetime as dt
import os
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringup.drivers.protocol import barcode, gs1_ai
from ringup.drivers.protocol.barcode import ParseError, ScanKind, decode
from support import cpu_time

biip = pytest.importorskip("biip", reason="biip is the oracle: pip install 'ringup[test]'")
from biip import ParseConfig  # noqa: E402  (after the skip)
from biip.checksums import gs1_price_weight_check_digit, gs1_standard_check_digit  # noqa: E402
from biip.gs1_digital_link_uris import GS1DigitalLinkURI  # noqa: E402
from biip.gs1_messages import GS1Message  # noqa: E402
from biip.gtin import Gtin  # noqa: E402
from biip.upc import Upc  # noqa: E402

EXAMPLES = int(os.environ.get("RINGUP_FUZZ_EXAMPLES", "200"))
many = settings(max_examples=EXAMPLES, deadline=None)
digits = st.text("0123456789", min_size=1, max_size=20)
SET_82 = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"


def outcome(function, *args, errors=(ValueError, biip.ParseError), **kwargs):
    """The result of a call, or None where it refuses."""
    try:
        return function(*args, **kwargs)
    except errors:
        return None


@many
@given(digits)
def test_check_digits_are_those_of_biip(payload):
    assert barcode.gtin_check_digit(payload) == gs1_standard_check_digit(payload)


@many
@given(st.one_of(digits, st.text(max_size=16)), st.booleans())
def test_gtins_are_accepted_when_biip_accepts_them(text, complete):
    if complete and text.isascii() and text.isdigit():
        text += str(gs1_standard_check_digit(text))
    theirs = outcome(Gtin.parse, text) if text == text.strip() and text.isascii() else None
    assert barcode.is_valid_gtin(text) == (theirs is not None)
    if theirs is not None:
        assert barcode.to_gtin14(text) == theirs.as_gtin_14()


@many
@given(st.text("0123456789", min_size=6, max_size=8))
def test_upce_expands_as_in_biip(text):
    theirs = outcome(lambda: Upc.parse(text).as_upc_a())
    assert outcome(barcode.upce_to_upca, text) == theirs


@many
@given(st.text("01", min_size=1, max_size=1), st.text("0123456789", min_size=6, max_size=6))
def test_upce_comes_back_from_upca_as_in_biip(system, body):
    upca = barcode.upce_to_upca(system + body)
    theirs = Upc.parse(upca).as_upc_e()
    assert barcode.upca_to_upce(upca) == theirs
    assert barcode.upce_to_upca(barcode.upca_to_upce(upca)) == upca


@many
@given(st.text("0123456789", min_size=4, max_size=5))
def test_price_check_digits_are_those_of_biip(value):
    assert barcode.price_check_digit(value) == gs1_price_weight_check_digit(value)


@many
@given(
    st.sampled_from(["de", "dk", "gb", "ee", "fi", "lt", "lv", "no", "se"]),
    st.integers(20, 29),
    st.text("0123456789", min_size=10, max_size=10),
    st.booleans(),
)
def test_variable_measures_are_those_of_biip(country, prefix, rest, repair):
    code = f"{prefix}{rest}"
    templates = barcode.TEMPLATES[country]
    template = next((one for one in templates if code.startswith(one.prefix)), None)
    if template is not None and repair and "K" in template.pattern:
        check = str(gs1_price_weight_check_digit(template.field(code + "0", "V")))
        code = "".join(check if mark == "K" else digit for digit, mark in zip(code, template.pattern, strict=False))
    code += str(gs1_standard_check_digit(code))
    config = ParseConfig(rcn_region=country)
    theirs = outcome(Gtin.parse, code, config=config)
    try:
        ours = barcode.parse_variable_measure(code, templates)
    except ParseError:
        assert theirs is None
        return
    assert theirs is not None
    numbers = [number for number in (theirs.price, theirs.weight, theirs.count) if number is not None]
    if ours is None:
        assert numbers == []
        return
    kinds = {"price": theirs.price, "weight": theirs.weight, "count": theirs.count}
    assert kinds[ours.kind] * 10**ours.decimals == ours.value
    assert ours.item == theirs.item_reference
    assert ours.lookup_gtin == theirs.without_variable_measure().as_gtin_13()
    assert barcode.encode_variable_measure(template, ours.item, ours.value) == code


def test_a_wrong_price_check_digit_gives_no_price():
    """The control: the same bars without the K in the template do give a number."""
    code = "221234901299"
    code += str(gs1_standard_check_digit(code))
    with pytest.raises(ParseError, match="measure check digit"):
        barcode.parse_variable_measure(code, barcode.TEMPLATES["de"])
    careless = [barcode.parse_template("22IIIIIVVVVVC price 2")]
    assert barcode.parse_variable_measure(code, careless).value == 1299


def element_value(component):
    """A strategy for the data of one component."""
    if component.charset == "N":
        alphabet = "0123456789"
    else:
        alphabet = {"X": SET_82, "Y": "#-/" + string.digits + string.ascii_uppercase}.get(
            component.charset, string.digits + string.ascii_letters + "-_"
        )
    text = st.text(alphabet, min_size=component.length_min, max_size=component.length_max)
    match component.check:
        case "csum":
            return text.map(lambda value: value[:-1] + str(gs1_standard_check_digit(value[:-1])))
        case "date" | "enddate":
            return st.dates(dt.date(2000, 1, 1), dt.date(2049, 12, 31)).map(lambda day: f"{day:%y%m%d}")
        case "datetime":
            return st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2049, 1, 1)).map(lambda t: f"{t:%y%m%d%H%M}")
        case "prodtime":
            return st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2049, 1, 1)).map(lambda t: f"{t:%y%m%d%H%M}")
        case "time":
            return st.times().map(lambda value: f"{value:%H%M}")
        case "longdate":
            return st.dates(dt.date(1900, 1, 1)).map(lambda day: f"{day:%Y%m%d}")
        case "longdatetime":
            return st.datetimes(dt.datetime(1900, 1, 1)).map(lambda t: f"{t:%Y%m%d%H%M}")
        case "yesno":
            return st.sampled_from("01")
        case "zero":
            return st.just("0")
        case "minus":
            return st.just("-")
        case "slash":
            return st.just("/")
        case "alpha2":
            return st.text(string.ascii_uppercase, min_size=2, max_size=2)
        case "triples":
            return st.text("0123456789", min_size=3, max_size=3).map(lambda code: code * 2)
        case "pieces":
            return st.just("0103")
        case _:
            return text


@st.composite
def elements(draw):
    """An (AI, value) pair that keeps the rules."""
    table = gs1_ai.application_identifiers()
    identifier = table[draw(st.sampled_from(sorted(set(table) - {"8013", "8014", "8010"})))]
    # biip reads the parts of a date range without comparing them, and 8010 with five characters or more.
    parts = [draw(element_value(part)) for part in identifier.components if not part.is_optional]
    return identifier.ai, "".join(parts)


@many
@given(st.lists(elements(), min_size=1, max_size=6))
def test_element_strings_are_those_of_biip(pairs):
    text = barcode.build_element_string(pairs)
    ours = barcode.parse_element_string(text)
    theirs = GS1Message.parse(text).element_strings
    assert [(one.ai, one.value) for one in ours] == pairs
    assert [(one.ai.ai, one.value) for one in theirs] == pairs
    for mine, other in zip(ours, theirs, strict=True):
        if other.decimal is not None and len(mine.parts[-1] if mine.parts else mine.value) >= mine.decimals:
            # biip reads (3922)1 as 0.1; the point stands two places from the right, so it is 0.01.
            assert mine.value_int == other.decimal * 10**mine.decimals
        if other.date is not None:
            assert mine.date == other.date
        if other.datetime is not None:
            assert mine.time == other.datetime.time()
    assert barcode.parse_hri(barcode.build_hri(ours)) == ours


@many
@given(st.lists(elements(), min_size=1, max_size=4), st.data())
def test_a_changed_digit_never_passes_a_check_digit(pairs, data):
    text = barcode.build_element_string([("01", "09506000134352"), *pairs])
    index = data.draw(st.integers(2, 15))
    other = data.draw(st.sampled_from("0123456789").filter(lambda digit: digit != text[index]))
    with pytest.raises(ParseError):
        barcode.parse_element_string(text[:index] + other + text[index + 1 :])


def test_a_missing_separator_is_refused_and_not_guessed():
    """Without the length rule the batch would swallow the weight: the control shows the swallowed text."""
    pairs = [("10", "ABC123"), ("3103", "001250")]
    good = barcode.build_element_string(pairs)
    assert [e.value for e in barcode.parse_element_string(good)] == ["ABC123", "001250"]
    swallowed = barcode.parse_element_string(good.replace("\x1d", ""))
    assert [e.value for e in swallowed] == ["ABC1233103001250"]  # legal, as the standard has it: nobody can tell
    with pytest.raises(ParseError, match="expected 3 characters"):
        barcode.parse_element_string("4222763103001250")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "at least one"),
        ("0109506000134353", "check digit 2"),
        ("010950600013435", "expected 14 characters"),
        ("17261301", "expected a date"),
        ("17260230", "expected a date"),
        ("10ABC 123", "GS1 set 82"),
        ("10" + "A" * 21, "expected 1 to 20"),
        ("310300125A", "digits"),
        ("0412345678901234567", "Application Identifier"),
        ("80030123456789012\x1d", "14 to 30"),
        ("70072611302611", "characters more"),
        ("7007261130261122", "on or after"),
        ("8006095060001343520302", "piece n of m"),
        ("4307D1", "country code"),
        ("80082611221360", "expected a time"),
        ("433001234+", None),
        ("8013" + "1987654Ad4X4bL5ttr2310c2L", "check characters"),
    ],
)
def test_what_a_label_must_not_say(text, why):
    with pytest.raises(ParseError, match=re.escape(why) if why else None):
        barcode.parse_element_string(text)


@many
@given(st.sampled_from(["", "/some/stem", "/gs1/00/x"]), st.lists(elements(), max_size=4), st.data())
def test_digital_links_are_those_of_biip(stem, attributes, data):
    gtin = data.draw(st.text("0123456789", min_size=13, max_size=13))
    gtin += str(gs1_standard_check_digit(gtin))
    path_ais = ("22", "10", "21", "235")
    found = {"01": gtin}
    for ai in data.draw(st.lists(st.sampled_from(path_ais), unique=True)):
        found[ai] = data.draw(st.text(SET_82, min_size=1, max_size=20))
    keys = {*barcode.build_digital_link.__globals__["PRIMARY_KEYS"]}
    found.update({ai: value for ai, value in attributes if ai not in keys and ai not in path_ais})
    made = [barcode.parse_element(ai, value) for ai, value in found.items()]
    uri = barcode.build_digital_link(made, f"https://example.com{stem}")
    ours = {one.ai: one.value for one in barcode.parse_digital_link(uri)}
    assert ours == found
    if not stem.startswith("/gs1/00"):  # biip takes the first 00 for the primary key
        theirs = {one.ai.ai: one.value for one in GS1DigitalLinkURI.parse(uri).element_strings}
        assert theirs == found
        assert (
            GS1DigitalLinkURI.parse(uri).as_canonical_uri().partition("?")[0]
            == barcode.build_digital_link(made).partition("?")[0]
        )


@pytest.mark.parametrize(
    "uri",
    [
        "https://id.gs1.org/",
        "https://id.gs1.org/01",
        "https://id.gs1.org/01/09506000134353",
        "https://id.gs1.org/01/09506000134352/21/S/10/B",  # qualifiers out of order
        "https://id.gs1.org/01/09506000134352?10=A&9999=1",
        "https://id.gs1.org/01/09506000134352/10/A?10=B",
        "https:///01/09506000134352",
        "https://[/01/09506000134352",
        "ftp://id.gs1.org/01/09506000134352",
        "https://id.gs1.org/01/09506000134352?10=%ff",
        "https://id.gs1.org/AQnYUc1gmg",
    ],
)
def test_links_that_are_refused(uri):
    with pytest.raises(ParseError):
        barcode.parse_digital_link(uri)


def test_digital_link_vectors():
    assert [str(e) for e in barcode.parse_digital_link("HTTPS://ID.GS1.ORG/01/9506000134352?17=261231&utm=x")] == [
        "(01)09506000134352",
        "(17)261231",
    ]
    assert [str(e) for e in barcode.parse_digital_link("http://a.b/gtin/9506000134352/lot/A%2F1#top")] == [
        "(01)09506000134352",
        "(10)A/1",
    ]


AIM = [
    ("]E04006381333931", ScanKind.GTIN, "04006381333931", "ean13"),
    ("]E0036000291452", ScanKind.GTIN, "00036000291452", "ean13"),
    ("]E496385074", ScanKind.GTIN, "00000096385074", "ean8"),
    ("]E39780201379624" + "51299", ScanKind.GTIN, "09780201379624", "ean13_addon"),
    ("]I109506000134352", ScanKind.GTIN, "09506000134352", "itf14"),
    ("]C10109506000134352" + "10AB", ScanKind.GS1, "09506000134352", "gs1_128"),
    ("]e00109506000134352", ScanKind.GS1, "09506000134352", "gs1_databar"),
    ("]d2\x1d0109506000134352", ScanKind.GS1, "09506000134352", "gs1_datamatrix"),
    ("]Q30109506000134352", ScanKind.GS1, "09506000134352", "gs1_qr"),
    ("]Q1https://id.gs1.org/01/09506000134352", ScanKind.DIGITAL_LINK, "09506000134352", "qr"),
    ("]Q3https://id.gs1.org/01/09506000134352", ScanKind.DIGITAL_LINK, "09506000134352", "gs1_qr"),
    ("]C0ABC-123", ScanKind.TEXT, None, "code128"),
    ("]C1" + "00106141412345678908", ScanKind.SSCC, None, "gs1_128"),
    ("4006381333931", ScanKind.GTIN, "04006381333931", None),
    ("04252614", ScanKind.GTIN, "00042100005264", None),
    ("106141412345678908", ScanKind.SSCC, None, None),
    ("(01)09506000134352(10)AB", ScanKind.GS1, "09506000134352", None),
    ("0109506000134352", ScanKind.GS1, "09506000134352", None),
    ("0109506000134353", ScanKind.TEXT, None, None),
    ("9812345678902", ScanKind.COUPON, "09812345678902", None),
    ("4006381333932", ScanKind.UNKNOWN, None, None),
    ("]E0ABC", ScanKind.UNKNOWN, None, "ean13"),
    ("", ScanKind.UNKNOWN, None, None),
]


@pytest.mark.parametrize(("text", "kind", "gtin", "symbology"), AIM)
def test_decode_by_identifier_and_by_guess(text, kind, gtin, symbology):
    scan = decode(text)
    assert (scan.kind, scan.gtin) == (kind, gtin)
    if symbology is not None:
        assert scan.symbology == symbology
        theirs = biip.parse(text) if kind not in (ScanKind.TEXT, ScanKind.UNKNOWN, ScanKind.DIGITAL_LINK) else None
        if theirs is not None and theirs.gtin is not None:
            assert theirs.gtin.as_gtin_14() == gtin
    assert (scan.problem is not None) == (kind is ScanKind.UNKNOWN)


def test_addon_and_fields():
    assert decode("]E39780201379624" + "51299").addon == "51299"
    scan = decode("]C1010950600013435217261231310300125010AB\x1d21S1")
    assert (scan.batch, scan.serial, scan.expires, scan.weight_grams) == ("AB", "S1", dt.date(2026, 12, 31), 1250)
    scan = decode("2212345012992", templates=barcode.TEMPLATES["de"])
    assert (scan.kind, scan.measure.price_minor) == (ScanKind.VARIABLE_MEASURE, 1299)
    both = decode("01234558")
    assert (both.gtin, both.gtin_if_upce) == ("00000001234558", "00012345000058")
    assert decode("96385074").gtin_if_upce is None
    assert decode("01234558", "upce").gtin == "00012345000058"
    assert decode("123455", "upce").gtin == "00012345000058"
    assert decode("0950600013435", "upca").kind is ScanKind.UNKNOWN


DE_RECEIPT = (
    "V0;955002-00;Kassenbeleg-V1;Beleg^0.00_2.55_0.00_0.00_0.00^2.55:Bar;18;112;2019-07-10T18:41:04.000Z;"
    "2019-07-10T18:41:04.000Z;ecdsa-plain-SHA256;unixTime;MEQCIA==;BHhWOeisRpPBTGQ1W4VUH95TXx2GARf8e2NYZXJoInjtGqnxJ8sZ"
)
AT_RECEIPT = "_R1-AT1_DEMO-CASH-BOX524_366585_2015-12-17T11:23:43_34,85_9,49_0,00_0,00_0,00_gmg=_20f2ed_0jw=_sig=="


def test_receipts_and_coupons():
    text = barcode.encode_receipt_code("BERLIN1", "T3", "4711", dt.date(2026, 11, 22), -1999)
    scan = decode("]Q1" + text)
    assert (scan.kind, scan.receipt.number, scan.receipt.total_minor) == (ScanKind.RECEIPT, "4711", -1999)
    assert decode(DE_RECEIPT).receipt.total_minor == 255
    assert decode(AT_RECEIPT).receipt.total_minor == 4434
    assert decode(barcode.encode_coupon_code("SUMMER-26")).coupon.code == "SUMMER-26"
    assert decode("]C1" + "8112" + "006141411234560012345").coupon.serial == "012345"
    assert decode("]C1" + "8110" + "106141416543213150110120").coupon.save_value == 150
    assert decode("]C1" + "2559501101020917" + "123").coupon.serial == "123"


@pytest.mark.parametrize("index", range(10, 41))
def test_a_receipt_code_with_a_lost_character_is_refused(index):
    text = barcode.encode_receipt_code("BERLIN1", "T3", "4711", dt.date(2026, 11, 22), 1999)
    scan = decode(text[:index] + text[index + 1 :])
    assert scan.kind is ScanKind.UNKNOWN
    assert scan.receipt is None


PRINTABLE = st.text(st.characters(codec="utf-8"), max_size=60)


@settings(max_examples=EXAMPLES * 5)
@given(
    st.one_of(
        PRINTABLE,
        st.text(string.digits + "\x1d()]ECQde0123", max_size=80),
        st.tuples(
            st.sampled_from([case[0] for case in AIM] + [DE_RECEIPT, AT_RECEIPT]), PRINTABLE, st.integers(0, 200)
        ).map(lambda parts: parts[0][: parts[2]] + parts[1] + parts[0][parts[2] + 1 :]),
    ),
    st.sampled_from([None, "]E0", "C1", "upce", "gs1_qr", "no such thing"]),
)
@cpu_time.at_most(1.0)
def test_no_text_crashes_decode_or_gives_a_number_that_is_not_there(text, symbology):
    scan = decode(text, symbology, templates=barcode.TEMPLATES["de"])
    if scan.gtin is not None:
        assert gs1_standard_check_digit(scan.gtin[:-1]) == int(scan.gtin[-1])
    for element in scan.elements:
        if element.value_int is not None:
            assert str(element.value_int) in element.value
    if scan.receipt is not None and scan.receipt.scheme == "ringup":
        assert str(abs(scan.receipt.total_minor)) in text
    if scan.kind is ScanKind.UNKNOWN:
        assert scan.problem
        assert (scan.gtin, scan.measure, scan.receipt, scan.elements) == (None, None, None, ())


def test_long_and_nasty_texts_end_quickly():
    for text in ("1" * 10**6, "\x1d" * 8000, "(01)" * 2000, "]C1" + "10A\x1d" * 2000, "https://a/" + "01/" * 2700):
        with cpu_time.at_most(1.0, text[:20]):
            decode(text)
