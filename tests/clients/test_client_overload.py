"""A client that is given twice what its engine can do: what can be answered in time is, the rest hears so at once.

The floods are simulated in virtual time: the production pump against an engine that takes a known time for each
command.  So the figures are those of the client's decisions alone, the same on every machine.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest

from ringup.clients import AsyncClient, NoAnswer, Overloaded, _pace, _retry, _session, _wire, cash, line
from ringup.v1 import sale_pb2, session_pb2
from support import virtual_time
from support.fake_engine import FakeEngine, abort
from support.session_engine import SessionEngine

COMMAND_S = 0.002
CAPACITY_PER_S = 1 / COMMAND_S
DEADLINE_S = 0.5
SEEDS = int(os.environ.get("RINGUP_SEEDS", "8"))


@pytest.fixture(autouse=True)
def waits_without_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_retry, "Backoff", functools.partial(_retry.Backoff, lambda: 1.0))


@dataclass
class Flood:
    """What became of the commands of a flood, by customer."""

    lasted_s: float
    made: int = 0
    answered: list[str] = field(default_factory=list)
    refused: dict[str, float] = field(default_factory=dict)
    """When each refused one was posted, in the flood's time."""
    refused_after_s: dict[str, float] = field(default_factory=dict)
    given_up: list[str] = field(default_factory=list)
    never_sent: set[str] = field(default_factory=set)
    """Of the refused and given up: those of which the client says that they cannot have happened."""
    in_time: int = 0
    """Of the answered: those while the flood lasted."""
    busy_s: float = 0.0
    """How long of the flood the engine worked."""

    @property
    def goodput(self) -> float:
        """Commands answered before their deadline, as a share of what the steady engine can do meanwhile."""
        return self.in_time / self.lasted_s / CAPACITY_PER_S

    @property
    def useful(self) -> float:
        """Of the commands that were sent, the share that was answered in time: the others were work for nothing."""
        too_late = len(set(self.given_up) - self.never_sent)
        return len(self.answered) / (len(self.answered) + too_late)


def command(customer: str, command_id: bytes = b"") -> bytes:
    request = sale_pb2.SellRequest(till_id="T1", customer_id=customer, lines=[line("MILK")], tenders=[cash(500)])
    kind = _wire.kind_of(request)
    request.command_id = command_id or _wire.new_id()
    return _wire.as_command(kind, _wire.request_bytes(kind, request))


def steady(number: int, commands: int) -> float:
    return COMMAND_S * commands


@asynccontextmanager
async def pump_to(engine: SessionEngine) -> AsyncIterator[_session.SessionPump]:
    pump = _session.SessionPump(engine.open_stream, engine.ready, engine.stream_failure, _retry.TIMEOUT_S)
    yield pump
    await pump.close(flush=True)


async def flood(engine: SessionEngine, pump: _session.SessionPump, load: float, seconds: float) -> Flood:
    """Post commands one by one, evenly, for so long; return when all have ended."""
    loop, found = asyncio.get_running_loop(), Flood(seconds)
    started_s, busy_before_s = loop.time(), engine.busy_s

    def note(customer: str, error: NoAnswer) -> None:
        if not error.may_have_happened:
            found.never_sent.add(customer)

    async def one(customer: str) -> None:
        posted_s = loop.time()
        try:
            await pump.post(command(customer), DEADLINE_S)
        except Overloaded as error:
            found.refused[customer] = posted_s - started_s
            found.refused_after_s[customer] = loop.time() - posted_s
            note(customer, error)
        except NoAnswer as error:
            found.given_up.append(customer)
            note(customer, error)
        else:
            found.answered.append(customer)
            found.in_time += loop.time() < started_s + seconds

    calls = []
    for found.made in range(1, round(load * CAPACITY_PER_S * seconds) + 1):
        calls.append(loop.create_task(one(f"{started_s:g}/{found.made}")))
        await asyncio.sleep(started_s + found.made / (load * CAPACITY_PER_S) - loop.time())
    found.busy_s = engine.busy_s - busy_before_s
    await asyncio.gather(*calls)
    return found


