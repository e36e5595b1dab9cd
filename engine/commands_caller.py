"""`ringup caller`: give somebody a secret to call the engine with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringup.engine.commands_shared import ConfigFile, note, told


def caller(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the caller: till-17, web-shop.")],
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help="shop, store, warehouse or till; may be given more than once."),
    ] = None,
    callers_file: Annotated[
        Path | None,
        typer.Option("--callers-file", help="File of callers; default: the setting callers_file.", show_default=False),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Make a secret for a new caller and add its line to the file of callers.

    The secret is printed on standard output, once: the file has only its SHA-256. An engine started with
    `ringup serve --callers-file FILE` answers those alone who send a secret, in the metadata
    "authorization: Bearer SECRET" of each call (Client(..., secret=...), or RINGUP_SECRET_FILE for `ringup` itself).
    What the tables of states of orders and holds give to a role is refused to callers without it; a caller without
    roles may do everything else. To change a secret, let secret_sha256 be a list of both for a while; to take it
    back, remove the table. An engine at work reads the file again when it gets SIGHUP (systemctl reload): who is in it
    no more is let go at once, also in the middle of a stream; a file that cannot be used changes nothing and is logged.

    Example: [bold]ringup caller web-shop --role shop --callers-file callers.toml > web-shop.secret[/bold]

    Exit codes: 0 added; 2 wrong use; 78 the file, the name or a role cannot be used.
    """
    with told():
        from ringup.engine.callers import add_caller
        from ringup.engine.config import resolve

        file = callers_file
        if file is None:
            setting = resolve(file=config).settings.callers_file
            if not setting:
                raise typer.BadParameter("expected a file of callers, found none", param_hint="--callers-file")
            file = Path(setting)
        secret = add_caller(file, name, role or [])
    typer.echo(secret)
    note(f"{name} was added to {file}; an engine that runs has to be started again")
