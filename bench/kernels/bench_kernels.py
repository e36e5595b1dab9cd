"""How fast each kernel is by itself; `make bench-compare` tells what a change did.

Each fixes its data and asserts its result.  In memory, except for the append.  Not a comparison with
anything else: that is `python -m bench`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import kernels_pricing, part_best_deal
from bench.in_process import BareCore
from bench.kernels.conftest import ITEMS, calibration
from bench.shop import Ids, is_ok, item_id, price_minor, sale, session_request
from bench.shop import holds as hold_requests
from bench.shop import sales as sale_requests
from ringup.clients import _wire
from ringup.engine.lmdb_store import LmdbJournal
from ringup.engine.record import GENESIS, decode, encode
from ringup.native.envelope import unwrap_reply, wrap_command
from ringup.v1 import pricing_pb2, promotion_pb2, sale_pb2, session_pb2

BATCH = 64
PROVEN_SEED = 2  # of a basket whose search ends within the engine's own budget


def test_calibration(benchmark: Any) -> None:
    """The yardstick: all others are stored as ratios to it."""
    assert len(benchmark(calibration)) == 1024


def test_price_10_lines(benchmark: Any, core: BareCore) -> None:
    """PriceBasket of ten lines from the price book, bytes in, bytes out."""
    chosen = random.Random(1).sample(range(ITEMS), 10)
    lines = [pricing_pb2.BasketLine(item_id=item_id(i), qty_milli=1000) for i in chosen]
    request = pricing_pb2.PriceBasketRequest(location_id="S1", channel_id="till", lines=lines).SerializeToString()
    answer = benchmark(core.core.query, "PriceBasket", request, core.core.now_ns)
    basket = pricing_pb2.PriceBasketResponse.FromString(answer).basket
    assert basket.total_minor == sum(price_minor(i) for i in chosen)


def test_price_10_lines_10_promotions(benchmark: Any) -> None:
    """Ten lines of three, ten promotions on them among a thousand active, with explanation and tax."""
    pricer = kernels_pricing.pricer_with(1000)
    request = promotion_pb2.SimulateRequest(lines=kernels_pricing.lines()).SerializeToString()
    answer = promotion_pb2.SimulateResponse.FromString(benchmark(pricer.price, request))
    assert answer.total_minor == kernels_pricing.expected_total_minor()


def test_best_deal_20_units(benchmark: Any) -> None:
    """Twenty units in overlapping sets, searched until the answer is proven."""
    lines, promotions = part_best_deal.basket(20, PROVEN_SEED)
    pricer = part_best_deal.pricer_for(promotions, promotion_pb2.SELECTION_MODE_BEST_DEAL, 0)
    request = promotion_pb2.SimulateRequest(lines=lines).SerializeToString()
    answer = promotion_pb2.SimulateResponse.FromString(benchmark(pricer.price, request))
    assert answer.search.proven
    assert answer.search.discount_minor == answer.discount_minor > 0


def test_best_deal_crowd(benchmark: Any) -> None:
    """Sixty units of five kinds, as people fill baskets: equal units are grouped, so the search is short."""
    lines = [
        promotion_pb2.SimulatedLine(item_id=f"u{n}", qty_milli=12_000, price_minor=199 + 150 * n) for n in range(5)
    ]
    promotions = [
        promotion_pb2.Promotion(
            promotion_id=f"p{n}",
            benefits=[
                promotion_pb2.Benefit(
                    type=promotion_pb2.BENEFIT_TYPE_MULTIBUY_CHEAPEST_FREE,
                    target=promotion_pb2.Target(item_ids=[f"u{n}", f"u{(n + 1) % 5}"]),
                    qty=3,
                )
            ],
        )
        for n in range(5)
    ]
    pricer = part_best_deal.pricer_for(promotions, promotion_pb2.SELECTION_MODE_BEST_DEAL, 0)
    request = promotion_pb2.SimulateRequest(lines=lines).SerializeToString()
    answer = promotion_pb2.SimulateResponse.FromString(benchmark(pricer.price, request))
    assert answer.search.proven
    assert answer.search.discount_minor == answer.discount_minor > 0


def _batches(core: BareCore, command: Callable[[], bytes], benchmark: Any) -> None:
    """Apply a batch of 64 new commands, each round another one."""

    def fresh() -> tuple[tuple[bytes], dict[str, object]]:
        return (session_request([command() for _ in range(BATCH)]),), {}

    answer = benchmark.pedantic(core.apply, setup=fresh, rounds=200, warmup_rounds=5)
    replies = [bytes(reply) for reply in _wire.split_replies(answer)[0]]
    assert len(replies) == BATCH
    assert all(is_ok(reply) for reply in replies)


def test_sale_10_lines_64(benchmark: Any, core: BareCore, ids: Ids) -> None:
    """A batch of 64 sales of ten lines: price, stock, tender, receipt."""
    _batches(core, sale_requests(ITEMS, ids).command, benchmark)


def test_hold_64(benchmark: Any, core: BareCore, ids: Ids) -> None:
    """A batch of 64 reservations of one piece."""
    choose = random.Random(3)
    _batches(core, hold_requests(lambda: choose.randrange(ITEMS), ids).command, benchmark)


def test_decode_sale_by_protobuf(benchmark: Any, ids: Ids) -> None:
    """What a client pays that builds a sale's message from bytes with protobuf."""
    body = sale_requests(ITEMS, ids).body()
    assert len(benchmark(sale_pb2.SellRequest.FromString, body).lines) == 10


