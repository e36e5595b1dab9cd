"""`ringup devices` and `ringup scan`: see, test, simulate and listen to devices; no engine needed.

`app` and `scan_app` are mounted by the `ringup` command; `python -m ringup.drivers.cli` runs `app` alone.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from ringup.drivers.manager import Manager
    from ringup.drivers.simulator.base import Simulator

app = typer.Typer(
    name="devices",
    help="Printers, drawers, scanners, scales, displays and terminals of this till.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

# What `simulate` offers: module and class; each is made without arguments.
SIMULATORS: dict[str, str] = {
    "printer": "ringup.drivers.simulator.printer:PrinterSimulator",
    "display": "ringup.drivers.simulator.display:DisplaySimulator",
    "label": "ringup.drivers.simulator.label:LabelSimulator",
    "scanner": "ringup.drivers.simulator.scanner:ScannerSimulator",
    "scale": "ringup.drivers.simulator.scale:ScaleSimulator",
    "terminal": "ringup.drivers.simulator.terminal:TerminalSimulator",
}

Config = Annotated[Path, typer.Option("--config", "-c", envvar="RINGUP_DEVICES", help="The device file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DEFAULT_CONFIG = Path("devices.toml")


def _fail(message: object) -> typer.Exit:
    typer.secho(f"ringup: {message}", fg="red", err=True)
    return typer.Exit(1)


def _manager(config: Path) -> Manager:
    from ringup.drivers.config import ConfigError
    from ringup.drivers.manager import Manager

    try:
        return Manager.from_file(config)
    except ConfigError as error:
        raise _fail(error) from error


def _plain(value: Any) -> Any:
    """A value as JSON can carry it; what is empty is left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: _plain(one) for name, one in pairs if one not in (None, "", ())}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, int | float | str | bool) or value is None:
        return value
    return str(value)


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command("list")
def list_devices(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the configured devices, and serial ports that no device uses.  Opens nothing."""
    manager = _manager(config)
    configs = list(manager.configs.values())
    folder = Path("/dev/serial/by-id")
    used = {one.port.removeprefix("serial:") for one in configs}
    free = [str(path) for path in sorted(folder.iterdir()) if str(path) not in used] if folder.is_dir() else []
    if as_json:
        typer.echo(json.dumps({"devices": [_plain(one) for one in configs], "free_ports": free}))
        return
    rows = [("NAME", "KIND", "PORT", "SETTINGS")]
    for one in configs:
        settings = {**one.serial, **one.options}
        shown = " ".join(f"{key}={value}" for key, value in settings.items() if value not in ("", [], None, 0))
        rows.append((one.name, one.kind, one.port or f"at {one.printer}", shown))
    _table(rows)
    for path in free:
        typer.echo(f"not used: serial:{path}")


@app.command()
def status(
    config: Config = DEFAULT_CONFIG,
    wait_s: Annotated[float, typer.Option("--wait", min=0, max=60, help="Seconds to wait for all to answer.")] = 3.0,
    as_json: AsJson = False,
) -> None:
    """Open every device and say how it is; exit code 1 if one is not ready."""
    with _manager(config) as manager:
        all_ready = manager.wait_ready(wait_s)
        found = manager.health()
    if as_json:
        typer.echo(json.dumps([_plain(one) for one in found]))
    else:
        rows = [("NAME", "STATE", "PORT", "DETAIL")]
        for one in found:
            known = " ".join(f"{key}={value}" for key, value in one.status.items() if value not in (None, ""))
            rows.append((one.name, str(one.state), one.port, " ".join(filter(None, (one.detail, known)))))
        _table(rows)
    if not all_ready:
        raise typer.Exit(1)


@app.command("test")
def try_devices(
    names: Annotated[list[str] | None, typer.Argument(help="Devices to test; all without.")] = None,
    config: Config = DEFAULT_CONFIG,
    wait_s: Annotated[float, typer.Option("--wait", min=0, max=60, help="Seconds to wait for an answer.")] = 5.0,
) -> None:
    """Try a device: print, open, weigh, show, and say what was seen; exit code 1 if one failed."""
    manager = _manager(config)
    for name in names or ():
        try:
            manager[name]
        except KeyError as error:
            raise _fail(error.args[0]) from error
    with manager:
        failed = False
        for name in names or list(manager):
            device = manager[name]
            owner = getattr(device, "printer", device)
            owner.wait_ready(wait_s)
            if str(owner.state) == "offline":
                result_passed, seen = False, owner.health().detail
            else:
                result = manager.test(name)
                result_passed, seen = result.passed, result.seen
            failed = failed or not result_passed
            typer.secho(f"{name}: {'ok' if result_passed else 'FAILED'}: {seen}", fg=None if result_passed else "red")
    if failed:
        raise typer.Exit(1)


@app.command()
def monitor(
    name: Annotated[str, typer.Argument(help="The device to listen to.")],
    config: Config = DEFAULT_CONFIG,
    seconds: Annotated[float, typer.Option(min=0, help="Stop after this long; 0 runs until Ctrl-C.")] = 0.0,
    raw: Annotated[bool, typer.Option("--raw", help="Show bytes as hexadecimal too.")] = False,
) -> None:
    """Show the bytes both ways, decoded, and the device's events."""
    manager = _manager(config)
    try:
        device = manager[name]
    except KeyError as error:
        raise _fail(error.args[0]) from error
    owner = getattr(device, "printer", device)
    begin_s = time.monotonic()

    def say(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - begin_s:8.3f} {text}\n")
        sys.stdout.flush()

    def on_bytes(direction: Literal["out", "in"], data: bytes) -> None:
        arrow = "->" if direction == "out" else "<-"
        if raw:
            say(f"{arrow} {data.hex(' ')}")
        for line in owner.decode(direction, data):
            say(f"{arrow} {line}")

    def on_event(event: Any) -> None:
        if event.kind == "state":
            state, detail = event.detail
            say(f"** {state}{f': {detail}' if detail else ''}")
        else:
            say(f"** {event.kind}: {event.detail}")

    owner.monitor(on_bytes)
    owner.subscribe(on_event)
    owner.start()
    _wait(seconds)
    owner.stop()


def _wait(seconds: float, each: Callable[[], None] | None = None) -> None:
    """Wait for `seconds` (0: for Ctrl-C), calling `each` now and then."""
    end_s = time.monotonic() + seconds if seconds else float("inf")
    try:
        while (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(0.1, left_s))
            if each is not None:
                each()
    except KeyboardInterrupt:
        typer.echo("")


@app.command()
def simulate(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(SIMULATORS)}.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port on 127.0.0.1; 0 takes a free one.")] = 0,
    pty: Annotated[str, typer.Option(help="Also serve a pty, under this name (a symbolic link).")] = "",
    fault: Annotated[list[str] | None, typer.Option(help="NAME, NAME:COUNT or NAME=VALUE; may be repeated.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write what was printed to this picture.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of the simulated device.")] = None,
    seconds: Annotated[float, typer.Option(min=0, help="Stop after this long; 0 runs until Ctrl-C.")] = 0.0,
) -> None:
    """Be a device, for training and tests; able to fail on command.

    Lines typed while it runs are obeyed: fault half_frame:1, clear, drop, paper out, put 1234, scan 4006381333931.

    Example: ringup devices simulate scale --set protocol=mt_sics --port 4001
    """
    from ringup.drivers.config import nearest, resolve
    from ringup.drivers.simulator.base import Server

    if kind not in SIMULATORS:
        raise _fail(f"simulate: expected one of {', '.join(SIMULATORS)}, found {kind!r}{nearest(kind, SIMULATORS)}")
    try:
        simulator: Simulator = _configured(resolve(SIMULATORS[kind]), settings or [])
    except ValueError as error:
        raise _fail(f"simulate {kind}: {error}") from error
    if png is not None and not hasattr(simulator, "png"):
        raise _fail(f"--png: a simulated {kind} prints nothing; leave it out")
    try:
        for text in fault or ():
            simulator.faults.parse(text)
    except ValueError as error:
        raise _fail(error) from error
    shown = 0

    def report() -> None:
        nonlocal shown
        texts: list[str] = getattr(simulator, "texts", [])
        for text in texts[shown:]:
            typer.echo(text)
        if len(texts) > shown:
            shown = len(texts)
            if png is not None:
                png.write_bytes(simulator.png())  # type: ignore[attr-defined]  # seen above

    with Server(simulator) as server:
        try:
            typer.echo(f"{kind}: tcp://127.0.0.1:{server.serve_tcp(port)}")
            if pty:
                typer.echo(f"{kind}: serial:{server.serve_pty(pty)}")
        except OSError as error:
            raise _fail(f"simulate {kind}: expected to serve, found: {error}; choose another port or name") from error
        sys.stdout.flush()
        threading.Thread(target=_obey, args=(simulator,), daemon=True).start()
        _wait(seconds, report)
        report()


