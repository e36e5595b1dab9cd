"""The receipt printer against its simulator: confirmed means printed, whatever happens in between."""

from __future__ import annotations

import random
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringup.drivers.device.base import DeviceState
from ringup.drivers.device.job import JobFailed, JobState
from ringup.drivers.device.printer import CashDrawer, ReceiptPrinter
from ringup.drivers.protocol import escpos
from ringup.drivers.receipt.document import Line
from ringup.drivers.receipt.profile import printer_profile
from ringup.drivers.receipt.rows import TextRow
from ringup.drivers.receipt.sample import sample_receipt
from ringup.drivers.simulator.base import Server, Simulator
from ringup.drivers.simulator.printer import PrinterSimulator
from ringup.drivers.transport.base import Backoff, TransportClosed
from ringup.drivers.transport.factory import make_transport
from ringup.drivers.transport.memory import MemoryWire

SILENCE_S = 0.3
"""When a printer is to be found silent; in all other tests a machine that stalls must not make it look so."""
PATIENT: dict[str, Any] = {"reply_timeout_s": 30.0, "poll_interval_s": 0.05}


def _printer(transport: Any, **options: Any) -> ReceiptPrinter:
    profile = printer_profile("simulator")
    if not options.pop("has_process_id", True):
        profile = replace(profile, has_process_id=False)
    return ReceiptPrinter("receipt", transport, profile=profile, backoff=Backoff(0.01, 0.05), **{**PATIENT, **options})


@pytest.fixture
def simulator() -> PrinterSimulator:
    return PrinterSimulator()


@pytest.fixture
def wire(simulator: PrinterSimulator) -> Iterator[MemoryWire]:
    wire = MemoryWire()
    with Server(simulator) as server:
        server.attach(wire.peer)
        yield wire


@pytest.fixture(params=["process_id", "gs_r"])
def printer(request: pytest.FixtureRequest, wire: MemoryWire) -> Iterator[ReceiptPrinter]:
    with _printer(wire.host, has_process_id=request.param == "process_id", drawer_open_level="high") as device:
        assert device.wait_ready()
        yield device


@pytest.mark.parametrize("kind", ["tcp", "pty"])
def test_a_receipt_over_tcp_and_pty_is_printed_and_confirmed(kind: str, simulator: PrinterSimulator) -> None:
    with Server(simulator) as server:
        port = f"tcp://127.0.0.1:{server.serve_tcp()}" if kind == "tcp" else f"pty:{server.serve_pty()}"
        with _printer(make_transport(port)) as printer:
            job = printer.print_receipt(sample_receipt())
            assert not job.result(60).is_copy
    (text,) = simulator.texts
    assert "Café crème" in text
    assert "T-shirt €-Edition" in text
    assert "COPY" not in text
    assert simulator.unknown_commands == []


def test_paper_out_in_mid_receipt_ends_in_a_reprint_marked_as_copy(
    printer: ReceiptPrinter, simulator: PrinterSimulator
) -> None:
    simulator.paper_lines_left = 8
    job = printer.print_receipt(sample_receipt(), timeout_s=20)
    _until(lambda: printer.state is DeviceState.ATTENTION)
    assert "paper out" in printer.health().detail
    assert job.state is JobState.SENT
    simulator.set_paper("ok")
    done = job.result(60)
    assert done.is_copy
    assert done.attempts == 2
    assert printer.state is DeviceState.READY
    *_, torn, whole = simulator.texts
    assert "COPY" not in torn
    assert "Thank you" not in torn  # what the printer still held of it must not come out after all
    assert "Thank you" in whole
    assert "COPY" in whole


def test_without_the_mark_an_interrupted_receipt_would_be_two_originals(simulator: PrinterSimulator) -> None:
    """The control beside the test above: the same bytes sent again by hand make a second original."""
    from ringup.drivers.receipt.escpos import render_escpos
    from ringup.drivers.receipt.layout import lay_out

    data = render_escpos(lay_out(sample_receipt()), printer_profile("simulator")).data
    simulator.take_bytes(data + data)
    assert len([text for text in simulator.texts if "TOTAL" in text and "COPY" not in text]) == 2


