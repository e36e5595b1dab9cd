"""What deadlocks, livelocks or oversells elsewhere: opposite-order baskets, one hot item, storms of retries.

The engine takes no row locks: one writer checks a whole basket and then takes it. The controls run on PostgreSQL,
where the first two need care: rows locked in opposite orders deadlock, and a check apart from its update oversells.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from ringup.v1 import catalog_pb2, result_pb2, session_pb2, session_pb2_grpc, stock_pb2_grpc
from ringup.v1 import stock_pb2 as pb
from support.core import command_of
from support.engine_process import EngineProcess

CALLERS = 64
UNITS = 40
ITEMS = [f"i{n}" for n in range(6)]
STORM = 8  # how often each command of a storm is sent at the same time
DEADLINE_S = 60.0  # of every call: what waits for a lock for ever ends here, and fails


def code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def line(item: str, pieces: int = 1) -> pb.StockLine:
    return pb.StockLine(item_id=item, qty_milli=pieces * 1000)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("storms") / "data") as process:
        items = [*ITEMS, "hot", "retried", "retried anew"]
        requests: list[Any] = [
            catalog_pb2.PutLocationsRequest(locations=[catalog_pb2.Location(location_id="S", name="Store")]),
            catalog_pb2.PutItemsRequest(items=[catalog_pb2.Item(item_id=item, name=item) for item in items]),
            pb.ReceiveStockRequest(location_id="S", lines=[line(item, UNITS) for item in items]),
        ]
        for number, request in enumerate(requests):
            request.command_id = bytes([number]) * 16
        with process.channel() as channel:
            stub: Any = session_pb2_grpc.SessionServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
            frame = session_pb2.SessionRequest(commands=[command_of(request) for request in requests])
            (response,) = stub.Session(iter([frame]), timeout=DEADLINE_S)
        assert all(getattr(one, str(one.WhichOneof("body"))).code == 1 for one in response.replies), response
        yield process
        assert process.stop() == 0


def on_hand(engine: EngineProcess, *items: str) -> dict[str, tuple[int, int]]:
    """(on hand, held) in pieces."""
    with engine.channel() as channel:
        stub: Any = stock_pb2_grpc.StockServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        answer = stub.GetAvailability(pb.GetAvailabilityRequest(item_ids=items, location_id="S"), timeout=DEADLINE_S)
    return {one.item_id: (one.on_hand_milli // 1000, one.held_milli // 1000) for one in answer.positions}


async def all_at_once(
    engine: EngineProcess, method: str, requests: list[Any], timeout_s: float = DEADLINE_S
) -> list[Any]:
    """Send all at the same time over eight connections; the answers, an error where one is."""
    channels = [
        grpc.aio.insecure_channel(engine.target, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(8)
    ]
    stubs: list[Any] = [stock_pb2_grpc.StockServiceStub(channel) for channel in channels]  # type: ignore[no-untyped-call]  # generated
    calls = [getattr(stubs[n % 8], method)(request, timeout=timeout_s) for n, request in enumerate(requests)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for channel in channels:
        await channel.close()
    return answers


def test_baskets_in_opposite_orders_neither_wait_for_each_other_nor_oversell(engine: EngineProcess) -> None:
    rng = random.Random(5)
    requests = []
    for _ in range(4 * CALLERS):
        items = rng.sample(ITEMS, 4)
        requests.append(
            pb.SellStockRequest(
                command_id=rng.randbytes(16), location_id="S", lines=[line(item, rng.randint(1, 3)) for item in items]
            )
        )
    answers = asyncio.run(all_at_once(engine, "SellStock", requests))
    assert {code(answer) for answer in answers} == {"OK", "STOCK_INSUFFICIENT"}
    sold: Counter[str] = Counter()
    for request, answer in zip(requests, answers, strict=True):
        taken = Counter({take.item_id: take.qty_milli // 1000 for take in answer.takes})
        asked = Counter({one.item_id: one.qty_milli // 1000 for one in request.lines})
        assert taken == (asked if code(answer) == "OK" else Counter()), "all of a basket or nothing"
        sold += taken
    left = on_hand(engine, *ITEMS)
    assert {item: (UNITS - sold[item], 0) for item in ITEMS} == left
    assert min(count for count, _ in left.values()) == 0, "the shelves must run out"


def test_one_hot_item_is_held_and_sold_to_the_last_unit(engine: EngineProcess) -> None:
    """Twice as many shoppers as units; half of the winners change their mind, and others get those units."""
    rng = random.Random(6)
    won: list[bytes] = []
    for _ in range(3):
        requests = [
            pb.HoldStockRequest(command_id=rng.randbytes(16), location_id="S", lines=[line("hot")])
            for _ in range(2 * CALLERS)
        ]
        answers = asyncio.run(all_at_once(engine, "HoldStock", requests))
        won += [one.command_id for one, answer in zip(requests, answers, strict=True) if code(answer) == "OK"]
        assert len(won) == UNITS == on_hand(engine, "hot")["hot"][1]
        left, won = won[: UNITS // 2], won[UNITS // 2 :]
        releases = [pb.ReleaseHoldRequest(command_id=rng.randbytes(16), hold_id=hold) for hold in left]
        assert {code(answer) for answer in asyncio.run(all_at_once(engine, "ReleaseHold", releases))} == {"OK"}
    commits = [pb.CommitHoldRequest(command_id=rng.randbytes(16), hold_id=hold) for hold in won]
    assert {code(answer) for answer in asyncio.run(all_at_once(engine, "CommitHold", commits))} == {"OK"}
    assert on_hand(engine, "hot")["hot"] == (UNITS // 2, 0)


def storm(engine: EngineProcess, item: str, *, keep_ids: bool) -> int:
    """Pieces that leave when 20 sales of one piece are each sent STORM times at once, most by impatient callers."""
    rng = random.Random(7)
    sales = [pb.SellStockRequest(command_id=rng.randbytes(16), location_id="S", lines=[line(item)]) for _ in range(20)]
    requests = []
    for sale in sales:
        for _ in range(STORM):
            copy = pb.SellStockRequest()
            copy.CopyFrom(sale)
            if not keep_ids:
                copy.command_id = rng.randbytes(16)
            requests.append(copy)
    rng.shuffle(requests)
    for timeout_s in (0.005, DEADLINE_S):  # first nobody waits; then everybody sends all of it once more
        answers = asyncio.run(all_at_once(engine, "SellStock", requests, timeout_s))
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    if keep_ids:
        first = {answer.SerializeToString() for answer in answers}
        assert len(first) == 1, "each resend gets the first answer"
    return UNITS - on_hand(engine, item)[item][0]


def test_a_storm_of_retries_takes_effect_once(engine: EngineProcess) -> None:
    assert storm(engine, "retried", keep_ids=True) == 20


def test_a_storm_with_new_ids_takes_effect_again_and_again(engine: EngineProcess) -> None:
    """The control: without ids the same storm empties the shelf."""
    assert storm(engine, "retried anew", keep_ids=False) == UNITS


def test_the_same_on_row_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control on PostgreSQL 15: opposite orders deadlock, and a check apart from its update oversells."""
    psycopg = pytest.importorskip("psycopg", reason="the extra `bench` is not installed")
    pytest.importorskip("redis", reason="the extra `bench` is not installed")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))  # bench/ is no part of the package
    from bench.measure import Skipped
    from bench.peers import postgres

    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())  # pytest's own are closed to the user postgres
        try:
            server = stack.enter_context(postgres(Path(folder)))
        except Skipped as why:
            pytest.skip(str(why))
        server.make_stock(2)
        take = "UPDATE stock SET available = available - 1 WHERE item_id = %s"
        ready = threading.Barrier(2)
        ends: list[str] = []

        def basket(first: int, second: int) -> None:
            with server.connect() as connection:
                try:
                    with connection.transaction():
                        connection.execute(take, (first,))
                        ready.wait(10)
                        connection.execute(take, (second,))
                    ends.append("sold")
                except psycopg.errors.DeadlockDetected:
                    ends.append("deadlock")

        threads = [threading.Thread(target=basket, args=items) for items in ((1, 2), (2, 1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        assert sorted(ends) == ["deadlock", "sold"]

        with server.connect() as one, server.connect() as other:
            one.execute("UPDATE stock SET available = 1 WHERE item_id = 1")
            seen = [c.execute("SELECT available FROM stock WHERE item_id = 1").fetchone() for c in (one, other)]
            assert seen == [(1,), (1,)]  # both may sell the last one
            for connection in (one, other):
                connection.execute(take, (1,))
            assert one.execute("SELECT available FROM stock WHERE item_id = 1").fetchone() == (-1,)