def flooded(
    load: float,
    takes_s: Callable[[int, int], float] = steady,
    breaks: frozenset[int] = frozenset(),
    loses: frozenset[int] = frozenset(),
    seconds: float = 4.0,
) -> Flood:
    """What became of one flood; what holds for every flood is asserted."""

    async def main() -> tuple[SessionEngine, Flood]:
        engine = SessionEngine(takes_s, breaks, loses)
        async with pump_to(engine) as pump:
            found = await flood(engine, pump, load, seconds)
        return engine, found

    engine, found = virtual_time.run(main())
    assert len(found.answered) + len(found.refused) + len(found.given_up) == found.made, "a command was lost"
    assert not [customer for customer, count in engine.booked.items() if count > 1], "booked twice"
    assert engine.booked.keys().isdisjoint(found.never_sent), "refused and yet booked"
    assert engine.booked.keys() >= set(found.answered), "answered and not booked"
    assert found.never_sent >= found.refused.keys(), "Overloaded, and yet it may have happened"
    if not breaks:
        assert max(engine.received.values()) == 1, "sent twice without need"
    return found


@pytest.mark.parametrize(
    ("load", "batch_s", "goodput"), [(1.5, 0.0, 0.95), (2.0, 0.0, 0.95), (2.0, 0.01, 0.8)], ids=["1.5", "2", "2-flush"]
)
def test_twice_the_load_leaves_the_goodput(load: float, batch_s: float, goodput: float) -> None:
    found = flooded(load, lambda number, commands: batch_s + steady(number, commands))
    assert found.goodput >= goodput
    assert found.busy_s >= 0.95 * found.lasted_s
    assert found.given_up == [], "sent so late that the answer came after the deadline"
    assert len(found.refused) >= 0.8 * (load - 1) * CAPACITY_PER_S * found.lasted_s
    # While the pace is learnt the backlog grows too far, and some are refused that have waited; after that none is.
    assert max(found.refused_after_s.values()) < DEADLINE_S / 2
    settled = [found.refused_after_s[customer] for customer, at_s in found.refused.items() if at_s > found.lasted_s / 2]
    assert set(settled) == {0.0}


@pytest.mark.parametrize("load", [3.0, 4.0, 8.0])
def test_more_load_leaves_the_goodput_too(load: float) -> None:
    """The pace forgot large batches over the small ones that follow when many are refused, and let in far too many."""
    found = flooded(load)
    assert found.goodput >= 0.9
    assert found.useful >= 0.95


def test_control_first_in_first_out_without_bound_collapses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pace.Pace, "wait_s", lambda self, ahead: 0.0)
    monkeypatch.setattr(_pace.Pace, "admits", lambda self, ahead, left_s: True)
    found = flooded(2.0)
    assert found.goodput < 0.3
    assert found.useful < 0.3


def test_half_the_load_is_carried_whole() -> None:
    found = flooded(0.5)
    assert len(found.answered) == found.made == found.lasted_s * CAPACITY_PER_S / 2


def test_after_an_overload_a_client_is_as_before() -> None:
    async def main() -> tuple[Flood, Flood]:
        engine = SessionEngine(steady)
        async with pump_to(engine) as pump:
            return await flood(engine, pump, 2.0, 2.0), await flood(engine, pump, 0.5, 1.0)

    during, after = virtual_time.run(main())
    assert during.refused
    assert len(after.answered) == after.made == CAPACITY_PER_S / 2


def unsteady(rng: random.Random) -> Callable[[int, int], float]:
    """An engine whose pace wanders between half and twice the usual, halves once for good, and stalls for 0.3 s."""
    halves, stalls = rng.randrange(80), {rng.randrange(60) for _ in range(rng.randrange(1, 4))}
    pace = 1.0

    def takes_s(number: int, commands: int) -> float:
        nonlocal pace
        pace = min(2.0, max(0.5, pace * rng.choice([0.8, 1.0, 1.25])))
        return COMMAND_S * commands * pace * (2 if number >= halves else 1) + (0.3 if number in stalls else 0.0)

    return takes_s


def unsteadily_flooded(seed: int, breaks: int) -> Flood:
    rng = random.Random(seed)
    takes_s, ends = unsteady(rng), rng.sample(range(40), breaks)
    try:
        return flooded(2.0, takes_s, frozenset(ends[::2]), frozenset(ends[1::2]), seconds=2.0)
    except AssertionError as error:
        error.add_note(f"seed {seed}, {breaks} breaks")
        raise


