"""A receipt printer that prints to a picture: what the till sent is what you see.

It keeps paper, cover and drawer, answers status like an Epson printer, and stops in mid-receipt when
the paper runs out, keeping the rest in its buffer as the real one does.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ringup.drivers.protocol.escpos_decode import Command, CommandParser
from ringup.drivers.simulator.base import Simulator
from ringup.drivers.simulator.paper import Paper as PaperRoll

if TYPE_CHECKING:
    from PIL.Image import Image

# Commands a printer answers or obeys while it is off-line.
_REAL_TIME = frozenset({"request_status", "recover", "drawer_now", "clear_buffers", "power_off"})


class PrinterSimulator(Simulator):
    """`receipts` holds what was printed up to each cut, `pulses` each drawer pulse (pin, on_ms, off_ms).

    Controls: `set_paper("ok" | "near_end" | "out")`, `set_cover(open)`, `close_drawer()`,
    `paper_lines_left = N` (the paper runs out after N lines).  `png()` is the picture of everything
    on the current piece of paper and the pieces cut before.
    """

    kind = "printer"
    fault_names = ("paper_out", "cover_open", "no_drawer")

    def __init__(self, *, columns: int = 48, width_dots: int = 576, model: str = "RingUp Simulator") -> None:
        super().__init__()
        self.columns = columns
        self.width_dots = width_dots
        self.model = model
        self.paper = "ok"
        self.cover_open = False
        self.drawer_open = False
        self.paper_lines_left: int | None = None
        self.pulses: list[tuple[int, int, int]] = []
        self.receipts: list[PaperRoll] = []
        self.unknown_commands: list[bytes] = []
        self.roll = PaperRoll(width_dots, columns)
        self._parser = CommandParser()
        self._waiting: deque[Command] = deque()  # the receive buffer while off-line
        self._status_back = 0

    # Controls, from any thread.

    def set_paper(self, paper: str) -> None:
        """Paper "ok", "near_end" or "out"; tells the till if it asked to be told."""
        if paper not in ("ok", "near_end", "out"):
            raise ValueError(f"paper: expected ok, near_end or out, found {paper!r}")
        with self.lock:
            if paper == "ok":
                self.paper_lines_left = None
            self.paper = paper
            self._changed(0x08)
            self._work_off()

    def set_cover(self, is_open: bool) -> None:
        """Open or close the cover."""
        with self.lock:
            self.cover_open = is_open
            self._changed(0x02)
            self._work_off()

    def close_drawer(self) -> None:
        """Push the drawer shut."""
        with self.lock:
            self.drawer_open = False
            self._changed(0x01)

    def control_paper(self, argument: str) -> str:
        self.set_paper(argument)
        return f"paper {argument}"

    def control_cover(self, argument: str) -> str:
        if argument not in ("open", "closed"):
            raise ValueError(f"cover: expected open or closed, found {argument!r}")
        self.set_cover(argument == "open")
        return f"cover {argument}"

    def control_drawer(self, argument: str) -> str:
        if argument != "closed":
            raise ValueError(f"drawer: expected closed (the till opens it), found {argument!r}")
        self.close_drawer()
        return "drawer closed"

    def png(self) -> bytes:
        """Everything printed so far, pieces below each other, as PNG."""
        from io import BytesIO

        out = BytesIO()
        self.image().save(out, "PNG")
        return out.getvalue()

    def image(self) -> Image:
        """Everything printed so far as a Pillow image."""
        from PIL import Image

        with self.lock:
            pictures = [roll.image() for roll in (*self.receipts, self.roll) if not roll.is_blank]
        height = sum(picture.height + 12 for picture in pictures) or 24
        whole = Image.new("L", (self.width_dots + 32, height), 200)
        top = 0
        for picture in pictures:
            whole.paste(picture, (16, top + 6))
            top += picture.height + 12
        return whole

    @property
    def texts(self) -> list[str]:
        """The text of each cut receipt, line by line."""
        return [roll.text for roll in self.receipts]

    # The device.

    @property
    def is_offline(self) -> bool:
        return (
            self.cover_open or self.paper == "out" or self.faults.is_on("paper_out") or self.faults.is_on("cover_open")
        )

    def on_connect(self) -> None:
        # A new connection meets the same printer: what is in its buffer stays there.
        self._parser.reset()
        self._status_back = 0

    def on_bytes(self, data: bytes) -> None:
        for command in self._parser.feed(data):
            if command.name in _REAL_TIME:
                self._real_time(command)
            else:
                self._waiting.append(command)
                self._work_off()

    def _work_off(self) -> None:
        while self._waiting and not self.is_offline:
            self._run(self._waiting.popleft())

    def _real_time(self, command: Command) -> None:
        if command.name == "request_status":
            self.reply(bytes([self._realtime_byte(command.args[0])]))
        elif command.name == "drawer_now":
            self._pulse(command.args[0], command.args[1] * 100, command.args[1] * 100)
        elif command.name == "clear_buffers":
            self._waiting.clear()
            self.roll.reset()
            self.reply(b"\x37\x25\x00")
        elif command.name == "recover" and command.args[0] == 2:
            self._waiting.clear()

    def _realtime_byte(self, number: int) -> int:
        paper_out = self.paper == "out" or self.faults.is_on("paper_out")
        cover = self.cover_open or self.faults.is_on("cover_open")
        byte = 0x12
        if number == 1:
            byte |= 0x08 * self.is_offline | 0x04 * self.drawer_open
        elif number == 2:
            byte |= 0x04 * cover | 0x20 * paper_out
        elif number == 4:
            byte |= (0x60 if paper_out else 0) | (0x0C if paper_out or self.paper == "near_end" else 0)
        return byte

    def _asb(self) -> bytes:
        paper_out = self.paper == "out" or self.faults.is_on("paper_out")
        cover = self.cover_open or self.faults.is_on("cover_open")
        first = 0x10 | 0x08 * self.is_offline | 0x04 * self.drawer_open | 0x20 * cover
        third = (0x0C if paper_out else 0) | (0x03 if paper_out or self.paper == "near_end" else 0)
        return bytes([first, 0, third, 0])

    def _changed(self, mask: int) -> None:
        if self._status_back & (mask | 0x02):
            self.reply(self._asb())

    def _pulse(self, pin_number: int, on_ms: int, off_ms: int) -> None:
        self.pulses.append((2 if pin_number % 48 == 0 else 5, on_ms, off_ms))
        if not self.faults.take("no_drawer"):
            self.drawer_open = True
            self._changed(0x01)

    def _run(self, command: Command) -> None:
        name, args = command.name, command.args
        if name == "status_back":
            self._status_back = args[0]
            if args[0]:
                self.reply(self._asb())
        elif name == "transmit_status":
            what = args[0] % 48
            paper = 0x0C if self.paper == "out" else 0x03 if self.paper == "near_end" else 0
            self.reply(bytes([paper if what == 1 else int(self.drawer_open)]))
        elif name == "gs_block" and args[0] == 0x48 and command.data[:2] == b"00":
            self.reply(b"\x37\x22" + command.data[2:6] + b"\x00")
        elif name == "identify":
            if args[0] in (65, 66, 67, 68):
                self.reply(b"_" + self.model.encode("ascii", "replace") + b"\x00")
            else:
                self.reply(b"\x02")
        elif name == "drawer":
            self._pulse(args[0], args[1] * 2, args[2] * 2)
        elif name in ("cut", "cut_full", "cut_partial"):
            self.roll.end_line_if_begun()
            self.receipts.append(self.roll)
            self.roll = PaperRoll(self.width_dots, self.columns)
        elif name == "unknown":
            self.unknown_commands.append(command.data)
        else:
            lines = self.roll.run(command)
            self._use_paper(lines)

    def _use_paper(self, lines: int) -> None:
        if self.paper_lines_left is not None and lines:
            self.paper_lines_left -= lines
            if self.paper_lines_left <= 0:
                self.paper_lines_left = None
                self.paper = "out"
                self._changed(0x08)
