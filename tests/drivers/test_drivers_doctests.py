"""Every example in the protocol layer's docstrings and in drivers/README.md does what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import ringup.drivers.protocol as protocol

MODULES = sorted(info.name for info in pkgutil.walk_packages(protocol.__path__, "ringup.drivers.protocol."))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_examples_of_the_readme():
    path = Path(protocol.__file__).resolve().parents[1] / "README.md"
    if not path.exists():
        pytest.skip("the README is not part of an installed package")
    assert doctest.testfile(str(path), module_relative=False, encoding="utf-8").failed == 0


def test_the_device_file_of_the_readme_is_accepted():
    from ringup.drivers.config import parse_config

    path = Path(protocol.__file__).resolve().parents[1] / "README.md"
    if not path.exists():
        pytest.skip("the README is not part of an installed package")
    block = re.search(r"```toml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    # The layout file is the shop's own: here is none.
    found = parse_config(block[1].replace('template = "receipt.toml"', ""))
    assert {"receipt_printer", "scanner", "scale", "payment_terminal"} <= {one.kind for one in found.values()}
