"""The outbox: what the events of each batch say is what happened, and nothing else did.

RINGUP_EVENT_WALKS sets how many random histories are folded (default 12).
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from ringup.engine.simulate_embedded import EmbeddedEngine
from ringup.engine.simulate_stock import Replay
from ringup.native.core import Core
from ringup.v1 import catalog_pb2, event_pb2
from ringup.v1 import stock_pb2 as pb
from support.core import CoreHarness, small_shop
from support.event_fold import Fold

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))
import stock_random

WALKS = int(os.environ.get("RINGUP_EVENT_WALKS", "12"))
PLENTY = 1 << 30


def events_of(core: Core, packed: bytes, from_sequence: int = 1, bytes_max: int = PLENTY) -> list[event_pb2.EventBatch]:
    """The events of the core's last batch as messages."""
    return [
        event_pb2.EventBatch.FromString(data)
        for _, _, data in core.expand_events(packed, core.sequence, core.now_ns, from_sequence, bytes_max)
    ]


def availability(ask: Any, items: Sequence[str], channels: Sequence[str]) -> dict[tuple[str, str], float]:
    """What each item can be promised on each channel."""
    found: dict[tuple[str, str], float] = {}
    for channel in channels:
        request = pb.GetPromiseRequest(item_ids=items, scope=pb.Scope(channel_id=channel))
        for promise in ask("GetPromise", request).promises:
            found[promise.item_id, channel] = float("inf") if promise.unlimited else promise.available_milli
    return found


def expected_crossings(
    before: dict[tuple[str, str], float], after: dict[tuple[str, str], float], low: dict[str, int]
) -> list[tuple[str, str, str]]:
    """Low, out and back by their definition, from what was available before a batch and after it."""
    found = []
    for (item, channel), now in after.items():
        was, threshold = before.get((item, channel), 0), low.get(item, 0)
        if threshold and now <= threshold < was:
            found.append((item, channel, "low"))
        if now == 0 < was:
            found.append((item, channel, "out"))
        if was == 0 < now:
            found.append((item, channel, "back"))
    return sorted(found)


class Watched(EmbeddedEngine):
    """An engine whose every batch is folded from its events and compared with its counters."""

    def __init__(self, *, drop: int = 0) -> None:
        super().__init__()
        self.fold, self.drop, self.told = Fold(), drop, 0
        self.items: list[str] = []
        self.channels: list[str] = []
        self.low: dict[str, int] = {}
        self.packed: list[tuple[bytes, int]] = []
        self.available: dict[tuple[str, str], float] = {}
        self.untracked: set[str] = set()  # what is not counted crosses nothing

    def batch(self, requests: Sequence[tuple[str, Message]]) -> list[Any]:
        answers = super().batch(requests)
        packed = self.core.end()
        self.packed.append((packed, self.core.event_sequence))
        for (_, request), answer in zip(requests, answers, strict=True):
            if answer.code == 1:
                self.note(request)
        batches = events_of(self.core, packed)
        self.told += len(batches)
        if self.told != self.drop:
            self.fold.take(batches)
        self.compare()
        return answers

    def note(self, request: Message) -> None:
        if isinstance(request, catalog_pb2.PutItemsRequest):
            self.items += [item.item_id for item in request.items if item.item_id not in self.items]
            for item in request.items:
                if item.untracked:
                    self.untracked.add(item.item_id)
        elif isinstance(request, pb.PutKitsRequest):
            self.untracked |= {kit.item_id for kit in request.kits}  # nor does a kit: its parts do
        elif isinstance(request, pb.PutChannelsRequest):
            self.channels += [one.channel_id for one in request.channels if one.channel_id not in self.channels]
        elif isinstance(request, pb.PutStockPoliciesRequest):
            self.low.update({policy.item_id: policy.low_milli for policy in request.policies})

    def compare(self) -> None:
        assert self.fold.next_sequence == self.core.event_sequence + 1
        counters: dict[Any, tuple[int, ...]] = {}
        incoming: dict[tuple[str, str], int] = {}
        for position in self.call("GetAvailability", pb.GetAvailabilityRequest(item_ids=self.items)).positions:
            place = (position.item_id, position.location_id)
            incoming[place] = position.incoming_milli
            if not position.lots:
                counters[*place, "", False] = (
                    position.on_hand_milli, position.held_milli, position.allocated_milli, position.unavailable_milli,
                )  # fmt: skip
            for lot in position.lots:
                counters[*place, lot.lot_id, lot.barred] = (
                    lot.on_hand_milli, lot.held_milli, lot.allocated_milli, lot.unavailable_milli,
                )  # fmt: skip
        told = {key: now for key, now in self.fold.positions.items() if any(now)}
        assert told == {key: now for key, now in counters.items() if any(now)}
        for place, qty_milli in incoming.items():
            assert self.fold.incoming.get(place, 0) == qty_milli
        tracked = [item for item in self.items if item not in self.untracked]
        now = availability(self.call, tracked, self.channels) if tracked else {}
        crossed, self.fold.crossings = self.fold.crossings, []
        assert sorted(crossed) == expected_crossings(self.available, now, self.low)
        self.available = now


