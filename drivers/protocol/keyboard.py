"""Keyboard-wedge scanners: HID keyboard reports, Linux input events and HID point-of-sale reports into text.

Sources: USB HID 1.11 appendix B (boot keyboard report), HID Usage Tables 1.4 section 10 (keyboard) and 1A (bar code
scanner page 8C), linux/input-event-codes.h. A wedge sends keys, not characters: which character a key means is the
layout that the scanner was set to, and it must be the same here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from ringup.drivers.protocol.errors import ParseError

CTRL, SHIFT, ALT, GUI, ALTGR = 1, 2, 4, 8, 0x40
_LEFT_AND_RIGHT = {CTRL: 0x11, SHIFT: 0x22, GUI: 0x88}
_LETTERS = {0x04 + index: chr(ord("a") + index) for index in range(26)}
_EDITING = {0x28: "\r", 0x29: "\x1b", 0x2A: "\b", 0x2B: "\t", 0x2C: " ", 0x58: "\r"}
_KEYPAD = {0x59 + index: digit for index, digit in enumerate("1234567890")}
_KEYPAD_SIGNS = {0x54: "/", 0x55: "*", 0x56: "-", 0x57: "+", 0x63: "."}


@dataclass(frozen=True, slots=True)
class Layout:
    """Characters of a keyboard layout by HID usage: plain, with Shift, and with AltGr."""

    name: str
    plain: dict[int, str]
    shift: dict[int, str]
    altgr: dict[int, str] = field(default_factory=dict)


def _layout(
    name: str, digits: str, shifted: str, signs: dict[int, str], altgr: dict[int, str] | None = None, swap: str = ""
) -> Layout:
    letters = dict(_LETTERS)
    for i in range(0, len(swap), 2):
        one, other = swap[i], swap[i + 1]
        at_one, at_other = 0x04 + ord(one) - 97, 0x04 + ord(other) - 97
        letters[at_one], letters[at_other] = other, one
    plain = letters | {0x1E + index: digit for index, digit in enumerate(digits)}
    shift = {usage: letter.upper() for usage, letter in letters.items()}
    shift |= {0x1E + index: sign for index, sign in enumerate(shifted)}
    plain |= {usage: pair[0] for usage, pair in signs.items()}
    shift |= {usage: pair[1] for usage, pair in signs.items()}
    common = _EDITING | _KEYPAD_SIGNS
    return Layout(name, plain | common, shift | common, altgr or {})


# fmt: off
LAYOUTS: dict[str, Layout] = {
    "us": _layout(
        "us", "1234567890", "!@#$%^&*()",
        {0x2D: "-_", 0x2E: "=+", 0x2F: "[{", 0x30: "]}", 0x31: "\\|", 0x32: "\\|", 0x33: ";:", 0x34: "'\"",
         0x35: "`~", 0x36: ",<", 0x37: ".>", 0x38: "/?", 0x64: "\\|"},
    ),
    "uk": _layout(
        "uk", "1234567890", "!\"£$%^&*()",
        {0x2D: "-_", 0x2E: "=+", 0x2F: "[{", 0x30: "]}", 0x31: "#~", 0x32: "#~", 0x33: ";:", 0x34: "'@",
         0x35: "`¬", 0x36: ",<", 0x37: ".>", 0x38: "/?", 0x64: "\\|"},
        {0x21: "€"},
    ),
    "de": _layout(
        "de", "1234567890", "!\"§$%&/()=",
        {0x2D: "ß?", 0x2E: "´`", 0x2F: "üÜ", 0x30: "+*", 0x31: "#'", 0x32: "#'", 0x33: "öÖ", 0x34: "äÄ",
         0x35: "^°", 0x36: ",;", 0x37: ".:", 0x38: "-_", 0x64: "<>"},
        {0x1F: "²", 0x20: "³", 0x24: "{", 0x25: "[", 0x26: "]", 0x27: "}", 0x2D: "\\", 0x14: "@", 0x08: "€",
         0x30: "~", 0x64: "|", 0x10: "µ"},
        swap="yz",
    ),
    "fr": _layout(
        "fr", "&é\"'(-è_çà", "1234567890",
        {0x2D: ")°", 0x2E: "=+", 0x2F: "^¨", 0x30: "$£", 0x31: "*µ", 0x32: "*µ", 0x33: "mM", 0x34: "ù%",
         0x35: "²~", 0x10: ",?", 0x36: ";.", 0x37: ":/", 0x38: "!§", 0x64: "<>"},
        {0x1F: "~", 0x20: "#", 0x21: "{", 0x22: "[", 0x23: "|", 0x24: "`", 0x25: "\\", 0x26: "^", 0x27: "@",
         0x2D: "]", 0x2E: "}", 0x08: "€", 0x30: "¤"},
        swap="aqwz",
    ),
}
# linux/input-event-codes.h -> HID usage.
EVDEV_USAGES: dict[int, int] = {
    1: 0x29, 2: 0x1E, 3: 0x1F, 4: 0x20, 5: 0x21, 6: 0x22, 7: 0x23, 8: 0x24, 9: 0x25, 10: 0x26, 11: 0x27, 12: 0x2D,
    13: 0x2E, 14: 0x2A, 15: 0x2B, 16: 0x14, 17: 0x1A, 18: 0x08, 19: 0x15, 20: 0x17, 21: 0x1C, 22: 0x18, 23: 0x0C,
    24: 0x12, 25: 0x13, 26: 0x2F, 27: 0x30, 28: 0x28, 29: 0xE0, 30: 0x04, 31: 0x16, 32: 0x07, 33: 0x09, 34: 0x0A,
    35: 0x0B, 36: 0x0D, 37: 0x0E, 38: 0x0F, 39: 0x33, 40: 0x34, 41: 0x35, 42: 0xE1, 43: 0x31, 44: 0x1D, 45: 0x1B,
    46: 0x06, 47: 0x19, 48: 0x05, 49: 0x11, 50: 0x10, 51: 0x36, 52: 0x37, 53: 0x38, 54: 0xE5, 55: 0x55, 56: 0xE2,
    57: 0x2C, 58: 0x39, 71: 0x5F, 72: 0x60, 73: 0x61, 74: 0x56, 75: 0x5C, 76: 0x5D, 77: 0x5E, 78: 0x57, 79: 0x59,
    80: 0x5A, 81: 0x5B, 82: 0x62, 83: 0x63, 86: 0x64, 96: 0x58, 97: 0xE4, 98: 0x54, 100: 0xE6, 125: 0xE3, 126: 0xE7,
}
# fmt: on
_USAGES_EVDEV = {usage: code for code, usage in EVDEV_USAGES.items()}
EV_KEY = 1
_INPUT_EVENT = struct.Struct("llHHi")  # struct input_event with two native longs of time
REPORT_SIZE = 8


class KeyDecoder:
    """Turns pressed keys into text; shared by the report and the event decoder.

    Ctrl with a letter or sign gives the control character (Ctrl+] is GS). Digits on the keypad while Alt is held
    give the character of that number when Alt is let go, which is how wedges send what no key has.
    """

    def __init__(self, layout: str = "us") -> None:
        if layout not in LAYOUTS:
            raise ParseError(f"expected a keyboard layout of {', '.join(LAYOUTS)}, found {layout!r}")
        self.layout = LAYOUTS[layout]
        self._alt_number = ""

    def press(self, usage: int, modifiers: int) -> str:
        """Return the characters of one key going down."""
        if modifiers & ALT and usage in _KEYPAD and not modifiers & ALTGR:
            self._alt_number = (self._alt_number + _KEYPAD[usage])[:7]
            return ""
        if modifiers & ALTGR or (modifiers & ALT and modifiers & 0x11):
            return self.layout.altgr.get(usage, "")
        if usage in _KEYPAD:
            return _KEYPAD[usage]
        table = self.layout.shift if modifiers & _LEFT_AND_RIGHT[SHIFT] else self.layout.plain
        character = table.get(usage, "")
        if modifiers & _LEFT_AND_RIGHT[CTRL] and character:
            code = ord(self.layout.plain.get(usage) or "\0")
            code -= 0x20 if 0x61 <= code <= 0x7A else 0
            return chr(code & 0x1F) if 0x40 <= code <= 0x5F else ""
        if modifiers & _LEFT_AND_RIGHT[GUI] or modifiers & ALT:
            return ""
        return character

    def release_alt(self) -> str:
        """Return the character that was typed as a number while Alt was held, if one was."""
        number, self._alt_number = self._alt_number, ""
        if not number or int(number) > 0x10FFFF or 0xD800 <= int(number) <= 0xDFFF:
            return ""
        value = int(number)
        # Alt+233 means code page 437, Alt+0233 means Windows-1252; wedges use the second, or below 128 either.
        if 128 <= value <= 255:
            return bytes([value]).decode("cp1252" if number.startswith("0") else "cp437", errors="ignore")
        return chr(value) if value else ""

    def reset(self) -> None:
        """Forget a number that has begun."""
        self._alt_number = ""


class KeyReportDecoder:
    """8-byte boot keyboard reports (from hidraw) into text.

    >>> decoder = KeyReportDecoder("us")
    >>> decoder.feed(bytes([0, 0, 0x1E, 0, 0, 0, 0, 0]) + bytes(8) + bytes([0, 0, 0x28, 0, 0, 0, 0, 0]))
    '1\\r'
    """

    def __init__(self, layout: str = "us") -> None:
        self._keys = KeyDecoder(layout)
        self._down: tuple[int, ...] = ()
        self._modifiers = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> str:
        """Take reports in any chunking; return the characters typed."""
        self._buffer += data
        text = ""
        while len(self._buffer) >= REPORT_SIZE:
            report = bytes(self._buffer[:REPORT_SIZE])
            del self._buffer[:REPORT_SIZE]
            text += self._report(report)
        return text

    def reset(self) -> None:
        """Forget keys held down: the link was lost."""
        self._buffer.clear()
        self._down, self._modifiers = (), 0
        self._keys.reset()

    def _report(self, report: bytes) -> str:
        modifiers, down = report[0], tuple(usage for usage in report[2:] if usage)
        if 1 in down:  # ErrorRollOver: too many keys at once, the report says nothing
            return ""
        text = ""
        if self._modifiers & ALT and not modifiers & ALT:
            text = self._keys.release_alt()
        text += "".join(self._keys.press(usage, modifiers) for usage in down if usage not in self._down)
        self._down, self._modifiers = down, modifiers
        return text


class KeyEventDecoder:
    """Linux input events (from /dev/input/event*) into text; repeats that the kernel makes are ignored."""

    def __init__(self, layout: str = "us") -> None:
        self._keys = KeyDecoder(layout)
        self._modifiers = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> str:
        """Take events in any chunking; return the characters typed."""
        self._buffer += data
        text = ""
        while len(self._buffer) >= _INPUT_EVENT.size:
            _, _, kind, code, value = _INPUT_EVENT.unpack_from(self._buffer)
            del self._buffer[: _INPUT_EVENT.size]
            if kind == EV_KEY and code in EVDEV_USAGES:
                text += self._key(EVDEV_USAGES[code], value)
        return text

    def reset(self) -> None:
        """Forget keys held down: the link was lost."""
        self._buffer.clear()
        self._modifiers = 0
        self._keys.reset()

    def _key(self, usage: int, value: int) -> str:
        if usage >= 0xE0:
            bit = 1 << (usage - 0xE0)
            if value:
                self._modifiers |= bit
                return ""
            self._modifiers &= ~bit
            return self._keys.release_alt() if bit == ALT else ""
        return self._keys.press(usage, self._modifiers) if value == 1 else ""


def encode_keys(text: str, layout: str = "us") -> list[tuple[int, int]]:
    """Return the (modifiers, usage) presses that type `text`, as a wedge sends them.

    Raises ParseError naming the first character that no key and no Alt number of the layout gives.
    """
    if layout not in LAYOUTS:
        raise ParseError(f"expected a keyboard layout of {', '.join(LAYOUTS)}, found {layout!r}")
    table = LAYOUTS[layout]
    keypad = {digit: usage for usage, digit in _KEYPAD.items()}
    keys: dict[str, tuple[int, int]] = {digit: (0, usage) for digit, usage in keypad.items()}
    for modifiers, usages in ((ALTGR, table.altgr), (SHIFT, table.shift), (0, table.plain)):
        # The main block's keys, and of twins the one that every keyboard has.
        keys.update({c: (modifiers, usage) for usage, c in usages.items() if usage != 0x32 and usage < 0x54})
    keys.update({c: (m, 0x64) for m, part in ((SHIFT, table.shift), (0, table.plain)) if (c := part[0x64]) not in keys})
    if 0x64 in table.altgr:
        keys.setdefault(table.altgr[0x64], (ALTGR, 0x64))
    presses: list[tuple[int, int]] = []
    for character in text:
        code = ord(character)
        if character in keys:
            presses.append(keys[character])
        elif 0 < code < 32 or 127 <= code < 256:
            number = code if code < 128 else character.encode("cp1252", errors="replace")[0]
            presses.extend((ALT, keypad[digit]) for digit in f"{number:04d}")
            presses.append((0, 0))
        else:
            raise ParseError(f"expected characters of the {layout} keyboard, found {character!r}; use another layout")
    return presses


def encode_key_reports(text: str, layout: str = "us") -> bytes:
    """Return boot keyboard reports that type `text`: each key goes down and up again."""
    reports = bytearray()
    for modifiers, usage in encode_keys(text, layout):
        reports += bytes([modifiers, 0, usage, 0, 0, 0, 0, 0])
        reports += bytes([modifiers & ALT, 0, 0, 0, 0, 0, 0, 0])
    return bytes(reports)


def encode_key_events(text: str, layout: str = "us") -> bytes:
    """Return Linux input events that type `text`."""
    events = bytearray()
    held = 0

    def event(usage: int, value: int) -> None:
        events.extend(_INPUT_EVENT.pack(0, 0, EV_KEY, _USAGES_EVDEV[usage], value))
        events.extend(_INPUT_EVENT.pack(0, 0, 0, 0, 0))

    for modifiers, usage in [*encode_keys(text, layout), (0, 0)]:
        for bit in range(8):
            if (modifiers ^ held) & (1 << bit):
                event(0xE0 + bit, 1 if modifiers & (1 << bit) else 0)
        held = modifiers
        if usage:
            event(usage, 1)
            event(usage, 0)
    return bytes(events)


@dataclass(frozen=True, slots=True)
class PosScan:
    """One scan of a HID point-of-sale scanner: the AIM identifier it sent and the data."""

    aim: str
    data: bytes


class HidPosDecoder:
    """Reports of scanners in HID point-of-sale mode (report 2: length, AIM identifier, data, continued flag).

    A report is 64 bytes: report id 2, the number of data bytes, three bytes of AIM identifier, up to 56 bytes of
    data, two reserved bytes, and a last byte whose lowest bit says that the next report goes on.
    """

    REPORT_SIZE = 64
    DATA_SIZE_MAX = 56

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._data = bytearray()
        self._aim = ""

    def feed(self, data: bytes) -> list[PosScan]:
        """Take reports in any chunking; return the scans that are complete."""
        self._buffer += data
        scans: list[PosScan] = []
        while len(self._buffer) >= self.REPORT_SIZE:
            report = bytes(self._buffer[: self.REPORT_SIZE])
            del self._buffer[: self.REPORT_SIZE]
            size = report[1]
            if report[0] != 2 or size > self.DATA_SIZE_MAX:
                self._data.clear()
                continue
            if not self._data:
                self._aim = report[2:5].decode("latin-1")
            self._data += report[5 : 5 + size]
            if not report[63] & 1:
                if self._data:
                    scans.append(PosScan(self._aim, bytes(self._data)))
                self._data.clear()
            elif len(self._data) > 8192:
                self._data.clear()
        return scans

    def reset(self) -> None:
        """Forget what has begun: the link was lost."""
        self._buffer.clear()
        self._data.clear()


def encode_hid_pos(data: bytes, aim: str = "]X0") -> bytes:
    """Return the HID point-of-sale reports of one scan."""
    size = HidPosDecoder.DATA_SIZE_MAX
    pieces = [data[i : i + size] for i in range(0, len(data), size)] or [b""]
    reports = bytearray()
    for index, piece in enumerate(pieces):
        flags = 1 if index < len(pieces) - 1 else 0
        reports += (
            bytes([2, len(piece)]) + aim.encode("latin-1")[:3].ljust(3) + piece.ljust(size + 2, b"\0") + bytes([flags])
        )
    return bytes(reports)
