"""ESC/POS, code pages and status: vectors, other people's encoders, and anything a wire may carry."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringup.drivers.protocol import codepage, escpos
from ringup.drivers.protocol.escpos_decode import Command, CommandParser, describe
from ringup.drivers.protocol.escpos_status import (
    BuffersCleared,
    FlowControl,
    Garbage,
    Paper,
    ProcessIdReported,
    StatusParser,
    StatusReported,
    TextReported,
    parse_asb,
    parse_realtime,
    parse_transmitted,
)
from ringup.drivers.receipt.profile import COMMON_PAGES, models, printer_profile
from ringup.drivers.simulator.printer import PrinterSimulator

DOCUMENTED = (
    "ringup.drivers.protocol.escpos",
    "ringup.drivers.protocol.codepage",
    "ringup.drivers.protocol.escpos_status",
    "ringup.drivers.protocol.escpos_decode",
    "ringup.drivers.protocol.display",
    "ringup.drivers.protocol.zpl",
    "ringup.drivers.receipt.money",
    "ringup.drivers.receipt.rows",
    "ringup.drivers.receipt.template",
    "ringup.drivers.simulator.paper",
)
EXAMPLE = re.compile(r"`([^`\n]+)` -> `([^`\n]+)`")


def _examples() -> list[tuple[str, str, str]]:
    found = []
    for name in DOCUMENTED:
        module = importlib.import_module(name)
        for function in vars(module).values():
            if callable(function) and getattr(function, "__module__", "") == name and function.__doc__:
                text = re.sub(r"\s*\n\s*", " ", function.__doc__)
                found += [(name, call, answer) for call, answer in EXAMPLE.findall(text) if "(" in call]
    return found


@pytest.mark.parametrize(("module", "call", "answer"), _examples())
def test_every_documented_example_is_true(module: str, call: str, answer: str) -> None:
    names = vars(importlib.import_module(module))
    assert eval(call, dict(names)) == eval(answer, dict(names))


def test_the_examples_are_there() -> None:
    assert len(_examples()) >= 40


@pytest.mark.parametrize(
    "call",
    [
        lambda: escpos.drawer_pulse(3),  # type: ignore[arg-type]  # what a wrong caller does
        lambda: escpos.drawer_pulse(2, 121, 240),
        lambda: escpos.drawer_pulse(2, 200, 100),
        lambda: escpos.drawer_pulse(2, 120, 512),
        lambda: escpos.drawer_pulse_now(2, 150),
        lambda: escpos.feed(256),
        lambda: escpos.feed(True),
        lambda: escpos.size(9, 1),
        lambda: escpos.barcode("ean13", "4006381333932"),
        lambda: escpos.barcode("ean13", "40063813339"),
        lambda: escpos.barcode("ean13", "٤٠٠٦٣٨١٣٣٣٩٣"),
        lambda: escpos.barcode("itf", "123"),
        lambda: escpos.barcode("code39", "abc"),
        lambda: escpos.barcode("code128", "a\x1bp"),
        lambda: escpos.barcode("code128", ""),
        lambda: escpos.barcode("code128", "1", function_b=False),
        lambda: escpos.barcode("qr", "1"),
        lambda: escpos.qr(b""),
        lambda: escpos.qr(bytes(3000)),
        lambda: escpos.raster(b"12", 8, 1),
        lambda: escpos.request_process_id(b"12345"),
        lambda: escpos.request_process_id(b"12\x0034"[:4]),
        lambda: escpos.align("middle"),  # type: ignore[arg-type]  # as above
    ],
)
def test_values_out_of_range_are_refused_with_words(call: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|function A"):
        call()


# Code pages.


def test_the_euro_is_never_a_question_mark_on_any_known_model() -> None:
    """Story: "€" printed as "?"."""
    assert len(models()) > 20
    for model in models():
        profile = printer_profile(model)
        encoded = codepage.encode_text("3 €", profile.pages)
        assert b"?" not in encoded.data or encoded.replaced, model
        if codepage.can_encode("€", profile.pages):
            page = profile.pages[encoded.page]
            assert encoded.data[-1:].decode(page) == "€", model
            assert encoded.replaced == ()
        else:
            assert encoded.replaced == (("€", "EUR"),)


@given(st.text(max_size=60), st.sampled_from([None, 0, 2, 16, 19]))
def test_no_text_becomes_a_command_and_nothing_is_lost_in_silence(text: str, page: int | None) -> None:
    encoded = codepage.encode_text(text, COMMON_PAGES, page)
    commands = CommandParser().feed(encoded.data)
    assert {command.name for command in commands} <= {"text", "code_page"}
    current = page
    shown = ""
    for command in commands:
        if command.name == "code_page":
            current = command.args[0]
        else:
            assert current is not None
            shown += command.data.decode(COMMON_PAGES[current])
    expected = codepage.visible(text)
    replaced = list(encoded.replaced)
    rebuilt = ""
    for character in expected:
        if replaced and replaced[0][0] == character and not codepage.can_encode(character, COMMON_PAGES):
            rebuilt += replaced.pop(0)[1]
        else:
            rebuilt += character
    assert shown == rebuilt
    assert replaced == []
    assert encoded.page == current


def test_a_page_is_kept_as_long_as_it_serves() -> None:
    encoded = codepage.encode_text("ä€ö€ü€", COMMON_PAGES, 0)
    assert encoded.data.count(b"\x1bt") == 1
    assert codepage.encode_text("äöü", COMMON_PAGES, 0).data == "äöü".encode("cp437")


def test_katakana_page_is_not_taken_for_shift_jis() -> None:
    """Page 1 of the capability data is called CP932, but printers have half-width katakana there."""
    assert 1 not in printer_profile("TM-T88V").pages


# Status.


@pytest.mark.parametrize(
    ("number", "byte", "expected"),
    [
        (1, 0x12, {"online": True, "drawer_pin_high": False}),
        (1, 0x1E, {"online": False, "drawer_pin_high": True}),
        (2, 0x12, {"cover_open": False}),
        (2, 0x16, {"cover_open": True}),
        (2, 0x32, {"paper": Paper.OUT}),
        (3, 0x1A, {"cutter_error": True}),
        (3, 0x32, {"fatal_error": True}),
        (3, 0x52, {"recoverable_error": True}),
        (4, 0x12, {"paper": Paper.OK}),
        (4, 0x1E, {"paper": Paper.NEAR_END}),
        (4, 0x7E, {"paper": Paper.OUT}),
    ],
)
def test_realtime_status(number: Any, byte: int, expected: dict[str, object]) -> None:
    status = parse_realtime(number, byte)
    assert {name: getattr(status, name) for name in expected} == expected


@pytest.mark.parametrize("byte", [0x00, 0x10, 0x92, 0xFF, 0x13])
def test_a_byte_that_is_no_status_is_refused(byte: int) -> None:
    with pytest.raises(ValueError, match="0xx1xx10"):
        parse_realtime(1, byte)
    with pytest.raises(ValueError, match="0xx0xxxx"):
        parse_transmitted("paper", byte | 0x80)


def test_automatic_status() -> None:
    assert parse_asb(b"\x10\x00\x00\x00").problem is None
    assert parse_asb(b"\x38\x00\x0f\x00").paper is Paper.OUT
    assert parse_asb(b"\x38\x00\x00\x00").problem == "cover open: close it"
    assert parse_asb(b"\x14\x08\x03\x00").cutter_error
    for bad in (b"", b"\x10\x00\x00", b"\x12\x00\x00\x00", b"\x10\x10\x00\x00", b"\x10\x00\x00\x00\x00"):
        with pytest.raises(ValueError, match="automatic status"):
            parse_asb(bad)


def test_everything_a_printer_says_is_told_apart_over_any_chunking() -> None:
    said = (
        b"\x10\x00\x0c\x00" + b"\x12" + b"\x37\x220042\x00" + b"\x13\x11" + b"_TM-T88V\x00" + b"\x37\x25\x00" + b"\x03"
    )
    for size in (1, 2, 3, len(said)):
        parser = StatusParser()
        parser.expect(4)
        parser.expect("paper")
        events = [event for at in range(0, len(said), size) for event in parser.feed(said[at : at + size])]
        assert [type(event) for event in events] == [
            StatusReported, StatusReported, ProcessIdReported, FlowControl, FlowControl, TextReported, BuffersCleared,
            StatusReported,
        ]  # fmt: skip
        assert events[0].status.paper is Paper.OUT  # type: ignore[union-attr]  # its type is seen above
        assert events[2] == ProcessIdReported(b"0042")
        assert events[5] == TextReported("TM-T88V")
        assert parser.status.paper is Paper.NEAR_END


def test_a_realtime_answer_in_the_middle_of_an_automatic_status_is_not_part_of_it() -> None:
    parser = StatusParser()
    parser.expect(1)
    events = parser.feed(b"\x10\x00\x12\x03\x00")
    assert [event.source for event in events if isinstance(event, StatusReported)] == ["realtime", "asb"]
    assert parser.status.paper is Paper.NEAR_END


@settings(max_examples=int(os.environ.get("RINGUP_FUZZ_EXAMPLES", "200")))
@given(st.lists(st.binary(max_size=40), max_size=20), st.lists(st.sampled_from([1, 2, 3, 4, "paper", "drawer"])))
def test_the_status_parser_takes_anything(chunks: list[bytes], asked: list[Any]) -> None:
    parser, whole = StatusParser(), StatusParser()
    for what in asked:
        parser.expect(what)
        whole.expect(what)
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    assert events == whole.feed(b"".join(chunks))
    assert sum(isinstance(event, StatusReported) and event.source == "realtime" for event in events) <= sum(
        isinstance(what, int) for what in asked
    )
    parser.reset()
    assert parser.feed(b"\x10\x00\x00\x00")[-1:] == [StatusReported(parser.status, "asb")]


def test_garbage_is_said_not_guessed() -> None:
    assert StatusParser().feed(b"\x12") == [Garbage(b"\x12")]  # nobody asked
    assert StatusParser().feed(b"\xff\x80") == [Garbage(b"\xff"), Garbage(b"\x80")]


# Commands read back.


@settings(max_examples=int(os.environ.get("RINGUP_FUZZ_EXAMPLES", "200")))
@given(st.lists(st.binary(max_size=60), max_size=10))
def test_the_command_parser_takes_anything_in_any_chunking(chunks: list[bytes]) -> None:
    parser = CommandParser()
    pieces = [command for chunk in chunks for command in parser.feed(chunk)]
    whole = CommandParser().feed(b"".join(chunks))

    def joined(commands: list[Command]) -> list[Command]:
        out: list[Command] = []
        for command in commands:
            if command.name == "text" and out and out[-1].name == "text":
                out[-1] = Command("text", (), out[-1].data + command.data)
            else:
                out.append(command)
        return out

    assert joined(pieces) == joined(whole)
    for command in whole:
        assert describe(command)


@settings(max_examples=int(os.environ.get("RINGUP_FUZZ_EXAMPLES", "50")))
@given(st.binary(max_size=200))
def test_the_simulator_takes_anything(data: bytes) -> None:
    simulator = PrinterSimulator()
    simulator.take_bytes(data)
    assert isinstance(simulator.texts, list)


def test_a_corrupt_picture_length_does_not_swallow_the_rest() -> None:
    commands = CommandParser().feed(b"\x1dv0\x00\xff\xff\xff\xffTea\n")
    assert commands[-2:] == [Command("text", (), b"Tea"), Command("line_feed")]


# Other people's encoders.


def _simulated(data: bytes) -> PrinterSimulator:
    simulator = PrinterSimulator(columns=42, width_dots=512)
    simulator.take_bytes(data)
    return simulator


def test_python_escpos_says_the_same_bytes() -> None:
    """Run apart: importing it takes long and leaves a temporary folder."""
    code = """
