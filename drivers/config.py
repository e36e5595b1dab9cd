"""The device file: which devices a till has, at which ports, with which settings.

    [device.receipt]
    kind = "receipt_printer"
    port = "tcp://10.0.0.7:9100"
    model = "TM-T88V"

    [device.drawer]
    kind = "cash_drawer"
    printer = "receipt"

    [device.scale]
    kind = "scale"
    port = "/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"
    protocol = "toledo_8217"
    baud = 9600
    parity = "E"
    data_bits = 7

Each kind is a module with a table of keys and a function that makes the device; a kind is added by a
line in KINDS.  Nothing outside this file is opened or asked.
"""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """The device file cannot be used; the message names the device, the key, and the nearest known name."""


_REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Key:
    """A setting: its type, its default (none: it must be given), and what values it may have."""

    type: type
    default: Any = _REQUIRED
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    help: str = ""

    def check(self, where: str, value: Any) -> Any:
        """The value, or ConfigError saying what was expected."""
        is_number = self.type in (int, float)
        accepted: Any = (int, float) if self.type is float else self.type
        if not isinstance(value, accepted) or (is_number and isinstance(value, bool)):
            raise ConfigError(f"{where}: expected {_TYPE_WORDS[self.type]}, found {value!r}")
        if self.choices and value not in self.choices:
            known = ", ".join(map(str, self.choices))
            raise ConfigError(f"{where}: expected one of {known}, found {value!r}{nearest(value, self.choices)}")
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise ConfigError(f"{where}: expected {self.low} to {self.high}, found {value!r}")
        return float(value) if self.type is float else value


_TYPE_WORDS = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", dict: "a table",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """Where a kind of device lives: `module:table of keys`, `module:function`.

    The function takes (name, transport, options), or (name, printer, options) for what hangs on a
    printer; `options` holds every key of the table, and of COMMON_KEYS those that were given.
    """

    keys: str
    make: str
    at_printer: bool = False


_DEVICE = "ringup.drivers.device"
KINDS: dict[str, Kind] = {
    "receipt_printer": Kind(f"{_DEVICE}.printer:PRINTER_CONFIG", f"{_DEVICE}.printer:printer_from_config"),
    "cash_drawer": Kind(f"{_DEVICE}.printer:DRAWER_CONFIG", f"{_DEVICE}.printer:drawer_from_config", at_printer=True),
    "line_display": Kind(f"{_DEVICE}.display:DISPLAY_CONFIG", f"{_DEVICE}.display:display_from_config"),
    "printer_display": Kind(
        f"{_DEVICE}.display:PRINTER_DISPLAY_CONFIG", f"{_DEVICE}.display:printer_display_from_config", at_printer=True
    ),
    "label_printer": Kind(f"{_DEVICE}.label:LABEL_CONFIG", f"{_DEVICE}.label:label_from_config"),
    "scanner": Kind(f"{_DEVICE}.scanner:SCANNER_CONFIG", f"{_DEVICE}.scanner:scanner_from_config"),
    "scale": Kind(f"{_DEVICE}.scale:SCALE_CONFIG", f"{_DEVICE}.scale:scale_from_config"),
    "payment_terminal": Kind(f"{_DEVICE}.terminal:TERMINAL_CONFIG", f"{_DEVICE}.terminal:terminal_from_config"),
}

# Keys of every device with a port; those of serial ports are checked by the transport.
COMMON_KEYS: dict[str, Key] = {
    "poll_interval_s": Key(float, low=0, high=3600, help="seconds between two looks at its state, 0 for none"),
    "reply_timeout_s": Key(float, low=0.05, high=60, help="silence after which it does not answer"),
    "open_timeout_s": Key(float, low=0.1, high=60, help="time to open its port"),
    "job_timeout_s": Key(float, low=0.1, high=600, help="time a job may wait and run"),
}
SERIAL_KEYS = ("baud", "data_bits", "parity", "stop_bits", "flow")


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """One checked device of the file.  `options` are the device's, `serial` the port's settings."""

    name: str
    kind: str
    port: str = ""
    printer: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    serial: Mapping[str, Any] = field(default_factory=dict)


def nearest(word: object, known: Iterable[object]) -> str:
    """`; did you mean 'scale'?` for a word that is almost a known one, else an empty text."""
    near = get_close_matches(str(word).lower(), [str(one) for one in known], 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def resolve(target: str) -> Any:
    """The object behind `module:name`, imported now."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def load_config(path: str | Path) -> dict[str, DeviceConfig]:
    """Read and check a device file.  Paths in it are relative to its folder.  Raises ConfigError."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: expected a device file, found: {error.strerror}; name it with --config") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected UTF-8, found byte {error.object[error.start]:#04x}") from error
    try:
        return parse_config(text, folder=path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_config(text: str, *, folder: Path | None = None) -> dict[str, DeviceConfig]:
    """Check a device file's text: every device by name, in order.  Raises ConfigError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"expected TOML, found: {error}") from error
    for key in table:
        if key != "device":
            raise ConfigError(f"expected tables [device.NAME], found {key!r}{nearest(key, ('device',))}")
    devices = table.get("device", {})
    if not isinstance(devices, dict):
        raise ConfigError("expected tables [device.NAME], found a value named device")
    found = {name: _check_device(name, entry, folder) for name, entry in devices.items()}
    _check_together(found)
    return found


