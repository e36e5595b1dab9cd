"""Long random walks by seed: the engine beside the plain model, and every command beside the fold of movements.

    python tests/oracle/stock_walk.py --commands 1000000 --seed 1     # some minutes; the suite walks a little

A walk is cut into legs of LEG_COMMANDS, each in a fresh engine and with a seed of its own, so that a failing leg
replays in a second. Two kinds of leg take turns:

- "model": all operations of the case format. After each the result word, what was taken, and every counter of every
  (item, place, lot) must be those of the plain model (stock_model.py), and those of the fold of movements
  (ringup.engine.movements), which knows commands and answers only.
- "shop": all commands of the engine that move stock, with till sales, returns, payments in flight, barred and
  expected goods, picking and pickup, resends and barcodes; each batch has several commands. After each batch every
  counter must be that of the fold.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from stock_goods import COUNTERS  # noqa: E402  (siblings: tests are no package)
from stock_model import StockModel  # noqa: E402
from stock_random import Step, Walk, random_setup, step_expectation  # noqa: E402
from stock_result import Result  # noqa: E402

from ringup.engine.simulate_stock import Replay, step_differs  # noqa: E402
from ringup.v1 import stock_pb2  # noqa: E402
from support.shop_walk import ShopWalk  # noqa: E402
from support.walks import FoldedEngine  # noqa: E402

LEG_COMMANDS = 1000
# (what the model says, what the engine says): the result codes have an order, the words of the format have none.
EITHER = {("not_found", "invalid"), ("already_done", "expired"), ("expired", "already_done")}
DONE = ("ok", "partial")


class WatchedModel(StockModel):
    """A model that remembers its last result."""

    last = Result()

    def do(self, step: Step) -> Result:
        result = super().do(step)
        self.last = result
        return result


def model_counters(model: StockModel) -> dict[tuple[str, str, str], tuple[int, ...]]:
    """All counters of a model that are not all zero."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for (sku, place), rows in model.rows.items():
        for row in rows:  # rows for sale and rows that are not, of one lot, count together
            values = found.setdefault((sku, place, row.lot or ""), [0, 0, 0, 0])
            for at, counter in enumerate(COUNTERS):
                values[at] += getattr(row, counter)
        if incoming := sum(row.incoming for row in rows):  # the engine keeps it by place
            for row in rows:
                found[sku, place, row.lot or ""][COUNTERS.index("incoming")] = 0
            found.setdefault((sku, place, ""), [0, 0, 0, 0])[COUNTERS.index("incoming")] = incoming
    return {key: tuple(values) for key, values in found.items() if any(values)}


def engine_counters(engine: FoldedEngine, skus: list[str]) -> dict[tuple[str, str, str], tuple[int, ...]]:
    """The same of an engine."""
    found: Counter[tuple[tuple[str, str, str], str]] = Counter()
    answer = engine.call("GetAvailability", stock_pb2.GetAvailabilityRequest(item_ids=skus))
    for position in answer.positions:
        key = (position.item_id, position.location_id)
        for lot in position.lots or (position,):
            name = lot.lot_id if position.lots else ""
            for counter in ("on_hand", "allocated", "held"):
                found[(*key, name), counter] += getattr(lot, f"{counter}_milli")
        found[(*key, ""), "incoming"] += position.incoming_milli
    rows = {key: tuple(found[key, counter] for counter in COUNTERS) for key, _ in found}
    return {key: values for key, values in rows.items() if any(values)}


def model_leg(seed: int, commands: int = LEG_COMMANDS) -> tuple[int, Counter[str], list[str]]:
    """(commands, how often each result, the first differences) of one leg beside the plain model."""
    rng = random.Random(seed)
    setup = random_setup(rng)
    walk = Walk(rng, setup)
    walk.model = WatchedModel(setup)
    engine = FoldedEngine()
    replay = Replay({"setup": setup, "steps": [], "expect": {}}, engine)
    replay.prepare()
    words: Counter[str] = Counter()
    skus = list(walk.model.policies)
    for number in range(commands):
        step = walk.step()
        result = walk.model.last
        outcome = replay.do(step)
        words[f"{step['op']} {outcome.word}"] += 1
        differs: list[str] = []
        if (result.word, outcome.word) not in EITHER:
            differs += step_differs(step_expectation(step, result), outcome)
        expected, found = model_counters(walk.model), engine_counters(engine, skus)
        if expected != found:
            differs += [
                f"{' '.join(key)}: {COUNTERS} must be {expected.get(key)}, found {found.get(key)}"
                for key in sorted({*expected, *found})
                if expected.get(key) != found.get(key)
            ]
        differs += engine.parted()
        if differs:
            return number + 1, words, [f"model leg, seed {seed}, step {number} {step}: {text}" for text in differs[:5]]
    return commands, words, []


def shop_leg(seed: int, commands: int = LEG_COMMANDS) -> tuple[int, Counter[str], list[str]]:
    """(commands, how often each code, the first differences) of one leg of all commands beside the fold."""
    walk = ShopWalk(seed)
    while walk.commands < commands:
        sent = walk.batch()
        differs = walk.engine.parted()
        if differs:
            return walk.commands, walk.codes, [f"shop leg, seed {seed}, after {sent}: {text}" for text in differs[:5]]
    return walk.commands, walk.codes, []


def walk(commands: int, seed: int, tell: Any = None) -> tuple[int, Counter[str], list[str]]:
    """So many commands in legs; stops at the first leg that differs."""
    done, told = 0, time.monotonic()
    outcomes: Counter[str] = Counter()
    for number in range(sys.maxsize):
        if done >= commands:
            break
        leg = shop_leg if number % 3 == 2 else model_leg
        count, found, differs = leg(seed + number, min(LEG_COMMANDS, commands - done))
        done += count
        outcomes += found
        if differs:
            return done, outcomes, differs
        if tell is not None and time.monotonic() - told > 10:
            told = time.monotonic()
            tell(f"{done:,} of {commands:,} commands")
    return done, outcomes, []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    done, outcomes, differs = walk(asked.commands, asked.seed, lambda text: print(text, file=sys.stderr))
    for name, count in sorted(outcomes.items()):
        print(f"{count:>9,} {name}")
    seconds = time.monotonic() - began
    print(f"{done:,} commands from seed {asked.seed} in {seconds:,.0f} s: {len(differs)} differences")
    for text in differs:
        print(text)
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main())
