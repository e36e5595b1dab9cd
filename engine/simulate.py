"""The `ringup simulate` command: price every case of a file and say what differs from `expect`.

A file is `{"cases": [case, ...]}`.  A case with `steps` is about stock and goes to `simulate_stock`;
every other one is about price.  The whole file is checked before the first case is priced.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from ringup.engine.simulate_case import CaseError, check_case
from ringup.engine.simulate_request import Unfit

EXIT_DIFFERS = 1
EXIT_INVALID = 2
FILE_BYTES_MAX = 256 * 1024 * 1024
STOCK_MODULE = "ringup.engine.simulate_stock"


@dataclass(frozen=True)
class Outcome:
    """One case: its id, the answer with the keys of its `expect`, and a line for each key that differs."""

    id: str
    got: Any
    differs: list[str]

    @property
    def ok(self) -> bool:
        return not self.differs

    def as_json(self) -> str:
        report = {"id": self.id, "ok": self.ok, "got": self.got, "differs": self.differs}
        return exact_json(report)


def exact_json(value: Any) -> str:
    """JSON with the decimals of stock cases as the numbers they are, exact and never through a float."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {exact_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(exact_json, value)) + "]"
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value)


def load_cases(text: str) -> list[dict[str, Any]]:
    """The checked cases of a file; CaseError names the case and the key that are wrong."""
    try:
        return _checked(text)
    except RecursionError:
        raise CaseError("not a document of cases: expected about ten levels of nesting, found too many") from None


def _checked(text: str) -> list[dict[str, Any]]:
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise CaseError(f"not a JSON document: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("cases"), list):
        found = f"an object with {', '.join(sorted(document)[:5]) or 'no keys'}" if isinstance(document, dict) else ""
        raise CaseError(f'expected {{"cases": [case, ...]}}, found {found or type(document).__name__}')
    cases = [without_nulls(case) for case in document["cases"]]
    if any(is_of_stock(case) for case in cases):  # quantities of stock are decimals
        exact = json.loads(text, parse_float=Decimal)["cases"]
        cases = [without_nulls(exact[n]) if is_of_stock(case) else case for n, case in enumerate(cases)]
    for index, case in enumerate(cases):
        place = f"case number {index + 1}"
        if not isinstance(case, dict):
            raise CaseError(f"{place}: expected an object, found {type(case).__name__}")
        if is_of_stock(case):
            stock_module().check_case(case, place)
        else:
            check_case(case, place)
    return cases


def is_of_stock(case: Any) -> bool:
    """Whether a case is one of stock, also where one of the keys that only such have is misspelt."""
    return isinstance(case, dict) and not {"steps", "setup"}.isdisjoint(case)


def without_nulls(value: Any) -> Any:
    """A key that is null is a key that was not given, but for what `expect` asserts."""
    if isinstance(value, dict):
        return {k: v if k == "expect" else without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(entry) for entry in value] if isinstance(value, list) else value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def stock_module() -> Any:
    if find_spec(STOCK_MODULE) is None:
        raise CaseError("steps: stock cases need the stock simulator, which this installation does not have")
    return import_module(STOCK_MODULE)


def run_cases(cases: list[dict[str, Any]], zone: str | None = None) -> Iterator[Outcome]:
    """Price the cases one after the other."""
    from ringup.engine.simulate_pricing import differences, price_case

    for case in cases:
        if "steps" in case:
            got, differs = stock_module().run_case(case)
            yield Outcome(case["id"], got, differs)
            continue
        try:
            got = price_case(case, zone)
        except Unfit as error:
            yield Outcome(case["id"], {}, [str(error)])
            continue
        yield Outcome(case["id"], got, differences(case["expect"], got))


def read_file(path: Path) -> str:
    if str(path) == "-":
        return sys.stdin.read(FILE_BYTES_MAX).removeprefix("\ufeff")
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise CaseError(f"{path}: expected at most {FILE_BYTES_MAX:,} bytes, found {path.stat().st_size:,}")
        return path.read_text(encoding="utf-8-sig")  # editors of one system put a mark before the text
    except OSError as error:
        raise CaseError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise CaseError(f"{path}: expected a text in UTF-8, found other bytes at {error.start:,}") from None


def load_files(files: list[Path]) -> list[dict[str, Any]]:
    """The checked cases of all files; CaseError names the file where there are several."""
    cases = []
    for file in files:
        try:
            cases += load_cases(read_file(file))
        except CaseError as error:
            if len(files) == 1 or str(error).startswith(f"{file}: "):
                raise
            raise CaseError(f"{file}: {error}") from None
    return cases


def known_zone(zone: str | None) -> None:
    try:
        ZoneInfo(zone or "UTC")
    except (ValueError, OSError, KeyError):  # a zone that is not found is a KeyError
        raise CaseError(f"--zone: expected a time zone like Europe/Berlin, found {zone!r}") from None


def simulate(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help='Files {"cases": [...]}, or - for standard input.')
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a case, then a summary.")] = False,
    zone: Annotated[
        str | None, typer.Option(help="The store's time zone (Europe/Berlin) for times without one.")
    ] = None,
) -> None:
    """Price every case of a file, or replay its steps on stock, and show what differs from what it expects.

    Exit code 0: all agree; 1: some differ; 2: a file is not valid (the message names case and key).

    Examples: [bold]ringup simulate offers.json[/bold], [bold]ringup simulate offers.json stock.json --json[/bold]
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        known_zone(zone)
        cases = load_files(files)
    except CaseError as error:
        if as_json:
            typer.echo(json.dumps({"error": str(error)}))
        typer.secho(f"ringup simulate: {error}", fg="red", err=True)
        raise typer.Exit(EXIT_INVALID) from error
    differing = 0
    for outcome in run_cases(cases, zone):
        differing += not outcome.ok
        if as_json:
            typer.echo(outcome.as_json())
        elif not outcome.ok:
            typer.secho(f"{outcome.id}", fg="red")
            for line in outcome.differs:
                typer.echo(f"    {line}")
    if as_json:
        typer.echo(json.dumps({"cases": len(cases), "ok": len(cases) - differing, "differ": differing}))
    else:
        typer.echo(f"{len(cases):,} cases: {len(cases) - differing:,} agree, {differing:,} differ")
    raise typer.Exit(EXIT_DIFFERS if differing else 0)