def test_encode_sale_by_protobuf(benchmark: Any) -> None:
    """What a client pays to make a sale's bytes with protobuf."""
    message = sale(list(range(10)), 1)
    assert len(benchmark(message.SerializeToString)) > 100


def test_wrap_and_unwrap(benchmark: Any, core: BareCore, ids: Ids) -> None:
    """What the edge does around a unary call: wrap the request, unwrap the reply."""
    body = sale_requests(ITEMS, ids).body()
    kind = session_pb2.Command.DESCRIPTOR.fields_by_name["sell"].number
    response = core.apply(wrap_command(kind, body))

    def both() -> tuple[int, bytes]:
        wrap_command(kind, body)
        return unwrap_reply(response)

    assert benchmark(both)[0] == kind


def test_split_512_replies(benchmark: Any, core: BareCore, ids: Ids) -> None:
    """What the client library does with the answer to a batch of 512 sales."""
    command = sale_requests(ITEMS, ids).command
    answer = core.apply(session_request([command() for _ in range(512)]))
    assert len(benchmark(_wire.split_replies, answer)[0]) == 512


def _record(core: BareCore, ids: Ids) -> tuple[bytes, bytes]:
    command = sale_requests(ITEMS, ids).command
    request = session_request([command() for _ in range(BATCH)])
    return request, core.apply(request)


def test_encode_record(benchmark: Any, core: BareCore, ids: Ids) -> None:
    """The journal's record of 64 sales: join and link by SHA-256."""
    request, replies = _record(core, ids)
    record, digest = benchmark(encode, 1, 1, "layout", [request], [replies], GENESIS, core.events)
    assert record.endswith(digest)


def test_decode_record(benchmark: Any, core: BareCore, ids: Ids) -> None:
    """Read and prove it again."""
    request, replies = _record(core, ids)
    record, _ = encode(1, 1, "layout", [request], [replies], GENESIS, core.events)
    assert benchmark(decode, record, 1, GENESIS).commands == request


def test_append_record(benchmark: Any, core: BareCore, ids: Ids, tmp_path: Path) -> None:
    """One durable append of 64 sales: mostly the disk's sync."""
    request, replies = _record(core, ids)
    record, _ = encode(1, 1, "layout", [request], [replies], GENESIS, core.events)
    journal = LmdbJournal(tmp_path / "journal")
    journal.acquire()
    numbers = itertools.count(1)
    benchmark.pedantic(lambda: journal.append(next(numbers), record), rounds=200, warmup_rounds=5)
    assert journal.last_sequence() == next(numbers) - 1
    journal.close()
