"""`ringup verify`: prove the state from the journal."""

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
    print_table,
    progress_bar,
    told,
)


def verify(directory: DataDir = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Fold the journal into an empty core and compare it with the checkpoint and the batches since.

    Compares the digest and the row count of every table, proves every checksum and the answers that were given, and
    counts missing receipt numbers.  Works beside a running engine; changes nothing.

    Example: [bold]ringup verify /var/lib/ringup[/bold]

    Exit codes: 0 all agree; 1 they do not, and the tables that differ are shown; 65 a file is damaged; 70 no data
    directory, or its journal was trimmed; 76 a newer version wrote it.
    """
    with told():
        from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal, check_pages
        from ringup.engine.verify import verify as run

        path = data_dir(directory, config)
        parts = [part for part in (path / "journal", path / "checkpoint") if (part / "data.mdb").exists()]
        for part in parts:
            check_pages(part)  # or LMDB might lead the fold astray
        journal = LmdbJournal(parts[0], readonly=True)
        store = CheckpointStore(parts[1], readonly=True) if len(parts) == 2 else None
        with progress_bar("verifying") as progress:
            report = run(journal, store, progress)
        if as_json:
            print_json({"data_dir": str(path), "is_well": report.is_well, **dataclasses.asdict(report)})
        else:
            typer.echo(
                f"{path}: {report.batches:,} batches folded to {report.sequence:,}, "
                f"state {report.digest or 'unknown'}; checkpoint of batch {report.checkpoint_sequence:,}, "
                f"{sum(report.rows.values()):,} rows, {report.receipt_gaps:,} receipt gaps"
            )
            if report.differences:
                rows: list[tuple[object, ...]] = [
                    (one.table, one.at_sequence, one.folded_rows, one.stored_rows) for one in report.differences
                ]
                print_table("Tables that differ", ("table", "at batch", "rows folded", "rows stored"), rows)
        for text in report.notes:
            note(text)
        for text in report.problems:
            note(text, "red")
        if report.differences:
            note(
                "the checkpoint is not what the journal gives; the journal is the truth: stop the engine, move the "
                "folder checkpoint away, and the next start folds the journal",
                "red",
            )
        if not report.is_well:
            raise typer.Exit(Exit.NOT_RIGHT)
