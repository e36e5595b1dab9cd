"""The tables of states in ARCHITECTURE.md: the one of orders is the code's, the one of holds is how holds behave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringup.native.stock_states import actions, hold_actions, transitions
from ringup.v1 import result_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import SECOND_NS, CoreHarness, small_shop

TEXT = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text(encoding="utf-8")
HOLD = bytes([9]) * 16
Rows = set[tuple[str, str, str, str]]


def tables() -> list[Rows]:
    """(action, who, from, to) of each table with these columns, in order."""
    found: list[Rows] = []
    for line in TEXT.partition("### States")[2].partition("\n## ")[0].splitlines():
        fields = [field.strip() for field in line.strip().strip("|").split("|")]
        if line.startswith("| action |"):
            found.append(set())
        elif line.startswith("| ") and found:
            found[-1] |= {(fields[0], fields[1], state, fields[3]) for state in fields[2].split(", ")}
    return found


def test_the_table_of_orders_is_the_code_s() -> None:
    names = {value: name.removeprefix("ORDER_STATE_") for name, value in pb.OrderState.items()}
    over = {pb.ORDER_STATE_CANCELLED, pb.ORDER_STATE_EXPIRED}  # a cancelled order stays cancelled
    code = {
        (*actions()[action], names[state], names[to])  # type: ignore[index]  # an enum's number
        for action, state, to in transitions()
        if state not in over
    }
    assert tables()[0] == code


def test_who_may_change_a_hold_is_the_code_s() -> None:
    assert {(action, who) for action, who, _, _ in tables()[1]} == set(hold_actions())


def code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def held(shop: CoreHarness, **fields: Any) -> Any:
    lines = [pb.StockLine(item_id="milk", qty_milli=1000)]
    return shop.send(pb.HoldStockRequest(hold_id=HOLD, location_id="S1", lines=lines, ttl_ms=60_000, **fields))


def do(shop: CoreHarness, action: str) -> Any:
    lines = [pb.StockLine(item_id="milk", qty_milli=2000)]
    if action == "hold":
        return held(shop)
    if action == "deadline":
        shop.now_ns += 61 * SECOND_NS
        shop.batch()
        return None
    request: Any = {
        "resize": pb.ResizeHoldRequest(hold_id=HOLD, lines=lines),
        "extend": pb.ExtendHoldRequest(hold_id=HOLD, ttl_ms=60_000),
        "pay": pb.PayHoldRequest(hold_id=HOLD, ttl_ms=60_000),
        "release": pb.ReleaseHoldRequest(hold_id=HOLD),
        "commit": pb.CommitHoldRequest(hold_id=HOLD),
        "order": pb.PlaceOrderRequest(order_id="o", hold_id=HOLD),
    }[action]
    return shop.send(request)


def state(shop: CoreHarness) -> str:
    answer = shop.ask("GetHold", pb.GetHoldRequest(hold_id=HOLD), pb.GetHoldResponse)
    return pb.HoldState.Name(answer.hold.state).removeprefix("HOLD_STATE_")


WAYS = {
    "OPEN": [],
    "PAYING": ["pay"],
    "COMMITTED": ["commit"],
    "RELEASED": ["release"],
    "EXPIRED": ["deadline"],
    "ORDERED": ["order"],
}


@pytest.mark.parametrize("action", ["hold", "resize", "extend", "pay", "release", "commit", "order", "deadline"])
@pytest.mark.parametrize("begun", list(WAYS))
def test_the_table_of_holds_is_how_they_behave(begun: str, action: str) -> None:
    shop = small_shop(pieces=5)
    assert code(held(shop)) == "OK"
    for before in WAYS[begun]:
        do(shop, before)
    assert state(shop) == begun
    written = {to for name, _, start, to in tables()[1] if (name, start) == (action, begun)}
    answer = do(shop, action)
    if answer is not None:
        assert (code(answer) == "OK") == bool(written), answer
    assert state(shop) == (written.pop() if written else begun)
