"""Text for printers: code pages, control characters made visible, nothing lost in silence.

A printer's code pages are a mapping from the number of ESC t to a Python codec:
`{0: "cp437", 19: "cp858"}`.  Only single-byte use of a codec counts, because ESC t selects
single-byte tables.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from ringup.drivers.protocol import escpos

# Tried in this order after the page that is on; others follow by number.
_PREFERRED = ("cp858", "cp1252", "cp437", "cp850", "iso8859_15", "cp852", "cp1250", "cp866", "cp1251", "cp1253")
_SPACES = frozenset("\t\n\v\f\r\x85\u2028\u2029")
# Invisible marks that steer direction or joining: on paper they could only disguise a text.
_INVISIBLE = frozenset(
    "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\u00ad"
)
_LOOKALIKES = {
    "‘": "'", "’": "'", "‚": ",", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "−": "-", "…": "...",
    "€": "EUR",
    "•": "*", "×": "x", "\u202f": " ", "\u2009": " ", "\u2007": " ", "\u00a0": " ", "‐": "-", "‑": "-", "⁄": "/",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class EncodedText:
    """`data` is ready for the printer, `page` is the code page that is on after it.

    `replaced` lists (character, what was printed instead) for each that no page holds, in order.
    """

    data: bytes
    page: int
    replaced: tuple[tuple[str, str], ...]


def visible(text: str) -> str:
    """The text with every control character made visible or harmless.

    White space becomes a space, ESC becomes `^[`, DEL `^?`, C1 controls `<9B>`; marks that only steer
    direction are dropped.  `visible("Tea\\x1bp\\x00")` -> `"Tea^[p^@"`.
    """
    if text.isascii() and text.isprintable():
        return text
    out = []
    for character in unicodedata.normalize("NFC", text):  # code pages hold é, not e and an accent
        code = ord(character)
        if character in _SPACES:
            out.append(" ")
        elif code < 0x20 or code == 0x7F:
            out.append("^" + chr(code ^ 0x40))
        elif 0x80 <= code < 0xA0 or 0xD800 <= code < 0xE000:
            out.append(f"<{code:02X}>")
        elif character not in _INVISIBLE:
            out.append(character)
    return "".join(out)


@lru_cache(maxsize=128)
def page_characters(codec: str) -> Mapping[str, int]:
    """The characters of a code page above ASCII, with their bytes: `page_characters("cp858")["€"]` -> `0xD5`."""
    characters: dict[str, int] = {}
    for byte in range(0x80, 0x100):
        try:
            character = bytes([byte]).decode(codec)
        except (UnicodeDecodeError, LookupError):
            continue
        if len(character) == 1 and character.isprintable():
            characters[character] = byte
    return characters


def _order(pages: Mapping[int, str]) -> list[int]:
    rank = {codec: at for at, codec in enumerate(_PREFERRED)}
    return sorted(pages, key=lambda number: (rank.get(pages[number], len(rank)), number))


def can_encode(text: str, pages: Mapping[int, str]) -> bool:
    """Whether every character of `visible(text)` is on some page: no page switch is impossible."""
    return all(" " <= c <= "~" or any(c in page_characters(codec) for codec in pages.values()) for c in visible(text))


def approximate(character: str) -> str:
    """What to print for a character that no page holds: its base letter, a look-alike, or "?".

    `approximate("ș")` -> `"s"`, `approximate("😀")` -> `"?"`.
    """
    if character in _LOOKALIKES:
        return _LOOKALIKES[character]
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if " " <= c <= "~")
    return plain or "?"


def encode_text(text: str, pages: Mapping[int, str], page: int | None = None) -> EncodedText:
    """Encode a text with as few page switches as it needs.

    `page` is the code page that is on (None: not known).  No byte below 0x20 is emitted except in the
    ESC t of a switch.  `encode_text("3 €", {0: "cp437", 19: "cp858"}, 0).data` -> `b"3 \\x1bt\\x13\\xd5"`.
    """
    if not pages:
        raise ValueError("code pages: expected at least one, found none; name the printer's model")
    out = bytearray()
    replaced: list[tuple[str, str]] = []
    order = _order(pages)
    current = page
    shown = visible(text)
    if current is None:
        best = _best_page(shown, 0, pages, order)
        current = order[0] if best is None else best
        out += escpos.select_code_page(current)
    at = 0
    while at < len(shown):
        character = shown[at]
        if " " <= character <= "~":
            out.append(ord(character))
            at += 1
            continue
        if character not in page_characters(pages.get(current, "ascii")):
            best = _best_page(shown, at, pages, order)
            if best is None:
                instead = approximate(character)
                replaced.append((character, instead))
                out += instead.encode("ascii")
                at += 1
                continue
            out += escpos.select_code_page(best)
            current = best
        out.append(page_characters(pages[current])[character])
        at += 1
    return EncodedText(bytes(out), current, tuple(replaced))


def _best_page(text: str, at: int, pages: Mapping[int, str], order: list[int]) -> int | None:
    """The page that carries the text furthest from `at`; among equals the preferred one."""
    best, best_reach = None, 0
    for number in order:
        characters = page_characters(pages[number])
        reach = 0
        for character in text[at:]:
            if not (" " <= character <= "~" or character in characters):
                break
            reach += 1
        if reach > best_reach:
            best, best_reach = number, reach
    return best
