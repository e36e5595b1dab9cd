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

    Every record's checksum, its link to the record before and every page's checksum are proved.  Works beside a
    running engine; changes nothing.

    Example: [bold]ringup check /var/lib/ringup[/bold]

    Exit codes: 0 all is as it was written; 1 there is damage, and the message says where; 70 no data directory;
    76 a newer version wrote it.
    """
    with told():
        from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal
        from ringup.engine.recovery import check as run

        path = data_dir(directory, config)
        journal = LmdbJournal(path / "journal", readonly=True)
        store = (
            CheckpointStore(path / "checkpoint", readonly=True) if (path / "checkpoint" / "data.mdb").exists() else None
        )
        with progress_bar("checking") as progress:
            report = run(journal, store, progress)
        if as_json:
            print_json({"data_dir": str(path), **dataclasses.asdict(report)})
        else:
            typer.echo(
                f"{path}: {report.records:,} records ({report.record_bytes:,} bytes) and {report.checkpoint_pages:,} "
                f"checkpoint pages (of batch {report.checkpoint_sequence:,}) read, {len(report.damage)} damaged"
            )
        for damage in report.damage:
            note(damage, "red")
        if report.damage:
            raise typer.Exit(Exit.NOT_RIGHT)
