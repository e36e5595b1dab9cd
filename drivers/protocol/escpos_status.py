"""What an ESC/POS printer says: one parser for everything on the line from printer to till.

The printer's bytes tell by their fixed bits what they are (ESC/POS guide, "Identifying transmission
data"): 0xx1xx00 begins a four-byte automatic status, 0xx1xx10 answers DLE EOT, 0xx0xxxx answers GS r
or continues an automatic status, 0x37 0x22 begins a process id, 0x5F a text, 0x11 and 0x13 are
flow control.  What DLE EOT asked for cannot be told from the answer: say so with `expect`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

TEXT_SIZE_MAX = 80  # the longest text of GS I


class Paper(StrEnum):
    UNKNOWN = "unknown"
    OK = "ok"
    NEAR_END = "near_end"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class PrinterStatus:
    """The printer's condition; None where it has not said yet.

    `drawer_pin_high` is the level of drawer connector pin 3; whether high means open depends on the
    drawer's switch.
    """

    online: bool | None = None
    paper: Paper = Paper.UNKNOWN
    cover_open: bool | None = None
    cutter_error: bool = False
    fatal_error: bool = False
    recoverable_error: bool = False
    drawer_pin_high: bool | None = None

    @property
    def problem(self) -> str | None:
        """What a person must do before printing can go on; None when nothing."""
        if self.paper is Paper.OUT:
            return "paper out: put in a new roll"
        if self.cover_open:
            return "cover open: close it"
        if self.cutter_error:
            return "cutter jammed: open the cover and free the knife"
        if self.fatal_error:
            return "printer error: switch it off and on"
        if self.recoverable_error:
            return "print head too hot or off its place: wait a moment"
        if self.online is False:
            return "off-line: press the feed button or close the cover"
        return None


@dataclass(frozen=True, slots=True)
class StatusReported:
    """A status, whole after this change; `source` is asb, realtime or transmitted."""

    status: PrinterStatus
    source: Literal["asb", "realtime", "transmitted"]


@dataclass(frozen=True, slots=True)
class ProcessIdReported:
    """Everything sent before this token has been printed."""

    token: bytes


@dataclass(frozen=True, slots=True)
class BuffersCleared:
    """The answer to escpos.clear_buffers."""


@dataclass(frozen=True, slots=True)
class TextReported:
    """An answer to GS I, such as the model name."""

    text: str


@dataclass(frozen=True, slots=True)
class FlowControl:
    """XON (may_send) or XOFF."""

    may_send: bool


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes that no ESC/POS printer says here: wrong speed, wrong device, or a lost byte before."""

    data: bytes


Event = StatusReported | ProcessIdReported | BuffersCleared | TextReported | FlowControl | Garbage
Expected = Literal[1, 2, 3, 4, "paper", "drawer"]


def parse_realtime(number: Literal[1, 2, 3, 4], byte: int, before: PrinterStatus | None = None) -> PrinterStatus:
    """The status after the answer `byte` to DLE EOT `number`.

    Raises ValueError if the fixed bits (xx0x xx10 with bit 4 set) are wrong.
    `parse_realtime(4, 0x72).paper` -> `Paper.OUT`.
    """
    if byte & 0x93 != 0x12:
        raise ValueError(f"status byte: expected the form 0xx1xx10, found {byte:#04x}")
    status = before or PrinterStatus()
    if number == 1:
        return replace(status, online=not byte & 0x08, drawer_pin_high=bool(byte & 0x04))
    if number == 2:
        paper = Paper.OUT if byte & 0x20 else status.paper
        return replace(status, cover_open=bool(byte & 0x04), paper=paper)
    if number == 3:
        return replace(
            status,
            cutter_error=bool(byte & 0x08),
            fatal_error=bool(byte & 0x20),
            recoverable_error=bool(byte & 0x40),
        )
    paper = Paper.OUT if byte & 0x60 else Paper.NEAR_END if byte & 0x0C else Paper.OK
    return replace(status, paper=paper)


def parse_asb(four: bytes) -> PrinterStatus:
    """The status in four bytes of automatic status back (GS a).

    Raises ValueError if they are not four or their fixed bits are wrong.
    `parse_asb(b"\\x10\\x00\\x0c\\x00").paper` -> `Paper.OUT`.
    """
    if len(four) != 4 or four[0] & 0x93 != 0x10 or any(byte & 0x90 for byte in four[1:]):
        raise ValueError(f"automatic status: expected 0xx1xx00 and three of 0xx0xxxx, found {four.hex(' ')}")
    first, second, third = four[0], four[1], four[2]
    return PrinterStatus(
        online=not first & 0x08,
        paper=Paper.OUT if third & 0x0C else Paper.NEAR_END if third & 0x03 else Paper.OK,
        cover_open=bool(first & 0x20),
        cutter_error=bool(second & 0x08),
        fatal_error=bool(second & 0x20),
        recoverable_error=bool(second & 0x40),
        drawer_pin_high=bool(first & 0x04),
    )


