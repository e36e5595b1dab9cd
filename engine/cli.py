"""The `ringup` command.  Commands load what they need when they run, so that `--help` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringup.engine.commands_demo import demo

app = typer.Typer(
    name="ringup",
    help="RingUp: the transaction engine behind a retailer's tills and its online shop.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.command()
def serve(
    data_dir: Annotated[Path, typer.Option(help="Folder with the engine's journal and checkpoints.")] = Path("data"),
    listen: Annotated[str, typer.Option(help="host:port to serve on; port 0 takes any free one.")] = "127.0.0.1:7420",
) -> None:
    """Serve one data directory to tills and shops until SIGINT or SIGTERM.

    Example: [bold]ringup serve --data-dir /var/lib/ringup --listen 127.0.0.1:7420[/bold]
    """
    from ringup.engine.journal import JournalError
    from ringup.engine.record import DamagedRecord
    from ringup.engine.serve import serve as run

    try:
        code = run(data_dir, listen, checkpoint_bytes=64 << 20, checkpoint_commands=100_000)
    except (JournalError, DamagedRecord, OSError) as error:
        typer.secho(f"ringup: {error}", fg="red", err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(code)


app.command()(demo)


@app.callback()
def root() -> None:
    """RingUp: the transaction engine behind a retailer's tills and its online shop."""


def main() -> None:
    """Run the `ringup` command."""
    app()
