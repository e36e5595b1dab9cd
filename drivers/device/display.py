"""The line display that the customer reads.  It answers nothing, so its jobs end as `unproved`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ringup.drivers.config import Key
from ringup.drivers.device.base import Device
from ringup.drivers.device.job import Job
from ringup.drivers.device.printer import ReceiptPrinter
from ringup.drivers.protocol import display
from ringup.drivers.transport.base import Transport


class LineDisplay(Device):
    """Two lines of `columns`, by ESC/POS display commands or CD5220."""

    kind = "line_display"
    replies = False

    def __init__(
        self,
        name: str,
        transport: Transport,
        *,
        command: display.Command = "escpos",
        columns: int = display.COLUMNS,
        **options: Any,
    ) -> None:
        super().__init__(name, transport, **options)
        self.command: display.Command = command
        self.columns = columns
        self._lines = ("", "")

    def show(self, upper: str, lower: str = "") -> Job[display.Shown]:
        """Show both lines; the result's `replaced` says what letters the display does not have."""
        shown = display.show(self.command, upper, lower, columns=self.columns)

        def run(job: Job[display.Shown]) -> display.Shown:
            self.send(shown.data)
            self._lines = (upper, lower)
            return shown

        return self.submit("show", run)

    def show_item(self, name: str, price: str, *, total: str = "", label: str = "Total") -> Job[display.Shown]:
        """An item and its price above, the total below; the prices are never cut."""
        lower = display.fit(label, total, self.columns) if total else ""
        return self.show(display.fit(name, price, self.columns), lower)

    def clear(self) -> Job[None]:
        """Show nothing."""

        def run(job: Job[None]) -> None:
            self.send(display.clear())
            self._lines = ("", "")

        return self.submit("clear", run)

    def set_brightness(self, percent: Literal[25, 50, 75, 100]) -> Job[None]:
        """Set the brightness in percent."""
        data = display.brightness(self.command, percent)
        return self.submit("brightness", lambda job: self.send(data))

    def on_open(self) -> None:
        # What was shown before the link broke is shown again: a customer looks at it.
        self.send(display.initialise() + display.show(self.command, *self._lines, columns=self.columns).data)

    def device_status(self) -> dict[str, Any]:
        return {"upper": self._lines[0], "lower": self._lines[1]}

    def test(self) -> str:
        job = self.show("RingUp display test", "€ £ ä é ñ  1.234,56")
        shown = job.result(self.job_timeout_s)
        if shown.replaced:
            return f"showed two test lines; letters it does not have: {', '.join(c for c, _ in shown.replaced)}"
        return "showed two test lines; a display answers nothing, so look at it"


class PrinterLineDisplay:
    """A display that hangs on a receipt printer's line: a name of its own, the printer's queue."""

    kind = "line_display"

    def __init__(
        self,
        name: str,
        printer: ReceiptPrinter,
        *,
        command: display.Command = "escpos",
        columns: int = display.COLUMNS,
    ) -> None:
        self.name = name
        self.printer = printer
        self.command: display.Command = command
        self.columns = columns

    def show(self, upper: str, lower: str = "") -> Job[display.Shown]:
        """Show both lines; confirmed when the printer has passed them on."""
        shown = display.show(self.command, upper, lower, columns=self.columns)
        data = display.select_through_printer(True) + shown.data + display.select_through_printer(False)
        return self.printer.pass_through("show", data, shown)

    def test(self) -> str:
        """Show two lines."""
        self.show("RingUp display test", "€ £ ä é ñ  1.234,56").result(self.printer.job_timeout_s)
        return "showed two test lines through the printer; look at it"


DISPLAY_CONFIG = {
    "command": Key(str, "escpos", choices=("escpos", "cd5220"), help="command set"),
    "columns": Key(int, display.COLUMNS, low=8, high=40, help="characters a line"),
}
PRINTER_DISPLAY_CONFIG = {
    **DISPLAY_CONFIG,
    "printer": Key(str, help="name of the receipt printer whose line the display hangs on"),
}


def display_from_config(name: str, transport: Transport, options: Mapping[str, Any]) -> LineDisplay:
    """A display of the device file, with a port of its own."""
    return LineDisplay(name, transport, **options)


def printer_display_from_config(name: str, printer: ReceiptPrinter, options: Mapping[str, Any]) -> PrinterLineDisplay:
    """A display of the device file, on its printer's line."""
    return PrinterLineDisplay(name, printer, command=options["command"], columns=options["columns"])