def test_cover_open_holds_the_queue_and_loses_nothing(printer: ReceiptPrinter, simulator: PrinterSimulator) -> None:
    simulator.set_cover(True)
    _until(lambda: printer.state is DeviceState.ATTENTION)
    jobs = [printer.print_receipt(sample_receipt(str(number))) for number in range(5)]
    time.sleep(0.1)
    assert {job.state for job in jobs} == {JobState.QUEUED}
    simulator.set_cover(False)
    assert [job.result(60).is_copy for job in jobs] == [False] * 5
    assert [f"Receipt {number}" in text for number, text in enumerate(simulator.texts)] == [True] * 5


def test_near_end_is_told_and_printing_goes_on(printer: ReceiptPrinter, simulator: PrinterSimulator) -> None:
    simulator.set_paper("near_end")
    assert printer.print_receipt(sample_receipt()).wait(60) is JobState.CONFIRMED
    _until(lambda: printer.health().status["paper"] == "near_end")
    assert printer.state is DeviceState.READY


def test_a_dropped_link_in_mid_receipt_ends_in_a_marked_copy(
    printer: ReceiptPrinter, simulator: PrinterSimulator, wire: MemoryWire
) -> None:
    writes_seen: list[bytes] = []

    def drop_once(direction: str, data: bytes) -> list[bytes] | None:
        if direction == "to_host" or (b"TOTAL" not in data and not writes_seen) or len(writes_seen) > 1:
            return None
        writes_seen.append(data)
        if len(writes_seen) == 2:
            raise TransportClosed("pulled")
        return [data[: data.index(b"TOTAL")]]

    wire.manipulate = drop_once
    done = printer.print_receipt(sample_receipt(), timeout_s=20).result(60)
    assert done.is_copy
    originals = [text for text in simulator.texts if "TOTAL" in text and "COPY" not in text]
    assert originals == []


