"""`ringup import`: items, prices and stock from files into a running engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringup.engine.commands_shared import AsJson, Exit, note, print_json, progress_bar, secret, told

if TYPE_CHECKING:
    from ringup.clients import Client
    from ringup.engine.import_rows import Bad, Known, Read

SHOWN_MAX = 100  # bad rows that are named one by one
CALL_TIMEOUT_S = 30.0


def _pages(client: Client, request: Any, field: str) -> Iterator[Any]:
    while True:
        answer = client.call(request, timeout_s=CALL_TIMEOUT_S)
        yield from getattr(answer, field)
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def _known(client: Client) -> Known:
    """What the engine has that the rows may name."""
    from ringup.engine.import_rows import Known
    from ringup.v1 import catalog_pb2

    known = Known()
    for item in _pages(client, catalog_pb2.SearchItemsRequest(page_size=1000), "items"):
        known.measured[item.item_id] = item.measured
        known.barcodes.update(dict.fromkeys(item.barcodes, item.item_id))
    locations = _pages(client, catalog_pb2.ListLocationsRequest(page_size=1000), "locations")
    known.locations = {one.location_id for one in locations}
    classes = _pages(client, catalog_pb2.ListTaxClassesRequest(page_size=1000), "tax_classes")
    known.tax_classes = {one.tax_class_id for one in classes}
    return known


def _commands(reads: dict[str, Read], reference: str) -> list[tuple[Any, Path, list[int]]]:
    """(request, file, line of each row) of all commands, in the order in which they are sent."""
    from ringup.engine.import_rows import LINES_MAX, PUT_ROWS_MAX, chunks, receipt_id, stock_bytes
    from ringup.v1 import catalog_pb2, stock_pb2

    commands: list[tuple[Any, Path, list[int]]] = []
    makers: tuple[tuple[str, Callable[[list[Any]], Any]], ...] = (
        # Putting the same row again changes nothing, so these need no ids that outlive a run.
        ("items", lambda rows: catalog_pb2.PutItemsRequest(items=rows)),
        ("prices", lambda rows: catalog_pb2.PutPricesRequest(rows=rows)),
    )
    for name, make in makers:
        if name in reads:
            for chunk in chunks(reads[name].rows, PUT_ROWS_MAX, lambda row: int(row.ByteSize())):
                command = make([row for _, row in chunk])
                commands += [(command, reads[name].path, [line for line, _ in chunk])]
    if "stock" in reads:
        read = reads["stock"]
        contents, number = stock_bytes(read), 0
        by_location: dict[str, list[tuple[int, Any]]] = {}
        for line, (location, row) in read.rows:
            by_location.setdefault(location, []).append((line, row))
        for location, rows in by_location.items():
            for chunk in chunks(rows, LINES_MAX, lambda row: int(row.ByteSize())):
                request = stock_pb2.ReceiveStockRequest(
                    command_id=receipt_id(contents, reference, number),
                    location_id=location,
                    lines=[row for _, row in chunk],
                    reference=reference,
                )
                commands.append((request, read.path, [line for line, _ in chunk]))
                number += 1
    return commands


def _show_bad(bad: list[Bad], *, as_json: bool) -> None:
    for one in bad[:SHOWN_MAX]:
        note(str(one), "red")
    if len(bad) > SHOWN_MAX:
        note(f"and {len(bad) - SHOWN_MAX:,} more", "red")
    note(f"{len(bad):,} faults, nothing was sent; correct them and import again", "red")
    if as_json:
        shown = [
            {"file": one.file, "line": one.line, "column": one.column, "reason": one.reason} for one in bad[:SHOWN_MAX]
        ]
        print_json({"imported": False, "bad_count": len(bad), "bad": shown})


def _send(client: Client, commands: list[tuple[Any, Path, list[int]]], progress: Callable[[int, int], None]) -> None:
    from ringup.clients.errors import Refused

    total, done = sum(len(lines) for _, _, lines in commands), 0
    for number, (request, path, lines) in enumerate(commands):
        answer = client.call(request, timeout_s=CALL_TIMEOUT_S)
        if answer.code != 1:
            refused = Refused(type(request).__name__.removesuffix("Request"), answer)
            line = lines[min(answer.problem.index, len(lines) - 1)]
            note(
                f"{path}:{line}: {refused}.  The engine changed after the rows were checked: {number} of "
                f"{len(commands)} commands are in; correct the row and run the import again",
                "red",
            )
            raise typer.Exit(Exit.NOT_RIGHT)
        done += len(lines)
        progress(done, total)


def import_(
    items: Annotated[
        Path | None, typer.Option(help="Items: item_id, name, barcodes, categories, tax_class_id, ...")
    ] = None,
    prices: Annotated[Path | None, typer.Option(help="Price-book rows: item_id, price_minor, location_id, ...")] = None,
    stock: Annotated[Path | None, typer.Option(help="Goods received: location_id, item_id, qty_milli.")] = None,
    to: Annotated[str, typer.Option(metavar="HOST:PORT", help="The engine.")] = "127.0.0.1:7420",
    reference: Annotated[
        str, typer.Option(help="Delivery note of the stock; another one tells the same goods come again.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all rows against the engine, send none.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put items, prices and stock from CSV or Parquet into a running engine; all rows or none.

    Columns have the names of the fields in the engine's contract: money in minor units (price_minor), quantities in
    thousandths (qty_milli), times in ns since 1970 or as 2026-11-27T18:00:00+01:00; several barcodes or categories
    stand in one cell with | between them.  All rows of all files are checked first, against each other and against
    what the engine has; if one is bad, each bad one is named with line, column and reason and nothing is sent.

    Then the rows go in as commands of at most 10,000 rows, each whole or not at all.  If that is cut short, run the
    same import again: items and prices are put as they are in the file, and goods are received once for the same
    rows and reference, as long as the engine remembers ids (reply_retention_ms, 7 days by default).

    Example: [bold]ringup import --items items.csv --prices prices.csv --stock goods.parquet --to 127.0.0.1:7420[/bold]

    Exit codes: 0 all rows are in; 1 a row is bad, or the engine refused one; 2 wrong use; 69 no engine answered, or
    not in time: run it again.
    """
    files = {name: path for name, path in (("items", items), ("prices", prices), ("stock", stock)) if path is not None}
    if not files:
        raise typer.BadParameter("expected at least one of --items, --prices and --stock")
    if len(reference.encode()) > 200:
        raise typer.BadParameter("expected at most 200 bytes", param_hint="--reference")
    with told():
        from ringup.clients import Client
        from ringup.clients.errors import RingUpError
        from ringup.engine.import_rows import Bad, UnreadableFile, read_items, read_prices, read_stock

        readers = {"items": read_items, "prices": read_prices, "stock": read_stock}
        reads: dict[str, Read] = {}
        bad: list[Bad] = []
        try:
            with Client(to, batching=False, secret=secret(), timeout_s=CALL_TIMEOUT_S) as client:
                known = _known(client)
                for name, path in files.items():
                    try:
                        reads[name] = readers[name](path, known)
                        bad += reads[name].bad
                    except UnreadableFile as error:
                        bad.append(Bad(str(path), 1, "", str(error)))
                if bad:
                    _show_bad(bad, as_json=as_json)
                    raise typer.Exit(Exit.NOT_RIGHT)
                commands = _commands(reads, reference)
                replays = client.get_stats().counters["replays"]
                if not dry_run:
                    with progress_bar("importing") as progress:
                        _send(client, commands, progress)
                replays = client.get_stats().counters["replays"] - replays
        except RingUpError as error:
            note(f"{to}: {error}", "red")
            raise typer.Exit(Exit.UNREACHABLE) from error
    counts = {name: len(read.rows) for name, read in reads.items()}
    if replays and "stock" in reads:
        note(
            f"{replays} commands had been sent before and were not booked again; "
            "give another --reference if they should be"
        )
    if as_json:
        print_json({"imported": not dry_run, "rows": counts, "commands": len(commands), "sent_before": replays})
    else:
        rows = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        typer.echo(f"{rows}: every row is right" + ("; nothing was sent" if dry_run else f" and in {to}"))