def _configured(made: Callable[..., Simulator], settings: Sequence[str]) -> Simulator:
    """The simulated device with its constructor's settings, each of the type of its default."""
    from ringup.drivers.config import nearest

    defaults = {name: one.default for name, one in inspect.signature(made).parameters.items()}
    given: dict[str, Any] = {}
    for text in settings:
        key, mark, value = text.partition("=")
        if not mark or key not in defaults:
            known = ", ".join(f"{name}={value}" for name, value in defaults.items()) or "none"
            raise ValueError(f"--set: expected one of {known}, found {text!r}{nearest(key, defaults)}")
        kind = type(defaults[key])
        if kind is bool:
            given[key] = value.lower() in ("true", "yes", "1")
        elif kind is bytes:
            given[key] = value.encode().decode("unicode_escape").encode("latin-1")
        else:
            given[key] = value if defaults[key] is None else kind(value)
    return made(**given)


def _obey(simulator: Simulator) -> None:
    """Obey lines of the standard input until it ends."""
    for line in sys.stdin:
        if not line.strip():
            continue
        try:
            typer.echo(simulator.control(line))
        except ValueError as error:
            typer.echo(f"? {error}")
        sys.stdout.flush()


class _DecodeByDefault(TyperGroup):
    """`ringup scan TEXT` is `ringup scan decode TEXT`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "--install-completion"):
            args = ["decode", *args]
        return super().parse_args(ctx, args)


scan_app = typer.Typer(
    name="scan",
    cls=_DecodeByDefault,
    help="Say what a barcode string is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@scan_app.callback()
def _scan() -> None:
    """Say what a barcode string is."""


@scan_app.command()
def decode(
    text: Annotated[str, typer.Argument(help="What the scanner sent; \\x1d or {GS} stands for the group separator.")],
    symbology: Annotated[
        str | None, typer.Option(help="What the scanner says it is: ean13, upce, gs1_128, ...")
    ] = None,
    measures: Annotated[str, typer.Option(help="Variable-measure templates of a country, such as de.")] = "",
    as_json: AsJson = False,
) -> None:
    """Decode one barcode string; exit code 1 if it cannot be sold by.

    Example: ringup scan ']C10104006381333931{GS}10LOT7'
    """
    from ringup.drivers.config import nearest
    from ringup.drivers.protocol import barcode

    templates: Any = ()
    if measures:
        if measures not in barcode.TEMPLATES:
            known = ", ".join(sorted(barcode.TEMPLATES))
            raise _fail(
                f"--measures: expected one of {known}, found {measures!r}{nearest(measures, barcode.TEMPLATES)}"
            )
        templates = barcode.TEMPLATES[measures]
    found = barcode.decode(text.replace("\\x1d", "\x1d").replace("{GS}", "\x1d"), symbology, templates=templates)
    plain = _plain(found)
    if as_json:
        typer.echo(json.dumps(plain))
    else:
        for key, value in plain.items():
            if key == "elements":
                for element in value:
                    typer.echo(f"  {' '.join(f'{name}={one}' for name, one in element.items())}")
            else:
                typer.echo(f"{key}: {value}".replace("\x1d", "{GS}"))
    if str(found.kind) == "unknown":
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
