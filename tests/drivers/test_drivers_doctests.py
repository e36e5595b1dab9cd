"""Every example in the protocol layer's docstrings does what it says, and each function is in the README."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import ringup.drivers.protocol as protocol

MODULES = sorted(info.name for info in pkgutil.walk_packages(protocol.__path__, "ringup.drivers.protocol."))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_public_function_of_barcodes_scales_and_terminals_is_in_the_readme():
    path = Path(protocol.__file__).resolve().parents[1] / "README.md"
    if not path.exists():
        pytest.skip("the README is not part of an installed package")
    text = path.read_text(encoding="utf-8")
    missing = []
    for name in MODULES:
        if not name.rpartition(".")[2].startswith(
            ("gtin", "aim", "gs1", "digital", "variable", "codes", "sca", "keyboard", "zvt", "card")
        ):
            continue
        module = importlib.import_module(name)
        missing += [
            f"{module.__name__}.{one}"
            for one, what in vars(module).items()
            if inspect.isfunction(what) and what.__module__ == module.__name__ and one[0] != "_" and one not in text
        ]
    assert missing == []
