"""The second fold beside the core over random lives of orders and holds: kits, lots, short picks, moves, recounts.

RINGUP_FOLD_SEEDS sets how many shops are tried (default 60).
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from ringup.engine.movements import Movements
from ringup.engine.record import Record
from ringup.engine.verify_counters import compare
from ringup.v1 import catalog_pb2, result_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import SECOND_NS, CoreHarness, small_shop

SEEDS = int(os.environ.get("RINGUP_FOLD_SEEDS", "60"))
STEPS = 60


def _line(item: str, pieces: int, **fields: Any) -> pb.StockLine:
    return pb.StockLine(item_id=item, qty_milli=pieces * 1000, **fields)


def _shop(rng: random.Random) -> CoreHarness:
    """Milk and bread in lots at two places, and a pair of two milk and a bread."""
    shop = small_shop(pieces=6)
    for place in ("S1", "S2"):
        lots = [
            _line(item, rng.randrange(1, 7), lot_id=lot, received_ns=rng.randrange(1, 9))
            for item in ("milk", "bread")
            for lot in "ab"
        ]
        shop.send(pb.ReceiveStockRequest(location_id=place, lines=lots))
    parts = [pb.KitPart(item_id="milk", qty_milli=2000), pb.KitPart(item_id="bread", qty_milli=1000)]
    shop.batch(
        pb.PutChannelsRequest(channels=[pb.Channel(channel_id="web", location_ids=["S1", "S2"])]),
        catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="pair", name="Pair")]),
        pb.PutKitsRequest(kits=[pb.Kit(item_id="pair", parts=parts, parts_apart=rng.random() < 0.5)]),
    )
    return shop


def _step(rng: random.Random, number: int) -> Any:
    order, hold = rng.choice("op"), bytes([rng.randrange(2)]) * 16
    here, there = rng.sample(("S1", "S2"), 2)
    item = rng.choice(("milk", "bread", "milk", "pair"))
    plain, pieces = "milk" if item == "pair" else item, rng.randrange(1, 4)
    some, moves = [_line(item, pieces)], {"from_location_id": here, "to_location_id": there}
    return rng.choice(
        (
            pb.PlaceOrderRequest(order_id=order, lines=[*some, _line(rng.choice(("milk", "pair")), 1)]),
            pb.PlaceOrderRequest(order_id=order, add=True, lines=some),
            pb.PlaceOrderRequest(order_id=f"{order}{number}", hold_id=hold),
            pb.HoldStockRequest(hold_id=hold, lines=some, ttl_ms=rng.choice((0, 1500)), partial=rng.random() < 0.5),
            pb.ResizeHoldRequest(hold_id=hold, lines=some),
            pb.ReleaseHoldRequest(hold_id=hold, qty_milli=1000),
            pb.CommitHoldRequest(hold_id=hold, qty_milli=rng.choice((None, pieces * 1000))),
            pb.PickOrderRequest(order_id=order, location_id=here, lines=[_line(plain, pieces)]),
            pb.PickOrderRequest(order_id=order, location_id=here, short=True),
            pb.ShipOrderRequest(order_id=order, lines=rng.choice(([], some, [_line(item, 1, location_id=here)]))),
            pb.UnshipOrderRequest(order_id=order),
            pb.CancelOrderRequest(order_id=order, lines=some if rng.random() < 0.85 else []),
            pb.ReturnOrderRequest(
                order_id=order,
                item_id=item,
                qty_milli=1000,
                location_id=here,
                restock_milli=rng.choice((0, 1000)),
                bar_reason=rng.choice((pb.BAR_REASON_UNSPECIFIED, pb.BAR_REASON_DAMAGED)),
            ),
            pb.ReallocateOrderRequest(order_id=order, item_id=item, qty_milli=pieces * 1000, **moves),
            pb.AdjustStockRequest(location_id=here, lines=[_line(plain, -pieces)], reason="broken"),
            pb.CountStockRequest(location_id=here, item_id=plain, on_hand_milli=rng.randrange(12) * 1000),
            pb.ReceiveStockRequest(location_id=here, lines=[_line(plain, pieces, lot_id=rng.choice(("", "a", "b")))]),
            pb.TransferStockRequest(item_id=plain, qty_milli=pieces * 1000, **moves),
            pb.BarStockRequest(
                location_id=here, lines=[_line(plain, rng.choice((1, -1)))], reason=pb.BAR_REASON_DAMAGED
            ),
            pb.SellStockRequest(location_id=here, lines=[_line(item, 1)]),
            pb.RemovePositionRequest(location_id=here, item_id=plain, force=rng.random() < 0.1),
        )
    )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_both_folds_count_the_same(seed: int) -> None:
    rng = random.Random(seed)
    shop = _shop(rng)
    done = 0
    for number in range(STEPS):
        if rng.random() < 0.1:
            shop.now_ns += 2 * SECOND_NS
        done += shop.send(_step(rng, number)).code == result_pb2.RESULT_CODE_OK
    movements = Movements()
    for sequence, now_ns, commands, replies in shop.journal:
        movements.take(Record(sequence, now_ns, "", b"".join(commands), b"".join(replies), b""))
    assert movements.problems == []
    assert compare(shop.core, movements) == (0, [])
    assert done > STEPS // 8
