"""`ringup replay`: fold the journal to a point in its past and show what was there."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ringup.engine.commands_shared import (
    AsJson,
    data_dir,
    note,
    print_json,
    print_table,
    progress_bar,
    told,
)

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _nanoseconds(text: str) -> int:
    """A time as people write it (ISO 8601; UTC where it names no zone) in ns since 1970 UTC."""
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"expected a time such as 2026-11-27T18:00:00+01:00, found {text!r}") from error
    at = at if at.tzinfo else at.replace(tzinfo=datetime.UTC)
    return (at - _EPOCH) // datetime.timedelta(microseconds=1) * 1000


def _print_commands(sequence: int, now_ns: int, commands: bytes) -> None:
    from google.protobuf.json_format import MessageToDict

    from ringup.v1.session_pb2 import SessionRequest

    for index, command in enumerate(SessionRequest.FromString(commands).commands):
        body = MessageToDict(command, preserving_proto_field_name=True)
        print(json.dumps({"sequence": sequence, "index": index, "now_ns": now_ns, **body}, ensure_ascii=False))


def replay(
    directory: Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Data directory.")],
    to_sequence: Annotated[int | None, typer.Option(min=0, help="Stop after this batch.")] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Stop before the first batch later than this time (ISO 8601; UTC without a zone)."),
    ] = None,
    print_: Annotated[
        bool,
        typer.Option("--print", help="Print each command as a line of JSON (protobuf's mapping: bytes are base64)."),
    ] = False,
    from_sequence: Annotated[int, typer.Option(min=1, help="With --print: begin to print at this batch.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Fold the journal to a batch or a time and show the digest and the counters of the state there.

    Opens the journal for reading only, so it works beside a running engine and changes nothing.  With --print the
    commands go to standard output and the counters to standard error (or, with --json, to the last line).

    Example: [bold]ringup replay /var/lib/ringup --until 2026-11-27T18:00:00+01:00[/bold]

    Example: [bold]ringup replay /var/lib/ringup --print --from-sequence 1000 --to-sequence 1010[/bold]

    Exit codes: 0 done; 65 a record is damaged; 70 no data directory, the journal was trimmed, or folding gave other
    answers than were given; 76 a newer version wrote it.
    """
    until_ns = _nanoseconds(until) if until is not None else None
    with told():
        from ringup.engine.answers import Answers
        from ringup.engine.journal import JournalError
        from ringup.engine.lmdb_store import LmdbJournal, check_pages
        from ringup.engine.record import GENESIS, DamagedRecord, decode
        from ringup.engine.recovery import core_of, fold

        path = data_dir(directory)
        check_pages(path / "journal")  # or LMDB might lead the fold astray
        journal = LmdbJournal(path / "journal", readonly=True)
        if journal.first_sequence() > 1:
            raise JournalError(
                f"{path}: expected the journal to begin with record 1, found {journal.first_sequence()}: "
                "it was trimmed; replay the archive that was kept"
            )
        last = journal.last_sequence()
        end = last if to_sequence is None else min(to_sequence, last)
        core, digest, answers = core_of(journal), GENESIS, Answers()
        with progress_bar("replaying") as progress:
            for number, raw in journal.read(1):
                if number > end:
                    break
                if number != core.sequence + 1:
                    raise DamagedRecord(
                        f"record {core.sequence + 1} of the journal: expected next, found record {number}"
                    )
                record = decode(raw, number, digest)
                if until_ns is not None and record.now_ns > until_ns:
                    break
                fold(core, record, answers)
                digest = record.digest
                if print_ and number >= from_sequence:
                    _print_commands(number, record.now_ns, record.commands)
                progress(number, end)
        summary: dict[str, Any] = {
            "data_dir": str(path),
            "sequence": core.sequence,
            "last_sequence": last,
            "now_ns": core.now_ns,
            "digest": core.digest().hex(),
            "chain_digest": digest.hex(),
            "receipt_gaps": core.receipt_gaps(),
            "changed_answers": answers.changed_count,
            "rows": core.row_counts(),
        }
        if as_json:
            print_json(summary)
        elif print_:
            note(f"batch {core.sequence:,} of {last:,}, state {summary['digest']}")
        else:
            rows: list[tuple[object, ...]] = [(key, value) for key, value in summary.items() if key != "rows"]
            print_table("State", ("what", "value"), rows)
            print_table("Rows", ("table", "rows"), list(core.row_counts().items()))
