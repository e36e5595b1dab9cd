"""`ringup stat`: how large a data directory or a running engine is, and what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
    secret,
    told,
)


def _of_directory(path: Path) -> dict[str, Any]:
    from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal, holder

    # The checkpoint first: the journal read after it is never behind it.
    file = path / "checkpoint" / "data.mdb"
    meta = CheckpointStore(file.parent, readonly=True).meta() if file.exists() else None
    journal = LmdbJournal(path / "journal", readonly=True)
    last, health = journal.last_sequence(), journal.health()
    checkpoint = int(meta["sequence"]) if meta else 0
    journal_file = (path / "journal" / "data.mdb").stat()
    return {
        "data_dir": str(path),
        "engine_id": journal.engine_id,
        "restored_from": [f"{one.engine_id} up to batch {one.last_batch:,}" for one in journal.ancestors],
        "in_use_by": holder(path),
        "first_sequence": journal.first_sequence(),
        "last_sequence": last,
        "checkpoint_sequence": checkpoint,
        "tail_batches": last - checkpoint,
        "journal_file_bytes": journal_file.st_size,
        "journal_disk_bytes": journal_file.st_blocks * 512,
        **health,
        "journal_map_use_ppm": health["journal_used_bytes"] * 1_000_000 // health["journal_map_bytes"],
        "checkpoint_file_bytes": file.stat().st_size if file.exists() else 0,
        "checkpoint_layout": meta["layout"] if meta else "",
        "rows": meta["counts"] if meta else {},
    }


def _of_engine(target: str) -> dict[str, Any]:
    import grpc

    from ringup.clients._connection import metadata_of
    from ringup.v1.admin_pb2 import GetStatsRequest, GetStatsResponse

    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary(
            "/ringup.v1.AdminService/GetStats",
            request_serializer=GetStatsRequest.SerializeToString,
            response_deserializer=GetStatsResponse.FromString,
        )
        try:
            answer = call(GetStatsRequest(), timeout=5.0, metadata=metadata_of(secret()))
        except grpc.RpcError as error:
            note(
                f"{target}: expected an engine that answers, found: {error.details()}; "
                "is `ringup serve` running there?",
                "red",
            )
            raise typer.Exit(Exit.UNREACHABLE) from error
    return {"engine": target, **dict(sorted(answer.counters.items())), "rows": dict(sorted(answer.rows.items()))}


def stat(
    directory: DataDir = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="HOST:PORT", help="Ask a running engine.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show sizes, sequences, use of the map, readers and rows.

    Of a data directory (rows are those of its checkpoint), or with --from of a running engine (rows are those of
    now, counters those since its start).

    Example: [bold]ringup stat /var/lib/ringup[/bold]

    Example: [bold]ringup stat --from 127.0.0.1:7420 --json[/bold]

    Exit codes: 0 done; 69 no engine answered; 70 no data directory; 76 a newer version wrote it.
    """
    with told():
        shown = _of_engine(from_) if from_ is not None else _of_directory(data_dir(directory, config))
    if as_json:
        print_json(shown)
        return
    rows = shown.pop("rows")
    print_table("Engine", ("what", "value"), [(key, value) for key, value in shown.items()])
    print_table("Rows" if from_ is not None else "Rows in the checkpoint", ("table", "rows"), list(rows.items()))
