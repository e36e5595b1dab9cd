"""`ringup config`: which settings are in force, and where each comes from."""

from __future__ import annotations

from ringup.engine.commands_shared import AsJson, ConfigFile, print_json, print_table, told


def config(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show the settings in force and where each comes from.

    A flag of `serve` wins over the environment (RINGUP_LISTEN=...), that over the file (listen = "..."),
    and that over the default.

    Example: [bold]RINGUP_LOG_LEVEL=debug ringup config --config /etc/ringup.toml[/bold]

    Exit codes: 0 all settings can be used; 78 one cannot, and the message names it.
    """
    from ringup.engine.config import help_of, names, resolve

    with told():
        in_force = resolve(file=config)
        values = {name: getattr(in_force.settings, name) for name in names()}
        if as_json:
            print_json(
                {name: {"value": value if isinstance(value, int) else str(value), "from": in_force.origins[name]}
                 for name, value in values.items()}
            )  # fmt: skip
            return
        rows: list[tuple[object, ...]] = [
            (name, str(value), in_force.origins[name], help_of(name)) for name, value in values.items()
        ]
        print_table("Settings in force", ("setting", "value", "from", "what it is"), rows)
