"""`ringup events`: what happened to stock, for people and for pipes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringup.engine.commands_shared import called, secret

if TYPE_CHECKING:
    from ringup.clients import AsyncClient

CALL_TIMEOUT_S = 5.0
LATEST_COUNT = 20  # shown when no --from is given
EVENTS_NONE = 1 << 62  # a sequence that no engine has: its refusal tells the last there is
COUNTERS = ("on_hand", "held", "allocated", "unavailable", "incoming")


def qty_text(milli: int, *, signed: bool = False) -> str:
    """Thousandths as people write them: 1500 is 1.5."""
    whole, part = divmod(abs(milli), 1000)
    sign = "-" if milli < 0 else "+" if signed else ""
    return f"{sign}{whole:,}" + (f".{part:03}".rstrip("0") if part else "")


def line_of(row: dict[str, Any]) -> tuple[str, str]:
    """One event as (line, colour); `row` is as `event_json.rows_of` makes it."""
    seconds, ns = divmod(row["at_ns"], 1_000_000_000)
    at = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{ns // 1_000_000:03}Z"
    color = ""
    if row["kind"] == "availability":
        color = {"low": "yellow", "out": "red", "back": "green"}[row["crossing"]]
        left = "any quantity" if row["unlimited"] else qty_text(row["available_milli"])
        what = f"{row['item_id']} on {row['channel_id']}  {row['crossing']}: {left} available"
    else:
        where = row["location_id"] + (f" lot {row['lot_id']}" if row.get("lot_id") else "")
        counts = [
            f"{name.replace('_', ' ')} {qty_text(row[name + '_milli'])}"
            f" ({qty_text(row[name + '_change_milli'], signed=True)})"
            for name in COUNTERS
            if row.get(name + "_change_milli")
        ]
        words = (["not for sale"] if row.get("barred") else []) + counts + (["removed"] if row.get("removed") else [])
        what = f"{row['item_id']} at {where}  {', '.join(words)}"
    return f"{row['sequence']:>10}  {at}  {what}", color


def _show(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(row, ensure_ascii=False))
    else:
        line, color = line_of(row)
        typer.secho(line, fg=color or None)


async def _first(client: AsyncClient, asked: int | None) -> tuple[int, int]:
    """The first event to show, and the last there is."""
    from ringup.clients.errors import Refused
    from ringup.v1 import event_pb2, result_pb2

    async def ask(sequence: int) -> Any:
        return await client.call(event_pb2.ReadEventsRequest(from_sequence=sequence), timeout_s=CALL_TIMEOUT_S)

    last = int((await ask(EVENTS_NONE)).last_sequence)
    first = max(1, last - LATEST_COUNT + 1) if asked is None else asked
    answer = await ask(first)
    if answer.code == result_pb2.RESULT_CODE_EVENTS_TRIMMED and asked is None:
        return int(answer.problem.limit), last
    if answer.code != result_pb2.RESULT_CODE_OK:
        raise Refused("ReadEvents", answer)
    return int(answer.batches[0].first_sequence) if answer.batches else last + 1, last


async def _run(engine: str, asked: int | None, *, follow: bool, as_json: bool) -> None:
    from ringup.clients import AsyncClient
    from ringup.engine.event_json import rows_of

    async with AsyncClient(engine, batching=False, secret=secret()) as client:
        first, last = await _first(client, asked)
        if first > last and not follow:
            return
        async for batch in client.follow_events(from_sequence=first):
            for row in rows_of(batch):
                row["engine_id"] = batch.engine_id  # with the sequence, the name of the event
                if not follow and row["sequence"] > last:
                    return
                _show(row, as_json=as_json)
            if not follow and batch.first_sequence + len(batch.events) > last:
                return


def events(
    engine: Annotated[
        str, typer.Option("--engine", metavar="HOST:PORT", envvar="RINGUP_ENGINE", help="The engine.")
    ] = "127.0.0.1:7420",
    from_sequence: Annotated[
        int | None,
        typer.Option(
            "--from", min=0, metavar="SEQ", help=f"First event; 0: the oldest; default: the last {LATEST_COUNT}."
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each event as it happens.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, as webhooks post them, with its engine_id.")
    ] = False,
) -> None:
    """Read what happened to stock, and follow it as it happens.

    Counters are shown as they are after the event, with the change in brackets; times are UTC. With --follow a
    restart of the engine is waited for, and no event is left out or shown twice.

    Examples: [bold]ringup events[/bold], [bold]ringup events --from 1 --json > events.jsonl[/bold],
    [bold]ringup events --follow[/bold]

    Exit codes: 0 shown; 2 wrong use; 69 no engine answered; 70 the engine refused: the events are not kept any more,
    or not there yet.
    """
    import asyncio
    import contextlib

    with called(engine), contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        asyncio.run(_run(engine, from_sequence, follow=follow, as_json=as_json))
