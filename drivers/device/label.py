"""The label printer: ZPL out, host status in; a job is confirmed when nothing of it is left to print."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ringup.drivers.config import Key
from ringup.drivers.device.base import Device, DeviceState, NotAnswering
from ringup.drivers.device.job import Job, JobFailed, JobRetry
from ringup.drivers.protocol import zpl
from ringup.drivers.transport.base import Transport

ASK_AGAIN_S = 0.05


class LabelPrinter(Device):
    """A ZPL label printer; `width` and `length` are the label's dots."""

    kind = "label_printer"

    def __init__(self, name: str, transport: Transport, *, width: int = 480, length: int = 240, **options: Any) -> None:
        options.setdefault("poll_interval_s", 10.0)
        super().__init__(name, transport, **options)
        self.width = width
        self.length = length
        self._parser = zpl.HostStatusParser()
        self._status: zpl.LabelPrinterStatus | None = None
        self._status_count = 0

    def print_shelf_label(self, content: zpl.ShelfLabel, *, copies: int = 1) -> Job[None]:
        """Print a shelf label.  Raises ValueError at once for a wrong check digit or a text that does not fit."""
        data = zpl.shelf_label(content, width=self.width, length=self.length, copies=copies)
        return self.print_zpl(data, timeout_s=self.job_timeout_s + copies)

    def print_zpl(self, data: bytes, *, timeout_s: float | None = None) -> Job[None]:
        """Print a label format made elsewhere (one or more ^XA...^XZ)."""

        def run(job: Job[None]) -> None:
            status = self._ask()
            if status.problem is not None:
                raise JobRetry(f"{self.name}: {status.problem}")
            self.send(data)
            # Labels are never sent twice: unlike a receipt, a second one on a shelf is a wrong price.
            while True:
                status = self._ask()
                if not status.formats_waiting and not status.labels_left and not status.problem:
                    return
                if time.monotonic_ns() >= job.deadline_ns:
                    reason = status.problem or f"{status.labels_left} labels left"
                    raise JobFailed(f"{self.name}: expected all labels printed in time, found: {reason}")
                self._read(time.monotonic_ns() + int(ASK_AGAIN_S * 1e9))

        return self.submit("label", run, timeout_s=timeout_s)

    def self_test(self) -> Job[None]:
        """Print a label with everything on it."""
        return self.print_shelf_label(
            zpl.ShelfLabel("LABEL TEST €äé", "1.99", "4006381333931", "19.90 / kg", "https://ringup.example")
        )

    def test(self) -> str:
        self.self_test().result(self.job_timeout_s + 5)
        return "printed a test label"

    def device_status(self) -> dict[str, Any]:
        status = self._status
        if status is None:
            return {}
        return {"labels_out": status.paper_out, "head_open": status.head_open, "labels_left": status.labels_left}

    def on_open(self) -> None:
        self._parser.reset()
        self._ask()

    def poll(self) -> None:
        self._ask()

    def may_run(self) -> str | None:
        return self._status.problem if self._status is not None else None

    def on_bytes(self, data: bytes) -> None:
        for status in self._parser.feed(data):
            self._status_count += 1
            self._status = status
            problem = status.problem
            self.set_state(DeviceState.ATTENTION if problem else DeviceState.READY, problem or "")

    def _ask(self) -> zpl.LabelPrinterStatus:
        wanted = self._status_count + 1
        self.send(zpl.host_status())
        self.receive(lambda: self._status_count >= wanted, what="a label printer's status")
        if self._status is None:
            raise NotAnswering(f"{self.name}: expected a status, found none")
        return self._status


LABEL_CONFIG = {
    "width": Key(int, 480, low=320, high=3000, help="width of a label in dots"),
    "length": Key(int, 240, low=200, high=6000, help="length of a label in dots"),
}


def label_from_config(name: str, transport: Transport, options: Mapping[str, Any]) -> LabelPrinter:
    """A label printer of the device file."""
    return LabelPrinter(name, transport, **options)
