"""Line displays and label printers: what a customer reads, what a shelf shows."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringup.drivers.device.base import DeviceState
from ringup.drivers.device.display import LineDisplay, PrinterLineDisplay
from ringup.drivers.device.job import JobState
from ringup.drivers.device.label import LabelPrinter
from ringup.drivers.device.printer import ReceiptPrinter
from ringup.drivers.protocol import display, zpl
from ringup.drivers.simulator.base import Server
from ringup.drivers.simulator.display import DisplaySimulator
from ringup.drivers.simulator.label import LabelSimulator
from ringup.drivers.simulator.printer import PrinterSimulator
from ringup.drivers.transport.base import Backoff
from ringup.drivers.transport.memory import MemoryWire

OATS = zpl.ShelfLabel("Organic oat milk €äé 1 l", "1.99", "4006381333931", "1.99 / l", "https://ringup.example/i/1")


def _until(condition: Callable[[], object]) -> None:
    end_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end_s, "expected the condition to hold in time"
        time.sleep(0.01)


@pytest.mark.parametrize("command", ["escpos", "cd5220"])
def test_both_lines_are_shown_and_again_after_the_cable_was_pulled(command: Any) -> None:
    simulator, wire = DisplaySimulator(), MemoryWire()
    with Server(simulator) as server:
        server.attach(wire.peer)
        with LineDisplay("pole", wire.host, command=command, backoff=Backoff(0.01, 0.05)) as pole:
            job = pole.show_item("Organic oat milk barista", "€ 1.99", total="€ 12.34")
            assert job.wait(60) is JobState.UNPROVED  # a display cannot answer: sent is all there is to know
            _until(lambda: simulator.lines[0].endswith("€ 1.99"))
            assert simulator.lines == ("Organic oat m € 1.99", "Total        € 12.34")
            wire.drop()
            _until(lambda: simulator.connect_count == 2 and simulator.lines[1].endswith("€ 12.34"))
            pole.show("Next customer", "please")
            _until(lambda: simulator.lines == ("Next customer       ", "please              "))
    assert simulator.unknown_commands == []


def test_a_display_on_the_printers_line_uses_the_printers_queue() -> None:
    simulator, wire = PrinterSimulator(), MemoryWire()
    with Server(simulator) as server:
        server.attach(wire.peer)
        with ReceiptPrinter("receipt", wire.host) as printer:
            assert PrinterLineDisplay("pole", printer, command="cd5220").show("Hi").wait(60) is JobState.CONFIRMED
    assert b"\x1b=\x02\x1bt\x00\x1bQAHi" in bytes(simulator.received)


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(["escpos", "cd5220"]))
def test_no_text_can_command_a_display(upper: str, lower: str, command: Any) -> None:
    simulator = DisplaySimulator()
    simulator.take_bytes(display.show(command, upper, lower).data)
    assert simulator.unknown_commands == []
    assert [len(line) for line in simulator.lines] == [20, 20]
    clean = display.show(command, "marker", "below")
    simulator.take_bytes(clean.data)
    assert simulator.lines == ("marker".ljust(20), "below".ljust(20))


def test_what_a_display_cannot_show_is_reported() -> None:
    assert display.show("escpos", "茶 1.00").replaced == (("茶", "?"),)
    assert display.show("escpos", "3 €").replaced == ()
    assert display.fit("x", "123456789012345678901234") == "12345678901234567890"


def test_a_shelf_label_is_confirmed_and_read_back_by_zbarimg(tmp_path: Path) -> None:
    zbarimg = shutil.which("zbarimg")
    simulator, wire = LabelSimulator(), MemoryWire()
    with Server(simulator) as server:
        server.attach(wire.peer)
        with LabelPrinter("labels", wire.host) as printer:
            assert printer.print_shelf_label(OATS).wait(60) is JobState.CONFIRMED
    (label,) = simulator.labels
    assert label.texts == ["Organic oat milk €äé 1 l", "1.99", "1.99 / l"]
    assert label.codes == [("ean13", "4006381333931"), ("qr", "https://ringup.example/i/1")]
    if zbarimg is None:
        pytest.skip("zbarimg is not installed")
    picture = tmp_path / "label.png"
    label.image().resize((label.width * 2, label.length * 2)).save(picture)
    read = subprocess.run([zbarimg, "-q", picture], capture_output=True, text=True, timeout=30, check=True).stdout
    assert sorted(read.split()) == ["EAN-13:4006381333931", "QR-Code:https://ringup.example/i/1"]


def test_labels_out_holds_the_job_and_no_label_is_printed_twice() -> None:
    simulator, wire = LabelSimulator(), MemoryWire()
    with Server(simulator) as server:
        server.attach(wire.peer)
        options: dict[str, Any] = {"poll_interval_s": 0.02, "reply_timeout_s": 30.0, "backoff": Backoff(0.01, 0.05)}
        with LabelPrinter("labels", wire.host, **options) as printer:
            assert printer.wait_ready()
            simulator.faults.set("paper_out")
            _until(lambda: printer.state is DeviceState.ATTENTION)
            job = printer.print_shelf_label(OATS, copies=3)
            time.sleep(0.05)
            assert job.state is JobState.QUEUED
            simulator.faults.clear("paper_out")
            assert job.wait(60) is JobState.CONFIRMED
    assert len(simulator.labels) == 3


@given(st.text(max_size=80))
def test_no_item_name_can_command_a_label_printer(name: str) -> None:
    simulator = LabelSimulator()
    simulator.take_bytes(zpl.shelf_label(zpl.ShelfLabel(f"^XZ~JA{name}^FD~HS", "1.00", "4006381333931")))
    assert simulator.errors == []
    (label,) = simulator.labels
    assert label.codes == [("ean13", "4006381333931")]
    assert label.texts[0].startswith("^XZ~JA")
    assert label.texts[0].endswith("^FD~HS")


def test_a_wrong_check_digit_is_refused_before_it_is_on_a_shelf() -> None:
    with pytest.raises(ValueError, match="expected check digit 1, found 2"):
        zpl.shelf_label(zpl.ShelfLabel("Tea", "1.00", "4006381333932"))


def test_host_status_is_read_over_any_chunking_and_garbage_is_counted() -> None:
    answer = (
        b"\x02030,0,0,0240,002,0,0,0,000,0,0,0\x03\r\n\x02000,0,0,0,0,2,4,0,00000007,1,000\x03\r\n\x020000,0\x03\r\n"
    )
    expected = zpl.LabelPrinterStatus(False, False, 2, False, False, False, 7)
    parser = zpl.HostStatusParser()
    assert [status for byte in answer for status in parser.feed(bytes([byte]))] == [expected]
    assert parser.feed(b"\x02junk\x03" + answer) == [expected]
    assert parser.errors == 1


@given(st.lists(st.binary(max_size=80), max_size=10))
def test_host_status_parser_takes_anything(chunks: list[bytes]) -> None:
    parser = zpl.HostStatusParser()
    for chunk in chunks:
        for status in parser.feed(chunk):
            assert status.labels_left >= 0