def parse_transmitted(
    what: Literal["paper", "drawer"], byte: int, before: PrinterStatus | None = None
) -> PrinterStatus:
    """The status after the answer `byte` to GS r.  `parse_transmitted("paper", 0x03).paper` -> `Paper.NEAR_END`."""
    if byte & 0x90:
        raise ValueError(f"status byte: expected the form 0xx0xxxx, found {byte:#04x}")
    status = before or PrinterStatus()
    if what == "drawer":
        return replace(status, drawer_pin_high=bool(byte & 0x01))
    return replace(status, paper=Paper.OUT if byte & 0x0C else Paper.NEAR_END if byte & 0x03 else Paper.OK)


class StatusParser:
    """`feed(bytes) -> events`, over any chunking.  `status` is the printer's condition as last said."""

    def __init__(self) -> None:
        self.status = PrinterStatus()
        self._realtime: deque[Literal[1, 2, 3, 4]] = deque(maxlen=64)
        self._transmitted: deque[Literal["paper", "drawer"]] = deque(maxlen=64)
        self._frame = bytearray()  # an ASB, process id or text that is not whole yet

    def expect(self, what: Expected) -> None:
        """Say what was asked: the number of a DLE EOT, or "paper" or "drawer" of a GS r."""
        if isinstance(what, int):
            self._realtime.append(what)
        else:
            self._transmitted.append(what)

    def reset(self) -> None:
        """A new link: nothing asked, nothing half-received, nothing known."""
        self.status = PrinterStatus()
        self._realtime.clear()
        self._transmitted.clear()
        self._frame.clear()

    def feed(self, data: bytes) -> list[Event]:
        """The events that are whole after `data`."""
        events: list[Event] = []
        for byte in data:
            self._take(byte, events)
        return events

    def _take(self, byte: int, events: list[Event]) -> None:
        frame = self._frame
        if frame:
            if frame[0] & 0x93 == 0x10:
                if self._take_in_asb(byte, events):
                    return
            elif self._take_in_block(byte, events):
                return
        if byte in (0x37, 0x5F) or byte & 0x93 == 0x10:
            frame.append(byte)
        elif byte in (0x11, 0x13):
            events.append(FlowControl(byte == 0x11))
        elif byte & 0x93 == 0x12:
            if not self._realtime:
                events.append(Garbage(bytes([byte])))
                return
            self.status = parse_realtime(self._realtime.popleft(), byte, self.status)
            events.append(StatusReported(self.status, "realtime"))
        elif byte & 0x90 == 0 and self._transmitted:
            self.status = parse_transmitted(self._transmitted.popleft(), byte, self.status)
            events.append(StatusReported(self.status, "transmitted"))
        else:
            events.append(Garbage(bytes([byte])))

    def _take_in_asb(self, byte: int, events: list[Event]) -> bool:
        """Continue a four-byte status; False if the byte begins something else."""
        frame = self._frame
        if byte & 0x93 == 0x12 or byte in (0x11, 0x13):
            # Real-time answers and flow control may come between the four bytes: they are not part of it.
            kept = bytes(frame)
            frame.clear()
            self._take(byte, events)
            frame += kept
            return True
        if byte & 0x90:
            events.append(Garbage(bytes(frame)))
            frame.clear()
            return False
        frame.append(byte)
        if len(frame) == 4:
            self.status = parse_asb(bytes(frame))
            events.append(StatusReported(self.status, "asb"))
            frame.clear()
        return True

    def _take_in_block(self, byte: int, events: list[Event]) -> bool:
        """Continue a process id (7" d1-d4 NUL) or a text (_... NUL)."""
        frame = self._frame
        is_process_id = frame[0] == 0x37
        if (is_process_id and len(frame) == 1 and byte not in (0x22, 0x25)) or byte >= 0x80 or 0 < byte < 0x20:
            events.append(Garbage(bytes(frame)))
            frame.clear()
            return False
        if byte != 0:
            frame.append(byte)
            if len(frame) > (6 if is_process_id else TEXT_SIZE_MAX):
                events.append(Garbage(bytes(frame)))
                frame.clear()
            return True
        whole = bytes(frame)
        frame.clear()
        if not is_process_id:
            events.append(TextReported(whole[1:].decode("ascii")))
        elif whole == b"\x37\x25":
            events.append(BuffersCleared())
        elif len(whole) == 6 and whole[1] == 0x22:
            events.append(ProcessIdReported(whole[2:]))
        else:
            events.append(Garbage(whole + b"\0"))
        return True
