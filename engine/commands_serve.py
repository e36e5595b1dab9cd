"""`ringup serve`: run an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ringup.engine.commands_shared import ConfigFile, told
from ringup.engine.config import help_of


def _flag(setting: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        "--" + setting.replace("_", "-"), help=help_of(setting), show_default=False
    )
    return option


def serve(
    data_dir: Annotated[Path | None, _flag("data_dir")] = None,
    listen: Annotated[str | None, _flag("listen")] = None,
    checkpoint_bytes: Annotated[int | None, _flag("checkpoint_bytes")] = None,
    checkpoint_commands: Annotated[int | None, _flag("checkpoint_commands")] = None,
    memory_ready_mb: Annotated[int | None, _flag("memory_ready_mb")] = None,
    grpc_server: Annotated[str | None, _flag("grpc_server")] = None,
    log_level: Annotated[str | None, _flag("log_level")] = None,
    log_format: Annotated[str | None, _flag("log_format")] = None,
    callers_file: Annotated[str | None, _flag("callers_file")] = None,
    accept_changed_answers: Annotated[
        bool,
        typer.Option(
            "--accept-changed-answers",
            help="Start although this version would have answered some commands of the journal otherwise.",
        ),
    ] = False,
    config: ConfigFile = None,
) -> None:
    """Serve one data directory to tills and shops until SIGINT or SIGTERM.

    The first line on standard output says where it serves; log lines go to standard error.

    Example: [bold]ringup serve --data-dir /var/lib/ringup --listen 127.0.0.1:7420[/bold]

    Exit codes: 0 stopped as asked; 65 the journal has a damaged record; 73 the data directory cannot be written;
    74 a commit failed (disk full or broken): nothing was acknowledged since; 75 the data directory is in use; 76 a
    newer RingUp wrote it; 77 an older version gave answers that this one would not give, see `ringup verify`; 78 a
    setting cannot be used; 70 any other failure.
    """
    with told():
        from ringup.engine import logs
        from ringup.engine.config import resolve

        flags = {
            "data_dir": data_dir, "listen": listen, "checkpoint_bytes": checkpoint_bytes,
            "checkpoint_commands": checkpoint_commands, "log_level": log_level, "log_format": log_format,
            "memory_ready_mb": memory_ready_mb, "callers_file": callers_file,
            "grpc_server": grpc_server,
        }  # fmt: skip
        settings = resolve(flags, file=config).settings
        logs.set_up(settings.log_level, settings.log_format)
        from ringup.engine.serve import serve as run

        code = run(
            settings.data_dir,
            settings.listen,
            checkpoint_bytes=settings.checkpoint_bytes,
            checkpoint_commands=settings.checkpoint_commands,
            memory_ready_mb=settings.memory_ready_mb,
            grpc_server=settings.grpc_server,
            callers_file=Path(settings.callers_file) if settings.callers_file else None,
            accept_changed_answers=accept_changed_answers,
        )
    raise typer.Exit(code)