def with_thresholds(case: dict[str, Any], rng: random.Random, engine: Watched) -> None:
    """Give some items a threshold on top of the policy that the case gave them."""
    for sku in list(engine.items):
        if rng.random() < 0.7 and sku not in case["setup"].get("skus", {}):
            policy = pb.StockPolicy(item_id=sku, low_milli=rng.randint(1, 6) * 1000)
            engine.call("PutStockPolicies", pb.PutStockPoliciesRequest(command_id=rng.randbytes(16), policies=[policy]))


def walk(seed: int, engine: Watched, *, restarts: bool = False, steps: int = 120) -> Watched:
    rng = random.Random(seed)
    case = stock_random.random_case(rng, steps)
    replay = Replay(case, engine)
    replay.prepare()
    with_thresholds(case, rng, engine)
    for number, step in enumerate(case["steps"]):
        replay.do(step)
        if rng.random() < 0.04 and replay_places(case):  # a place closes or opens under the stock
            place = rng.choice(replay_places(case))
            request = catalog_pb2.PutLocationsRequest(
                command_id=rng.randbytes(16),
                locations=[catalog_pb2.Location(location_id=place, name=place, disabled=rng.random() < 0.5)],
            )
            engine.call("PutLocations", request)
        if restarts and number % 10 == 0:
            engine.core.rebuild()
    return engine


def replay_places(case: dict[str, Any]) -> list[str]:
    return [one if isinstance(one, str) else one["id"] for one in case["setup"].get("locations", [])]


@pytest.mark.parametrize("seed", range(WALKS))
def test_the_fold_of_the_events_is_the_counters_after_every_batch(seed: int) -> None:
    engine = walk(seed, Watched())
    assert engine.core.event_sequence > 20


def test_a_lost_batch_of_events_is_found() -> None:
    """The control: the same fold, with the events of one batch left out."""
    with pytest.raises(AssertionError):
        walk(1, Watched(drop=9))


def test_restarts_change_no_event() -> None:
    crossings = 0
    for seed in range(3):
        straight, restarted = walk(seed, Watched()), walk(seed, Watched(), restarts=True)
        assert straight.packed == restarted.packed
        assert straight.core.digest() == restarted.core.digest()
        crossings += sum(len(packed) > 0 for packed, _ in straight.packed)
    assert crossings > 100


def shop_with_channel(pieces: int, **policy: Any) -> CoreHarness:
    shop = small_shop(pieces=pieces)
    answers = shop.batch(
        pb.PutChannelsRequest(channels=[pb.Channel(channel_id="web", location_ids=["S1", "S2"])]),
        pb.PutStockPoliciesRequest(policies=[pb.StockPolicy(item_id="milk", **policy)]),
    )
    assert all(answer.code == 1 for answer in answers)
    return shop


def last_events(shop: CoreHarness) -> list[event_pb2.Event]:
    return [event for batch in events_of(shop.core, shop.core.end()) for event in batch.events]


def crossings(shop: CoreHarness) -> list[str]:
    return [
        f"{one.item_id} {event_pb2.Crossing.Name(one.crossing)[9:]} {one.available_milli}"
        for one in (event.availability for event in last_events(shop) if event.HasField("availability"))
    ]


def take(pieces: int) -> pb.SellStockRequest:
    return pb.SellStockRequest(location_id="S1", lines=[pb.StockLine(item_id="milk", qty_milli=pieces * 1000)])


def receive(pieces: int, item: str = "milk", location: str = "S1") -> pb.ReceiveStockRequest:
    lines = [pb.StockLine(item_id=item, qty_milli=pieces * 1000)]
    return pb.ReceiveStockRequest(location_id=location, lines=lines)


