"""Damaged cases never end in a traceback: each is refused by name, or answered.

A case of the collection has a few of its values replaced, taken away or doubled. What a reader could have typed is
still priced; everything else is a CaseError or a line that differs. RINGUP_FUZZ_CASES asks for more than the default.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ringup.engine.simulate import load_cases, run_cases
from ringup.engine.simulate_case import CaseError

CASES = Path(__file__).resolve().parents[1] / "cases" / "pricing"
COUNT = int(os.environ.get("RINGUP_FUZZ_CASES", "4000"))
ODD: tuple[Any, ...] = (
    *(None, 0, 1, -1, 10**15, 10**15 + 1, -(10**15), 2**63, 10**9, 99_999, 0.5, 1e300, True, False),
    *("", "x", "0", "1.5", "-1", "1e3", "all", "2026-03-04", "\ud800", "\u00e9" * 70),
    *([], {}, [[]], [None], {"a": 1}, [1, 2]),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a case, as keys and indexes."""
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from places(entry, (*path, key))


def damage(case: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    found = copy.deepcopy(case)
    for _ in range(rng.choice((1, 1, 2, 3))):
        *above, last = rng.choice(list(places(found)))
        holder: Any = found
        for key in above:
            holder = holder[key]
        if rng.random() < 0.8:
            holder[last] = copy.deepcopy(rng.choice(ODD))
        elif isinstance(holder, dict):
            del holder[last]
        else:
            holder.append(copy.deepcopy(holder[last]))
        if not found:
            break
    return found


def test_damaged_cases_are_refused_or_answered() -> None:
    whole = [case for path in sorted(CASES.glob("*.json")) for case in json.loads(path.read_text())["cases"]]
    rng = random.Random(20_250_301)
    answered, messages = 0, []
    for _ in range(COUNT):
        text = json.dumps({"cases": [damage(rng.choice(whole), rng)]})
        try:
            cases = load_cases(text)
        except CaseError as error:
            messages.append(str(error))
            continue
        for outcome in run_cases(cases):
            assert json.loads(outcome.as_json())["ok"] is outcome.ok
            answered += 1
    assert len(messages) > COUNT // 2
    assert all(0 < len(message) < 1_000 for message in messages), "a message, not the file"
    assert answered > COUNT // 20, "damage that leaves a case whole must be priced"
