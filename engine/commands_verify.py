"""`ringup verify`: prove the state from the journal."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

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
    progress_stages,
    told,
)

if TYPE_CHECKING:
    from ringup.engine.verify import VerifyReport

SHOWN_MAX = 20  # rows of a table; --json has up to 1,000


def _print_differences(report: VerifyReport) -> None:
    rows: list[tuple[object, ...]]
    if report.differences:
        rows = [(one.table, one.at_sequence, one.folded_rows, one.stored_rows) for one in report.differences]
        print_table("Tables that differ", ("table", "at batch", "rows folded", "rows stored"), rows)
    for title, found in (
        ("Counters that are not what the movements add up to", report.counter_differences),
        ("Counters of the checkpoint that are not", report.stored_counter_differences),
    ):
        if found:
            columns = ("item", "location", "lot", "counter", "expected", "found", "first batch")
            rows = [
                (one.item_id, one.location_id, one.lot_id, one.counter, one.expected_milli, one.found_milli,
                 one.first_sequence or f"by {one.at_sequence}")
                for one in found[:SHOWN_MAX]
            ]  # fmt: skip
            print_table(f"{title}: {len(found):,}, in thousandths", columns, rows)
    if report.changed_answers:
        rows = [
            (one.sequence, one.index, one.command, one.what, one.given, one.now)
            for one in report.changed_answers[:SHOWN_MAX]
        ]
        title = f"Answers of older versions that differ: {report.changed_answer_count:,}"
        print_table(title, ("batch", "command", "kind", "what", "given", "today"), rows)


def verify(
    directory: DataDir = None,
    config: ConfigFile = None,
    accept_changed_answers: Annotated[
        bool,
        typer.Option("--accept-changed-answers", help="Answers that an older version gave otherwise are no fault."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fold the journal into an empty core and compare it with the checkpoint and the batches since.

    Compares the digest and the row count of every table, proves every checksum and the answers that were given, and
    counts missing receipt numbers.  Folds all stock movements a second time from commands and answers alone and
    compares every counter; names what differs and the first batch where.  Works beside a running engine; changes
    nothing.

    Example: [bold]ringup verify /var/lib/ringup[/bold]

    Exit codes: 0 all agree; 1 they do not, and what differs is shown; 65 a file is damaged; 70 no data
    directory, or its journal was trimmed; 76 a newer version wrote it.
    """
    with told():
        from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal, check_pages
        from ringup.engine.verify import verify as run

        path = data_dir(directory, config)
        parts = [part for part in (path / "journal", path / "checkpoint") if (part / "data.mdb").exists()]
        with progress_stages() as stages:
            stages("checking pages")
            for part in parts:
                check_pages(part)  # or LMDB might lead the fold astray
            journal = LmdbJournal(parts[0], readonly=True)
            store = CheckpointStore(parts[1], readonly=True) if len(parts) == 2 else None
            report = run(journal, store, stages=stages, accept_changed_answers=accept_changed_answers)
        if as_json:
            print_json({"data_dir": str(path), "is_well": report.is_well, **dataclasses.asdict(report)})
        else:
            typer.echo(
                f"{path}: {report.batches:,} batches folded to {report.sequence:,}, "
                f"state {report.digest or 'unknown'}; checkpoint of batch {report.checkpoint_sequence:,}, "
                f"{sum(report.rows.values()):,} rows, {report.receipt_gaps:,} receipt gaps; {report.movements:,} stock "
                f"movements folded, {report.counter_difference_count:,} counters differ, "
                f"{report.changed_answer_count:,} answers would be other today"
            )
            _print_differences(report)
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
