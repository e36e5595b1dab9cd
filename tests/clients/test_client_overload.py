"""A client that is given twice what its engine can do: what can be answered in time is, the rest hears so at once."""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass, field

import grpc
import pytest

from ringup.clients import AsyncClient, NoAnswer, Overloaded, _pace, _retry, _session, _wire, cash, line
from ringup.v1 import sale_pb2, session_pb2
from support.fake_engine import FakeEngine, abort

COMMAND_S = 0.002
CAPACITY_PER_S = 1 / COMMAND_S
DEADLINE_S = 0.5


class SlowEngine(FakeEngine):
    """Takes COMMAND_S for each command of a batch, its own work included, so that its capacity is known."""

    def __init__(self) -> None:
        super().__init__()
        quick, free_at_s = self.answer, 0.0

        def slow(replies: list[bytes]) -> bytes:
            nonlocal free_at_s
            now_s = time.perf_counter()
            free_at_s = max(free_at_s, now_s - 0.02) + COMMAND_S * len(replies)
            time.sleep(max(0.0, free_at_s - now_s))
            return quick(replies)

        self.answer = slow


@dataclass
class Flood:
    """What became of the commands of a flood, by customer."""

    answered: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    refused_after_s: list[float] = field(default_factory=list)
    unsure: int = 0
    """Of the refused: those that may have happened."""
    in_time: int = 0
    """Of the answered: those while the flood lasted."""
    seconds: float = 0.0

    @property
    def goodput(self) -> float:
        """Commands answered before their deadline, as a share of what the engine can do meanwhile."""
        return self.in_time / self.seconds / CAPACITY_PER_S


def command(customer: str, command_id: bytes = b"") -> bytes:
    request = sale_pb2.SellRequest(till_id="T1", customer_id=customer, lines=[line("MILK")], tenders=[cash(500)])
    kind = _wire.kind_of(request)
    request.command_id = command_id or _wire.new_id()
    return _wire.as_command(kind, _wire.request_bytes(kind, request))


async def _flood(client: AsyncClient, per_s: float, seconds: float) -> Flood:
    found, calls = Flood(seconds=seconds), []

    async def one(customer: str) -> None:
        posted_s = time.perf_counter()
        try:
            await client.submit_bytes(command(customer), timeout_s=DEADLINE_S)
        except Overloaded as error:
            found.unsure += error.may_have_happened
            found.refused.append(customer)
            found.refused_after_s.append(time.perf_counter() - posted_s)
        except NoAnswer:
            found.given_up.append(customer)
        else:
            found.answered.append(customer)
            found.in_time += time.perf_counter() < ends_s

    started_s, made = time.perf_counter(), 0
    ends_s = started_s + seconds
    while (passed_s := time.perf_counter() - started_s) < seconds:
        while made < passed_s * per_s:
            calls.append(asyncio.ensure_future(one(f"c{made}")))
            made += 1
        await asyncio.sleep(0.002)
    await asyncio.gather(*calls)
    assert len(found.answered) + len(found.refused) + len(found.given_up) == made, "a command was lost"
    return found


def _flooded(engine: FakeEngine, load: float) -> Flood:
    async def main() -> Flood:
        async with AsyncClient(engine.target) as client:
            return await _flood(client, load * CAPACITY_PER_S, seconds=2.0)

    return asyncio.run(main())


def test_twice_the_load_leaves_the_goodput() -> None:
    with SlowEngine() as engine:
        found = _flooded(engine, 2.0)
    assert found.goodput >= 0.8
    assert found.unsure == 0
    # None on a quiet machine: only an engine that slows down after a batch was sent makes it late.
    assert len(found.given_up) < 0.2 * len(found.answered), "sent so late that the answer came after the deadline"
    assert len(found.refused) > 0.5 * CAPACITY_PER_S
    quickly = sorted(found.refused_after_s)
    assert quickly[len(quickly) // 2] < 0.01
    assert engine.booked_twice == []
    booked = {customer.decode() for customer in engine.booked}
    assert booked.isdisjoint(found.refused), "refused and yet booked"
    assert booked.issuperset(found.answered), "answered and not booked"
    assert len(engine.received) == len(engine.booked)


def test_control_first_in_first_out_without_bound_collapses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pace.Pace, "wait_s", lambda self, ahead: 0.0)
    monkeypatch.setattr(_pace.Pace, "admits", lambda self, ahead, left_s: True)
    with SlowEngine() as engine:
        found = _flooded(engine, 2.0)
    assert found.goodput < 0.6
    assert found.given_up


def test_half_the_load_is_carried_whole() -> None:
    with SlowEngine() as engine:
        found = _flooded(engine, 0.5)
    assert not found.refused
    assert not found.given_up
    assert len(engine.booked) == len(found.answered)


def test_after_an_overload_a_client_is_as_before() -> None:
    async def main() -> None:
        with SlowEngine() as engine:
            async with AsyncClient(engine.target) as client:
                assert (await _flood(client, 2 * CAPACITY_PER_S, seconds=1.0)).refused
                after = await _flood(client, 0.5 * CAPACITY_PER_S, seconds=0.5)
                assert not after.refused
                assert not after.given_up

    asyncio.run(main())