def test_thresholds_are_crossed_on_what_is_available() -> None:
    """Safety and thresholds count, on hand alone does not; each crossing is told once."""
    shop = shop_with_channel(20, safety_milli=5000, low_milli=8000)
    steps = [(take(6), []), (take(1), ["milk LOW 8000"]), (take(3), []), (take(5), ["milk OUT 0"]), (take(2), [])]
    for request, expected in [*steps, (receive(2), []), (receive(1), ["milk BACK 1000"]), (receive(20), [])]:
        assert shop.send(request).code == 1
        assert crossings(shop) == expected, request
    assert shop.send(take(21)).code == 1
    assert crossings(shop) == ["milk LOW 0", "milk OUT 0"]


def test_a_place_that_closes_takes_its_stock_off_the_channel() -> None:
    shop = shop_with_channel(20, low_milli=8000)
    for disabled, expected in ((True, "OUT 0"), (False, "BACK 20000")):
        location = catalog_pb2.Location(location_id="S1", name="High Street", disabled=disabled)
        assert shop.send(catalog_pb2.PutLocationsRequest(locations=[location])).code == 1
        found = crossings(shop)
        assert f"milk {expected}" in found
        assert len(found) == 4 + disabled  # milk, bread, lamp, cheese; of these milk has a threshold, too
    assert shop.refold().digest() == shop.core.digest()


def test_one_event_a_position_however_often_a_batch_moves_it() -> None:
    shop = small_shop(pieces=20)
    before = shop.core.event_sequence
    shop.batch(take(1), take(2), receive(5), receive(1, "bread"), take(100))
    first, second = last_events(shop)
    assert (first.position.item_id, first.position.on_hand_milli, first.position.on_hand_change_milli) == (
        "milk", 22000, 2000,
    )  # fmt: skip
    assert (first.position.version, second.position.item_id, second.position.location_id) == (4, "bread", "S1")
    assert shop.core.event_sequence == before + 2


def test_a_batch_that_moves_no_stock_has_no_events() -> None:
    shop = small_shop(pieces=20)
    assert shop.send(take(100)).code != 1
    assert shop.core.end() == b""


def test_a_position_that_is_removed_and_made_again_in_one_batch() -> None:
    shop = small_shop(pieces=2)
    remove = pb.RemovePositionRequest(item_id="milk", location_id="S1", force=True)
    assert [answer.code for answer in shop.batch(take(1), remove, receive(7))] == [1, 1, 1]
    gone, new = (event.position for event in last_events(shop))
    assert (gone.removed, gone.on_hand_milli, gone.on_hand_change_milli, gone.version) == (True, 0, -2000, 3)
    assert (new.removed, new.on_hand_milli, new.on_hand_change_milli, new.version) == (False, 7000, 7000, 1)


def test_events_are_cut_into_messages_of_a_size_and_from_a_sequence() -> None:
    shop = small_shop(pieces=20)
    items = [catalog_pb2.Item(item_id=f"item{n}", name="x") for n in range(50)]
    lines = [pb.StockLine(item_id=item.item_id, qty_milli=1000) for item in items]
    shop.batch(catalog_pb2.PutItemsRequest(items=items), pb.ReceiveStockRequest(location_id="S1", lines=lines))
    packed, last = shop.core.end(), shop.core.event_sequence
    whole = events_of(shop.core, packed)[0]
    assert (len(whole.events), whole.batch, whole.at_ns) == (50, shop.core.sequence, shop.now_ns)
    for from_sequence in (1, last - 49, last - 20, last):
        parts = events_of(shop.core, packed, from_sequence, 100)
        numbers = [part.first_sequence + n for part in parts for n in range(len(part.events))]
        assert numbers == list(range(max(from_sequence, last - 49), last + 1))
        told = [event for part in parts for event in part.events]
        assert told == list(whole.events)[-len(told) :]
    assert events_of(shop.core, packed, last + 1) == []


def test_damaged_packed_events_are_refused_and_never_read_as_others() -> None:
    shop = small_shop(pieces=20)
    shop.batch(take(1), receive(3, "bread"))
    packed, rng = shop.core.end(), random.Random(1)
    for cut in range(1, len(packed)):
        with pytest.raises(ValueError, match="packed events"):
            events_of(shop.core, packed[:cut])
    for _ in range(2000):
        data = bytearray(packed)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            events_of(shop.core, bytes(data))
        except ValueError:
            continue
    with pytest.raises(ValueError, match="another journal"):
        Core().expand_events(packed, 1, 1, 1, PLENTY)
