"""`ringup check`: read every record and page of a data directory and prove each."""

from __future__ import annotations

import dataclasses

import typer

from ringup.engine.commands_shared import (
    AsJson,
    ConfigFile,
    DataDir,
    Exit,
    data_dir,
    note,
    print_json,
    progress_bar,
    told,
)


def check(directory: DataDir = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Walk the journal and the checkpoint and name the first bad record.

    Every page of the two files must be where the trees say, every record must have its checksum and its link to the
    record before, every checkpoint page its checksum.  Works beside a running engine; changes nothing.

    Example: [bold]ringup check /var/lib/ringup[/bold]

    Exit codes: 0 all is as it was written; 1 there is damage, and the message says where; 70 no data directory;
    76 a newer version wrote it.
    """
    with told():
        from ringup.engine.backup import check_directory

        path = data_dir(directory, config)
        with progress_bar("checking") as progress:
            report = check_directory(path, progress)
        if as_json:
            print_json({"data_dir": str(path), **dataclasses.asdict(report)})
        else:
            typer.echo(
                f"{path}: {len(report.damage)} faults; {report.file_pages:,} pages, {report.records:,} records "
                f"({report.record_bytes:,} bytes) "
                f"and {report.checkpoint_pages:,} checkpoint pages (of batch {report.checkpoint_sequence:,}) read"
            )
        for damage in report.damage:
            note(damage, "red")
        if report.damage:
            raise typer.Exit(Exit.NOT_RIGHT)
