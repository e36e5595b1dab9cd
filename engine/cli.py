"""The `ringup` command: a table of what there is; a command's module is imported when it is used.

So `ringup --help` is quick, and a till without the engine's extras can still use its devices.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# name: (module, function or Typer application, line in `ringup --help`).  A test holds the lines to the docstrings.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "serve": (
        "ringup.engine.commands_serve", "serve", "Serve one data directory to tills and shops until SIGINT or SIGTERM.",
    ),
    "import": (
        "ringup.engine.commands_import", "import_",
        "Put items, prices and stock from CSV or Parquet into a running engine; all rows or none.",
    ),
    "check": (
        "ringup.engine.commands_check", "check", "Walk the journal and the checkpoint and name the first bad record.",
    ),
    "verify": (
        "ringup.engine.commands_verify", "verify",
        "Fold the journal into an empty core and compare it with the checkpoint and the batches since.",
    ),
    "backup": (
        "ringup.engine.commands_backup", "backup",
        "Copy a data directory, also while its engine runs, and check the copy.",
    ),
    "restore": (
        "ringup.engine.commands_backup", "restore", "Make a data directory from a backup; checked before and after.",
    ),
    "replay": (
        "ringup.engine.commands_replay", "replay",
        "Fold the journal to a batch or a time and show the digest and the counters of the state there.",
    ),
    "stat": ("ringup.engine.commands_stat", "stat", "Show sizes, sequences, use of the map, readers and rows."),
    "demo": (
        "ringup.engine.commands_demo", "demo",
        "Sell a real week of groceries through a fresh engine, kill it in mid-run, and prove the books.",
    ),
    "simulate": (
        "ringup.engine.simulate", "simulate",
        "Price the cases of files, or replay their steps on stock, and show what differs from what they expect.",
    ),
    "explain": (
        "ringup.engine.commands_explain", "explain",
        "Explain the price of each case: what applied and where, why the rest did not, and what is within reach.",
    ),
    "promo": (
        "ringup.engine.commands_promo", "app",
        "Check promotions, try them on recorded sales, publish them, pause and end them, and see their use.",
    ),
    "events": (
        "ringup.engine.commands_events", "events", "Read what happened to stock, and follow it as it happens.",
    ),
    "webhook": (
        "ringup.engine.commands_webhook", "app", "Post what happens to stock to a URL: signed, in order, never lost.",
    ),
    "caller": (
        "ringup.engine.commands_caller", "caller",
        "Make a secret for a new caller and add its line to the file of callers.",
    ),
    "config": ("ringup.engine.commands_config", "config", "Show the settings in force and where each comes from."),
    "devices": (
        "ringup.drivers.cli", "app", "Printers, drawers, scanners, scales, displays and terminals of this till.",
    ),
    "scan": ("ringup.drivers.cli", "scan_app", "Say what a barcode string is."),
}  # fmt: skip


class LazyGroup(TyperGroup):
    """Shows the table; loads a command's module when the command is chosen."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (module, _, line) in COMMANDS.items():
            if find_spec(module) is not None:
                self.commands[name] = TyperCommand(name, help=line)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and name in COMMANDS:
            command = load(name)
        return name, command, rest


def load(name: str) -> Any:
    """The command of this name, from its module."""
    module, attribute, _ = COMMANDS[name]
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        one = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=False)
        one.command(name)(found)
        found = one
    command = typer.main.get_command(found)
    command.name = name
    return command


app = typer.Typer(
    cls=LazyGroup, name="ringup", no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich"
)


@app.callback()
def root() -> None:
    """RingUp: the transaction engine behind a retailer's tills and its online shop.

    Every command has its own help with an example: [bold]ringup serve --help[/bold]
    """


def main() -> None:
    """Run the `ringup` command."""
    app()
