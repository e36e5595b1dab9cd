"""The layout of receipts as a shop may change it: a TOML file, checked key by key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

FIELDS = (
    "number", "at", "till", "cashier", "customer", "store_name", "store_phone", "store_tax_id", "total", "change",
    "currency", "line_count", "copy_number",
)  # fmt: skip
LABELS = ("copy", "training", "total", "change", "rounding", "tax_code", "net", "tax", "gross", "return")
_STYLE: dict[str, type] = {"bold": bool, "underline": bool, "reverse": bool, "width": int, "height": int}
_ALIGNED: dict[str, type] = {**_STYLE, "align": str}
# kind of block -> its keys and their types; every block may also have `when`.
BLOCKS: Mapping[str, Mapping[str, type]] = {
    "text": {**_ALIGNED, "text": str},
    "columns": {**_STYLE, "cells": list},
    "rule": {"character": str},
    "feed": {"lines": int},
    "logo": {},
    "store_address": _ALIGNED,
    "header": _ALIGNED,
    "footer": _ALIGNED,
    "lines": {"item_number": bool, "tax_code": bool},
    "discounts": _STYLE,
    "total": _STYLE,
    "tenders": _STYLE,
    "change": _STYLE,
    "taxes": {},
    "barcode": {"symbology": str, "height_dots": int, "module_dots": int, "show_text": bool},
    "qr": {"module_dots": int, "level": str},
    "copy_mark": _ALIGNED,
    "training_mark": _ALIGNED,
}
_RANGES: dict[str, tuple[int, int]] = {
    "width": (1, 8),
    "height": (1, 8),
    "lines": (0, 50),
    "height_dots": (1, 255),
    "module_dots": (1, 16),
}
_CHOICES = {"align": ("left", "center", "right"), "level": ("L", "M", "Q", "H")}
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class TemplateError(ValueError):
    """The template cannot be used; the message names the block, what was expected and what was found."""


@dataclass(frozen=True, slots=True)
class Block:
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    when: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """A checked layout."""

    blocks: tuple[Block, ...]
    labels: Mapping[str, str]
    decimal_mark: str = "."
    group_mark: str = ""


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'align'?` for a word that is almost a known one, else an empty text."""
    near = get_close_matches(str(word), list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _require_known(where: str, key: str, known: Iterable[str]) -> None:
    known = tuple(known)
    if key not in known:
        raise TemplateError(f"{where}: expected one of {', '.join(known)}, found {key!r}{nearest(key, known)}")


def parse_template(text: str) -> Template:
    """Check a template and fill in missing labels from the default one.  Raises TemplateError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TemplateError(f"template: expected TOML, found: {error}") from error
    return _check(table, default_template().labels)


def load_template(path: str | Path) -> Template:
    """Read a template file.  Raises TemplateError naming the file."""
    try:
        return parse_template(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise TemplateError(f"template {path}: expected a readable file, found: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TemplateError(f"template {path}: expected UTF-8, found byte {error.object[error.start]:#04x}") from error
    except TemplateError as error:
        raise TemplateError(f"{path}: {error}") from error


@lru_cache(maxsize=1)
def default_template() -> Template:
    """The layout that ships with the product (receipt/default.toml)."""
    text = (Path(__file__).parent / "default.toml").read_text(encoding="utf-8")
    return _check(tomllib.loads(text), {})


def _check(table: Mapping[str, Any], default_labels: Mapping[str, str]) -> Template:
    for key in table:
        _require_known("template", key, ("money", "labels", "block"))
    money = table.get("money", {})
    for key, value in money.items():
        _require_known("[money]", key, ("decimal_mark", "group_mark"))
        if not isinstance(value, str) or len(value) > 1:
            raise TemplateError(f"[money] {key}: expected at most one character, found {value!r}")
    labels = dict(default_labels)
    for key, value in table.get("labels", {}).items():
        _require_known("[labels]", key, LABELS)
        if not isinstance(value, str) or (key in ("copy", "training") and not value.strip()):
            raise TemplateError(f"[labels] {key}: expected a text, found {value!r}")
        labels[key] = value
    found = table.get("block", [])
    if not isinstance(found, list) or not found:
        raise TemplateError("template: expected at least one [[block]], found none")
    blocks = tuple(_check_block(at, block) for at, block in enumerate(found, 1))
    return Template(blocks, labels, money.get("decimal_mark", "."), money.get("group_mark", ""))


def _check_block(at: int, block: Any) -> Block:
    where = f"block {at}"
    if not isinstance(block, dict) or not isinstance(block.get("kind"), str):
        raise TemplateError(f"{where}: expected a key `kind`, one of {', '.join(BLOCKS)}")
    kind = block["kind"]
    _require_known(f"{where} kind", kind, BLOCKS)
    where = f"{where} ({kind})"
    options = {key: value for key, value in block.items() if key not in ("kind", "when")}
    for key, value in options.items():
        _require_known(where, key, (*BLOCKS[kind], "when"))
        expected: Any = BLOCKS[kind][key]
        if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
            raise TemplateError(f"{where} {key}: expected {expected.__name__}, found {value!r}")
        if key in _RANGES and not _RANGES[key][0] <= value <= _RANGES[key][1]:
            raise TemplateError(f"{where} {key}: expected {_RANGES[key][0]} to {_RANGES[key][1]}, found {value}")
        if key in _CHOICES and value not in _CHOICES[key]:
            raise TemplateError(f"{where} {key}: expected one of {', '.join(_CHOICES[key])}, found {value!r}")
    texts = [options.get("text", ""), *options.get("cells", ())]
    if kind == "text" and "text" not in options:
        raise TemplateError(f"{where}: expected a key `text`, found none")
    if kind == "columns" and not (options.get("cells") and all(isinstance(cell, str) for cell in options["cells"])):
        raise TemplateError(f"{where} cells: expected a list of texts, found {options.get('cells')!r}")
    for text in texts:
        for name in _PLACEHOLDER.findall(text):
            _require_known(f"{where} field", name, FIELDS)
    when = block.get("when", "")
    if when:
        _require_known(f"{where} when", when, FIELDS)
    return Block(kind, options, when)


def fill(text: str, fields: Mapping[str, str]) -> str:
    """Put fields into a text: `fill("No {number}", {"number": "7"})` -> `"No 7"`.

    Only the names of FIELDS; what a field holds is never looked at again, so a name with braces in it
    stays a name.
    """
    return _PLACEHOLDER.sub(lambda match: fields[match[1]], text)
