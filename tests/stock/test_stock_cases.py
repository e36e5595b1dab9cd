"""The written stock cases, and random ones, give the same on the engine as on the plain model.

RINGUP_STOCK_SEEDS sets how many random cases of 100 steps are compared (default 60); RINGUP_STOCK_SEED
the first one.  Where two faults meet in one step the words may differ, see `EITHER`: the format sets no
order among them, and no counter moves.
"""

from __future__ import annotations

import copy
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from ringup.engine.simulate_embedded import EmbeddedEngine
from ringup.engine.simulate_stock import Replay, run_case, step_differs

ORACLE = Path(__file__).resolve().parent.parent / "oracle"
sys.path.insert(0, str(ORACLE))
import stock_cases  # noqa: E402  (a sibling folder: tests are no package)
import stock_random  # noqa: E402

CASES = [c for path in sorted((ORACLE.parent / "cases" / "stock").glob("*.json")) for c in stock_cases.load_cases(path)]
SEEDS = int(os.environ.get("RINGUP_STOCK_SEEDS", "60"))
FIRST_SEED = int(os.environ.get("RINGUP_STOCK_SEED", "1"))
# (what the model says, what the engine says): the result codes have an order, the words of the format have none.
EITHER = {("not_found", "invalid"), ("already_done", "expired"), ("expired", "already_done")}


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_engine_agrees_with_the_case(case: dict[str, Any]) -> None:
    assert run_case(case)[1] == []


def test_a_wrong_expectation_is_reported() -> None:
    """The control: what the comparison would miss, it would miss everywhere."""
    case = copy.deepcopy(next(case for case in CASES if case["id"] == "ringup-order-place"))
    case["steps"][0]["expect"]["taken"] = 2
    case["expect"]["levels"][0]["allocated"] = 9
    _, differs = run_case(case)
    assert differs[0] == "step 0 place: taken: expected 2, found 3"
    assert [text.partition(":")[0] for text in differs] == ["step 0 place", "levels"]


def unexplained(case: dict[str, Any]) -> list[str]:
    """What differs, but for two faults in one step."""
    replay = Replay(case, EmbeddedEngine())
    replay.prepare()
    differs = []
    for number, step in enumerate(case["steps"]):
        outcome = replay.do(step)
        if (step["expect"].get("result"), outcome.word) not in EITHER:
            differs += [f"step {number} {step}: {text}" for text in step_differs(step["expect"], outcome)]
    got = replay.end_state(case["expect"])
    differs += [
        f"end {kind}: expected {want}, found {found}"
        for kind, rows in case["expect"].items()
        for want, found in zip(rows, got[kind], strict=True)
        if want != found
    ]
    return differs + replay.broken_laws()


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
def test_a_random_case_agrees_with_the_plain_model(seed: int) -> None:
    case = stock_random.with_expectations(stock_random.random_case(random.Random(seed), 100))
    assert unexplained(case) == []


@pytest.mark.parametrize("seed", range(3))
def test_the_same_batches_give_the_same_state_and_a_restart_changes_nothing(seed: int) -> None:
    digests = []
    for restarted in (False, True):
        engine = EmbeddedEngine()
        replay = Replay(stock_random.random_case(random.Random(seed), 150), engine)
        replay.prepare()
        for number, step in enumerate(replay.case["steps"]):
            replay.do(step)
            if restarted and number % 10 == 0:
                engine.core.rebuild()
        digests.append(engine.core.digest())
    assert digests[0] == digests[1]
