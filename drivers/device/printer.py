"""The receipt printer: a print is confirmed when the printer says that it has printed it.

The kernel, a network and the printer's own buffer take megabytes for a printer that prints nothing.
So each receipt goes out in chunks of a few kilobytes, each followed by a question that the printer
answers in turn (a process id, or GS r on older models); silence, paper and cover are noticed in
between by status that it reports at once.  If a receipt was interrupted after its first byte, it is
printed anew from the beginning, marked as a copy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from ringup.drivers.config import Key
from ringup.drivers.device.base import Device, DeviceState, NotAnswering
from ringup.drivers.device.job import Job, JobFailed, JobRetry
from ringup.drivers.protocol import escpos
from ringup.drivers.protocol.escpos_decode import CommandParser, describe
from ringup.drivers.protocol.escpos_status import (
    BuffersCleared,
    Garbage,
    PrinterStatus,
    ProcessIdReported,
    StatusParser,
    StatusReported,
    TextReported,
)
from ringup.drivers.receipt.document import Receipt
from ringup.drivers.receipt.escpos import Replaced, render_escpos
from ringup.drivers.receipt.layout import lay_out
from ringup.drivers.receipt.profile import PrinterProfile, printer_profile
from ringup.drivers.receipt.rows import Row, Style, TextRow
from ringup.drivers.receipt.template import Template, default_template, load_template
from ringup.drivers.transport.base import Transport, TransportError

Result = TypeVar("Result")

WRITE_STALL_S = 10.0  # a working printer takes a chunk within this
STRANGER_WAIT_NS = 30_000_000  # what talks by itself has said something within this
ATTEMPTS_MAX = 5  # a receipt that is always interrupted must not eat the roll
SLOWEST_BYTES_PER_S = 400  # a dot-impact printer: bounds how long a receipt may take


@dataclass(frozen=True, slots=True)
class Printed:
    """What came of a receipt.

    `is_copy` when an interruption made the finished print a marked copy; `replaced` and `omitted` name
    what could not be printed as meant, for a person to read.
    """

    is_copy: bool
    attempts: int
    replaced: tuple[Replaced, ...]
    omitted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DrawerOpened:
    """`is_open` is what the drawer's switch says; None where it has none."""

    is_open: bool | None


