"""The house: which folder may import which, and who alone knows gRPC, LMDB and the clock."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "native": {"native"},
    "engine": {"engine", "native", "v1"},
    "clients": {"clients", "v1", "native"},
    "drivers": {"drivers"},
}
# The command line mounts the devices' commands and drives engines as a client; it is the only part of engine/ that may.
COMMAND_LINE = re.compile(r"^engine/(cli|commands_\w+|simulate\w*|demo\w*|webhook\w*)\.py$")
CLOCK = {"time", "time_ns", "now", "utcnow", "today"}


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= (
                {f"{node.module}.{alias.name}" for alias in node.names}
                if node.module == "ringup"
                else {str(node.module)}
            )
    return found


def _sources(folder: str) -> list[Path]:
    return [p for p in sorted((ROOT / folder).rglob("*.py")) if "_pb2" not in p.name]


@pytest.mark.parametrize("folder", list(MAY_IMPORT))
def test_arrows_between_folders(folder: str) -> None:
    for path in _sources(folder):
        name = path.relative_to(ROOT).as_posix()
        allowed = MAY_IMPORT[folder] | ({"clients", "drivers"} if COMMAND_LINE.match(name) else set())
        for module in _imports(path):
            if module.startswith("ringup."):
                assert module.split(".")[1] in allowed, f"{name} imports {module}"


def test_native_cimports_nothing_else_of_ours() -> None:
    for path in [*(ROOT / "native").glob("*.pyx"), *(ROOT / "native").glob("*.pxd")]:
        for module in re.findall(r"^from ringup\.(\w+)", path.read_text(), re.M):
            assert module == "native", path.name


def test_only_the_edge_knows_grpc() -> None:
    for path in _sources("engine"):
        name = path.relative_to(ROOT).as_posix()
        if not (re.match(r"engine/edge(_http2|_listeners)?\.py", name) or COMMAND_LINE.match(name)):
            assert not {m for m in _imports(path) if m.split(".")[0] == "grpc"}, name


def test_only_the_store_knows_lmdb() -> None:
    for path in _sources("engine"):
        if path.name != "lmdb_store.py":
            assert "lmdb" not in _imports(path), path.name


def test_only_the_sequencer_reads_a_clock() -> None:
    for path in _sources("engine"):
        name = path.relative_to(ROOT).as_posix()
        if path.name == "sequencer.py" or COMMAND_LINE.match(name):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in CLOCK and isinstance(node.value, ast.Name):
                assert node.value.id not in {"time", "datetime"}, f"{name}:{node.lineno} reads the clock"
    for path in (ROOT / "native").glob("*.pyx"):
        assert not re.search(r"\b(gettimeofday|clock_gettime|import time|import random)\b", path.read_text()), path.name
