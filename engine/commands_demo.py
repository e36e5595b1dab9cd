"""The `ringup demo` command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

EXIT_PROOF_FAILED = 1
EXIT_NO_DATA = 2


def demo(
    weeks: Annotated[str, typer.Option(help="Week of the year 2017 to replay, or a range such as 48-52.")] = "51",
    tills: Annotated[int, typer.Option(min=1, max=256, help="How many till clients sell at the same time.")] = 16,
    kills: Annotated[int, typer.Option(min=0, max=20, help="How often the engine is killed in mid-run.")] = 1,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the engine's data here; an empty folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Sell a real week of groceries through a fresh engine, kill it in mid-run, and prove the books.

    Loads 92,331 real products and what the shelves charged, then replays every basket of the week over gRPC by
    till clients and an online checkout. Exit code 0: the proof holds; 1: it fails; 2: the data are not installed.

    Examples: [bold]ringup demo[/bold], [bold]ringup demo --weeks 48-52 --tills 64 --kills 3 --json[/bold]
    """
    from ringup.engine.demo import Options, run, table
    from ringup.engine.journey import FIRST_WEEK, LAST_WEEK, JourneyDataMissing

    first_text, _, last_text = weeks.partition("-")
    try:
        first, last = int(first_text), int(last_text or first_text)
        if not FIRST_WEEK <= first <= last <= LAST_WEEK:
            raise ValueError
    except ValueError as error:
        raise typer.BadParameter(
            f"expected a week from {FIRST_WEEK} to {LAST_WEEK} or a range such as 48-52, found {weeks!r}",
            param_hint="--weeks",
        ) from error
    progress = Console(stderr=True, quiet=as_json and not Console(stderr=True).is_terminal)
    try:
        result, holds = run(Options(first, last, tills, kills, data_dir, progress))
    except (JourneyDataMissing, FileExistsError) as error:
        typer.secho(f"ringup demo: {error}", fg="red", err=True)
        raise typer.Exit(EXIT_NO_DATA) from error
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        Console().print(table(result, holds))
    raise typer.Exit(0 if holds else EXIT_PROOF_FAILED)
