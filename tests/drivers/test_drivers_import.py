"""The drivers load little, leave nothing behind, and need nothing else of ours."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import ringup.drivers

FOLDER = Path(ringup.drivers.__file__).resolve().parent


def test_the_package_loads_nothing() -> None:
    """So that it loads in milliseconds: each part loads what it needs when it is imported itself."""
    code = "import sys; before = set(sys.modules); import ringup.drivers; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["ringup", "ringup.drivers"]


def test_the_printing_modules_load_no_heavy_library(tmp_path: Path) -> None:
    """python-escpos takes a third of a second and leaves a temporary folder: it is never imported here."""
    code = """
import sys
import ringup.drivers.manager, ringup.drivers.device.printer, ringup.drivers.receipt.pdf, ringup.drivers.receipt.html
import ringup.drivers.transport.factory, ringup.drivers.simulator.printer
from ringup.drivers.receipt.profile import printer_profile
printer_profile("TM-T88V")
heavy = {"PIL", "escpos", "fpdf", "serial", "qrcode", "barcode", "fontTools", "typer", "asyncio"}
print(sorted(heavy & set(sys.modules)))
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-B", "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
    )
    assert run.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_the_drivers_import_nothing_else_of_ours() -> None:
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert not name.startswith("ringup") or name.startswith("ringup.drivers"), f"{path.name}: {name}"


def test_protocols_are_pure() -> None:
    """No I/O, no clock, no threads in protocol/."""
    forbidden = {"socket", "serial", "time", "threading", "select", "os", "subprocess", "asyncio", "random", "io"}
    for path in (FOLDER / "protocol").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {name.partition(".")[0] for name in names} & forbidden, path.name
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ringup.drivers."):
                assert (node.module or "").startswith("ringup.drivers.protocol"), path.name
