"""Settings: which source wins, and what is said of one that cannot be used."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ringup.engine.config import OTHER_VARIABLES, PREFIX, SettingError, help_of, is_of_others, names, resolve

ROOT = Path(__file__).parents[2]


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "shop.toml"
    file.write_text(text)
    return file


def test_flags_win_over_the_environment_over_the_file_over_defaults(tmp_path: Path) -> None:
    file = write(
        tmp_path, '# the shop\nlisten = "0.0.0.0:1"\ndata_dir = "/file"\nlog_level = "debug"\ncheckpoint_bytes = 7\n'
    )
    environment = {"RINGUP_DATA_DIR": "/environment", "RINGUP_LISTEN": "0.0.0.0:2", "RINGUP_CHECKPOINT_BYTES": "1_000"}
    found = resolve({"listen": "0.0.0.0:3", "log_format": None}, file=file, environment=environment)
    assert (found.settings.listen, found.origins["listen"]) == ("0.0.0.0:3", "--listen")
    assert (found.settings.data_dir, found.origins["data_dir"]) == (Path("/environment"), "RINGUP_DATA_DIR")
    assert (found.settings.checkpoint_bytes, found.origins["checkpoint_bytes"]) == (1000, "RINGUP_CHECKPOINT_BYTES")
    assert (found.settings.log_level, found.origins["log_level"]) == ("debug", f"{file}:4")
    assert (found.settings.log_format, found.origins["log_format"]) == ("auto", "default")


def test_the_file_is_found_by_its_variable_or_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve(environment={}).origins["log_level"] == "default"
    (tmp_path / "ringup.toml").write_text('log_level = "error"')
    assert resolve(environment={}).origins["log_level"] == "ringup.toml:1"
    other = write(tmp_path, 'log_level = "warning"')
    assert resolve(environment={"RINGUP_CONFIG": str(other)}).settings.log_level == "warning"


WRONG_FILES = {
    "\nlisten_on = 1": (":2:", "'listen_on'", "did you mean listen?"),
    "# x\n\n[serve]\nlisten = 'a:1'": (":3:", "'serve'"),
    "zzz = 1": (":1:", "expected one of data_dir, listen"),
    "checkpoint_bytes = '7'": (":1:", "expected a whole number from 1 to", "found '7'"),
    "checkpoint_bytes = 0": (":1:", "found 0"),
    "checkpoint_bytes = 1.5": (":1:", "found 1.5"),
    "checkpoint_commands = true": (":1:", "found True"),
    "log_level = 'inof'": (":1:", "did you mean info?"),
    "log_format = 3": (":1:", "expected text", "found 3"),
    "listen = '7420'": (":1:", "expected host:port"),
    "listen = 'here:70000'": (":1:", "expected a port from 0 to 65535"),
    "data_dir = ''": (":1:", "expected the path of a folder"),
    "listen = ": ("expected TOML", "Invalid value"),
}


@pytest.mark.parametrize("text", list(WRONG_FILES))
def test_a_wrong_line_of_the_file_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingError) as error:
        resolve(file=write(tmp_path, text), environment={})
    assert str(tmp_path / "shop.toml") in str(error.value)
    for part in WRONG_FILES[text]:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("variable", "value", "parts"),
    [
        ("RINGUP_LISTN", "a:1", ("RINGUP_LISTN", "did you mean RINGUP_LISTEN?")),
        ("RINGUP_listen", "a:1", ("did you mean RINGUP_LISTEN?",)),
        ("RINGUP_CHECKPOINT_COMMANDS", "many", ("RINGUP_CHECKPOINT_COMMANDS", "whole number", "found 'many'")),
        ("RINGUP_CHECKPOINT_COMMANDS", "1e3", ("found '1e3'",)),
        ("RINGUP_LOG_FORMAT", "JSON", ("one of auto, console, json",)),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(SettingError) as error:
        resolve(environment={variable: value})
    for part in parts:
        assert part in str(error.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="No such file"):
        resolve(file=tmp_path / "none.toml", environment={})


def test_variables_of_others_are_known() -> None:
    """Every RINGUP_ name that the sources read is a setting or a name of others."""
    pattern = re.compile(r"\bRINGUP_[A-Z][A-Z_]*[A-Z]\b")
    folders = ("engine", "drivers", "clients")
    sources = [ROOT / "setup.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    found = {name for path in sources for name in pattern.findall(path.read_text())}
    settings = {PREFIX + name.upper() for name in names()}
    assert found >= OTHER_VARIABLES
    for name in found - settings:
        assert is_of_others(name), f"{name}: add it to OTHER_VARIABLES of engine/config.py"


@pytest.mark.parametrize("name", ["RINGUP_EXAMPLES", "RINGUP_FUZZ_EXAMPLES", "RINGUP_SOAK_SEED", "RINGUP_TEST_X"])
def test_variables_of_the_test_suite_do_not_stop_an_engine(name: str) -> None:
    assert is_of_others(name)
    assert resolve(environment={name: "7"}).settings == resolve(environment={}).settings


def test_config_shows_values_and_origins(ringup: Any, tmp_path: Path) -> None:
    (tmp_path / "ringup.toml").write_text('\nlog_level = "debug"\n')
    shown = ringup("config", "--json", RINGUP_CHECKPOINT_BYTES="5")
    assert shown.returncode == 0, shown.stderr
    values = json.loads(shown.stdout)
    assert list(values) == names()
    assert values["log_level"] == {"value": "debug", "from": "ringup.toml:2"}
    assert values["checkpoint_bytes"] == {"value": 5, "from": "RINGUP_CHECKPOINT_BYTES"}
    table = ringup("config").stdout
    for name in names():
        assert name in table
    assert "ringup.toml:2" in table


def test_a_wrong_setting_has_an_exit_code(ringup: Any) -> None:
    wrong = ringup("config", RINGUP_LOGLEVEL="info")
    assert (wrong.returncode, wrong.stdout) == (78, "")
    assert "did you mean RINGUP_LOG_LEVEL?" in wrong.stderr
    assert ringup("serve", "--checkpoint-bytes", "0").returncode == 78


def test_help_says_default_and_choices() -> None:
    assert help_of("log_format").endswith("One of auto, console, json. Default auto.")