import sys, json, warnings
warnings.simplefilter("ignore")
from escpos.printer import Dummy
def made(*calls):
    printer = Dummy(profile="TM-T88V")
    for name, args, kwargs in calls:
        getattr(printer, name)(*args, **kwargs)
    return printer.output.hex()
print(json.dumps({
    "ean13": made(("barcode", ["400638133393", "EAN13"],
                   dict(height=60, width=2, pos="BELOW", function_type="B", align_ct=False))),
    "code39": made(("barcode", ["TILL 7", "CODE39"],
                    dict(height=60, width=2, pos="OFF", function_type="B", align_ct=False))),
    "qr": made(("qr", ["https://ringup.example/r/1"], dict(size=5, native=True))),
    "cafe": made(("text", ["Caf\\u00e9 \\u00e4 \\u00df"], {})),
    "cut": made(("cut", [], dict(mode="PART", feed=False))),
}))
"""
    if importlib.util.find_spec("escpos") is None:
        pytest.skip("python-escpos is not installed")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    theirs = {name: bytes.fromhex(text) for name, text in json.loads(run.stdout.splitlines()[-1]).items()}

    # They leave out the check digit and set an HRI font; the rest is the same.
    ours = escpos.barcode("ean13", "400638133393", height_dots=60)
    assert theirs["ean13"].replace(b"\x1df\x00", b"") == ours[:-15] + b"C\x0c400638133393"
    ours = escpos.barcode("code39", "TILL 7", height_dots=60, hri="none")
    assert theirs["code39"].replace(b"\x1df\x00", b"") == ours
    assert theirs["qr"] == escpos.qr(b"https://ringup.example/r/1", module_dots=5, level="L")
    pages = printer_profile("TM-T88V").pages
    assert theirs["cafe"] == codepage.encode_text("Café ä ß", {0: pages[0]}).data
    assert _simulated(theirs["cut"]).receipts
    assert len(_simulated(escpos.cut()).receipts) == 1


NODE_ENCODERS = """
const m = require('@point-of-sale/receipt-printer-encoder');
const Encoder = m.default || m;
const one = new Encoder({columns: 42, language: 'esc-pos'}).initialize().codepage('cp858').text('Caf\\u00e9 \\u20ac 3')
  .newline().barcode('4006381333931', 'ean13', {height: 60, text: true}).qrcode('https://ringup.example/r/1')
  .pulse(0, 120, 240).cut('partial').encode();
