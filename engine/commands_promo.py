"""The `ringup promo` commands: check promotions, publish them, and see what is used of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringup.engine.commands_shared import AsJson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ringup.engine.promotion_replay import Days
    from ringup.engine.record import Record
    from ringup.engine.simulate_request import Case
    from ringup.v1 import promotion_pb2

OK = 1  # RESULT_CODE_OK
EXIT_FINDINGS = 1
EXIT_INVALID = 2
READ_TIMEOUT_S = 5.0
WORK_TIMEOUT_S = 30.0  # a check prices many baskets, and 10,000 promotions are compiled before they are published
Engine = Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="The engine.")]
File = Annotated[
    Path, typer.Argument(help='Promotions: {"cases": [...]}, {"promotions": [...]} or a list; - for standard input.')
]
Zone = Annotated[str | None, typer.Option(help="The store's time zone (Europe/Berlin) for times without one.")]
Ids = Annotated[list[str], typer.Argument(metavar="PROMOTION_ID...", help="The promotions.")]
CODES_PER_COMMAND = 10_000
CODE_SIGNS = 8
ENGINE_DEFAULT = "127.0.0.1:7420"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.callback()
def promo() -> None:
    """Check promotions, try them on recorded sales, publish them, pause and end them, and see their use.

    Exit code 0: done; 1: check found something; 2: not a valid file, or the engine refused; 69: no engine answered.

    Examples: [bold]ringup promo check offers.json[/bold], [bold]ringup promo put offers.json[/bold]
    """


def _invalid(error: object) -> typer.Exit:
    typer.secho(f"ringup promo: {error}", fg="red", err=True)
    return typer.Exit(EXIT_INVALID)


def _cases(file: Path, zone: str | None) -> list[Case]:
    from ringup.engine.promotion_files import promotion_cases
    from ringup.engine.simulate import known_zone, read_file
    from ringup.engine.simulate_case import CaseError

    try:
        known_zone(zone)
        return promotion_cases(read_file(file))
    except CaseError as error:
        raise _invalid(error) from error


def _promotions(file: Path, zone: str | None) -> list[promotion_pb2.Promotion]:
    from ringup.engine.promotion_files import read_promotions
    from ringup.engine.simulate import known_zone
    from ringup.engine.simulate_case import CaseError

    try:
        known_zone(zone)
        return read_promotions(file, zone)
    except CaseError as error:
        raise _invalid(error) from error


def _call(engine: str, request: Any) -> Any:
    from ringup.clients import Client
    from ringup.engine.commands_shared import called, secret

    call = type(request).__name__.removesuffix("Request")
    timeout_s = WORK_TIMEOUT_S if call in ("CheckPromotions", "PutPromotions", "PutCoupons") else READ_TIMEOUT_S
    with called(engine), Client(engine, batching=False, secret=secret(), timeout_s=timeout_s) as client:
        answer = client.call(request, timeout_s=timeout_s)
    if answer.code != OK:
        raise _invalid(_refusal(call, answer))
    return answer


def _refusal(call: str, answer: Any) -> str:
    """A refused answer in words: what was expected, what was found and where, and what to do."""
    from ringup.clients.errors import Refused

    return str(Refused(call, answer))


def _count(number: int) -> str:
    return f"{number:,} promotion{'' if number == 1 else 's'}"


def _findings(engine: str, promotions: list[promotion_pb2.Promotion], location: str) -> list[str]:
    """What an engine finds, in words; ends the command when it would refuse the promotions."""
    from ringup.engine.promotion_checks import finding_text
    from ringup.v1 import promotion_pb2

    answer = _call(engine, promotion_pb2.CheckPromotionsRequest(promotions=promotions, location_id=location))
    texts = [finding_text(finding) for finding in answer.findings]
    if answer.checked < len(promotions):
        texts.append(f"not_checked: {len(promotions) - answer.checked:,} promotions: check fewer at a time")
    return texts


@app.command()
def check(
    file: File,
    engine: Annotated[
        str | None, typer.Option("--to", metavar="HOST:PORT", help="Check on this engine's items and promotions.")
    ] = None,
    location: Annotated[str, typer.Option(help="The store whose prices are tried; default: the first.")] = "",
    zone: Zone = None,
) -> None:
    """Name promotions that never apply, are shadowed, are cut short by a floor or zero, or leave their order open.

    Each with a basket that shows it. With --to they are tried on the engine's own items and prices, beside what is
    published there; without, on the items of each case. Exit code 0: nothing found; 1: findings; 2: not a valid file,
    or promotions that an engine refuses.

    Examples: [bold]ringup promo check offers.json[/bold], [bold]ringup promo check offers.json --to
    127.0.0.1:7420[/bold]
    """
    from ringup.engine.promotion_checks import check_case, finding_text
    from ringup.engine.simulate_request import Unfit

    refused = False
    if engine is not None:
        texts = _findings(engine, _promotions(file, zone), location)
    else:
        texts = []
        for case in _cases(file, zone):
            try:
                answer = check_case(case, zone)
            except Unfit as error:
                raise _invalid(f"case {case['id']!r}: {error}") from error
            if answer.code != OK:
                refused = True
                typer.secho(f"ringup promo: {case['id']}: {_refusal('CheckPromotions', answer)}", fg="red", err=True)
            texts += [f"{case['id']}: {finding_text(finding)}" for finding in answer.findings]
            if not case["items"]:
                typer.secho(f"ringup promo: {case['id']}: no items to try them on; see --to", fg="yellow", err=True)
    for text in texts:
        typer.echo(text)
    if refused:
        raise typer.Exit(EXIT_INVALID)
    raise typer.Exit(EXIT_FINDINGS if texts else 0)


@app.command()
def put(
    file: File,
    engine: Engine = ENGINE_DEFAULT,
    at: Annotated[str | None, typer.Option(help="When they come into force, as ISO time with a zone.")] = None,
    zone: Zone = None,
    location: Annotated[str, typer.Option(help="The store whose prices the check tries; default: the first.")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Publish nothing when the check finds something.")] = False,
) -> None:
    """Check the promotions of a file and publish them, all or none, now or at a stated instant.

    What the check finds is shown and does not hold them up, unless --strict says so. Exit code 0: published; 1: held up
    by --strict; 2: not a valid file, or refused, and nothing was published.

    Examples: [bold]ringup promo put offers.json --strict[/bold], [bold]ringup promo put offers.json --at
    2026-11-27T08:00+01:00[/bold]
    """
    from ringup.engine.simulate_request import Clock, Unfit
    from ringup.v1 import promotion_pb2

    promotions = _promotions(file, zone)
    try:
        request = promotion_pb2.PutPromotionsRequest(promotions=promotions, effective_ns=Clock(None, zone).ns_of(at))
    except Unfit as error:
        raise _invalid(error) from error
    texts = _findings(engine, promotions, location)
    for text in texts:
        typer.secho(text, fg="yellow", err=True)
    if texts and strict:
        typer.secho(f"ringup promo: {len(texts):,} findings, nothing was published", fg="red", err=True)
        raise typer.Exit(EXIT_FINDINGS)
    answer = _call(engine, request)
    when = f" to hold from {at} on" if at is not None else ""
    typer.echo(f"{_count(len(request.promotions))} put{when}, {answer.created:,} of them new")


SHOWN = ("id", "state", "version", "used", "cancelled_uses", "spent_minor")


def _on_terminal() -> bool:
    import sys

    return sys.stdout.isatty()


def _when(row: dict[str, Any]) -> str:
    from ringup.engine.explain_text import instant

    return instant(row["next_from_ns"] // 1_000_000_000, None) if row["next_from_ns"] else ""


@app.command("list")
def list_(engine: Engine = ENGINE_DEFAULT) -> None:
    """Show every promotion with its state and what is used of it: a table on a terminal, else one JSON object a line.

    Used counts sales that were returned whole as well; a promotion with release_on_cancel gives those uses again. What
    is spent of a budget is in minor units, and next is when a waiting version comes into force, in UTC.
    """
    from ringup.engine.commands_shared import print_table
    from ringup.v1 import promotion_pb2

    shows_table = _on_terminal()
    rows: list[dict[str, Any]] = []
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
            if shows_table:
                rows.append(row)
            else:
                typer.echo(json.dumps(row))
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    if shows_table:
        cells: list[tuple[object, ...]] = [(*(row[key] for key in SHOWN), _when(row)) for row in rows]
        print_table(_count(len(rows)), ("promotion", "state", "version", "used", "returned", "spent", "next"), cells)


@app.command()
def get(ids: Ids, engine: Engine = ENGINE_DEFAULT) -> None:
    """Show promotions as the engine has them, one JSON object a line: definition, state, version, use, what waits."""
    from google.protobuf.json_format import MessageToDict

    from ringup.v1 import promotion_pb2

    for found in _call(engine, promotion_pb2.ListPromotionsRequest(promotion_ids=ids)).promotions:
        typer.echo(json.dumps(MessageToDict(found, preserving_proto_field_name=True), ensure_ascii=False))


@app.command()
def coupons(
    promotion_id: Annotated[str, typer.Argument(help="A promotion with unique_coupons, or with a coupon of its own.")],
    file: Annotated[Path | None, typer.Argument(help="One code a line, or - for standard input.")] = None,
    generate: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Make so many codes up and print them, one a line.")
    ] = 0,
    engine: Engine = ENGINE_DEFAULT,
) -> None:
    """Add single-use codes to a promotion, from a file or made up; each is good for one sale.

    Exit code 0: added; 2: no codes, or the engine refused: a code that is taken refuses the 10,000 that it is among,
    and the message says how many were added before.

    Examples: [bold]ringup promo coupons spring codes.txt[/bold], [bold]ringup promo coupons spring --generate 500 >
    codes.txt[/bold]
    """
    import secrets

    from ringup.engine.simulate import read_file
    from ringup.engine.simulate_case import CaseError
    from ringup.v1 import promotion_pb2

    if (file is None) == (generate == 0):
        raise _invalid("expected a file of codes or --generate, one of the two")
    try:
        read = read_file(file).splitlines() if file is not None else []
    except CaseError as error:
        raise _invalid(error) from error
    # Nothing that people mistake for something else; 8 of 32 signs are 10^12 codes, too many to guess at a till.
    signs = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
    codes = [code for line in read if (code := line.strip())]
    codes += ["".join(secrets.choice(signs) for _ in range(CODE_SIGNS)) for _ in range(generate)]
    if not codes:
        raise _invalid(f"{file}: expected at least one code, found none")
    added = 0
    try:
        for start in range(0, len(codes), CODES_PER_COMMAND):
            some = codes[start : start + CODES_PER_COMMAND]
            _call(engine, promotion_pb2.PutCouponsRequest(promotion_id=promotion_id, codes=some))
            added += len(some)
            if generate:
                typer.echo("\n".join(some))
    finally:
        typer.echo(f"{added:,} codes added to {promotion_id}", err=bool(generate))


def _set_state(ids: list[str], state: int, engine: str) -> None:
    from ringup.v1 import promotion_pb2

    request = promotion_pb2.SetPromotionStateRequest(
        promotion_ids=ids,
        state=state,  # type: ignore[arg-type]  # enums are numbers on the wire
    )
    _call(engine, request)
    name = promotion_pb2.PromotionState.Name(state).removeprefix("PROMOTION_STATE_").lower()
    typer.echo(f"{_count(len(ids))} {name}: {', '.join(ids)}")


@app.command()
def pause(ids: Ids, engine: Engine = ENGINE_DEFAULT) -> None:
    """Let promotions wait: they take part in no basket until `resume`.

    Example: [bold]ringup promo pause spring summer[/bold]
    """
    _set_state(ids, 2, engine)


@app.command()
def resume(ids: Ids, engine: Engine = ENGINE_DEFAULT) -> None:
    """Let paused promotions take part again; one that was ended comes back with `put`."""
    _set_state(ids, 1, engine)


@app.command()
def end(ids: Ids, engine: Engine = ENGINE_DEFAULT) -> None:
    """End promotions; their counters stay for returns, and `put` starts them again.

    Example: [bold]ringup promo end spring[/bold]
    """
    _set_state(ids, 3, engine)


def _journey_records(days: Days) -> tuple[int, Iterator[Record]]:
    """The real weeks around the days, as batches."""
    from ringup.engine.journey import JourneyDataMissing

    try:
        from ringup.engine.journey_records import journey_records, weeks_of

        return journey_records(*weeks_of(days.from_ns, days.to_ns))
    except (JourneyDataMissing, ValueError) as error:
        raise _invalid(error) from error


@app.command()
def replay(
    file: File,
    days: Annotated[str, typer.Option(metavar="FROM..TO", help="Days of sales, such as 2026-11-20..2026-11-22.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Data directory or backup; default: the setting data_dir.", show_default=False
        ),
    ] = None,
    journey: Annotated[
        bool, typer.Option("--journey", help="Real groceries of 2017 (extra bench) instead of a data directory.")
    ] = False,
    zone: Zone = None,
    own_dates: Annotated[
        bool, typer.Option("--own-dates", help="Hold drafts to their own dates instead of all days.")
    ] = False,
    present_coupons: Annotated[
        bool, typer.Option("--present-coupons", help="Every basket presents the drafts' coupons.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what draft promotions would have cost and moved on recorded sales, before they are published.

    Reads the journal only, also beside a running engine, and changes nothing. Exit code 0: replayed; 2: not a valid
    file, days or draft; 65 to 76 as for [bold]ringup replay[/bold].

    Example: [bold]ringup promo replay offers.json --days 2026-11-20..2026-11-22 --data /var/lib/ringup[/bold]
    """
    import sys

    from ringup.engine.commands_shared import data_dir, print_json, progress_bar, told
    from ringup.engine.promotion_replay import Days, DraftRefused, DraftReplay
    from ringup.engine.promotion_replay_view import as_json as json_of
    from ringup.engine.promotion_replay_view import notes, show

    if journey and zone is None:
        zone = "America/New_York"  # where its stores are
    drafts = _promotions(file, zone)
    try:
        asked = Days.parse(days, zone)
    except ValueError as error:
        raise _invalid(f"--days: {error}") from error
    with told():
        if journey:
            source, (last, records) = "The Complete Journey", _journey_records(asked)
        else:
            from ringup.engine.lmdb_store import LmdbJournal, check_pages
            from ringup.engine.recovery import introduce, records_from_first

            path = data_dir(data)
            check_pages(path / "journal")  # or LMDB might lead the fold astray
            recorded = LmdbJournal(path / "journal", readonly=True)
            source, last = str(path), recorded.last_sequence()
            records = records_from_first(recorded, last)
        with progress_bar("replaying") as progress:
            try:
                replayed = DraftReplay(drafts, asked, keep_windows=own_dates, present_coupons=present_coupons)
                if not journey:
                    introduce(replayed.core, recorded)
                report = replayed.run(records, last, progress)
            except DraftRefused as error:
                raise _invalid(error) from error
    remarks = notes(report, drafts, own_dates, present_coupons)
    if as_json:
        print_json(json_of(report, asked, source, remarks))
    else:
        show(report, asked, source, remarks, None if sys.stdout.isatty() else 160)
