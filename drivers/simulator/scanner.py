"""A scanner that scans on command: serial text with prefix and suffix, or a keyboard wedge."""

from __future__ import annotations

import time
from typing import Literal

from ringup.drivers.protocol.keyboard import encode_hid_pos, encode_key_events, encode_key_reports
from ringup.drivers.simulator.base import Simulator


class ScannerSimulator(Simulator):
    """`scan(text)` sends one scan, framed as the scanner is set.

    Faults beside the common ones: no_suffix (the end of a scan is lost), split (one byte at a time, with a pause of
    `value` seconds).
    """

    kind = "scanner"
    fault_names = ("no_suffix", "split")

    def __init__(
        self,
        *,
        mode: Literal["serial", "keyboard_reports", "keyboard_events", "hid_pos"] = "serial",
        prefix: bytes = b"",
        suffix: bytes = b"\r\n",
        layout: str = "us",
    ) -> None:
        super().__init__()
        self.mode = mode
        self.prefix = prefix
        self.suffix = suffix
        self.layout = layout
        self.scanned: list[str] = []

    def on_bytes(self, data: bytes) -> None:
        """A scanner listens to nothing."""

    def scan(self, text: str) -> None:
        """Read a barcode."""
        with self.lock:
            self.scanned.append(text)
            self._send(self.frame(text))

    def control_scan(self, argument: str) -> str:
        self.scan(argument.replace("{GS}", "\x1d"))
        return f"scanned {argument}"

    def burst(self, texts: list[str]) -> None:
        """Read many barcodes without a pause, in one write."""
        with self.lock:
            self.scanned += texts
            self._send(b"".join(self.frame(text) for text in texts))

    def frame(self, text: str) -> bytes:
        """The bytes of one scan."""
        suffix = b"" if self.faults.take("no_suffix") else self.suffix
        if self.mode == "hid_pos":
            aim, data = (text[:3], text[3:]) if text.startswith("]") else ("]X0", text)
            return encode_hid_pos(data.encode(), aim)
        if self.mode == "serial":
            return self.prefix + text.encode() + suffix
        typed = (self.prefix + text.encode() + suffix).decode().replace("\r\n", "\r")
        return (encode_key_reports if self.mode == "keyboard_reports" else encode_key_events)(typed, self.layout)

    def _send(self, data: bytes) -> None:
        if self.faults.is_on("split"):
            pause_s = self.faults.value("split")
            self.faults.take("split")
            for index in range(len(data)):
                self.reply(data[index : index + 1])
                time.sleep(pause_s)
            return
        self.reply(data)
