"""What the commands share: exit codes, how failures are told, tables, JSON and progress bars.

Answers go to standard output, everything else to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Exit(IntEnum):
    """Exit codes; 64 and up follow sysexits.h, so that a service manager can tell them apart."""

    OK = 0
    NOT_RIGHT = 1  # the command did its work, and what it looked at is not as it must be
    USAGE = 2
    DAMAGED = 65  # the data directory has a damaged record
    UNREACHABLE = 69  # no engine answered
    FAILED = 70  # a defect of the engine, or data that no other code fits
    CANNOT_WRITE = 73  # a folder that cannot be written, or is not empty where it must be
    DISK_FAILED = 74  # a write or a sync failed: the disk is full or broken
    IN_USE = 75  # another process owns the data directory
    NEWER_FORMAT = 76  # a newer RingUp wrote the data
    ANSWERS_CHANGED = 77  # this version would not give some answers that an older one gave
    SETTING = 78  # a setting in the file, the environment or a flag cannot be used
    PARKED = 79  # a webhook was parked and waits for a person


EXIT_CODES = (
    "Exit codes: 0 done; 2 wrong use; 65 damaged data; 69 no engine answered; 70 other failure; 73 cannot write there; "
    "74 disk full or broken; 75 data directory in use; 76 written by a newer version; "
    "77 an older version answered otherwise; 78 wrong setting; 79 webhook parked."
)

SECRET_VARIABLE = "RINGUP_SECRET_FILE"

DataDir = Annotated[
    Path | None,
    typer.Argument(metavar="[DATA_DIR]", help="Data directory; default: the setting data_dir.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="File of settings; default: RINGUP_CONFIG, or ringup.toml in this folder.", show_default=False
    ),
]


def note(message: str, color: str | None = None) -> None:
    """Tell people something, on standard error."""
    typer.secho(f"ringup: {message}", fg=color, err=True)


@contextmanager
def told() -> Iterator[None]:
    """Turn what went wrong into a message and an exit code."""
    from ringup.engine.backup import BackupDamaged
    from ringup.engine.config import SettingError
    from ringup.engine.journal import AppendUnknown, JournalError
    from ringup.engine.lmdb_store import (
        DamagedCheckpoint,
        DamagedStore,
        DirectoryInUse,
        NewerFormat,
        NotWritable,
        StoreFailed,
    )
    from ringup.engine.record import DamagedRecord
    from ringup.engine.recovery import ChangedAnswers

    codes: tuple[tuple[type[Exception], Exit], ...] = (
        (SettingError, Exit.SETTING),
        (DirectoryInUse, Exit.IN_USE),
        (NewerFormat, Exit.NEWER_FORMAT),
        (NotWritable, Exit.CANNOT_WRITE),
        (StoreFailed, Exit.DISK_FAILED),
        (AppendUnknown, Exit.DISK_FAILED),
        (DamagedRecord, Exit.DAMAGED),
        (DamagedStore, Exit.DAMAGED),
        (DamagedCheckpoint, Exit.DAMAGED),
        (BackupDamaged, Exit.DAMAGED),
        (ChangedAnswers, Exit.ANSWERS_CHANGED),
        (JournalError, Exit.FAILED),
        (OSError, Exit.FAILED),
    )
    try:
        yield
    except tuple(kind for kind, _ in codes) as error:
        note(str(error), "red")
        raise typer.Exit(next(code for kind, code in codes if isinstance(error, kind))) from error


@contextmanager
def called(engine: str) -> Iterator[None]:
    """Turn what an engine said, or did not say, into a message and an exit code, and what went wrong here as well."""
    import grpc

    from ringup.clients.errors import NoAnswer, RingUpError

    with told():
        try:
            yield
        except NoAnswer as error:
            note(f"{engine}: {error}", "red")
            raise typer.Exit(Exit.UNREACHABLE) from error
        except (RingUpError, grpc.RpcError) as error:
            note(f"{engine}: {error}", "red")
            raise typer.Exit(Exit.FAILED) from error


def has_journal(path: Path) -> bool:
    """Whether this is a data directory, or a backup of one."""
    return (path / "journal" / "data.mdb").is_file()


def data_dir(given: Path | None, config: Path | None = None) -> Path:
    """The data directory given, or the one in force; it must exist."""
    from ringup.engine.config import resolve
    from ringup.engine.journal import JournalError

    path = given if given is not None else resolve(file=config).settings.data_dir
    if not has_journal(path):
        raise JournalError(
            f"{path}: expected a data directory with a journal in it, found none; name the one that `ringup serve` uses"
        )
    return path


def secret() -> str:
    """The secret to call an engine with: the first line of the file that RINGUP_SECRET_FILE names; else none."""
    from ringup.engine.config import SettingError

    file = os.environ.get(SECRET_VARIABLE, "")
    if not file:
        return ""
    try:
        lines = Path(file).read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise SettingError(
            f"{SECRET_VARIABLE}: {file}: expected a file with a secret, found: {error}; make one with `ringup caller`"
        ) from error
    if not lines:
        raise SettingError(f"{SECRET_VARIABLE}: {file}: expected a secret, found an empty file")
    return lines[0]


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on standard output, keys in their order."""
    print(json.dumps(value, ensure_ascii=False, default=str))


def print_table(title: str, columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """A table on standard output; columns of numbers stand to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold")
    for at, column in enumerate(columns):
        is_number = bool(rows) and all(isinstance(row[at], int) for row in rows)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    # Folded at 80 columns a piped table is of no use to grep.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a call (done, total) that moves a bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def progress_stages() -> Iterator[Callable[[str], Callable[[int, int], None] | None]]:
    """Yield a call (name of a part of the work) that gives a call (done, total) for it: a bar after the other."""
    if not sys.stderr.isatty():
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:

        def stage(name: str) -> Callable[[int, int], None]:
            task = bar.add_task(name, total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        yield stage
