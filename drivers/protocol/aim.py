"""AIM symbology identifiers: the `]E0` that a scanner may put before the data (ISO/IEC 15424)."""

from __future__ import annotations

from dataclasses import dataclass

from ringup.drivers.protocol.errors import ParseError

# Code character -> symbology, ISO/IEC 15424 table 1.
SYMBOLOGIES = {
    "A": "code39",
    "B": "telepen",
    "C": "code128",
    "D": "code_one",
    "E": "ean_upc",
    "F": "codabar",
    "G": "code93",
    "H": "code11",
    "I": "itf",
    "J": "dotcode",
    "K": "code16k",
    "L": "pdf417",
    "M": "msi",
    "N": "anker",
    "O": "codablock",
    "P": "plessey",
    "Q": "qr",
    "R": "straight_2of5_two_bar",
    "S": "straight_2of5_three_bar",
    "T": "code49",
    "U": "maxicode",
    "X": "other",
    "Y": "expansion",
    "Z": "non_barcode",
    "c": "channel_code",
    "d": "datamatrix",
    "e": "gs1_databar",
    "h": "han_xin",
    "o": "ocr",
    "p": "posicode",
    "s": "supercode",
    "z": "aztec",
}
# Identifier -> the GS1 use of the symbology, GS1 General Specifications figure 5.1.2-2.
GS1_SYMBOLOGIES = {
    "E0": "ean13",
    "E1": "addon2",
    "E2": "addon5",
    "E3": "ean13_addon",
    "E4": "ean8",
    "I1": "itf14",
    "C1": "gs1_128",
    "e0": "gs1_databar",
    "e1": "gs1_composite",
    "e2": "gs1_composite",
    "d2": "gs1_datamatrix",
    "Q3": "gs1_qr",
    "J1": "gs1_dotcode",
}


@dataclass(frozen=True, slots=True)
class AimIdentifier:
    """A symbology identifier without its `]`: `code` and `modifier` as sent, and what they name."""

    code: str
    modifier: str
    symbology: str
    gs1: str | None

    @property
    def value(self) -> str:
        """The identifier as the scanner sends it, `]E0`."""
        return f"]{self.code}{self.modifier}"


def parse_aim(text: str) -> tuple[AimIdentifier | None, str]:
    """Split a leading symbology identifier off: (identifier, data), or (None, text) where there is none.

    >>> aim, data = parse_aim("]C10109506000134352")
    >>> aim.value, aim.gs1, data
    (']C1', 'gs1_128', '0109506000134352')
    """
    if len(text) < 3 or text[0] != "]" or text[1] not in SYMBOLOGIES or not (text[2].isascii() and text[2].isalnum()):
        return None, text
    # ]Y carries the number of extra modifier characters in its first one.
    extra = int(text[2]) if text[1] == "Y" and text[2].isdigit() else 0
    if len(text) < 3 + extra:
        return None, text
    code, modifier = text[1], text[2 : 3 + extra]
    return AimIdentifier(code, modifier, SYMBOLOGIES[code], GS1_SYMBOLOGIES.get(code + modifier)), text[3 + extra :]


def aim_identifier(value: str) -> AimIdentifier:
    """Return the identifier named by `]E0` or `E0`; raise ParseError if the code character is not known."""
    aim, rest = parse_aim(value if value.startswith("]") else f"]{value}")
    if aim is None or rest:
        raise ParseError(f"expected an AIM identifier such as ]E0, found {value!r}; see the scanner's manual")
    return aim
