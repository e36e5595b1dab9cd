"""The `ringup webhook` commands: send events to a URL, see how far each reader is, and send again what was parked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringup.engine.commands_shared import AsJson, Exit, called, note, print_json, print_table, secret

if TYPE_CHECKING:
    from ringup.engine.webhook import Limits
    from ringup.engine.webhook_post import Poster

CALL_TIMEOUT_S = 5.0
Engine = Annotated[
    str, typer.Option("--engine", metavar="HOST:PORT", envvar="RINGUP_ENGINE", help="The engine.", show_default=True)
]
ENGINE_DEFAULT = "127.0.0.1:7420"
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the cursor.", show_default=False)]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.callback()
def webhook() -> None:
    """Post what happens to stock to a URL: signed, in order, never lost.

    Exit codes: 0 done, or told to stop; 1 there is no such name; 2 wrong use; 69 no engine answered; 70 the engine
    refused; 79 parked: the receiver failed too often in a row, and a person has to look.

    Examples: [bold]ringup webhook run --url https://shop.example/stock --name shop --secret-file secret[/bold],
    [bold]ringup webhook list[/bold], [bold]ringup webhook retry shop[/bold]
    """


@app.command()
def run(
    url: Annotated[
        str, typer.Option(envvar="RINGUP_WEBHOOK_URL", help="Where to post; the path is never shown.", show_envvar=True)
    ],
    name: Annotated[str, typer.Option(envvar="RINGUP_WEBHOOK_NAME", help="Name of the cursor, 1 to 64 bytes.")],
    secret_file: Annotated[
        Path,
        typer.Option(
            envvar="RINGUP_WEBHOOK_SECRET_FILE",
            help="File with the secret to sign with; a second line signs too, while receivers change over.",
        ),
    ],
    engine: Engine = ENGINE_DEFAULT,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            envvar="RINGUP_WEBHOOK_CA_FILE",
            help="PEM file of the authorities to trust for https, instead of the usual ones.",
        ),
    ] = None,
    from_sequence: Annotated[
        int, typer.Option("--from", min=0, help="First event of a name that is new; 0: the oldest there is.")
    ] = 0,
    events_max: Annotated[int, typer.Option(min=1, max=10_000, help="Events of one post.")] = 500,
    timeout_s: Annotated[float, typer.Option(min=0.1, max=300.0, help="How long one post may take.")] = 15.0,
    wait_s_min: Annotated[float, typer.Option(min=0.01, max=3600.0, help="Wait after the first failure.")] = 1.0,
    wait_s_max: Annotated[float, typer.Option(min=0.01, max=3600.0, help="Waits double up to this.")] = 300.0,
    park_after: Annotated[
        int, typer.Option(min=1, max=10_000, help="Failures in a row after which a person has to look.")
    ] = 30,
    keep: Annotated[bool, typer.Option("--keep", help="Parked, wait for `webhook retry` instead of ending.")] = False,
) -> None:
    """Post events from the cursor on, in order, until SIGINT or SIGTERM.

    Each post is a JSON object: engine_id, first_sequence, last_sequence, events; quantities in thousandths (_milli).
    The header RingUp-Signature is t=SECONDS,v1=HEX, where HEX is the HMAC-SHA256 with the secret over the seconds, a
    full stop and the body: compare it in constant time and refuse seconds that are long past. Any answer 2xx within
    the time acknowledges the post, and the engine's cursor moves; anything else is tried again, after Retry-After if
    the answer has one. So each event comes at least once and in order; one that came before has a sequence that the
    receiver knows. An event is named by engine_id and sequence together: an engine restored from a backup numbers on
    from the backup's end, and its webhooks are parked until a person has looked. Only one sender should run under a
    name.

    With a service manager: do not restart it on exit code 79 (systemd: RestartPreventExitStatus=79), or use --keep.

    Example: [bold]ringup webhook run --url https://shop.example/stock --name shop --secret-file secret[/bold]
    """
    from ringup.engine import logs
    from ringup.engine.config import resolve
    from ringup.engine.webhook import Limits, Parked
    from ringup.engine.webhook_post import Poster, WebhookError, read_secrets

    if not 1 <= len(name.encode()) <= 64:
        raise typer.BadParameter(f"expected 1 to 64 bytes, found {len(name.encode())}", param_hint="--name")
    with called(engine):
        settings = resolve().settings
        logs.set_up(settings.log_level, settings.log_format)
        limits = Limits(events_max, park_after, min(wait_s_min, wait_s_max), wait_s_max)
        try:
            poster = Poster(url, read_secrets(secret_file), timeout_s, ca_file=ca_file)
            _run(engine, poster, name, limits, from_sequence=from_sequence, keep=keep)
        except WebhookError as error:
            note(str(error), "red")
            raise typer.Exit(Exit.USAGE) from error
        except Parked as error:
            note(f"{name} is parked: {error}; see to it, then: ringup webhook retry {name}", "red")
            raise typer.Exit(Exit.PARKED) from error


def _run(
    engine: str,
    poster: Poster,
    name: str,
    limits: Limits,
    *,
    from_sequence: int,
    keep: bool,
) -> None:
    import asyncio
    import signal

    from ringup.clients import AsyncClient
    from ringup.engine.webhook import Sender

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with poster, AsyncClient(engine, batching=False, secret=secret()) as client:
            typer.echo(f"ringup: posting events of {engine} to {poster.origin} as {name}")
            sender = Sender(client, poster, name, limits=limits, from_sequence=from_sequence, keep=keep)
            await sender.run_until(stop)

    asyncio.run(main())


def _cursors(client: Any) -> tuple[list[Any], Any]:
    """All cursors, and an answer with the engine's id and its last event."""
    from ringup.engine.webhook import EVENTS_NONE
    from ringup.v1 import event_pb2

    cursors = client.call(event_pb2.ListEventCursorsRequest(), timeout_s=CALL_TIMEOUT_S).cursors
    beyond = client.call(event_pb2.ReadEventsRequest(from_sequence=EVENTS_NONE), timeout_s=CALL_TIMEOUT_S)
    return list(cursors), beyond