def test_a_dead_printer_never_confirms(tmp_path: Path) -> None:
    """Story: a write that "succeeded" on a printer that was switched off.  The kernel takes the bytes."""
    socat = shutil.which("socat")
    if socat is None:
        pytest.skip("socat is not installed")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    dead = subprocess.Popen([socat, f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", "EXEC:sleep 20"])
    try:
        _until(lambda: _listens(port))
        transport = make_transport(f"tcp://127.0.0.1:{port}")
        with _printer(transport, reply_timeout_s=SILENCE_S) as printer:
            assert "silence" in _failure(printer, "silence")
            assert printer.state is DeviceState.OFFLINE
        # The control: a bare write is content.
        with socket.create_connection(("127.0.0.1", port)) as bare:
            bare.sendall(b"receipt\n" * 1000)
    finally:
        dead.terminate()
        dead.wait(60)


def _failure(printer: ReceiptPrinter, expected: str) -> str:
    """Why a receipt is not printed; where a machine stalls, the time may run out before the answer is looked at."""
    for timeout_s in (1.5, 6.0, 30.0):
        job = printer.print_receipt(sample_receipt(), timeout_s=timeout_s)
        assert job.wait(60) is JobState.FAILED
        if re.search(expected, job.error or ""):
            break
    return job.error or ""


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


def _until(condition: Any, timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "expected the condition to hold in time"
        time.sleep(0.01)


def test_a_printer_that_dies_in_mid_receipt_fails_the_job_in_time(
    printer: ReceiptPrinter, simulator: PrinterSimulator
) -> None:
    simulator.faults.set("silent")
    printer.reply_timeout_s = SILENCE_S
    job = printer.print_receipt(sample_receipt(), timeout_s=1.0)
    assert job.wait(60) is JobState.FAILED
    printer.reply_timeout_s = PATIENT["reply_timeout_s"]
    simulator.faults.clear()
    assert printer.print_receipt(sample_receipt()).wait(60) is JobState.CONFIRMED


def test_a_receipt_of_ten_thousand_lines(printer: ReceiptPrinter, simulator: PrinterSimulator) -> None:
    lines = tuple(Line(f"Item {number:05} äöü €", number, price_minor=number) for number in range(10_000))
    receipt = replace(sample_receipt(), lines=lines, total_minor=sum(range(10_000)))
    assert printer.print_receipt(receipt, timeout_s=200).wait(250) is JobState.CONFIRMED
    (text,) = simulator.texts
    assert text.count("Item ") == 10_000
    assert "Item 09999 äöü €" in text


def test_item_names_with_control_and_escpos_bytes_are_printed_as_text(
    printer: ReceiptPrinter, simulator: PrinterSimulator
) -> None:
    evil = "\x1bp\x00\x19\xfaFree\x1d\x56\x00\x10\x14\x01\x00\x08\x1b@\x1c\x7f\n\r\t\x9b\x00"
    receipt = sample_receipt()
    lines = (Line(evil, 100, notes=(evil,)), Line("Honest", 100))
    receipt = replace(
        receipt, lines=lines, cashier=evil, customer=evil, footer=(evil,), store=replace(receipt.store, name=evil)
    )
    assert printer.print_receipt(receipt).wait(60) is JobState.CONFIRMED
    assert simulator.pulses == []
    (text,) = simulator.texts  # one cut: the receipt's own
    assert "^[p^@^Yú" in text
    assert "Honest" in text
    assert simulator.unknown_commands == []


def test_the_drawer_opens_with_both_times_and_on_both_pins(
    printer: ReceiptPrinter, simulator: PrinterSimulator
) -> None:
    """Story: a drawer that opened every second time, because the pulse had no pause."""
    drawer = CashDrawer("drawer", printer, pin=2, on_ms=120, off_ms=240)
    assert drawer.open().result(60).is_open
    assert drawer.is_open
    simulator.close_drawer()
    _until(lambda: drawer.is_open is False)
    assert CashDrawer("second", printer, pin=5, on_ms=50, off_ms=400).open().result(60).is_open
    assert simulator.pulses == [(2, 120, 240), (5, 50, 400)]
    with pytest.raises(ValueError, match="off_ms: expected at least on_ms"):
        CashDrawer("wrong", printer, on_ms=200, off_ms=100)


def test_the_drawer_opens_without_paper(printer: ReceiptPrinter, simulator: PrinterSimulator) -> None:
    simulator.set_paper("out")
    _until(lambda: printer.state is DeviceState.ATTENTION)
    waiting = printer.print_receipt(sample_receipt())
    assert printer.open_drawer(pin=2, on_ms=120).result(60).is_open
    assert simulator.pulses == [(2, 200, 200)]
    assert waiting.state is JobState.QUEUED
    simulator.set_paper("ok")
    assert waiting.wait(60) is JobState.CONFIRMED


def test_a_drawer_that_stays_shut_is_said(printer: ReceiptPrinter, simulator: PrinterSimulator) -> None:
    simulator.faults.set("no_drawer")
    printer.reply_timeout_s = SILENCE_S
    with pytest.raises(JobFailed, match="is it locked"):
        printer.open_drawer().result(60)


def test_a_drawer_without_a_switch_is_confirmed_by_the_printer(wire: MemoryWire, simulator: PrinterSimulator) -> None:
    with _printer(wire.host) as printer:
        assert printer.open_drawer().result(60).is_open is None
    assert simulator.pulses == [(2, 120, 240)]


def test_polls_from_the_queue_and_jobs_from_many_threads_print_no_garbage(
    printer: ReceiptPrinter, simulator: PrinterSimulator
) -> None:
    """Story: status polls and print jobs from two threads: garbage until the printer was switched off."""
    printer.poll_interval_s = 0.002
    results: list[JobState] = []

    def sell(till: int) -> None:
        for number in range(5):
            job = printer.print_receipt(sample_receipt(f"{till}-{number}"))
            results.append(job.wait(60))

    threads = [threading.Thread(target=sell, args=(till,)) for till in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [JobState.CONFIRMED] * 20
    assert simulator.unknown_commands == []
    numbers = sorted(text.split("Receipt ")[1].split()[0] for text in simulator.texts)
    assert numbers == sorted(f"{till}-{number}" for till in range(4) for number in range(5))


def test_reports_are_reprinted_with_the_mark_too(printer: ReceiptPrinter, simulator: PrinterSimulator) -> None:
    simulator.paper_lines_left = 3
    job = printer.print_rows([TextRow(f"Z report line {number}") for number in range(20)], timeout_s=20)
    _until(lambda: printer.state is DeviceState.ATTENTION)
    simulator.set_paper("ok")
    assert job.result(60).is_copy
    assert simulator.texts[-1].splitlines()[0] == "*** COPY ***"


def test_a_late_answer_is_not_taken_for_the_answer_to_the_next_question(simulator: PrinterSimulator) -> None:
    """GS r answers have no name: a slow printer was asked twice, and its second yes came during the next print."""
    answers: list[bytes] = []

    def hold_back(direction: str, data: bytes) -> list[bytes] | None:
        if direction == "to_host" and data == b"\x00":
            answers.append(data)
            return [] if len(answers) == 1 else [data]
        return None

    wire = MemoryWire(manipulate=hold_back)
    with Server(simulator) as server:
        server.attach(wire.peer)
        with _printer(wire.host, has_process_id=False, poll_interval_s=0, reply_timeout_s=1.0) as printer:
            assert printer.print_rows([TextRow("one")]).wait(60) is JobState.CONFIRMED
            assert len(answers) == 2
            assert (printer._transmitted_asked, printer._transmitted_heard) == (2, 1)
            assert printer.print_rows([TextRow("two")]).wait(60) is JobState.CONFIRMED
            assert len(answers) == 4  # the third answer could have been a late one: not believed alone
    assert [text.split()[0] for text in simulator.texts] == ["one", "two"]


class _Stranger(Simulator):
    """Something else at the printer's port."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        self._answer = answer
        self._random = random.Random(1)

    def on_bytes(self, data: bytes) -> None:
        if self._answer == "echo":
            self.reply(data)
        elif self._answer == "scale":
            self.reply(b"\x02  1.234\r")
        else:
            self.reply(self._random.randbytes(20))


@pytest.mark.parametrize("has_process_id", [True, False])
@pytest.mark.parametrize("answer", ["echo", "scale", "noise"])
def test_a_port_that_is_no_printer_never_confirms_a_receipt(answer: str, has_process_id: bool) -> None:
    """A scale at the printer's port: its digit 2 has the bits of a printer's "paper out"."""
    wire = MemoryWire()
    with Server(_Stranger(answer)) as server:
        server.attach(wire.peer)
        with _printer(wire.host, has_process_id=has_process_id, reply_timeout_s=SILENCE_S) as printer:
            expected = "bytes that (mean something else|no printer says)"
            assert re.search(expected, _failure(printer, expected))
            assert printer.state is DeviceState.OFFLINE


def test_a_yes_among_noise_is_not_believed(simulator: PrinterSimulator) -> None:
    """On models with GS r a yes is one byte, which noise on the line has too: such a receipt is printed again.

    The answers on opening were in order, so that nothing but the bytes beside the yes tells it from noise.
    """
    noisy: list[bytes] = []

    def disturb(direction: str, data: bytes) -> list[bytes] | None:
        if direction == "to_host" and data == b"\x00" and not noisy:
            noisy.append(data)
            return [b"\xff\x00"]
        return None

    wire = MemoryWire(manipulate=disturb)
    with Server(simulator) as server:
        server.attach(wire.peer)
        with _printer(wire.host, has_process_id=False) as printer:
            printed = printer.print_rows([TextRow("one")]).result(60)
    assert noisy
    assert (printed.is_copy, printed.attempts) == (True, 2)
    assert "*** COPY ***" in simulator.texts[-1]


def test_bytes_above_ascii_are_letters_also_on_printers_made_for_east_asia(
    printer: ReceiptPrinter, simulator: PrinterSimulator
) -> None:
    """Story: "Café crème" came out with ideographs, because the printer read its bytes in pairs."""
    assert printer.print_receipt(sample_receipt()).wait(60) is JobState.CONFIRMED
    sent = bytes(simulator.received)
    assert sent.index(escpos.cancel_kanji()) < sent.index("é".encode("cp858"))
