"""ESC/POS read back: bytes to commands, for the simulator and the monitor.

`CommandParser().feed(b"Tea\\x1bE\\x01")` -> `[Command("text", (), b"Tea"), Command("bold", (1,), b"")]`.
"""

from __future__ import annotations

from dataclasses import dataclass

PICTURE_SIZE_MAX = 4 << 20  # a larger picture is a corrupt length, not a picture
BLOCK_SIZE_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its name, its parameter bytes as numbers, and its data.

    `text` carries printable bytes, `unknown` bytes that are no command known here.
    """

    name: str
    args: tuple[int, ...] = ()
    data: bytes = b""


# Second byte -> (name, number of parameter bytes).
_ESC: dict[int, tuple[str, int]] = {
    0x40: ("initialise", 0), 0x74: ("code_page", 1), 0x52: ("international", 1), 0x4D: ("font", 1),
    0x45: ("bold", 1), 0x47: ("double_strike", 1), 0x2D: ("underline", 1), 0x21: ("print_mode", 1),
    0x61: ("align", 1), 0x64: ("feed", 1), 0x4A: ("feed_dots", 1), 0x33: ("line_spacing", 1),
    0x32: ("default_line_spacing", 0), 0x20: ("right_spacing", 1), 0x70: ("drawer", 3), 0x7B: ("upside_down", 1),
    0x56: ("rotate", 1), 0x3D: ("select_device", 1), 0x24: ("absolute_position", 2), 0x5C: ("relative_position", 2),
    0x63: ("panel", 2), 0x69: ("cut_full", 0), 0x6D: ("cut_partial", 0), 0x53: ("standard_mode", 0),
    0x4C: ("page_mode", 0), 0x57: ("page_area", 8), 0x54: ("page_direction", 1), 0x72: ("color", 1),
    0x75: ("old_drawer_status", 1), 0x76: ("old_paper_status", 0), 0x65: ("reverse_feed", 1), 0x4B: ("reverse_dots", 1),
    0x25: ("user_characters", 1), 0x3F: ("cancel_character", 1), 0x0C: ("print_page", 0),
}  # fmt: skip
_GS: dict[int, tuple[str, int]] = {
    0x21: ("size", 1), 0x42: ("reverse", 1), 0x48: ("hri", 1), 0x66: ("hri_font", 1), 0x68: ("barcode_height", 1),
    0x77: ("barcode_width", 1), 0x61: ("status_back", 1), 0x72: ("transmit_status", 1), 0x49: ("identify", 1),
    0x4C: ("left_margin", 2), 0x57: ("area_width", 2), 0x50: ("motion_units", 2), 0x62: ("smoothing", 1),
    0x24: ("page_position", 2), 0x5C: ("page_relative", 2), 0x54: ("line_start", 1), 0x2F: ("print_stored", 1),
    0x3A: ("macro", 0), 0x5E: ("run_macro", 3), 0x6A: ("ink_status_back", 1), 0x45: ("head_control", 1),
    0x63: ("print_counter", 0),
}  # fmt: skip
_FS: dict[int, tuple[str, int]] = {
    0x26: ("kanji_on", 0), 0x2E: ("kanji_off", 0), 0x21: ("kanji_mode", 1), 0x43: ("kanji_code", 1),
    0x2D: ("kanji_underline", 1), 0x53: ("kanji_spacing", 2), 0x57: ("kanji_quadruple", 1), 0x70: ("print_logo", 2),
}  # fmt: skip
_CONTROLS = {0x0A: "line_feed", 0x0D: "carriage_return", 0x09: "tab", 0x0C: "form_feed", 0x18: "cancel"}


class CommandParser:
    """`feed(bytes) -> commands`, over any chunking; never raises, whatever the bytes are."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def reset(self) -> None:
        """Forget a half-received command."""
        self._buffer.clear()

    def feed(self, data: bytes) -> list[Command]:
        """The commands that are whole after `data`; text is reported as far as it has come."""
        buffer = self._buffer
        buffer += data
        commands: list[Command] = []
        at = 0
        while at < len(buffer):
            if buffer[at] >= 0x20:
                end = at
                while end < len(buffer) and buffer[end] >= 0x20:
                    end += 1
                commands.append(Command("text", (), bytes(buffer[at:end])))
                at = end
                continue
            found = self._command(at)
            if found is None:
                break  # wait for the rest
            command, size = found
            commands.append(command)
            at += size
        del buffer[:at]
        return commands

    def _command(self, at: int) -> tuple[Command, int] | None:
        """The command at `at` and its size; None while it is not whole."""
        buffer = self._buffer
        lead = buffer[at]
        if lead in _CONTROLS:
            return Command(_CONTROLS[lead]), 1
        if lead not in (0x10, 0x1B, 0x1C, 0x1D):
            return Command("unknown", (), bytes([lead])), 1
        if len(buffer) < at + 2:
            return None
        second = buffer[at + 1]
        if lead == 0x10:
            return self._real_time(at, second)
        if lead == 0x1D and (found := self._gs_block(at, second)) is not _NO_BLOCK:
            return found
        if lead == 0x1B and second == 0x2A:
            return self._bit_image(at)
        if lead == 0x1B and second == 0x44:
            end = buffer.find(0, at + 2, at + 2 + 33)
            if end >= 0:
                return Command("tabs", (), bytes(buffer[at + 2 : end])), end + 1 - at
            return None if len(buffer) < at + 35 else self._unknown(at, 2)
        if lead == 0x1C and second == 0x28:
            return self._block(at, "fs")
        table = {0x1B: _ESC, 0x1C: _FS, 0x1D: _GS}[lead]
        if second not in table:
            return self._unknown(at, 2)
        name, size = table[second]
        return self._fixed(at, name, 2, size)

    def _unknown(self, at: int, size: int) -> tuple[Command, int]:
        return Command("unknown", (), bytes(self._buffer[at : at + size])), size

    def _fixed(self, at: int, name: str, head: int, size: int) -> tuple[Command, int] | None:
        if len(self._buffer) < at + head + size:
            return None
        return Command(name, tuple(self._buffer[at + head : at + head + size])), head + size

    def _real_time(self, at: int, second: int) -> tuple[Command, int] | None:
        if second == 0x04:
            return self._fixed(at, "request_status", 2, 1)
        if second == 0x05:
            return self._fixed(at, "recover", 2, 1)
        if second == 0x14:
            if len(self._buffer) < at + 3:
                return None
            sizes = {1: ("drawer_now", 2), 2: ("power_off", 2), 8: ("clear_buffers", 7)}
            name, size = sizes.get(self._buffer[at + 2], ("unknown", 0))
            return self._fixed(at, name, 3, size) if size else self._unknown(at, 3)
        return self._unknown(at, 2)

    def _gs_block(self, at: int, second: int) -> tuple[Command, int] | None:
        """GS commands whose length is in them; _NO_BLOCK if this is none."""
        buffer = self._buffer
        if second == 0x28:
            return self._block(at, "gs")
        if second == 0x38:  # GS 8 L: as GS ( L with a length of four bytes
            if len(buffer) < at + 7:
                return None
            return self._picture(
                at, "gs_block", (buffer[at + 2],), 7, int.from_bytes(buffer[at + 3 : at + 7], "little")
            )
        if second == 0x56:
            if len(buffer) < at + 3:
                return None
            return self._fixed(at, "cut", 2, 2 if buffer[at + 2] in (65, 66, 97, 98, 103, 104) else 1)
        if second == 0x6B:
            return self._barcode(at)
        if second == 0x76:
            if len(buffer) < at + 8:
                return None
            width = int.from_bytes(buffer[at + 4 : at + 6], "little")
            height = int.from_bytes(buffer[at + 6 : at + 8], "little")
            return self._picture(at, "raster", (buffer[at + 3], width, height), 8, width * height)
        if second == 0x2A:
            if len(buffer) < at + 4:
                return None
            x, y = buffer[at + 2], buffer[at + 3]
            return self._picture(at, "define_image", (x, y), 4, x * y * 8)
        return _NO_BLOCK

    def _picture(self, at: int, name: str, args: tuple[int, ...], head: int, size: int) -> tuple[Command, int] | None:
        if size > PICTURE_SIZE_MAX:
            return self._unknown(at, head)
        if len(self._buffer) < at + head + size:
            return None
        return Command(name, args, bytes(self._buffer[at + head : at + head + size])), head + size

    def _bit_image(self, at: int) -> tuple[Command, int] | None:
        if len(self._buffer) < at + 5:
            return None
        mode = self._buffer[at + 2]
        width = int.from_bytes(self._buffer[at + 3 : at + 5], "little")
        return self._picture(at, "bit_image", (mode, width), 5, width * (3 if mode in (32, 33) else 1))

    def _block(self, at: int, prefix: str) -> tuple[Command, int] | None:
        """GS ( x pL pH ...: `args` is (x,)."""
        buffer = self._buffer
        if len(buffer) < at + 5:
            return None
        size = int.from_bytes(buffer[at + 3 : at + 5], "little")
        if len(buffer) < at + 5 + size:
            return None
        return Command(f"{prefix}_block", (buffer[at + 2],), bytes(buffer[at + 5 : at + 5 + size])), 5 + size

    def _barcode(self, at: int) -> tuple[Command, int] | None:
        buffer = self._buffer
        if len(buffer) < at + 4:
            return None
        number = buffer[at + 2]
        if number >= 65:
            size = buffer[at + 3]
            if len(buffer) < at + 4 + size:
                return None
            return Command("barcode", (number,), bytes(buffer[at + 4 : at + 4 + size])), 4 + size
        end = buffer.find(0, at + 3, at + 3 + 256)
        if end >= 0:
            return Command("barcode", (number,), bytes(buffer[at + 3 : end])), end + 1 - at
        return None if len(buffer) < at + 259 else self._unknown(at, 3)


_NO_BLOCK: tuple[Command, int] = (Command("none"), 0)


def describe(command: Command) -> str:
    """A command in words, for the monitor.  `describe(Command("feed", (3,)))` -> `"feed 3"`."""
    if command.name == "text":
        return repr(command.data.decode("latin-1"))
    words = [command.name, *map(str, command.args)]
    if command.data:
        words.append(command.data.hex(" ") if len(command.data) <= 16 else f"{len(command.data)} bytes")
    return " ".join(words)
