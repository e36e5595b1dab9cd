"""An id of a hold that is used again and again: found at once, as the newest, also after a start.

Each ended hold once stood in the index under its id, up to 262,144 of one hash: a caller who made and
released one id over and over made every hold search through all of them.
"""

from __future__ import annotations

import itertools
from typing import Any

from ringup.native.core import Core
from ringup.v1 import session_pb2
from ringup.v1 import stock_pb2 as pb
from support import cpu_time
from support.core import CoreHarness, command_of, small_shop

OK = 1
ID = b"again and again!"
TIMES = 30_000


def _make(pieces: int, command_id: bytes = b"") -> pb.HoldStockRequest:
    lines = [pb.StockLine(item_id="milk", qty_milli=pieces * 1000)]
    return pb.HoldStockRequest(hold_id=ID, location_id="S1", lines=lines, command_id=command_id)


def _release(command_id: bytes = b"") -> pb.ReleaseHoldRequest:
    return pb.ReleaseHoldRequest(hold_id=ID, command_id=command_id)


def _apply(shop: CoreHarness, batch: bytes) -> bytes:
    shop.core.begin(shop.core.sequence + 1, shop.now_ns)
    replies = shop.core.apply(batch)[0]
    shop.core.end()
    return replies


def _state(shop: CoreHarness) -> Any:
    answer = shop.ask("GetHold", pb.GetHoldRequest(hold_id=ID), pb.GetHoldResponse)
    return answer.hold.state, [line.qty_milli for line in answer.hold.lines]


def test_an_id_used_over_and_over_makes_no_search_longer() -> None:
    shop = small_shop(pieces=100)
    first, second = b"a first command!", b"the second one!!"
    pair = b"".join(
        session_pb2.SessionRequest(commands=[command_of(one)]).SerializeToString()
        for one in (_make(1, first), _release(second))
    )
    ids = (number.to_bytes(16, "big") for number in itertools.count(10_000))
    batches = [
        b"".join(pair.replace(first, next(ids)).replace(second, next(ids)) for _ in range(1000))
        for _ in range(TIMES // 1000)
    ]
    with cpu_time.at_most(TIMES * 20e-6, "60,000 commands, of 1 us each"):
        replies = [_apply(shop, batch) for batch in batches]
    for one in session_pb2.SessionResponse.FromString(replies[-1]).replies:
        assert (one.hold_stock.code or one.release_hold.code) == OK


def test_the_newest_hold_of_an_id_is_found_after_a_start_too() -> None:
    shop = small_shop(pieces=100)
    for pieces in range(1, 6):
        assert shop.send(_make(pieces)).code == OK
        if pieces < 5:
            assert shop.send(_release()).code == OK
    before = _state(shop)
    assert before[1] == [5000]
    loaded = Core()
    checkpoint = shop.core.checkpoint()
    for number, page, data in checkpoint:
        loaded.tables[number].load_page(page, bytes(data), shop.core.tables[number].count)
    checkpoint.done()
    loaded.rebuild()
    shop.core = loaded
    assert _state(shop) == before
    assert shop.send(_release()).code == OK
    assert shop.send(_release()).code != OK
    assert shop.send(_make(7)).code == OK
    assert _state(shop)[1] == [7000]
