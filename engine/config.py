"""Settings of a process: defaults, then a TOML file, then the environment, then flags; the later wins.

`Settings` is the one table of them: name, type, default, help and what is allowed.  Settings that
are part of the state (currency, cash rounding) are not here: they are commands, see AdminService.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE_VARIABLE = "RINGUP_CONFIG"
DEFAULT_FILE = Path("ringup.toml")
PREFIX = "RINGUP_"
# Read by others than `Settings`; a test holds this list to the sources.
OTHER_VARIABLES = frozenset(
    {
        FILE_VARIABLE,
        "RINGUP_DEBUG",  # setup.py: build with all checks
        "RINGUP_DEVICES",  # the device file of `ringup devices`
        "RINGUP_ENGINE",  # `ringup webhook` and `ringup events`: the engine
        "RINGUP_SECRET_FILE",  # the secret of the commands that call an engine
        "RINGUP_WEBHOOK_CA_FILE",  # `ringup webhook run`: whom it trusts
        "RINGUP_WEBHOOK_NAME",  # `ringup webhook run`: its cursor
        "RINGUP_WEBHOOK_SECRET_FILE",  # `ringup webhook run`: what it signs with
        "RINGUP_WEBHOOK_URL",  # `ringup webhook run`: where it posts to
    }
)
# How long and with what the test-suite tries; engines that it starts inherit them.
_TEST_VARIABLE = re.compile(r"RINGUP_(TEST_\w+|(\w+_)?(EXAMPLES|ROUNDS|SEEDS?|WALKS|JOBS|SECONDS|NODE_MODULES))")


def is_of_others(variable: str) -> bool:
    """Whether a RINGUP_ variable is known, but no setting."""
    return variable in OTHER_VARIABLES or _TEST_VARIABLE.fullmatch(variable) is not None


class SettingError(Exception):
    """A setting that cannot be used; the message says where it stands and what was expected."""


def _about(
    help: str,
    *,
    minimum: int | None = None,
    maximum: int | None = None,
    choices: tuple[str, ...] = (),
    pattern: str = "",
) -> dict[str, Any]:
    return {"help": help, "minimum": minimum, "maximum": maximum, "choices": choices, "pattern": pattern}


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of a process with its type and default; units are in the names."""

    data_dir: Path = field(
        default=Path("data"),
        metadata=_about("Folder with the engine's journal and checkpoints."),
    )
    listen: str = field(
        default="127.0.0.1:7420",
        metadata=_about(
            "host:port to serve on; port 0 takes any free one.", pattern=r"(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}"
        ),
    )
    checkpoint_bytes: int = field(
        default=64 << 20,
        metadata=_about("Journal bytes after which a checkpoint is due.", minimum=1, maximum=1 << 40),
    )
    checkpoint_commands: int = field(
        default=100_000,
        metadata=_about(
            "Commands after which a checkpoint is due: a start replays little more than these.",
            minimum=1,
            maximum=1_000_000_000,
        ),
    )
    memory_ready_mb: int = field(
        default=8,
        metadata=_about(
            "MiB of memory kept ready beyond what is in use, so that a peak need not wait for the system to find it. "
            "A sale takes about 0.6 KiB: 1024 for nearly two million.",
            minimum=8,
            maximum=1 << 20,
        ),
    )
    grpc_server: str = field(
        default="auto",
        metadata=_about(
            "What takes the calls: nghttp2 takes three times as many unary calls and needs libnghttp2; auto takes it "
            "where it is found.",
            choices=("auto", "nghttp2", "grpcio"),
        ),
    )
    callers_file: str = field(
        default="",
        metadata=_about("File of who may call and in which roles, see `ringup caller`; none: all may call."),
    )
    log_level: str = field(
        default="info",
        metadata=_about(
            "The least important log lines to write.",
            choices=("debug", "info", "warning", "error"),
        ),
    )
    log_format: str = field(
        default="auto",
        metadata=_about(
            "Log lines for people or programs; auto is console on a terminal.",
            choices=("auto", "console", "json"),
        ),
    )


_FIELDS: dict[str, dataclasses.Field[Any]] = {one.name: one for one in dataclasses.fields(Settings)}


def names() -> list[str]:
    """All settings, in the order of the table."""
    return list(_FIELDS)


