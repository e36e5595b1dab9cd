"""Every example in drivers/README.md does what it says."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import ringup.drivers
from ringup.drivers.config import parse_config

README = Path(ringup.drivers.__file__).resolve().parent / "README.md"


def test_the_examples_are_true() -> None:
    result = doctest.testfile(str(README), module_relative=False, encoding="utf-8")
    assert result.attempted > 40
    assert result.failed == 0


def test_the_device_file_is_one() -> None:
    (block,) = (
        text
        for text in re.findall(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
        if "receipt_printer" in text
    )
    devices = tomllib.loads(block)["device"]
    devices["receipt"].pop("template")  # names a file of the shop
    lines = [line for line in block.splitlines() if not line.startswith("template")]
    assert list(parse_config("\n".join(lines))) == list(devices)


def test_every_public_function_of_printing_is_in_it() -> None:
    import importlib
    import inspect

    text = README.read_text(encoding="utf-8")
    for name in ("escpos", "codepage", "escpos_status", "escpos_decode", "display", "zpl"):
        module = importlib.import_module(f"ringup.drivers.protocol.{name}")
        for function, what in vars(module).items():
            if inspect.isfunction(what) and what.__module__ == module.__name__ and not function.startswith("_"):
                assert re.search(rf"\b{function}\(", text), f"{name}.{function} has no example"