def test_a_refused_command_can_be_sent_again_with_its_id() -> None:
    async def main() -> None:
        with SlowEngine() as engine:
            async with AsyncClient(engine.target) as client:
                await asyncio.gather(*[client.submit_bytes(command(f"warm{n}")) for n in range(100)])
                waiting = [client.submit_bytes(command(f"w{n}")) for n in range(200)]
                await asyncio.sleep(0.05)
                waiting += [client.submit_bytes(command(f"x{n}")) for n in range(50)]
                with pytest.raises(Overloaded, match=r"Sell: expected an answer.*not sent.*6b6b6b") as caught:
                    await client.submit_bytes(command("Ann", b"k" * 16), timeout_s=0.05)
                assert caught.value.call == "Sell"
                assert caught.value.command_id == b"k" * 16
                assert b"Ann" not in engine.booked
                answer = await client.resend(caught.value)
                assert answer.receipt.sale_id == b"k" * 16
                await asyncio.gather(*waiting)
            assert engine.booked[b"Ann"] == 1
            assert engine.booked_twice == []

    asyncio.run(main())


def test_what_expired_unsent_is_in_no_batch() -> None:
    """The engine holds three batches; what expires behind them is dropped, and what follows is sent."""

    async def main() -> None:
        with FakeEngine() as engine:
            engine.before = [lambda _: time.sleep(0.4)]
            async with AsyncClient(engine.target) as client:
                sent = []
                for n in range(3):
                    sent.append(client.submit_bytes(command(f"s{n}")))
                    await asyncio.sleep(0.05)
                short = [client.submit_bytes(command(f"e{n}"), timeout_s=0.1) for n in range(5)]
                long = client.submit_bytes(command("long"))
                for one in short:
                    with pytest.raises(NoAnswer) as caught:
                        await one
                    assert not caught.value.may_have_happened
                await asyncio.gather(*sent, long)
            assert set(engine.booked) == {b"s0", b"s1", b"s2", b"long"}

    asyncio.run(main())


def test_what_may_have_been_sent_is_never_called_unsent() -> None:
    """Commands that a broken stream left open are sent again, however late it is, and stay open when they expire."""

    async def main() -> None:
        with SlowEngine() as engine:
            engine.after = [abort(grpc.StatusCode.UNAVAILABLE)]
            engine.before = [None, lambda _: time.sleep(0.5)]
            async with AsyncClient(engine.target) as client:
                calls = [client.submit_bytes(command(f"c{n}"), timeout_s=0.4) for n in range(20)]
                ends = await asyncio.gather(*calls, return_exceptions=True)
            assert all(type(end) is NoAnswer and end.may_have_happened for end in ends)
            assert len(engine.booked) == 20
            assert engine.booked_twice == []

    asyncio.run(main())


def test_a_refusal_is_cheap() -> None:
    """No sentence, no id and no traceback is made for an error that nobody reads; and none is logged as unseen."""
    one, rounds = command("Ann"), 2000
    read, unread = [], []
    gc.disable()
    try:
        for _ in range(5):
            started_s = time.perf_counter()
            for _ in range(rounds):
                _retry.overloaded(one)
            unread.append(time.perf_counter() - started_s)
            started_s = time.perf_counter()
            for _ in range(rounds):
                str(_retry.overloaded(one))
            read.append(time.perf_counter() - started_s)
    finally:
        gc.enable()
    assert min(unread) < 0.5 * min(read)


# The pace alone


def test_nothing_is_foretold_before_the_first_answer() -> None:
    assert _pace.Pace().admits(1_000_000, 0.001)


def test_small_batches_do_not_foretell_large_ones() -> None:
    """One command takes 10 ms, of which its journal flush is nearly all: a thousand do not take ten seconds."""
    pace = _pace.Pace()
    for n in range(20):
        pace.answered(1, n * 0.1, n * 0.1 + 0.01)
    assert pace.admits(1000, 1.0)
    assert not pace.admits(4, 0.05), "like what was seen: four take 40 ms"


def test_batches_in_a_row_are_timed_from_answer_to_answer() -> None:
    pace = _pace.Pace()
    for n in range(1, 20):  # two in flight: each was sent when the one before the last was answered
        pace.answered(300, (n - 2) * 0.3, n * 0.3)
    assert pace.wait_s(1000) == pytest.approx(1.0)


def test_one_quick_batch_lets_in_no_more_than_usual() -> None:
    pace, now_s = _pace.Pace(), 0.0
    for commands in (300, 300, 300, 300, 300, 3000):  # a second each, but the last is ten times as quick
        pace.answered(commands, now_s, now_s + 1.0)
        now_s += 1.0
    assert pace.wait_s(1000) < 0.6, "by the latest batches"
    assert not pace.admits(1000, 0.9), "by the longer experience"


def test_a_stall_is_forgotten_after_a_few_batches() -> None:
    pace = _pace.Pace()
    pace.answered(300, 0.0, 3.0)
    assert not pace.admits(300, 1.0)
    now_s = 3.0
    for _ in range(8):
        pace.answered(70, now_s, now_s + 0.005)
        now_s += 0.005
    assert pace.admits(300, 1.0)


def test_an_idle_client_asks_for_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits, so nothing is judged."""
    asked: list[int] = []

    def admits(self: _pace.Pace, ahead: int, left_s: float) -> bool:
        asked.append(ahead)
        return True

    monkeypatch.setattr(_pace.Pace, "admits", admits)

    async def main() -> None:
        with FakeEngine() as engine:
            async with AsyncClient(engine.target) as client:
                for n in range(10):
                    reply = await client.submit_bytes(command(str(n)))
                    assert session_pb2.CommandReply.FromString(reply).sell.receipt.number == n + 1
            assert engine.batch_sizes == [1] * 10

    asyncio.run(main())
    assert asked == []
    assert _session.IN_FLIGHT_BATCHES_MAX == 3
