"""Line displays: the ESC/POS display commands and CD5220, two lines that a customer reads.

A display answers nothing.  Texts come out as wide as the display, with control characters made
visible, so that an item name can neither scroll the display nor switch it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ringup.drivers.protocol.codepage import approximate, page_characters, visible

Command = Literal["escpos", "cd5220"]

COLUMNS = 20
ROWS = 2
# ESC t of Epson's DM-D series; common CD5220 displays follow it.
DISPLAY_PAGES: Mapping[int, str] = {
    0: "cp437", 2: "cp850", 3: "cp860", 4: "cp863", 5: "cp865", 16: "cp1252", 17: "cp866", 18: "cp852", 19: "cp858",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """`data` for the display; `replaced` lists (character, what is shown instead)."""

    data: bytes
    replaced: tuple[tuple[str, str], ...] = ()


def fit(left: str, right: str = "", columns: int = COLUMNS) -> str:
    """A line of exactly `columns`: the right part (a price) stays whole, the left one is cut if it must.

    `fit("Organic oat milk 1 l", "1.99")` -> `"Organic oat mil 1.99"`.
    """
    left, right = visible(left), visible(right)[:columns]
    room = columns - len(right) - (1 if right else 0)
    return (left[: max(0, room)].ljust(columns - len(right)) + right)[:columns]


def best_page(text: str, pages: Mapping[int, str] = DISPLAY_PAGES) -> int:
    """The page that holds most of a text's characters; the first of equals.

    `best_page("3 €")` -> `16`.
    """
    special = [character for character in visible(text) if not " " <= character <= "~"]
    if not special:
        return min(pages)
    return max(sorted(pages), key=lambda number: sum(c in page_characters(pages[number]) for c in special))


def initialise() -> bytes:
    """ESC @, in both command sets: forget modes, clear."""
    return b"\x1b@"


def clear() -> bytes:
    """CLR (0x0C), in both command sets."""
    return b"\x0c"


def brightness(command: Command, percent: Literal[25, 50, 75, 100]) -> bytes:
    """ESC/POS US X n, CD5220 ESC * n, n 1 to 4.  `brightness("cd5220", 100)` -> `b"\\x1b*\\x04"`."""
    if percent not in (25, 50, 75, 100):
        raise ValueError(f"brightness: expected 25, 50, 75 or 100, found {percent!r}")
    return (b"\x1fX" if command == "escpos" else b"\x1b*") + bytes([percent // 25])


def select_through_printer(on: bool) -> bytes:
    """ESC =: where a display hangs on the printer's line, 2 addresses the display, 1 the printer.

    `select_through_printer(True)` -> `b"\\x1b=\\x02"`.
    """
    return b"\x1b=\x02" if on else b"\x1b=\x01"


def show(
    command: Command,
    upper: str,
    lower: str = "",
    *,
    columns: int = COLUMNS,
    pages: Mapping[int, str] = DISPLAY_PAGES,
) -> Shown:
    """Both lines at once, each filled up with spaces: nothing of the last text stays.

    ESC/POS: overwrite mode (US 1), cursor to 1,1 (US $), forty letters.  CD5220: ESC Q A and ESC Q B, each
    ended by CR.  `show("cd5220", "Hi", columns=4).data` -> `b"\\x1bt\\x00\\x1bQAHi  \\r\\x1bQB    \\r"`.
    """
    if command not in ("escpos", "cd5220"):
        raise ValueError(f"display: expected escpos or cd5220, found {command!r}")
    lines = [visible(text)[:columns].ljust(columns) for text in (upper, lower)]
    page = best_page(lines[0] + lines[1], pages)
    table = page_characters(pages[page])
    replaced: list[tuple[str, str]] = []

    def encode(line: str) -> bytes:
        out = bytearray()
        for character in line:
            if " " <= character <= "~":
                out.append(ord(character))
            elif character in table:
                out.append(table[character])
            else:
                instead = approximate(character)[0]  # one place is all there is
                replaced.append((character, instead))
                out += instead.encode("ascii")
        return bytes(out)

    first, second = map(encode, lines)
    head = b"\x1bt" + bytes([page])
    if command == "escpos":
        body = b"\x1f\x01" + b"\x1f$\x01\x01" + first + b"\x1f$\x01\x02" + second
    else:
        body = b"\x1bQA" + first + b"\r" + b"\x1bQB" + second + b"\r"
    return Shown(head + body, tuple(replaced))