const two = require('receiptline').transform('Caf\\u00e9 | 3.00\\n{code:4006381333931;option:ean13,60,hri}\\n'
  + '{code:https://ringup.example/r/1;option:qrcode,4,m}\\n', {cpl: 42, encoding: 'multilingual', command: 'escpos'});
console.log(JSON.stringify([Buffer.from(one).toString('hex'), Buffer.from(two, 'binary').toString('hex')]));
"""


def test_two_javascript_encoders_print_the_same_receipt_on_our_printer(tmp_path: Path) -> None:
    modules = os.environ.get("RINGUP_NODE_MODULES", "")
    node = shutil.which("node")
    if node is None or not (Path(modules) / "receiptline").is_dir():
        pytest.skip(
            "node with @point-of-sale/receipt-printer-encoder and receiptline is not named in RINGUP_NODE_MODULES"
        )
    run = subprocess.run(
        [node, "-e", NODE_ENCODERS],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "NODE_PATH": modules},
    )
    one, two = (_simulated(bytes.fromhex(text)) for text in json.loads(run.stdout))
    assert one.unknown_commands == two.unknown_commands == []
    assert "Café € 3\n" in one.texts[0]
    assert re.search(r"Café +3.00\n", two.texts[0])
    assert one.pulses == [(2, 120, 240)]
    assert bytes(one.received).find(escpos.qr(b"https://ringup.example/r/1", module_dots=6, level="M")[-40:]) > 0
    zbarimg = shutil.which("zbarimg")
    if zbarimg is None:
        pytest.skip("zbarimg is not installed")
    for at, simulator in enumerate((one, two)):
        picture = tmp_path / f"{at}.png"
        picture.write_bytes(simulator.png())
        read = subprocess.run([zbarimg, "-q", picture], capture_output=True, text=True, timeout=30, check=True).stdout
        assert "QR-Code:https://ringup.example/r/1" in read
        assert "4006381333931" in read
