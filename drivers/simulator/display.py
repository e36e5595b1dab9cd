"""A line display: `lines` is what a customer would read."""

from __future__ import annotations

from ringup.drivers.protocol.display import COLUMNS, DISPLAY_PAGES, ROWS
from ringup.drivers.simulator.base import Simulator

# ESC and US commands with the number of parameter bytes.
_ESC = {
    ord("@"): 0,
    ord("t"): 1,
    ord("R"): 1,
    ord("="): 1,
    ord("*"): 1,
    ord("f"): 1,
    ord("c"): 1,
    0x11: 0,
    0x12: 0,
    0x13: 0,
}
_US = {0x01: 0, 0x02: 0, 0x03: 0, ord("$"): 2, ord("X"): 1, ord("C"): 1, ord("E"): 1}


class DisplaySimulator(Simulator):
    """Understands ESC/POS display commands and CD5220; `lines` are its two lines."""

    kind = "display"

    def __init__(self, *, columns: int = COLUMNS) -> None:
        super().__init__()
        self.columns = columns
        self.brightness = 4
        self.unknown_commands: list[bytes] = []
        self._buffer = bytearray()
        self._codec = "cp437"
        self._shown: list[str] = []
        self._clear()

    @property
    def lines(self) -> tuple[str, ...]:
        with self.lock:
            return tuple("".join(row) for row in self._cells)

    @property
    def texts(self) -> list[str]:
        """Every text that was shown, both lines of it."""
        return list(self._shown)

    def _clear(self) -> None:
        self._cells = [[" "] * self.columns for _ in range(ROWS)]
        self._x = self._y = 0

    def on_connect(self) -> None:
        self._buffer.clear()

    def on_bytes(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer and (size := self._step()):
            del self._buffer[:size]
        shown = "\n".join(self.lines)
        if not self._shown or shown != self._shown[-1]:
            self._shown.append(shown)

    def _step(self) -> int:
        """Obey the first command or letter; returns its size, 0 while it is not whole."""
        buffer = self._buffer
        lead = buffer[0]
        if lead >= 0x20:
            self._put(bytes([lead]).decode(self._codec, "replace"))
            return 1
        if lead in (0x1B, 0x1F):
            if len(buffer) < 2:
                return 0
            if lead == 0x1B and buffer[1] == ord("Q"):
                return self._whole_line()
            table = _ESC if lead == 0x1B else _US
            if buffer[1] not in table:
                self.unknown_commands.append(bytes(buffer[:2]))
                return 2
            size = 2 + table[buffer[1]]
            if len(buffer) < size:
                return 0
            self._obey(lead, buffer[1], bytes(buffer[2:size]))
            return size
        if lead == 0x0C:
            self._clear()
        elif lead == 0x0B:
            self._x = self._y = 0
        elif lead == 0x0D:
            self._x = 0
        elif lead == 0x0A:
            self._y = (self._y + 1) % ROWS
        elif lead == 0x18:
            self._cells[self._y] = [" "] * self.columns
            self._x = 0
        else:
            self.unknown_commands.append(bytes([lead]))
        return 1

    def _whole_line(self) -> int:
        """CD5220: ESC Q A text CR."""
        end = self._buffer.find(b"\r")
        if end < 0:
            return 0 if len(self._buffer) < 3 + 2 * self.columns else 2
        row = self._buffer[2] - ord("A")
        text = bytes(self._buffer[3:end]).decode(self._codec, "replace")
        if 0 <= row < ROWS:
            self._cells[row] = list(text[: self.columns].ljust(self.columns))
        return end + 1

    def _obey(self, lead: int, command: int, args: bytes) -> None:
        if lead == 0x1B and command == ord("@"):
            self._codec = "cp437"
            self._clear()
        elif lead == 0x1B and command == ord("t"):
            self._codec = DISPLAY_PAGES.get(args[0], "cp437")
        elif (lead == 0x1F and command == ord("X")) or (lead == 0x1B and command == ord("*")):
            self.brightness = args[0]
        elif lead == 0x1F and command == ord("$"):
            self._x = min(max(args[0], 1), self.columns) - 1
            self._y = min(max(args[1], 1), ROWS) - 1

    def _put(self, character: str) -> None:
        self._cells[self._y][self._x] = character
        self._x += 1
        if self._x == self.columns:
            self._x, self._y = 0, (self._y + 1) % ROWS