def help_of(name: str) -> str:
    """What a setting is for, with its default and what is allowed; the help of its flag, too."""
    entry = _FIELDS[name]
    text = str(entry.metadata["help"])
    if entry.metadata["choices"]:
        text += f" One of {', '.join(entry.metadata['choices'])}."
    return f"{text} Default {'none' if entry.default == '' else entry.default}."


@dataclass(frozen=True, slots=True)
class InForce:
    """The settings in force and, by name, where each comes from: "default", "FILE:LINE", a variable or a flag."""

    settings: Settings
    origins: dict[str, str]


def resolve(
    flags: Mapping[str, object] | None = None,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> InForce:
    """Read all sources.  `flags` maps setting names to values; None there means not given.

    `file` None means the one that RINGUP_CONFIG names, or ringup.toml in the current folder if it exists.
    Raises SettingError.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, object] = {name: entry.default for name, entry in _FIELDS.items()}
    origins = dict.fromkeys(_FIELDS, "default")

    def take(name: str, raw: object, origin: str, *, is_text: bool) -> None:
        values[name] = _checked(name, raw, origin, is_text=is_text)
        origins[name] = origin

    path = file or (Path(environment[FILE_VARIABLE]) if environment.get(FILE_VARIABLE) else None)
    if path is None and DEFAULT_FILE.is_file():
        path = DEFAULT_FILE
    if path is not None:
        for name, raw, line in _read_file(path):
            take(name, raw, f"{path}:{line}", is_text=False)
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or is_of_others(variable):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in _FIELDS or variable != variable.upper():
            known = [*(PREFIX + name.upper() for name in _FIELDS), FILE_VARIABLE]
            raise SettingError(f"environment: {_unknown(variable, known)}")
        take(name, environment[variable], variable, is_text=True)
    for name, raw in (flags or {}).items():
        if raw is not None:
            take(name, raw, "--" + name.replace("_", "-"), is_text=isinstance(raw, str))
    return InForce(Settings(**values), origins)  # type: ignore[arg-type]  # _checked gives each its field's type


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    meant = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
    return f"no setting is called {name!r}; {meant}"


def _read_file(path: Path) -> list[tuple[str, object, int]]:
    """(name, value, line) of each setting of a TOML file."""
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise SettingError(
            f"{path}: expected a file of settings, found: {error.strerror}; see `ringup config`"
        ) from error
    except ValueError as error:  # not UTF-8, or not TOML: the message names line and column
        raise SettingError(f"{path}: expected TOML, found: {error}") from error
    found = []
    for name, value in table.items():
        line = _line_of(text, name)
        if name not in _FIELDS:
            raise SettingError(f"{path}:{line}: {_unknown(name, names())}")
        found.append((name, value, line))
    return found


def _line_of(text: str, name: str) -> int:
    key = re.compile(rf"""\s*\[*\s*["']?{re.escape(name)}["']?\s*[=.\]]""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if key.match(line)), 1)


def _checked(name: str, raw: object, origin: str, *, is_text: bool) -> object:
    """`raw` as the setting's type, within what is allowed.  `is_text`: numbers come as text."""
    default, rule = _FIELDS[name].default, _FIELDS[name].metadata

    def wrong(expected: str) -> SettingError:
        return SettingError(f"{origin}: {name}: expected {expected}, found {raw!r}")

    if isinstance(default, int):
        low, high = rule["minimum"], rule["maximum"]
        expected = f"a whole number from {low:,} to {high:,}"
        if is_text and isinstance(raw, str) and re.fullmatch(r"-?\d[\d_]*", raw.strip()):
            raw = int(raw.strip())
        if isinstance(raw, bool) or not isinstance(raw, int) or not low <= raw <= high:
            raise wrong(expected)
        return raw
    if isinstance(default, Path):
        if not isinstance(raw, str | Path) or not str(raw):
            raise wrong("the path of a folder")
        return Path(raw)
    if not isinstance(raw, str):
        raise wrong("text")
    if rule["choices"] and raw not in rule["choices"]:
        near = difflib.get_close_matches(raw, rule["choices"], 1)
        raise wrong(f"one of {', '.join(rule['choices'])}" + (f" (did you mean {near[0]}?)" if near else ""))
    if rule["pattern"] and not re.fullmatch(rule["pattern"], raw):
        raise wrong("host:port")
    if name == "listen" and int(raw.rpartition(":")[2]) > 65535:
        raise wrong("a port from 0 to 65535")
    return raw