def _check_device(name: str, entry: Any, folder: Path | None) -> DeviceConfig:
    if not isinstance(entry, dict):
        raise ConfigError(f"device {name}: expected a table, found {entry!r}")
    kind_name = entry.get("kind")
    if kind_name not in KINDS:
        raise ConfigError(
            f"device {name} kind: expected one of {', '.join(KINDS)}, found {kind_name!r}{nearest(kind_name, KINDS)}"
        )
    kind = KINDS[kind_name]
    keys: Mapping[str, Key] = resolve(kind.keys)
    serial: dict[str, Any] = {}
    options: dict[str, Any] = {}
    allowed = ["kind", *keys]
    if not kind.at_printer:
        allowed += ["port", *SERIAL_KEYS, *COMMON_KEYS]
    for key, value in entry.items():
        where = f"device {name} {key}"
        if key not in allowed:
            raise ConfigError(f"{where}: no such key for a {kind_name}{nearest(key, allowed)}")
        if key in keys:
            options[key] = keys[key].check(where, value)
        elif key in COMMON_KEYS:
            options[key] = COMMON_KEYS[key].check(where, value)
        elif key in SERIAL_KEYS:
            serial[key] = value
    for key, setting in keys.items():
        if key not in options:
            if setting.default is _REQUIRED:
                raise ConfigError(f"device {name}: expected a key {key!r} ({setting.help}), found none")
            options[key] = setting.default
    for key in ("template", "journal"):
        if folder is not None and options.get(key):
            options[key] = str(folder / options[key])
    if folder is not None and "fonts" in options:
        options["fonts"] = [str(folder / str(one)) for one in options["fonts"]]
    port = entry.get("port", "")
    if not kind.at_printer:
        if not isinstance(port, str) or not port:
            raise ConfigError(f"device {name} port: expected a text such as 'tcp://10.0.0.7:9100', found {port!r}")
        from ringup.drivers.transport.factory import make_transport

        try:
            make_transport(port, serial)
        except ValueError as error:
            raise ConfigError(f"device {name}: {error}") from error
    config = DeviceConfig(name, kind_name, port, options.get("printer", ""), options, serial)
    if kind_name == "receipt_printer":
        make_device(config)  # an unknown model or a bad template is an error of the file, not of the morning
    return config


def _check_together(devices: Mapping[str, DeviceConfig]) -> None:
    owners: dict[str, str] = {}
    for device in devices.values():
        if device.port:
            other = owners.setdefault(device.port, device.name)
            if other != device.name:
                raise ConfigError(
                    f"device {device.name} port: {device.port} belongs to device {other} already; a port has one owner"
                )
        if device.printer:
            printers = [one.name for one in devices.values() if one.kind == "receipt_printer"]
            if device.printer not in printers:
                raise ConfigError(
                    f"device {device.name} printer: expected the name of a receipt_printer, found "
                    f"{device.printer!r}{nearest(device.printer, printers)}"
                )


def make_device(config: DeviceConfig, printer: Any = None) -> Any:
    """The device of a checked entry, not started.  `printer` is the device that `config.printer` names.

    Raises ConfigError for settings that only the device itself can judge.
    """
    kind = KINDS[config.kind]
    make = resolve(kind.make)
    try:
        if kind.at_printer:
            return make(config.name, printer, config.options)
        from ringup.drivers.transport.factory import make_transport

        return make(config.name, make_transport(config.port, config.serial), config.options)
    except ValueError as error:
        raise ConfigError(f"device {config.name}: {error}") from error
