"""A plain hold takes a short way (stock_hold_plain.pyx); the general way must do exactly the same.

The same commands go to two cores.  In one of them each hold says in front that nobody owns it, which the short way does
not know and which changes nothing: answers, events and all rows must be the same.  Only the hashes of the commands'
bodies differ, which are in a table of their own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from ringup.v1 import catalog_pb2, result_pb2, session_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import CoreHarness, command_of, small_shop
from support.requests import mutated

SEEDS = int(os.environ.get("RINGUP_PLAIN_HOLD_SEEDS", "12"))
BATCHES = 40
NOBODY = b"\x32\x00"  # owner, empty
LONG = "L" * 64
KIND = session_pb2.Command.DESCRIPTOR.fields_by_name["hold_stock"].number
POLICIES = [
    pb.StockPolicy(item_id="at least", min_qty_milli=2000),
    pb.StockPolicy(item_id="at most", max_qty_milli=1000),
    pb.StockPolicy(item_id="by twos", step_milli=2000),
    pb.StockPolicy(item_id="to come", preorder=True, preorder_total_milli=3000),
    pb.StockPolicy(item_id="also later", backorder=True, backorder_limit_milli=3000),
    pb.StockPolicy(item_id="few", min_qty_milli=2000, max_qty_milli=6000, step_milli=2000),
    pb.StockPolicy(item_id="guarded", safety_milli=3000, low_milli=5000),
]
STOCKED = [*(policy.item_id for policy in POLICIES), LONG, "not kept"]
BARRED = "damaged"
ITEMS = ["milk", "bread", "lamp", "cheese", "wrap", *STOCKED, BARRED, "by lot", "set", "nowhere", "unknown"]


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + _varint(number >> 7)


def _commands(bodies: list[tuple[int, bytes]]) -> bytes:
    """A SessionRequest of (kind, body)."""
    out = b""
    for kind, body in bodies:
        command = _varint(kind << 3 | 2) + _varint(len(body)) + body
        out += b"\x0a" + _varint(len(command)) + command
    return out


def _shop() -> CoreHarness:
    shop = small_shop(pieces=40)
    locations = [catalog_pb2.Location(location_id=name) for name in ("closed", LONG)]
    items = [catalog_pb2.Item(item_id=name, name=name) for name in (*STOCKED, BARRED, "by lot", "set", "nowhere")]
    answers = shop.batch(
        catalog_pb2.PutLocationsRequest(locations=locations),
        catalog_pb2.PutItemsRequest(items=items),
        pb.PutKitsRequest(
            kits=[pb.Kit(item_id="set", parts=[pb.KitPart(item_id=one, qty_milli=1000) for one in ("milk", "lamp")])]
        ),
        pb.PutStockPoliciesRequest(policies=POLICIES),
        *(
            pb.ReceiveStockRequest(
                location_id=place, lines=[pb.StockLine(item_id=one, qty_milli=30_000) for one in names]
            )
            for place, names in (("S1", STOCKED), ("closed", STOCKED), (LONG, ("milk", LONG)), ("S2", ("milk", "few")))
        ),
        catalog_pb2.PutLocationsRequest(locations=[catalog_pb2.Location(location_id="closed", disabled=True)]),
        catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id="not kept", name="not kept", untracked=True)]),
        pb.ReceiveStockRequest(location_id="S1", lines=[pb.StockLine(item_id=BARRED, qty_milli=30_000, barred=True)]),
        pb.ReceiveStockRequest(
            location_id="S1",
            lines=[pb.StockLine(item_id="by lot", qty_milli=9000, lot_id=lot) for lot in ("one", "two")],
        ),
        pb.ReceiveStockRequest(location_id="S2", lines=[pb.StockLine(item_id="by lot", qty_milli=9000, lot_id="one")]),
    )
    assert all(answer.code == 1 for answer in answers), answers
    return shop


def _hold(rng: random.Random) -> pb.HoldStockRequest:
    item = rng.choice(ITEMS)
    place = rng.choice(["S1"] * 6 + ["S2", "S2", "closed", LONG, "", "unknown"])
    pieces = rng.choice([1000] * 6 + [2000, 500, 3000, 0, -1000, 10**12, 10**12 + 1000, 2**62])
    ttl_ms = rng.choice([60_000] * 4 + [1, 1500, 0, -1, 2_678_400_000, 2_678_400_001, 2**60])
    return pb.HoldStockRequest(location_id=place, lines=[pb.StockLine(item_id=item, qty_milli=pieces)], ttl_ms=ttl_ms)


def _other(rng: random.Random, ids: list[bytes]) -> object:
    """Something else between the holds, which makes and removes positions and ends holds."""
    item = rng.choice(ITEMS)
    lines = [pb.StockLine(item_id=item, qty_milli=4000)]
    known = rng.choice(ids) if ids else bytes(16)
    return rng.choice(
        [
            pb.ReceiveStockRequest(location_id=rng.choice(["S1", "S2"]), lines=lines),
            catalog_pb2.PutLocationsRequest(
                locations=[catalog_pb2.Location(location_id="closed", disabled=rng.random() < 0.7)]
            ),
            pb.RemovePositionRequest(location_id="S2", item_id=item),
            pb.ReleaseHoldRequest(hold_id=known),
            pb.CommitHoldRequest(hold_id=known),
            pb.HoldStockRequest(location_id="S1", lines=lines, hold_id=known),
            pb.PutChannelsRequest(channels=[pb.Channel(channel_id="web", location_ids=["S1", "S2"])]),
            pb.PutStockPoliciesRequest(
                policies=[pb.StockPolicy(item_id=item, backorder=rng.random() < 0.3, safety_milli=1000)]
            ),
        ]
    )


def _batch(rng: random.Random, new_id: Callable[[], bytes], ids: list[bytes]) -> list[tuple[int, bytes]]:
    commands = []
    for _ in range(rng.randrange(1, 90)):
        request = _hold(rng) if rng.random() < 0.85 else _other(rng, ids)
        assert isinstance(request, pb.HoldStockRequest) or hasattr(request, "command_id")
        request.command_id = rng.choice(ids) if ids and rng.random() < 0.05 else new_id()
        ids.append(request.command_id)
        kind = command_of(request).ListFields()[0][0].number  # type: ignore[arg-type]
        body = request.SerializeToString()  # type: ignore[attr-defined]
        if kind == KIND and rng.random() < 0.1:
            body = mutated(body, rng)
        commands.append((kind, body))
    return commands


def _rows(shop: CoreHarness) -> dict[str, bytes]:
    return {table.name: table.digest() for table in shop.core.tables if table.name != "replies"}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_short_way_and_the_general_way_do_the_same(seed: int) -> None:
    rng = random.Random(seed)
    short, general = _shop(), _shop()
    ids: list[bytes] = []
    granted = 0
    for _ in range(BATCHES):
        commands = _batch(rng, short.id, ids)
        one = short.raw(_commands(commands))
        other = general.raw(_commands([(kind, NOBODY * (kind == KIND) + body) for kind, body in commands]))
        assert one == other
        assert short.events[short.core.sequence] == general.events[general.core.sequence]
        assert _rows(short) == _rows(general)
        granted += sum(reply.hold_stock.code == 1 for reply in one.replies)
        short.now_ns = general.now_ns = short.now_ns + rng.choice([1_000_000, 1_000_000_000, 70_000_000_000])
    assert granted > BATCHES  # a walk in which nothing is held would prove nothing
    assert short.refold().digest() == short.core.digest()


def test_a_position_that_went_since_it_was_found_is_not_held() -> None:
    """The hold is read ahead of the command that removes its position, whose row another item's position takes."""
    shop = _shop()
    request = pb.HoldStockRequest(location_id="S2", lines=[pb.StockLine(item_id="milk", qty_milli=2000)])
    removed, received, held, other = shop.batch(
        pb.RemovePositionRequest(location_id="S2", item_id="milk", force=True),
        pb.ReceiveStockRequest(location_id="S2", lines=[pb.StockLine(item_id="bread", qty_milli=9000)]),
        request,
        pb.HoldStockRequest(location_id="S2", lines=[pb.StockLine(item_id="bread", qty_milli=1000)]),
    )
    assert (removed.code, received.code, other.code) == (1, 1, 1)
    assert held.code == result_pb2.RESULT_CODE_POSITION_UNKNOWN


def test_a_hold_whose_id_another_command_gave_its_own() -> None:
    """A hold without an id of its own has its command's."""
    held = []
    for front in (b"", NOBODY):
        shop = _shop()
        lines = [pb.StockLine(item_id="milk", qty_milli=1000)]
        first = pb.HoldStockRequest(command_id=shop.id(), hold_id=b"the second's id!", location_id="S1", lines=lines)
        second = pb.HoldStockRequest(command_id=b"the second's id!", location_id="S1", lines=lines)
        one = shop.raw(_commands([(KIND, first.SerializeToString())]))
        other = shop.raw(_commands([(KIND, front + second.SerializeToString())]))
        assert one.replies[0].hold_stock.code == result_pb2.RESULT_CODE_OK
        held.append((other, _rows(shop)))
    assert held[0] == held[1]
