"""What a printer model can do.  Data for many models comes from python-escpos, read as a file.

python-escpos itself is not imported: that takes a third of a second and leaves a temporary folder.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

CHAR_HEIGHT_DOTS = 24
# Pages that every ESC/POS printer of the last twenty years has at the same numbers.
COMMON_PAGES: Mapping[int, str] = {
    0: "cp437", 2: "cp850", 3: "cp860", 4: "cp863", 5: "cp865", 16: "cp1252", 17: "cp866", 18: "cp852", 19: "cp858",
}  # fmt: skip
# Names of the capability data that Python spells differently, and tables that are not what they are called:
# page 1 is half-width katakana, not Shift-JIS; Arabic tables need shaping that no printer does.
_CODECS = {"RK1048": "kz1048", "ISO_8859-1": "latin_1", "ISO_8859-15": "iso8859_15"}
_UNUSABLE = frozenset({"Unknown", "CP932", "CP864", "CP720", "CP1256", "CP1098", "CP851"})


class UnknownModel(ValueError):
    """No such printer model; the message names the nearest known one."""


@dataclass(frozen=True, slots=True)
class PrinterProfile:
    """`columns` and `width_dots` are of font A.  `has_process_id`: the printer answers GS ( H."""

    model: str
    columns: int = 42
    width_dots: int = 512
    dots_per_inch: int = 180
    pages: Mapping[int, str] = field(default_factory=lambda: dict(COMMON_PAGES))
    has_raster: bool = True
    has_column_image: bool = True
    has_barcode_a: bool = True
    has_barcode_b: bool = True
    has_qr: bool = True
    has_cut: bool = True
    has_process_id: bool = False

    @property
    def char_width_dots(self) -> int:
        return self.width_dots // self.columns

    @property
    def has_pictures(self) -> bool:
        return self.has_raster or self.has_column_image


BUILT_IN: Mapping[str, PrinterProfile] = {
    "generic-32": PrinterProfile("generic-32", 32, 384, 203),
    "generic-42": PrinterProfile("generic-42", 42, 512, 180),
    "generic-48": PrinterProfile("generic-48", 48, 576, 203),
    # The printer that `ringup devices simulate printer` shows.
    "simulator": PrinterProfile("simulator", 48, 576, 203, has_process_id=True),
}
# GS ( H function 48 by Epson's command reference ("Printers supporting this command").
_PROCESS_ID = ("TM-T88IV", "TM-T88V", "TM-T20II", "TM-P80", "TM-L90")


@lru_cache(maxsize=1)
def _capabilities() -> Mapping[str, Any]:
    """The profiles and encodings of python-escpos; empty where it is not installed."""
    spec = importlib.util.find_spec("escpos")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "capabilities.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]  # their file
    return {"profiles": {}, "encodings": {}}


def models() -> list[str]:
    """The known model names."""
    return [*BUILT_IN, *(name for name in sorted(_capabilities()["profiles"]) if name not in ("default", "simple"))]


def printer_profile(model: str, *, columns: int | None = None) -> PrinterProfile:
    """The profile of a model, whatever the case of its name; `columns` overrides (32, 42 or 48).

    Raises UnknownModel with the nearest known name.
    """
    by_lower = {name.lower(): name for name in models()}
    wanted = model.lower().removeprefix("epson-").removeprefix("epson ")
    name = by_lower.get(wanted)
    if name is None:
        near = get_close_matches(wanted, by_lower, 1, 0.4)
        hint = f"; did you mean {by_lower[near[0]]!r}?" if near else ""
        raise UnknownModel(
            f"printer model: expected one of {', '.join(list(BUILT_IN)[:3])} or a model of python-escpos, "
            f"found {model!r}{hint}"
        )
    profile = BUILT_IN.get(name) or _from_capabilities(name)
    if columns is None or columns == profile.columns:
        return profile
    if not 16 <= columns <= profile.width_dots // 8:
        raise ValueError(f"columns: expected 16 to {profile.width_dots // 8} for {name}, found {columns}")
    return replace(profile, columns=columns)


def _from_capabilities(name: str) -> PrinterProfile:
    data = _capabilities()
    found = data["profiles"][name]
    features = found["features"]
    pages: dict[int, str] = {}
    for number, encoding in found["codePages"].items():
        codec = _CODECS.get(encoding) or data["encodings"].get(encoding, {}).get("python_encode")
        if codec and encoding not in _UNUSABLE:
            pages[int(number)] = codec
    columns = found["fonts"]["0"]["columns"]
    width = found["media"]["width"].get("pixels")
    dpi = found["media"].get("dpi")
    return PrinterProfile(
        model=name,
        columns=columns,
        width_dots=width if isinstance(width, int) else columns * 12,
        dots_per_inch=dpi if isinstance(dpi, int) else 180,
        pages=pages or {0: "cp437"},
        has_raster=features.get("bitImageRaster", False),
        has_column_image=features.get("bitImageColumn", False),
        has_barcode_a=features.get("barcodeA", False),
        has_barcode_b=features.get("barcodeB", False),
        has_qr=features.get("qrCode", False),
        has_cut=features.get("paperFullCut", False) or features.get("paperPartCut", False),
        has_process_id=name.startswith(_PROCESS_ID),
    )