class ReceiptPrinter(Device):
    """An ESC/POS printer.  `drawer_open_level` is the level of pin 3 that means open ("high", "low"), or
    None where the drawer has no switch."""

    kind = "receipt_printer"

    def __init__(
        self,
        name: str,
        transport: Transport,
        *,
        profile: PrinterProfile | None = None,
        template: Template | None = None,
        fonts: Sequence[str] = (),
        drawer_open_level: Literal["high", "low"] | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("poll_interval_s", 10.0)
        super().__init__(name, transport, **options)
        self.profile = profile or printer_profile("generic-42")
        self.template = template or default_template()
        self.fonts = tuple(fonts)
        self.drawer_open_level = drawer_open_level
        self._parser = StatusParser()
        self._token = 0
        self._tokens_heard: set[bytes] = set()
        self._garbage = b""
        self._transmitted_asked = 0
        self._transmitted_heard = 0
        self._realtime_heard = 0
        self._cleared_heard = 0
        self._model_name: str | None = None
        self._must_clear = False  # a receipt was interrupted: its rest may still be in the printer's buffer

    # What a till asks for.

    @property
    def status(self) -> PrinterStatus:
        """The printer's condition as it last said."""
        return self._parser.status

    def print_receipt(self, receipt: Receipt, *, timeout_s: float | None = None) -> Job[Printed]:
        """Print a receipt.  The job waits for paper and cover, up to its time.

        An interrupted receipt is printed anew as a marked copy; what cannot be printed as meant is in
        the result's `replaced` and `omitted`, and is emitted as event "unfaithful".
        """

        def rows(is_reprint: bool) -> Iterable[Row]:
            copy_number = receipt.copy_number or int(is_reprint)
            return lay_out(replace(receipt, copy_number=copy_number), self.template)

        return self._submit_print("receipt", rows, receipt.copy_number > 0, timeout_s)

    def print_rows(self, rows: Iterable[Row], *, timeout_s: float | None = None) -> Job[Printed]:
        """Print anything else: a report, a voucher.  A reprint begins with the copy mark of the template."""
        kept = tuple(rows)

        def marked(is_reprint: bool) -> Iterable[Row]:
            if is_reprint:
                yield TextRow(self.template.labels["copy"], "center", Style(bold=True, height=2))
            yield from kept

        return self._submit_print("print", marked, False, timeout_s)

    def open_drawer(
        self, *, pin: Literal[2, 5] = 2, on_ms: int = 120, off_ms: int = 240, timeout_s: float | None = None
    ) -> Job[DrawerOpened]:
        """Open the drawer at connector pin 2 or 5, also while the printer is out of paper.

        With a drawer switch the job is confirmed only if the drawer says that it opened.
        """
        escpos.drawer_pulse(pin, on_ms, off_ms)  # raises on the caller's thread for times out of range

        def run(job: Job[DrawerOpened]) -> DrawerOpened:
            return self._open_drawer(pin, on_ms, off_ms)

        return self.submit("drawer", run, timeout_s=timeout_s, needs_ready=False)

    def pass_through(self, kind: str, data: bytes, result: Result) -> Job[Result]:
        """Send bytes for a device behind the printer; confirmed by the printer's status after them."""

        def run(job: Job[Result]) -> Result:
            self.send(data)
            self._ask_status((1,))
            return result

        return self.submit(kind, run, needs_ready=False)

    def test(self) -> str:
        printed = self.self_test().result(self.job_timeout_s + 5)
        paper = self.device_status()["paper"]
        letters = (
            f"; letters it does not have: {' '.join(r.character for r in printed.replaced)}" if printed.replaced else ""
        )
        return f"printed a test page, paper {paper}{letters}"

    def decode(self, direction: Literal["out", "in"], data: bytes) -> list[str]:
        if direction == "out":
            return [describe(command) for command in CommandParser().feed(data)]
        return super().decode(direction, data)

    @property
    def is_drawer_open(self) -> bool | None:
        """What the drawer's switch last said; None where there is none or nothing is known."""
        high = self._parser.status.drawer_pin_high
        if self.drawer_open_level is None or high is None:
            return None
        return high == (self.drawer_open_level == "high")

    def self_test(self) -> Job[Printed]:
        """Print a short page that shows the columns and the letters of the code pages."""
        profile = self.profile
        ruler = "".join(str(at % 10) for at in range(1, profile.columns + 1))
        return self.print_rows(
            (
                TextRow("PRINTER TEST", "center", Style(bold=True, width=2, height=2)),
                TextRow(f"{self.name}: {profile.model}, {profile.columns} columns", "center"),
                TextRow(ruler),
                TextRow("€ £ ä é ñ ø ß ç ł ő ж Ω"),
            )
        )

    # The owner thread.

    def device_status(self) -> dict[str, Any]:
        status = self._parser.status
        return {
            "paper": str(status.paper),
            "cover_open": status.cover_open,
            "drawer_open": self.is_drawer_open,
            "model": self._model_name or self.profile.model,
        }

    def on_open(self) -> None:
        self._parser.reset()
        self._transmitted_asked = self._transmitted_heard = 0
        self._garbage = b""
        self._ask_status()  # first, in real time: answered also off-line and with a full buffer
        self.send(escpos.enable_status_back())
        self._read(time.monotonic_ns() + STRANGER_WAIT_NS)
        self._refuse_garbage()

    def _refuse_garbage(self) -> None:
        """A status byte is easily found in any chatter: a scale's digit 2 reads as a printer's "paper out"."""
        if self._garbage:
            raise NotAnswering(
                f"{self.name}: expected a printer's status, found bytes that no printer says "
                f"({self._garbage[:16].hex(' ')}); is this its port ({self.transport.name}) and its speed?"
            )

    def on_close(self) -> None:
        self._parser.reset()

    def poll(self) -> None:
        self._ask_status()

    def may_run(self) -> str | None:
        return self._parser.status.problem

    def on_bytes(self, data: bytes) -> None:
        before = self._parser.status
        for event in self._parser.feed(data):
            if isinstance(event, StatusReported):
                self._realtime_heard += event.source == "realtime"
                self._transmitted_heard += event.source == "transmitted"
            elif isinstance(event, ProcessIdReported):
                self._tokens_heard.add(event.token)
            elif isinstance(event, BuffersCleared):
                self._cleared_heard += 1
            elif isinstance(event, TextReported):
                self._model_name = event.text
            elif isinstance(event, Garbage):
                self._garbage += event.data
                self.emit("garbage", event.data)
        if self._parser.status != before:
            self._follow_status()
            self.emit("status", self._parser.status)

    def _follow_status(self) -> None:
        problem = self._parser.status.problem
        self.set_state(DeviceState.ATTENTION if problem else DeviceState.READY, problem or "")

    def _ask_status(self, numbers: Sequence[Literal[1, 2, 3, 4]] = (1, 2, 3, 4)) -> None:
        """Real-time status; raises NotAnswering when the printer is silent."""
        for number in numbers:
            wanted = self._realtime_heard + 1
            self._parser.expect(number)
            self.send(escpos.request_status(number))
            self.receive(lambda wanted=wanted: self._realtime_heard >= wanted, what="a printer's status")  # type: ignore[misc]  # bound per turn

    def _submit_print(
        self, kind: str, rows: Callable[[bool], Iterable[Row]], is_copy: bool, timeout_s: float | None
    ) -> Job[Printed]:
        # Rendered here, on the caller's thread: what is wrong with the document is the caller's to know,
        # and the owner thread stays free to answer the printer.
        rendered = render_escpos(rows(False), self.profile, fonts=self.fonts)
        if timeout_s is None:
            timeout_s = self.job_timeout_s + len(rendered.data) / SLOWEST_BYTES_PER_S
        began = False

        def run(job: Job[Printed]) -> Printed:
            nonlocal began
            again = began
            shown = render_escpos(rows(True), self.profile, fonts=self.fonts) if again else rendered
            try:
                self._ask_status((1, 2, 4))
                self._check_problem()
                self._clear_leftovers()
                for chunk in shown.chunks:
                    began = True
                    self._must_clear = True
                    self.send(chunk, WRITE_STALL_S)
                    self._confirm(job)
                self._must_clear = False
            except (TransportError, NotAnswering, JobRetry) as error:
                if job.attempts >= ATTEMPTS_MAX:
                    self.transport.close()
                    raise JobFailed(f"{self.name}: interrupted {job.attempts} times, given up: {error}") from error
                if isinstance(error, JobRetry):
                    raise
                raise JobRetry(str(error), is_link_lost=True) from error
            if not shown.is_faithful:
                self.emit("unfaithful", (shown.replaced, shown.omitted))
            return Printed(again or is_copy, job.attempts, shown.replaced, shown.omitted)

        return self.submit(kind, run, timeout_s=timeout_s)

    def _check_problem(self) -> None:
        problem = self._parser.status.problem
        if problem is not None:
            raise JobRetry(f"{self.name}: {problem}")

    def _clear_leftovers(self) -> None:
        """Before a reprint: what the printer still holds of the interrupted receipt must not come out first."""
        if not self._must_clear:
            return
        wanted = self._cleared_heard + 1
        self.send(escpos.clear_buffers())
        if self.profile.has_process_id:
            self.receive(lambda: self._cleared_heard >= wanted, what="its buffers cleared")
        else:
            self.drain()
        if self.profile.has_cut:
            self.send(escpos.initialise() + escpos.LF + escpos.cut())  # the torn piece is not part of the copy
        self._must_clear = False

    def _confirm(self, job: Job[Any]) -> None:
        """Wait until the printer has printed all that was sent.

        It may take long, as long as it answers in between; a problem (paper, cover) ends the attempt.
        """
        self._tokens_heard.clear()
        # GS r answers carry no name, only an order: one lost answer may cost a question more, never a wrong yes.
        wanted = self._transmitted_asked + 1

        def is_done() -> bool:
            # Any answer will do: each question was asked after the last byte of the print.
            return bool(self._tokens_heard & asked) or self._transmitted_heard >= wanted

        def is_over() -> bool:
            return is_done() or self._parser.status.problem is not None

        asked: set[bytes] = set()
        self._garbage = b""
        while not is_over():
            asked.add(self._ask_whether_printed())
            try:
                self.receive(is_over, what="the print confirmed")
            except NotAnswering:
                self._ask_status((1, 2, 4))  # raises if it is silent altogether
                # It lives: still printing, or its answer was lost on the line; so ask once more.
                if time.monotonic_ns() >= job.deadline_ns:
                    raise JobFailed(
                        f"{self.name}: expected the print to end in time, found the printer still busy; "
                        "look at the paper before printing again"
                    ) from None
        if not self.profile.has_process_id:
            self._refuse_garbage()  # an answer of one byte is worth nothing among others that make no sense
        if not is_done():
            self._check_problem()

    def _expect_transmitted(self, what: Literal["paper", "drawer"]) -> int:
        """Note a GS r; returns how many answers there will be when it is answered."""
        self._parser.expect(what)
        self._transmitted_asked += 1
        return self._transmitted_asked

    def _ask_whether_printed(self) -> bytes:
        """Ask a question that is answered only when all before it is printed; returns its token."""
        if not self.profile.has_process_id:
            self._expect_transmitted("paper")
            self.send(escpos.transmit_status("paper"), WRITE_STALL_S)
            return b""
        self._token = (self._token + 1) % 10_000
        token = f"{self._token:04}".encode()
        self.send(escpos.request_process_id(token), WRITE_STALL_S)
        return token

    def _open_drawer(self, pin: Literal[2, 5], on_ms: int, off_ms: int) -> DrawerOpened:
        self._ask_status((1,))
        if self._parser.status.problem is None and self._parser.status.online:
            wanted = self._expect_transmitted("drawer")
            self.send(escpos.drawer_pulse(pin, on_ms, off_ms) + escpos.transmit_status("drawer"))
            self.receive(lambda: self._transmitted_heard >= wanted, what="the drawer's status")
        else:
            # Off-line the printer works its buffer off no more; this command passes it by.
            self.send(escpos.drawer_pulse_now(pin, min(800, (on_ms + 99) // 100 * 100)))
            self._ask_status((1,))
        if self.drawer_open_level is None:
            return DrawerOpened(None)
        # The switch moves a moment after the pulse.
        end_ns = time.monotonic_ns() + int(self.reply_timeout_s * 1e9)
        while not self.is_drawer_open and time.monotonic_ns() < end_ns:
            self._ask_status((1,))
            if not self.is_drawer_open:
                self._read(time.monotonic_ns() + 20_000_000)
        if not self.is_drawer_open:
            raise JobFailed(
                f"{self.name}: expected the drawer to open, found it closed; is it locked, is pin {pin} the right one?"
            )
        return DrawerOpened(True)


class CashDrawer:
    """A drawer at a receipt printer: a name of its own, the printer's queue.

    `on_ms` and `off_ms` are both sent: without a long enough pause the solenoid misses every second pulse.
    """

    kind = "cash_drawer"

    def __init__(
        self, name: str, printer: ReceiptPrinter, *, pin: Literal[2, 5] = 2, on_ms: int = 120, off_ms: int = 240
    ) -> None:
        escpos.drawer_pulse(pin, on_ms, off_ms)
        self.name = name
        self.printer = printer
        self.pin: Literal[2, 5] = pin
        self.on_ms = on_ms
        self.off_ms = off_ms

    def open(self, *, timeout_s: float | None = None) -> Job[DrawerOpened]:
        """Open it, by the queue of its printer."""
        return self.printer.open_drawer(pin=self.pin, on_ms=self.on_ms, off_ms=self.off_ms, timeout_s=timeout_s)

    @property
    def is_open(self) -> bool | None:
        """What its switch says; None where it has none."""
        return self.printer.is_drawer_open

    def test(self) -> str:
        """Open it and say what its switch says."""
        opened = self.open().result(self.printer.job_timeout_s)
        if opened.is_open is None:
            return "the printer sent the pulse; this drawer has no switch to tell, so look at it"
        return "opened, says its switch"


PRINTER_CONFIG = {
    "model": Key(str, "generic-42", help="printer model: generic-32, generic-42, generic-48 or one of python-escpos"),
    "columns": Key(int, 0, low=16, high=80, help="characters a line, where the model has a choice"),
    "template": Key(str, "", help="file with the layout of receipts"),
    "fonts": Key(list, [], help="font files for letters the printer does not have"),
    "drawer_open_level": Key(str, "", choices=("high", "low"), help="level of the drawer's switch when open"),
}
DRAWER_CONFIG = {
    "printer": Key(str, help="name of the receipt printer that the drawer hangs on"),
    "pin": Key(int, 2, choices=(2, 5), help="connector pin that carries the pulse"),
    "on_ms": Key(int, 120, low=2, high=510, help="length of the pulse"),
    "off_ms": Key(int, 240, low=2, high=510, help="pause before another pulse, at least on_ms"),
}


def printer_from_config(name: str, transport: Transport, options: Mapping[str, Any]) -> ReceiptPrinter:
    """A printer of the device file; raises ValueError for an unknown model or a bad template."""
    options = dict(options)
    profile = printer_profile(options.pop("model"), columns=options.pop("columns") or None)
    template = options.pop("template")
    return ReceiptPrinter(
        name,
        transport,
        profile=profile,
        template=load_template(template) if template else None,
        fonts=options.pop("fonts"),
        drawer_open_level=options.pop("drawer_open_level") or None,
        **options,
    )


def drawer_from_config(name: str, printer: ReceiptPrinter, options: Mapping[str, Any]) -> CashDrawer:
    """A drawer of the device file, at its printer."""
    return CashDrawer(name, printer, pin=options["pin"], on_ms=options["on_ms"], off_ms=options["off_ms"])
