"""The `ringup promo` commands: check promotions, publish them, and see what is used of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ringup.engine.simulate_request import Case

EXIT_FINDINGS = 1
EXIT_INVALID = 2
CALL_TIMEOUT_S = 30.0
Engine = Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="The engine.")]
File = Annotated[Path, typer.Argument(help='A file {"cases": [...]} with promotions, or - for standard input.')]
Ids = Annotated[list[str], typer.Argument(metavar="PROMOTION_ID...", help="The promotions.")]
ENGINE_DEFAULT = "127.0.0.1:7420"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.callback()
def promo() -> None:
    """Check promotions, publish them in a running engine, pause and end them, and see their use.

    Exit code 0: done; 1: check found something; 2: not a valid file, or the engine refused; 69: no engine answered.

    Examples: [bold]ringup promo check offers.json[/bold], [bold]ringup promo put offers.json[/bold]
    """


def _cases(file: Path) -> list[Case]:
    from ringup.engine.simulate import load_cases, read_file
    from ringup.engine.simulate_case import CaseError

    try:
        return [case for case in load_cases(read_file(file)) if case.get("promotions")]
    except CaseError as error:
        typer.secho(f"ringup promo: {error}", fg="red", err=True)
        raise typer.Exit(EXIT_INVALID) from error


def _call(engine: str, request: Any) -> Any:
    from ringup.clients import Client
    from ringup.engine.commands_shared import told
    from ringup.v1 import result_pb2

    with told(), Client(engine, batching=False, timeout_s=CALL_TIMEOUT_S) as client:
        answer = client.call(request, timeout_s=CALL_TIMEOUT_S)
    if answer.code != result_pb2.RESULT_CODE_OK:
        problem = answer.problem
        typer.secho(
            f"ringup promo: {result_pb2.ResultCode.Name(answer.code)} at {problem.field} of {problem.subject!r}:"
            f" found {problem.found:,}, limit {problem.limit:,}",
            fg="red",
            err=True,
        )
        raise typer.Exit(EXIT_INVALID)
    return answer


@app.command()
def check(file: File) -> None:
    """Name promotions that never hold, are shadowed, cut into a floor, or leave their order open.

    Exit code 0: nothing found; 1: findings; 2: the file is not valid.
    """
    from ringup.engine.promotion_checks import check_promotions

    findings = [(case["id"], finding) for case in _cases(file) for finding in check_promotions(case)]
    for case_id, finding in findings:
        typer.echo(f"{case_id}: {finding}")
    raise typer.Exit(EXIT_FINDINGS if findings else 0)


@app.command()
def put(
    file: File,
    engine: Engine = ENGINE_DEFAULT,
    at: Annotated[str | None, typer.Option(help="When they come into force, as ISO time with a zone.")] = None,
    zone: Annotated[str | None, typer.Option(help="The store's time zone for times without one.")] = None,
) -> None:
    """Publish the promotions of a file, all or none, now or at a stated instant."""
    from ringup.engine.simulate_request import Clock, Unfit, promotion
    from ringup.v1 import promotion_pb2

    clock = Clock(None, zone)
    try:
        request = promotion_pb2.PutPromotionsRequest(
            promotions=[
                promotion(entry, clock, [charge["id"] for charge in case.get("charges", ())])
                for case in _cases(file)
                for entry in case["promotions"]
            ],
            effective_ns=clock.ns_of(at),
        )
    except Unfit as error:
        typer.secho(f"ringup promo: {error}", fg="red", err=True)
        raise typer.Exit(EXIT_INVALID) from error
    answer = _call(engine, request)
    typer.echo(f"{len(request.promotions):,} promotions put, {answer.created:,} of them new")


@app.command("list")
def list_(engine: Engine = ENGINE_DEFAULT) -> None:
    """Show every promotion with its state and what is used of it, one JSON object a line."""
    from ringup.v1 import promotion_pb2

    request = promotion_pb2.ListPromotionsRequest(page_size=1000)
    while True:
        answer = _call(engine, request)
        for found in answer.promotions:
            row = {
                "id": found.promotion.promotion_id or found.next.promotion_id,
                "state": promotion_pb2.PromotionState.Name(found.state).removeprefix("PROMOTION_STATE_").lower(),
                "version": found.version,
                "used": found.usage.used,
                "cancelled_uses": found.usage.cancelled_uses,
                "spent_minor": found.usage.budget_spent_minor,
                "next_from_ns": found.next_from_ns,
            }
            typer.echo(json.dumps(row))
        if not answer.next_page_token:
            return
        request.page_token = answer.next_page_token


def _set_state(ids: list[str], state: int, engine: str) -> None:
    from ringup.v1 import promotion_pb2

    request = promotion_pb2.SetPromotionStateRequest(
        promotion_ids=ids,
        state=state,  # type: ignore[arg-type]  # enums are numbers on the wire
    )
    _call(engine, request)
    typer.echo(f"{len(ids):,} promotions: {promotion_pb2.PromotionState.Name(state)}")


@app.command()
def pause(ids: Ids, engine: Engine = ENGINE_DEFAULT) -> None:
    """Let promotions wait."""
    _set_state(ids, 2, engine)


@app.command()
def resume(ids: Ids, engine: Engine = ENGINE_DEFAULT) -> None:
    """Let promotions take part again."""
    _set_state(ids, 1, engine)


@app.command()
def end(ids: Ids, engine: Engine = ENGINE_DEFAULT) -> None:
    """End promotions; their counters stay for returns."""
    _set_state(ids, 3, engine)
