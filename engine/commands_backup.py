"""`ringup backup` and `ringup restore`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringup.engine.commands_shared import (
    AsJson,
    ConfigFile,
    data_dir,
    has_journal,
    note,
    print_json,
    progress_bar,
    told,
)

if TYPE_CHECKING:
    from ringup.engine.recovery import CheckReport


def _show(what: str, source: Path, target: Path, report: CheckReport, *, as_json: bool) -> None:
    if as_json:
        print_json({"source": str(source), "target": str(target), **dataclasses.asdict(report)})
    else:
        typer.echo(
            f"{target}: {what} {source}, {report.records:,} records up to {report.last_sequence:,} "
            f"({report.record_bytes:,} bytes), every page and record checked"
        )


def backup(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Folder to make; it must be new or empty.")],
    directory: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Data directory; default: the setting data_dir.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Copy a data directory, also while its engine runs, and check the copy.

    The copy stands for one moment during the command.  A file backup.json says what it holds, so that a later
    `restore` can tell whether all of it is still there.  TARGET appears only when the copy is whole and checked.

    Example: [bold]ringup backup /mnt/backup/monday --data-dir /var/lib/ringup[/bold]

    Exit codes: 0 the backup is there and checked; 65 the data directory is damaged; 70 no data directory, or the
    copy came out damaged; 73 TARGET is not empty or cannot be made; 74 no room.
    """
    with told():
        from ringup.engine.backup import backup as run

        source = data_dir(directory, config)
        with progress_bar("checking the copy") as progress:
            report = run(source, target, progress)
    _show("backup of", source, target, report, as_json=as_json)


def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="Folder that `ringup backup` made.")],
    target: Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Data directory to make; new or empty.")],
    same_engine: Annotated[
        bool,
        typer.Option(
            "--same-engine", help="Nothing came after the backup, and its engine will never run again: keep its id."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a data directory from a backup; checked before and after.

    What was sold after the backup is not in it.  Keep the old data directory until that is settled.

    It is another engine, with an id of its own: the engine that was backed up may have told events since, and what
    happens here gets the same numbers. Readers who had come further are refused when they come back, with the last
    event that both have (CURSOR_FOREIGN); those who had not go on. A cursor kept in the engine has to be put again, a
    webhook is parked until `ringup webhook retry`: see what it had done after that event, and undo or compare it.
    Tills that keep their sales send them again. Receipts printed after the backup are not known here: numbers begin
    above a round number that no till has reached (Settings.receipts_after), so that none is given twice.

    Example: [bold]ringup restore /mnt/backup/monday /var/lib/ringup-new[/bold]

    Exit codes: 0 the data directory is there and checked; 65 the backup is damaged or not whole; 73 DATA_DIR is not
    empty or cannot be made; 74 no room; 75 BACKUP is a data directory in use; 70 BACKUP is no backup.
    """
    with told():
        from ringup.engine.backup import read_manifest
        from ringup.engine.backup import restore as run
        from ringup.engine.journal import JournalError

        if not has_journal(source):
            raise JournalError(
                f"{source}: expected a backup, found no journal in it; name the folder that `ringup backup` made"
            )
        with progress_bar("checking") as progress:
            report = run(source, target, progress, same_engine=same_engine)
        if read_manifest(source) is None:
            note(f"{source} has no backup.json: that its end is not missing could not be proved")
    if not same_engine:
        note(f"a new engine, {report.engine_id}: readers of events that were past this backup will be told")
    _show("restored from", source, target, report, as_json=as_json)