def test_an_engine_that_stalls_and_slows_down_is_kept_at_useful_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds for each command is asserted for each flood; how much is useful depends on when the engine stalls."""
    floods = [unsteadily_flooded(seed, breaks=0) for seed in range(SEEDS)]
    assert min(found.busy_s / found.lasted_s for found in floods) >= 0.6, "the engine waited while commands did"
    assert sum(found.useful for found in floods) / SEEDS >= 0.7

    monkeypatch.setattr(_pace.Pace, "wait_s", lambda self, ahead: 0.0)
    monkeypatch.setattr(_pace.Pace, "admits", lambda self, ahead, left_s: True)
    unbound = [unsteadily_flooded(seed, breaks=0) for seed in range(2)]
    assert sum(found.useful for found in unbound) / 2 < 0.5, "without protection it is no test"


def test_streams_that_break_in_an_overload_lose_and_double_nothing() -> None:
    for seed in range(SEEDS):
        assert unsteadily_flooded(seed, breaks=4).answered


# Batches and streams


async def posted_apart(pump: _session.SessionPump, commands: int, seconds: float) -> None:
    """Post commands so far apart that each could be a batch of its own, and wait for their answers."""
    answers = []
    for n in range(commands):
        answers.append(pump.post(command(f"c{n}"), 60))
        await asyncio.sleep(seconds)
    await asyncio.gather(*answers)


def test_at_most_three_batches_are_in_flight() -> None:
    async def main() -> list[int]:
        engine = SessionEngine(lambda number, _: 0.0 if number else 5.0)
        async with pump_to(engine) as pump:
            await posted_apart(pump, 6, 0.1)
        return engine.batch_sizes

    assert virtual_time.run(main()) == [1, 1, 1, 3]


def test_a_slow_engine_gets_two_batches_at_once() -> None:
    """What waits in the client can still be turned away, what is sent cannot."""

    async def main() -> list[int]:
        engine = SessionEngine(lambda number, _: [0.2, 5.0, 0.0, 0.0][number])
        async with pump_to(engine) as pump:
            await pump.post(command("slow"), 60)
            await posted_apart(pump, 6, 0.05)
        return engine.batch_sizes

    assert virtual_time.run(main()) == [1, 1, 1, 4]


def test_nothing_is_sent_on_a_stream_that_drains() -> None:
    """What was sent before is answered there, what waits goes over the next stream."""

    async def main() -> None:
        engine = SessionEngine(lambda *_: 1.0, drains=frozenset([0]))
        async with pump_to(engine) as pump:
            await posted_apart(pump, 6, 0.1)
        assert engine.batch_sizes == [1, 1, 1, 3]
        assert engine.batch_streams == [1, 1, 1, 2]
        assert max(engine.received.values()) == 1

    virtual_time.run(main())


def test_a_broken_stream_keeps_the_order() -> None:
    """What was under way comes before what waited behind it, in the order of posting."""

    async def main() -> None:
        engine = SessionEngine(steady, loses=frozenset([1]))
        async with pump_to(engine) as pump:
            await posted_apart(pump, 60, 0.0005)
        assert engine.batch_sizes[:3] == [1, 1, 1], "the second is lost, and with it the third"
        assert len(engine.batch_sizes) > 4, "some are posted after the stream has broken and been opened again"
        assert list(engine.booked) == [f"c{n}" for n in range(60)]

    virtual_time.run(main())


def test_a_refused_command_is_not_sent_and_can_be_sent_again() -> None:
    async def main() -> None:
        engine = SessionEngine(steady)
        async with pump_to(engine) as pump:
            await asyncio.gather(*[pump.post(command(f"warm{n}"), 5) for n in range(100)])
            waiting = []
            for n in range(250):
                waiting.append(pump.post(command(f"w{n}"), 5))
                await asyncio.sleep(0.0002)
            with pytest.raises(Overloaded, match=r"Sell: expected an answer.*not sent.*6b6b6b") as caught:
                pump.post(command("Ann", b"k" * 16), 0.05)
            assert caught.value.call == "Sell"
            assert caught.value.command_id == b"k" * 16
            await asyncio.gather(*waiting)
            assert engine.booked["Ann"] == 0
            await pump.post(caught.value.command, 5)
        assert engine.booked["Ann"] == engine.received[b"k" * 16] == 1

    virtual_time.run(main())


def test_what_expired_unsent_is_in_no_batch() -> None:
    """The engine holds three batches; what expires behind them is dropped, and what follows is sent."""

    async def main() -> None:
        engine, loop = SessionEngine(lambda number, _: 0.0 if number else 0.4), asyncio.get_running_loop()
        async with pump_to(engine) as pump:
            sent = []
            for n in range(3):
                sent.append(pump.post(command(f"s{n}"), 5))
                await asyncio.sleep(0.05)
            short = [pump.post(command(f"e{n}"), 0.1) for n in range(5)]
            long = pump.post(command("long"), 5)
            for one in short:
                with pytest.raises(NoAnswer) as caught:
                    await one
                assert not caught.value.may_have_happened
            assert loop.time() == pytest.approx(0.25)
            await asyncio.gather(*sent, long)
            assert loop.time() == pytest.approx(0.4)
        assert engine.booked.keys() == {"s0", "s1", "s2", "long"}

    virtual_time.run(main())


def test_what_may_have_been_sent_is_never_called_unsent() -> None:
    """Commands that a broken stream left open are sent again, however late it is, and stay open when they expire."""

    async def main() -> None:
        engine = SessionEngine(lambda number, _: 0.5 if number else 0.0, breaks=frozenset([0]))
        loop = asyncio.get_running_loop()
        async with pump_to(engine) as pump:
            calls = [pump.post(command(f"c{n}"), 0.4) for n in range(20)]
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert loop.time() == pytest.approx(0.4)
            await asyncio.sleep(0.5)
        assert all(type(end) is NoAnswer and end.may_have_happened for end in ends)
        assert engine.batch_sizes == [20, 20]
        assert list(engine.booked.values()) == [1] * 20

    virtual_time.run(main())


def test_a_refusal_is_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sentence, no id and no traceback is made for an error that nobody reads."""
    opened, read = _wire.opened, []

    def counted(data: bytes) -> tuple[_wire.Kind | None, bytes]:
        read.append(data)
        return opened(data)

    monkeypatch.setattr(_wire, "opened", counted)
    one = command("Ann")
    error = _retry.overloaded(one)
    assert read == []
    assert error.__traceback__ is None
    assert error.args == ()
    assert error.command_id.hex() in str(error)
    assert set(read) == {one}

    found = flooded(2.0, seconds=1.0)
    assert found.refused
    assert set(read) == {one}, "a command was read for an error that nobody looked at"


