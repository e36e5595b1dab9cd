"""Random and damaged requests never crash the core, never break its counters, and the same ones give the same state.

RINGUP_STOCK_FUZZ sets how many requests are tried (default 4,000).
"""

from __future__ import annotations

import os
import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ringup.native.core import Core, MalformedRequest
from ringup.v1 import session_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import CoreHarness, small_shop

REQUESTS = int(os.environ.get("RINGUP_STOCK_FUZZ", "4000"))
KINDS = [
    field
    for field in session_pb2.Command.DESCRIPTOR.fields
    if field.message_type is not None and field.message_type.file.name.endswith("stock.proto")
]
QUERIES = ["GetHold", "GetAvailability", "GetPromise", "CheckStock", "GetOrder", "ListOrders"]
GARBAGE = 0.03
TEXTS = ["", "S9", "none", "x" * 65, "\0"]
LIKELY = {
    "item": ["milk", "milk", "bread", "cheese", "wrap"],
    "location": ["S1", "S1", "S2"],
    "collection": ["S1", "S2"],
    "channel": ["web"],
    "order": [f"o{n}" for n in range(1, 41)],
    "before": ["o1"],
    "customer": ["ann", "bob"],
    "lot": ["", "l1", "l2"],
    "pickup": ["7421"],
    "from": ["S1"],
    "to": ["S2"],
    "backorder": ["S1"],
}
NUMBERS = [0, 1, -1, 500, 2**31, 10**12, 10**12 + 1000, 2**63 - 1, -(2**63)]
RARE = {"scope", "lot_id", "min_qty_milli", "step_milli", "safety_milli", "preorder", "expected_ns", "hold_id"}
IDS = [b"", b"short", b"y" * 17]


def random_value(rng: random.Random, field: FieldDescriptor) -> Any:
    garbage = rng.random() < GARBAGE
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice(TEXTS if garbage else LIKELY.get(field.name.partition("_")[0], ["text"]))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.choice(IDS) if garbage else bytes([rng.randrange(8)]) * 16
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.2
    if field.type == FieldDescriptor.TYPE_ENUM:
        return rng.randint(0, 5) if garbage else rng.randint(1, 3)
    if field.type == FieldDescriptor.TYPE_INT32:
        return rng.choice([0, -1, 2**31 - 1]) if garbage else rng.randint(1, 20)
    if garbage:
        return rng.choice(NUMBERS)
    if field.name.endswith("_ms"):
        return rng.choice([1000, 60_000, 3_600_000])
    if field.name.startswith(("max", "limit", "preorder", "backorder")):
        return rng.choice([5000, 50_000])
    return rng.choice([1000, 1000, 2000, 3000])


def fill(rng: random.Random, message: Message) -> None:
    """Give a message random fields, mostly ones that mean something."""
    for field in message.DESCRIPTOR.fields:
        rare = field.name in (
            "scope",
            "lot_id",
            "min_qty_milli",
            "step_milli",
            "safety_milli",
            "preorder",
            "expected_ns",
        )
        if field.name == "command_id" or rng.random() < (0.8 if rare else 0.05):
            continue
        repeated = isinstance(getattr(message, field.name), list) or hasattr(getattr(message, field.name), "append")
        if field.message_type is not None:
            for _ in range(rng.choice([1, 1, 2, 3]) if repeated else 1):
                inner = getattr(message, field.name).add() if repeated else getattr(message, field.name)
                fill(rng, inner)
        elif repeated:
            getattr(message, field.name).extend(random_value(rng, field) for _ in range(rng.randint(0, 3)))
        else:
            setattr(message, field.name, random_value(rng, field))


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Sometimes the bytes with one cut out, flipped or doubled."""
    if not data or rng.random() < 0.95:
        return data
    at = rng.randrange(len(data))
    return rng.choice(
        [data[:at], data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :], data[:at] + data[at:] * 2]
    )


def counters_hold(shop: CoreHarness) -> None:
    request = pb.GetAvailabilityRequest(item_ids=["milk", "bread", "lamp", "cheese", "wrap"])
    for row in shop.ask("GetAvailability", request, pb.GetAvailabilityResponse).positions:
        assert row.held_milli >= 0
        assert row.allocated_milli >= 0
        assert row.unavailable_milli >= 0
        assert row.incoming_milli >= 0
        promised = row.held_milli + row.allocated_milli + row.unavailable_milli
        assert row.free_milli == row.on_hand_milli - promised


def walk(seed: int) -> Core:
    rng = random.Random(seed)
    shop = small_shop(pieces=20)
    shop.send(pb.PutChannelsRequest(channels=[pb.Channel(channel_id="web", location_ids=["S1", "S2"])]))
    for number in range(REQUESTS):
        shop.now_ns += rng.choice([0, 1_000_000, 10**9, 10**12])
        if rng.random() < 0.1:
            name = rng.choice(QUERIES)
            request = getattr(pb, name + "Request")()
            fill(rng, request)
            try:
                shop.core.query(name, damaged(rng, request.SerializeToString()), shop.now_ns)
            except MalformedRequest:
                continue
        command = session_pb2.Command()
        body = getattr(command, rng.choice(KINDS).name)
        body.command_id = number.to_bytes(16, "big")
        fill(rng, body)
        data = session_pb2.SessionRequest(commands=[command]).SerializeToString()
        shop.core.begin(shop.core.sequence + 1, shop.now_ns)
        try:
            shop.core.apply(damaged(rng, data))
        except MalformedRequest:
            continue
        finally:
            shop.core.end()
        if number % 50 == 0:
            counters_hold(shop)
        if number % 500 == 0:
            before = shop.core.digest()
            shop.core.rebuild()
            assert shop.core.digest() == before
    counters_hold(shop)
    return shop.core


def test_no_request_crashes_the_core_or_breaks_its_counters() -> None:
    assert walk(1).digest() == walk(1).digest()


def test_the_walk_gets_somewhere() -> None:
    """The control: requests that are all refused would prove nothing."""
    rows = walk(2).row_counts()
    assert rows["holds"] > 20
    assert rows["stock_orders"] > 1
    assert rows["arrivals"] > 0
    assert rows["stock_lines"] > 5
