"""A long random walk finds no difference: engine, plain model, and the fold of movements.

RINGUP_WALK_COMMANDS sets how many commands (default 3,000), RINGUP_WALK_SEED where it begins.  A million take
some minutes: `python tests/oracle/stock_walk.py --commands 1000000`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ringup.engine import movements

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracle"))
import stock_state
import stock_walk

COMMANDS = int(os.environ.get("RINGUP_WALK_COMMANDS", "3000"))
SEED = int(os.environ.get("RINGUP_WALK_SEED", "1"))


def test_a_long_walk_finds_no_difference() -> None:
    done, outcomes, differs = stock_walk.walk(COMMANDS, SEED)
    assert differs == []
    assert done >= COMMANDS
    succeeded = {name.split()[0] for name in outcomes if name.split()[1] in ("ok", "OK")}
    must = {"hold", "place", "ship", "sell", "return", "transfer", "count", "commit", "reallocate", "race"}
    must |= {"Sell", "ReturnLines", "PickOrder", "HandOverOrder", "PayHold", "CommitHold", "BarStock", "ExpectStock"}
    assert succeeded >= must, must - succeeded


@pytest.mark.parametrize("kind", ["sell_stock", "release_hold", "pick_order", "return_lines"])
def test_a_movement_that_is_left_out_is_found(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The control of the fold: it does not agree by itself."""
    monkeypatch.setitem(movements.HANDLERS, kind, lambda *_: None)
    assert stock_walk.shop_leg(3, 1000)[2]


def test_a_model_that_oversells_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the model: one that forgets what is held."""
    monkeypatch.setattr(stock_state.Position, "free", property(lambda row: row.on_hand - row.allocated))
    found: Any = stock_walk.model_leg(1, 500)[2]
    assert found
    assert "model leg, seed 1, step" in found[0]