def test_over_grpc_what_is_refused_is_not_sent_and_all_is_booked_once_in_the_end() -> None:
    """End to end, and so without a word on how much is refused or late: that depends on the machine."""

    async def main() -> None:
        with FakeEngine() as engine:
            async with AsyncClient(engine.target, timeout_s=60) as client:
                for n in range(10):
                    await client.submit_bytes(command(f"warm{n}"))
                engine.before = [lambda _: time.sleep(0.01)] * 20
                engine.after = [None, abort(grpc.StatusCode.UNAVAILABLE)]
                waiting: dict[str, asyncio.Future[bytes]] = {}
                failed: dict[str, NoAnswer] = {}
                for n in range(500):
                    customer = f"c{n}"
                    # Those from 200 on come too late whatever the pace, and the others, which wait, are not sent yet.
                    timeout_s = 60 if n < 100 else 0.1 if n < 200 or n > 300 else 1e-9
                    try:
                        waiting[customer] = client.submit_bytes(command(customer), timeout_s=timeout_s)
                    except Overloaded as error:
                        failed[customer] = error
                    if n > 300:
                        await asyncio.sleep(0)
                assert failed.keys() >= {f"c{n}" for n in range(200, 301)}
                for customer, answer in waiting.items():
                    try:
                        reply = session_pb2.CommandReply.FromString(await answer)
                        assert reply.sell.receipt.customer_id == customer
                        assert engine.booked[customer.encode()] == 1
                    except NoAnswer as error:
                        failed[customer] = error
                unsent = {customer.encode() for customer, error in failed.items() if not error.may_have_happened}
                assert engine.booked.keys().isdisjoint(unsent)
                again = await asyncio.gather(*[client.resend(error) for error in failed.values()])
                assert [answer.receipt.customer_id for answer in again] == list(failed)
            assert len(engine.booked) == 510
            assert set(engine.booked.values()) == {1}

    asyncio.run(main())


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


def test_small_batches_after_a_large_one_do_not_hide_it() -> None:
    pace, now_s = _pace.Pace(), 0.0
    for commands in (200, 1, 1, 1, 1, 1):  # 2 ms each
        now_s += 0.002 * commands
        pace.answered(commands, now_s - 0.002 * commands, now_s)
    assert pace.wait_s(300) == pytest.approx(0.6)
    assert not pace.admits(300, 0.8)


def test_a_large_backlog_is_not_judged_by_single_commands_after_it() -> None:
    """256 commands took 20 ms, and single ones after them 10 ms each, of which the journal's flush is nearly all."""
    pace = _pace.Pace()
    pace.answered(256, 0.0, 0.02)
    for n in range(1, 20):
        pace.answered(1, n, n + 0.01)
        assert pace.admits(1000, 1.0)


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
