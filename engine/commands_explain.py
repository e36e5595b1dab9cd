"""The `ringup explain` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explain(
    file: Annotated[Path, typer.Argument(help='A file {"cases": [...]}, or - for standard input.')],
    case_id: Annotated[str | None, typer.Option("--case", help="Only the case with this id.")] = None,
    zone: Annotated[str | None, typer.Option(help="The store's time zone, such as Europe/Berlin.")] = None,
) -> None:
    """Explain the price of each case: what applied and where, why the rest did not, and what is within reach.

    Exit code 0: explained; 2: the file is not valid, or no case has the id.

    Examples: [bold]ringup explain offers.json[/bold], [bold]ringup explain offers.json --case c7[/bold]
    """
    from ringup.engine.explain import explain as lines_of
    from ringup.engine.simulate import EXIT_INVALID, known_zone, load_cases, read_file
    from ringup.engine.simulate_case import CaseError
    from ringup.engine.simulate_request import Unfit

    try:
        known_zone(zone)
        cases = load_cases(read_file(file))
        if case_id is not None and case_id not in {case["id"] for case in cases}:
            raise CaseError(f"no case has the id {case_id!r}")
    except CaseError as error:
        typer.secho(f"ringup explain: {error}", fg="red", err=True)
        raise typer.Exit(EXIT_INVALID) from error
    for case in cases:
        if case_id is not None and case["id"] != case_id:
            continue
        typer.secho(case["id"], bold=True)
        if "steps" in case:
            typer.echo("  about stock, not about a price: `ringup simulate` replays it")
            continue
        try:
            for line in lines_of(case, zone):
                typer.echo(f"  {line}")
        except Unfit as error:
            typer.secho(f"  {error}", fg="red")
