"""The barcode scanner: each scan comes out once, whole and understood, as an event "scan".

A scanner speaks by itself and confirms nothing. What arrives is cut by prefix and suffix, never by how the bytes came
in, so bursts and slow lines give the same scans; what is no scan is an event "noise".
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ringup.drivers.config import Key
from ringup.drivers.device.base import Device, DeviceEvent, DeviceState
from ringup.drivers.device.job import JobFailed
from ringup.drivers.protocol.barcode import TEMPLATES, MeasureTemplate, Scan, decode, parse_template
from ringup.drivers.protocol.keyboard import LAYOUTS, HidPosDecoder, KeyEventDecoder, KeyReportDecoder
from ringup.drivers.protocol.scanner import DEFAULT_SUFFIXES, ScanData, ScanEvent, ScanFramer
from ringup.drivers.transport.base import Transport

Mode = Literal["auto", "serial", "keyboard_reports", "keyboard_events", "hid_pos"]
MODES = ("auto", "serial", "keyboard_reports", "keyboard_events", "hid_pos")
TEST_TIMEOUT_S = 15.0


class Scanner(Device):
    """A scanner on a serial line, TCP, hidraw or evdev.

    `mode` auto takes keyboard reports from hidraw, keyboard events from evdev and text from everything else.
    `idle_end_s` above 0 ends a scan after that pause, for scanners that send no suffix; it is a last resort, since
    a pause inside a scan then cuts it. `layout` is the keyboard the wedge is set to. `symbology` names what the
    scanner reads where it sends no AIM identifier.
    """

    kind = "scanner"
    replies = False

    def __init__(
        self,
        name: str,
        transport: Transport,
        *,
        mode: Mode = "auto",
        prefix: bytes = b"",
        suffixes: Sequence[bytes] = DEFAULT_SUFFIXES,
        idle_end_s: float = 0.0,
        layout: str = "us",
        templates: Iterable[MeasureTemplate] = (),
        symbology: str | None = None,
        **options: Any,
    ) -> None:
        if idle_end_s > 0:
            options["poll_interval_s"] = idle_end_s
        super().__init__(name, transport, **options)
        if mode == "auto":
            by_scheme: dict[str, Mode] = {"hidraw": "keyboard_reports", "evdev": "keyboard_events"}
            mode = by_scheme.get(transport.name.partition(":")[0], "serial")
        self.mode = mode
        self.templates = tuple(templates)
        self.symbology = symbology
        self._framer = ScanFramer(prefix=prefix, suffixes=suffixes)
        self._keys: KeyReportDecoder | KeyEventDecoder | None = None
        if mode == "keyboard_reports":
            self._keys = KeyReportDecoder(layout)
        elif mode == "keyboard_events":
            self._keys = KeyEventDecoder(layout)
        self._hid_pos = HidPosDecoder() if mode == "hid_pos" else None
        self._idle_end_ns = int(idle_end_s * 1e9)
        self._last_bytes_ns = 0
        self._scan_count = 0
        self._noise_count = 0

    # For a till.

    def scans(self) -> queue.SimpleQueue[Scan]:
        """A queue that gets every scan from now on."""
        found: queue.SimpleQueue[Scan] = queue.SimpleQueue()

        def listen(event: DeviceEvent) -> None:
            if event.kind == "scan":
                found.put(event.detail)

        self.subscribe(listen)
        return found

    def test(self) -> str:
        """Wait for one scan and say what was read."""
        if self.state is not DeviceState.READY:
            raise JobFailed(f"{self.name}: expected an open scanner, found {self.state}: {self.health().detail}")
        try:
            scan = self.scans().get(timeout=TEST_TIMEOUT_S)
        except queue.Empty:
            raise JobFailed(
                f"{self.name}: expected a scan within {TEST_TIMEOUT_S:.0f} s, found none; scan any barcode, and check "
                "the suffix (CR) and the speed that the scanner is set to"
            ) from None
        return f"read {scan.text!r} as {scan.kind}" + (f", {scan.problem}" if scan.problem else "")

    def decode(self, direction: Literal["out", "in"], data: bytes) -> list[str]:
        """Bytes in words, for the monitor."""
        if self.mode == "keyboard_reports":
            return [repr(KeyReportDecoder(self._layout()).feed(data))]
        if self.mode == "keyboard_events":
            return [repr(KeyEventDecoder(self._layout()).feed(data))]
        return [repr(data)[2:-1]]

    # For Device.

    def device_status(self) -> dict[str, Any]:
        return {"scan_count": self._scan_count, "noise_count": self._noise_count, "mode": self.mode}

    def on_close(self) -> None:
        for one in (self._framer, self._keys, self._hid_pos):
            if one is not None:
                one.reset()

    def on_bytes(self, data: bytes) -> None:
        self._last_bytes_ns = time.monotonic_ns()
        if self._hid_pos is not None:
            for scan in self._hid_pos.feed(data):
                self._scanned(ScanData(scan.aim.encode("latin-1", "replace") + scan.data).text)
            return
        if self._keys is not None:
            data = self._keys.feed(data).encode("utf-8")
        self._take(self._framer.feed(data))

    def poll(self) -> None:
        """End a scan by a pause; runs only if `idle_end_s` is set."""
        if self._idle_end_ns and self._framer.pending_size:
            self.drain()
            if time.monotonic_ns() - self._last_bytes_ns >= self._idle_end_ns:
                self._take(self._framer.flush())

    def _layout(self) -> str:
        return self._keys._keys.layout.name if self._keys is not None else "us"

    def _take(self, events: Iterable[ScanEvent]) -> None:
        for event in events:
            if isinstance(event, ScanData):
                self._scanned(event.text)
            else:
                self._noise_count += 1
                self.emit("noise", event)

    def _scanned(self, text: str) -> None:
        self._scan_count += 1
        year = time.localtime().tm_year
        self.emit("scan", decode(text, self.symbology, templates=self.templates, reference_year=year))


def parse_escapes(text: str) -> bytes:
    r"""Bytes of a setting such as `\r\n` or `\x02`, as written in the device file.

    >>> parse_escapes(r"\x02AB")
    b'\x02AB'
    """
    try:
        return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")
    except UnicodeError:
        raise ValueError(rf"expected text with escapes such as \r or \x02, found {text!r}") from None


SCANNER_CONFIG = {
    "mode": Key(str, "auto", choices=MODES, help="how scans arrive"),
    "prefix": Key(str, "", help=r"what the scanner sends before a scan, such as \x02"),
    "suffixes": Key(list, ["\\r", "\\n", "\\t"], help=r"what may end a scan, such as \r"),
    "idle_end_s": Key(float, 0.0, low=0, high=5, help="pause that ends a scan where there is no suffix, 0 for never"),
    "layout": Key(str, "us", choices=tuple(LAYOUTS), help="keyboard layout the wedge is set to"),
    "country": Key(str, "", choices=("", *TEMPLATES), help="country whose variable-measure codes are read"),
    "templates": Key(list, [], help="variable-measure templates such as '28IIIIKVVVVVC weight 3'"),
    "symbology": Key(str, "", help="what the scanner reads, where it sends no AIM identifier"),
}


def scanner_from_config(name: str, transport: Transport, options: Mapping[str, Any]) -> Scanner:
    """A scanner of the device file."""
    rest = dict(options)
    country = rest.pop("country")
    own = [parse_template(str(line)) for line in rest.pop("templates")]
    rest["templates"] = (*own, *TEMPLATES.get(country, ()))
    rest["prefix"] = parse_escapes(rest["prefix"])
    rest["suffixes"] = tuple(parse_escapes(str(suffix)) for suffix in rest["suffixes"])
    rest["symbology"] = rest["symbology"] or None
    return Scanner(name, transport, **rest)