@app.command("list")
def list_(engine: Engine = ENGINE_DEFAULT, as_json: AsJson = False) -> None:
    """Show how far each reader of events has come, and which are parked and why.

    Example: [bold]ringup webhook list[/bold]
    """
    from ringup.clients import Client

    with called(engine), Client(engine, batching=False, secret=secret()) as client:
        cursors, beyond = _cursors(client)
    last = int(beyond.last_sequence)
    if as_json:
        shown = [
            {"name": one.cursor_id, "sequence": one.sequence, "behind_count": last - one.sequence,
             "parked": one.parked, "note": one.note, "put_ns": one.put_ns}
            for one in cursors
        ]  # fmt: skip
        print_json({"last_sequence": last, "cursors": shown})
        return
    rows: list[tuple[object, ...]] = [
        (
            one.cursor_id,
            one.sequence,
            last - one.sequence,
            "parked" if one.parked else "open",
            f"{datetime.fromtimestamp(one.put_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S}",
            one.note,
        )
        for one in cursors
    ]
    title = f"Readers of events; the last event is {last:,}"
    print_table(title, ("name", "done to", "behind", "state", "put (UTC)", "note"), rows)


@app.command()
def retry(
    name: Name,
    engine: Engine = ENGINE_DEFAULT,
    from_sequence: Annotated[
        int | None,
        typer.Option(
            "--from", min=1, help="Go on from this event, back or forth; while its sender is parked or stopped."
        ),
    ] = None,
) -> None:
    """Take a parked cursor up again; a sender that ended has to be started as well.

    Example: [bold]ringup webhook retry shop[/bold]
    """
    from ringup.clients import Client
    from ringup.clients.errors import Refused
    from ringup.v1 import event_pb2

    with called(engine), Client(engine, batching=False, secret=secret()) as client:
        cursors, beyond = _cursors(client)
        cursor = next((one for one in cursors if one.cursor_id == name), None)
        if cursor is None:
            names = ", ".join(one.cursor_id for one in cursors) or "none"
            note(f"expected the name of a cursor, found {name!r}; there are: {names}", "red")
            raise typer.Exit(Exit.NOT_RIGHT)
        if not cursor.parked and from_sequence is None:
            typer.echo(f"{name} is not parked: nothing to do")
            return
        request = event_pb2.PutEventCursorRequest(
            cursor_id=name,
            engine_id=beyond.engine_id,
            sequence=cursor.sequence if from_sequence is None else from_sequence - 1,
            rewind=from_sequence is not None,
            note="taken up again",
        )
        answer = client.call(request, timeout_s=CALL_TIMEOUT_S)
        if answer.code != 1:
            raise Refused("PutEventCursor", answer)
    typer.echo(f"{name} goes on from event {answer.cursor.sequence + 1:,}")
