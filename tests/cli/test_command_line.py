"""The command line as a whole: quick, and every command teaches itself."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import structlog

from ringup.engine import logs
from ringup.engine.cli import COMMANDS, load
from support.engine_process import EngineProcess

HERE = [name for name, (module, _, _) in COMMANDS.items() if find_spec(module)]
OURS = [name for name in HERE if "engine.commands_" in COMMANDS[name][0]]


def test_help_lists_what_is_installed(ringup: Any) -> None:
    shown = ringup("--help")
    assert shown.returncode == 0
    for name in COMMANDS:
        assert (re.search(rf"^│ {name} ", shown.stdout, re.M) is not None) == (name in HERE), name


def test_help_imports_nothing_heavy() -> None:
    """What makes a start slow is imports; a count of them does not depend on how busy the machine is."""
    program = (
        "import sys\nfrom ringup.engine.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'grpc', 'google.protobuf', 'lmdb', 'structlog', 'polars', 'pyarrow', 'asyncio', 'uvloop',"
        " 'ringup.native.core', 'ringup.v1', 'PIL', 'serial'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert found.stderr.strip() == "[]"


def test_help_uses_less_than_300_ms_of_processor_time() -> None:
    best = 10.0
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, "-m", "ringup", "--help"], capture_output=True, check=True, timeout=60)
        after = os.times()
        best = min(best, after.children_user + after.children_system - before.children_user - before.children_system)
    assert best < 0.3


@pytest.mark.parametrize("name", OURS)
def test_every_command_has_an_example_and_exit_codes(name: str) -> None:
    text = inspect.getdoc(load(name).callback) or ""
    assert text.splitlines()[0] == COMMANDS[name][2], "cli.py shows another first line than the command's own help"
    assert re.search(rf"Examples?: \[bold\].*ringup {name}\b", text)
    assert re.search(r"Exit codes?:? 0\b", text)


def test_an_unknown_command_names_the_nearest(ringup: Any) -> None:
    shown = ringup("chekc")
    assert shown.returncode == 2
    assert "'check'" in shown.stderr


@pytest.mark.parametrize("name", OURS)
def test_help_of_each_command(ringup: Any, name: str) -> None:
    shown = ringup(name, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.search(r"Examples?: ", shown.stdout)


def test_log_lines_are_json_on_standard_error_and_the_first_line_is_kept(tmp_path: Path) -> None:
    with EngineProcess(tmp_path / "data", env={"RINGUP_LOG_LEVEL": "info"}) as engine:
        engine.process.terminate()
        out, err = engine.process.communicate(timeout=60)
    assert out == ""  # after the first line nothing
    lines = [json.loads(text) for text in err.splitlines()]
    assert lines[-1]["event"].startswith("stopping")
    assert {"event", "level", "timestamp"} <= set(lines[-1])


def test_the_level_is_a_setting(tmp_path: Path) -> None:
    with EngineProcess(tmp_path / "data", args=["--log-level", "error"]) as engine:
        engine.process.terminate()
        assert engine.process.communicate(timeout=60)[1] == ""


def test_console_lines_are_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        logs.set_up("info", "console")
        structlog.get_logger().info("a till said hello", till="T1")
    finally:
        structlog.reset_defaults()
    err = capsys.readouterr().err
    assert "a till said hello" in err
    assert "till=T1" in err
