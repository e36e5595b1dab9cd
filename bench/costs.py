"""What a core's work costs, in process and by processor time, so that a busy machine does not bend the curves."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

from bench.in_process import BareCore
from bench.measure import Bench
from bench.shop import LOCATION, Requests, is_ok, item_id, session_request
from ringup.clients import _wire
from ringup.v1 import pricing_pb2

BATCH = 64
ROUNDS = 5


def assert_done(response: bytes, count: int) -> None:
    """Each of the `count` commands of a batch was done."""
    replies = _wire.split_replies(response)[0]
    assert len(replies) == count, f"expected {count} replies, found {len(replies)}"
    refused = [bytes(reply) for reply in replies if not is_ok(bytes(reply))]
    assert not refused, f"{len(refused)} of {count} commands were refused, the first with {refused[0][:200]!r}"


def command_us(bench: Bench, core: BareCore, requests: Requests, batches: int) -> float:
    """Median cost of a command in batches of 64, in us of processor time."""
    costs = []
    for _ in range(bench.rounds(ROUNDS)):
        made = [session_request([requests.command() for _ in range(BATCH)]) for _ in range(batches)]
        began_s = time.process_time()
        answers = [core.apply(request) for request in made]
        costs.append((time.process_time() - began_s) / (batches * BATCH) * 1e6)
        for answer in answers:
            assert_done(answer, BATCH)
    return statistics.median(costs)


def baskets(indexes: Callable[[], list[int]], count: int) -> list[bytes]:
    """PriceBasket requests of one piece of each item."""
    return [
        pricing_pb2.PriceBasketRequest(
            location_id=LOCATION,
            channel_id="till",
            lines=[pricing_pb2.BasketLine(item_id=item_id(i), qty_milli=1000) for i in indexes()],
        ).SerializeToString()
        for _ in range(count)
    ]


def quote_us(bench: Bench, core: BareCore, requests: list[bytes]) -> float:
    """Median cost of a PriceBasket query, in us of processor time."""
    now_ns, costs = core.core.now_ns, []
    for _ in range(bench.rounds(ROUNDS)):
        began_s = time.process_time()
        for request in requests:
            answer = core.core.query("PriceBasket", request, now_ns)
        costs.append((time.process_time() - began_s) / len(requests) * 1e6)
        assert pricing_pb2.PriceBasketResponse.FromString(answer).code == 1
    return statistics.median(costs)


def sample_of(choose: random.Random, items: int, lines: int = 10) -> Callable[[], list[int]]:
    """A basket's items: so many different ones, evenly chosen."""
    return lambda: choose.sample(range(items), lines)
