"""The table of figures for README.md, from a run's bench.json: `python -m bench.figures [build/bench/bench.json]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.measure import Value
from bench.targets import TARGETS

HEAD = ("| figure | found | must | aim | reached | beside | `make bench ONLY=` |", "|---|---|---|---|---|---|---|")


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"


def table(values: Mapping[str, Value]) -> list[str]:
    """One line of Markdown a figure, each with what it is made of."""
    lines = list(HEAD)
    for target in TARGETS:
        found = values.get(target.key)
        if isinstance(found, int | float):
            shown, verdict = _text(found), target.verdict(float(found))
        else:
            shown, verdict = "-", "not measured"
        beside = ", ".join(f"{key} {_text(values[key])}" for key in target.beside if key in values)
        cells = (target.key, shown, _text(target.must), _text(target.aim), verdict, beside, target.part)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    file = Path(sys.argv[1] if len(sys.argv) > 1 else "build/bench/bench.json")
    print("\n".join(table(json.loads(file.read_text()))))
