"""What the clients do when answers get lost: once in the books, one answer for each caller.

Each fault has a control: the same fault with a client whose resends carry new ids books twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import grpc
import pytest

from ringup.clients import AsyncClient, Client, NoAnswer, Refused, RejectedCommand, _retry, _session, _wire, cash, line
from ringup.v1 import catalog_pb2, sale_pb2, session_pb2
from support.fake_engine import FakeEngine, Fault, abort
from support.tcp_proxy import TcpProxy

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
HANG_S = 60.0
"""What takes so long hangs, on any machine."""


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        yield engine


def sale(customer: str) -> sale_pb2.SellRequest:
    return sale_pb2.SellRequest(till_id="T1", customer_id=customer, lines=[line("MILK")], tenders=[cash(500)])


def run(
    target: str, work: Callable[[AsyncClient], Awaitable[object]], timeout_s: float = HANG_S, batching: bool = True
) -> None:
    async def main() -> None:
        async with AsyncClient(target, timeout_s=timeout_s, batching=batching) as client:
            await work(client)

    asyncio.run(main())


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """An event for an engine to wait for; the test's end sets it."""
    held = threading.Event()
    yield held
    held.set()


def until(event: threading.Event) -> Fault:
    """A fault that keeps what arrives until then."""

    def fault(_: grpc.ServicerContext) -> None:
        event.wait(2 * HANG_S)

    return fault


async def holds(condition: Callable[[], object]) -> None:
    """Return once it does."""
    async with asyncio.timeout(HANG_S):
        while not condition():  # noqa: ASYNC110  # what other threads do sets no event of this loop
            await asyncio.sleep(0.002)


async def unanswered(call: Callable[[float], Awaitable[object]]) -> NoAnswer:
    """The error of a call, with this timeout_s, that was sent and had no answer.

    On a machine that stalls it may take a longer timeout for a call to be sent at all.
    """
    for timeout_s in (0.3, 3.0, 30.0):
        with pytest.raises(NoAnswer) as caught:
            await call(timeout_s)
        if caught.value.may_have_happened:
            break
    return caught.value


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the protection off: what is sent again gets a new id."""
    requeue = _session.SessionPump._requeue

    def with_new_ids(self: _session.SessionPump, unsure: bool) -> None:
        requeue(self, unsure)
        for pending in self.queue:
            if pending.state != _session.NEVER_SENT:
                _, body = _wire.opened(pending.command)
                pending.command = pending.command.replace(_wire.command_id_in(body), _wire.new_id())

    monkeypatch.setattr(_session.SessionPump, "_requeue", with_new_ids)


# Batches


def test_an_idle_caller_is_sent_at_once_and_busy_ones_share_batches(engine: FakeEngine) -> None:
    async def work(client: AsyncClient) -> None:
        assert (await client.submit(sale("first"))).receipt.number == 1
        assert engine.batch_sizes == [1]
        answers = await asyncio.gather(*[client.submit(sale(str(n))) for n in range(10_000)])
        assert [answer.receipt.customer_id for answer in answers] == [str(n) for n in range(10_000)]
        assert [answer.receipt.number for answer in answers] == list(range(2, 10_002)), "not in the order of submitting"

    run(engine.target, work)
    assert engine.batch_sizes[:2] == [1, 3334]
    assert sum(engine.batch_sizes) == 10_001
    assert len(engine.batch_sizes) < 10
    assert engine.streams == 1


@pytest.mark.parametrize(("lines", "size"), [(1, 150), (40, 100)])
def test_many_callers_go_in_parts(engine: FakeEngine, lines: int, size: int) -> None:
    """So that one is executed while one becomes durable and one is answered: halves of small commands, or thirds."""

    async def work(client: AsyncClient) -> None:
        async def caller(name: int) -> None:
            for turn in range(3):
                request = sale(f"{name}/{turn}")
                request.lines.extend([line("MILK")] * (lines - 1))
                await client.submit(request)

        await asyncio.gather(*[caller(name) for name in range(300)])

    run(engine.target, work)
    assert engine.batch_sizes[: 300 // size] == [size] * (300 // size)
    assert sum(engine.batch_sizes) == 900
    assert max(engine.batch_sizes) == size


def test_a_batch_stays_below_its_bytes(engine: FakeEngine) -> None:
    async def work(client: AsyncClient) -> None:
        big = sale("big")
        big.customer_group_id = "x" * 2**20
        await asyncio.gather(*[client.submit(big) for _ in range(5)])

    run(engine.target, work)
    assert engine.batch_sizes == [2, 2, 1]


def test_a_refusal_and_a_rejection_reach_their_own_caller(engine: FakeEngine) -> None:
    async def work(client: AsyncClient) -> None:
        good, refused, rejected = await asyncio.gather(
            client.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(500)]),
            client.sell(till_id="", lines=[line("MILK")], tenders=[cash(500)]),
            client.put_items([{"item_id": "MILK"}]),
            return_exceptions=True,
        )
        assert isinstance(good, sale_pb2.Receipt)
        assert isinstance(refused, Refused)
        assert refused.code_name == "TILL_UNKNOWN"
        assert isinstance(rejected, RejectedCommand)

    run(engine.target, work)
    assert engine.batch_sizes == [3]


def test_a_cancelled_caller_disturbs_nobody(engine: FakeEngine, held: threading.Event) -> None:
    async def work(client: AsyncClient) -> None:
        engine.before = [until(held)]
        calls = [asyncio.ensure_future(client.submit(sale(str(n)))) for n in range(3)]
        await holds(lambda: engine.batch_sizes == [3])
        calls[1].cancel()
        held.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(answers[1], asyncio.CancelledError)
        assert [answers[0].receipt.customer_id, answers[2].receipt.customer_id] == ["0", "2"]

    run(engine.target, work)


# Lost replies


async def _thirty_sales(client: AsyncClient) -> None:
    first = await asyncio.gather(*[client.submit(sale(f"a{n}")) for n in range(10)])
    rest = await asyncio.gather(*[client.submit(sale(f"b{n}")) for n in range(20)])
    assert [a.receipt.customer_id for a in first + rest] == [f"a{n}" for n in range(10)] + [f"b{n}" for n in range(20)]


@pytest.mark.parametrize("status", ["UNAVAILABLE", "CANCELLED", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED"])
def test_replies_lost_after_booking_are_fetched_with_the_same_ids(engine: FakeEngine, status: str) -> None:
    engine.after = [None, abort(grpc.StatusCode[status]), None]
    run(engine.target, _thirty_sales)
    assert len(engine.booked) == 30
    assert engine.booked_twice == []
    assert len(engine.received) == 50, "the fault did not strike"


def test_a_broken_stream_keeps_the_order(engine: FakeEngine) -> None:
    engine.before = [abort(UNAVAILABLE)] * 2

    async def work(client: AsyncClient) -> None:
        calls = []
        for n in range(30):
            calls.append(asyncio.ensure_future(client.submit(sale(str(n)))))
            await asyncio.sleep(0.005 if n % 5 == 0 else 0)
        await asyncio.gather(*calls)

    run(engine.target, work)
    assert list(engine.booked) == [str(n).encode() for n in range(30)]
    assert engine.streams == 3


def test_control_new_ids_on_a_resend_book_twice(engine: FakeEngine, careless: None) -> None:
    engine.after = [None, abort(UNAVAILABLE), None]
    run(engine.target, _thirty_sales)
    assert len(engine.booked_twice) == 20


def test_a_reply_of_the_wrong_length_is_no_answer(engine: FakeEngine) -> None:
    good, spoiled = engine.answer, iter([lambda replies: replies[:-1], lambda replies: [b"\xff\xff"] * len(replies)])

    def answer(replies: list[bytes]) -> bytes:
        spoil = next(spoiled, None)
        return good(spoil(replies)) if spoil is not None and len(replies) > 1 else good(replies)

    engine.answer = lambda replies: answer(replies) if len(engine.batch_sizes) == 1 else good(replies)

    async def work(client: AsyncClient) -> None:
        answers = await asyncio.gather(*[client.submit(sale(str(n))) for n in range(5)])
        assert [a.receipt.customer_id for a in answers] == list("01234")

    run(engine.target, work)
    assert engine.batch_sizes == [5, 5]
    assert engine.booked_twice == []


@pytest.mark.parametrize("batching", [True, False])
def test_a_caller_can_resend_after_its_deadline(engine: FakeEngine, held: threading.Event, batching: bool) -> None:
    async def work(client: AsyncClient) -> None:
        engine.after = [until(held)]
        ann = {"till_id": "T1", "customer_id": "Ann", "lines": [line("MILK")], "tenders": [cash(500)]}
        error = await unanswered(lambda timeout_s: client.sell(**ann, timeout_s=timeout_s))
        await holds(lambda: engine.booked)
        held.set()
        answer = await client.resend(error)
        assert answer.receipt.sale_id == error.command_id
        assert (await client.get_receipt(error.command_id)).customer_id == "Ann"

    run(engine.target, work, batching=batching)
    assert engine.booked == {b"Ann": 1}
    assert len(engine.received) == 2


def test_a_unary_command_is_sent_again_with_the_same_id(engine: FakeEngine) -> None:
    engine.after = [abort(UNAVAILABLE), abort(grpc.StatusCode.CANCELLED), None]

    async def work(client: AsyncClient) -> None:
        assert (await client.call(sale("Ann"))).receipt.number == 1

    run(engine.target, work)
    assert engine.booked == {b"Ann": 1}
    assert len(engine.received) == 3


def test_a_refused_resend_does_not_undo_the_doubt_of_the_first_try(engine: FakeEngine) -> None:
    engine.before = [None, abort(grpc.StatusCode.UNAUTHENTICATED)]
    engine.after = [abort(UNAVAILABLE)]

    async def work(client: AsyncClient) -> None:
        with pytest.raises(NoAnswer, match="UNAUTHENTICATED") as caught:
            await client.call(sale("Ann"))
        assert caught.value.may_have_happened

    run(engine.target, work)
    assert engine.booked == {b"Ann": 1}


def test_control_a_caller_that_takes_a_new_id_books_twice(engine: FakeEngine) -> None:
    engine.after = [abort(UNAVAILABLE), None]
    with grpc.insecure_channel(engine.target) as channel:
        sell = channel.unary_unary("/ringup.v1.SaleService/Sell")
        for _ in range(2):
            request = sale("Ann")
            request.command_id = _wire.new_id()
            try:
                sell(request.SerializeToString(), timeout=HANG_S)
            except grpc.RpcError as error:
                assert error.code() is UNAVAILABLE  # noqa: PT017  # the loop goes on after it
    assert engine.booked == {b"Ann": 2}


# Statuses that are no reason to send again


@pytest.mark.parametrize("status", ["UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"])
@pytest.mark.parametrize("batching", [True, False])
def test_what_is_turned_away_did_not_happen(engine: FakeEngine, status: str, batching: bool) -> None:
    engine.before = [abort(grpc.StatusCode[status], "show a certificate")]

    async def work(client: AsyncClient) -> None:
        with pytest.raises(NoAnswer, match=f"{status}: show a certificate.*did not happen") as caught:
            await client.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(500)])
        assert not caught.value.may_have_happened
        await client.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(500)])

    run(engine.target, work, batching=batching)
    assert len(engine.received) == 1


def test_a_request_that_cannot_be_read_is_rejected(engine: FakeEngine) -> None:
    engine.before = [abort(grpc.StatusCode.INVALID_ARGUMENT, "expected 16 bytes, found 3")]

    async def work(client: AsyncClient) -> None:
        with pytest.raises(RejectedCommand, match="expected 16 bytes, found 3"):
            await client.call(sale("Ann"))

    run(engine.target, work)


def test_a_stream_refused_in_mid_flight_leaves_it_open(engine: FakeEngine) -> None:
    """A batch before the refused one may have been booked: nobody may be told that it was not."""
    engine.after = [abort(grpc.StatusCode.INVALID_ARGUMENT)]

    async def work(client: AsyncClient) -> None:
        with pytest.raises(NoAnswer) as caught:
            await client.submit(sale("Ann"))
        assert caught.value.may_have_happened

    run(engine.target, work)
    assert engine.booked == {b"Ann": 1}


# Deadlines, black holes, nobody there


@pytest.mark.parametrize("batching", [True, False])
def test_a_deadline_ends_a_call_in_time(engine: FakeEngine, held: threading.Event, batching: bool) -> None:
    """Before the answer, that is: it comes when the call has ended."""

    async def work(client: AsyncClient) -> None:
        await client.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(500)])
        engine.before = [until(held)]
        started_s = time.monotonic()
        milk = {"till_id": "T1", "lines": [line("MILK")], "tenders": [cash(500)]}
        await unanswered(lambda timeout_s: client.sell(**milk, timeout_s=timeout_s))
        assert time.monotonic() - started_s >= 0.29
        held.set()
        # The late answer to the first must not be taken for the answer to the second.
        receipt = await client.sell(till_id="T1", customer_id="Bob", lines=[line("MILK")], tenders=[cash(500)])
        assert receipt.customer_id == "Bob"

    run(engine.target, work, batching=batching)


def test_an_engine_that_keeps_a_batch_for_ever_does_not_block_what_follows(
    engine: FakeEngine, held: threading.Event
) -> None:
    engine.before = [until(held)] * 2

    async def work(client: AsyncClient) -> None:
        for _ in range(2):
            await unanswered(lambda timeout_s: client.submit(sale("stuck"), timeout_s=timeout_s))
        engine.before.clear()
        assert (await client.submit(sale("Ann"), timeout_s=HANG_S)).receipt.customer_id == "Ann"
        assert not held.is_set()
        held.set()

    run(engine.target, work, timeout_s=0.4)
    assert engine.streams > 1


@pytest.mark.parametrize("batching", [True, False])
def test_a_socket_that_accepts_and_never_answers(batching: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"

        async def work(client: AsyncClient) -> None:
            started_s = time.monotonic()
            with pytest.raises(NoAnswer, match=r"no engine at|within its deadline") as caught:
                await client.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(500)])
            assert 0.9 < time.monotonic() - started_s < HANG_S / 3
            assert not caught.value.may_have_happened, "nothing ever left"
            with pytest.raises(NoAnswer) as caught:
                await client.get_item("MILK")
            assert not caught.value.may_have_happened

        run(target, work, timeout_s=1, batching=batching)


def test_an_engine_that_comes_late_is_found(unused_port: int) -> None:
    async def main() -> None:
        async with AsyncClient(f"127.0.0.1:{unused_port}", timeout_s=HANG_S) as client:
            calls = [asyncio.ensure_future(client.submit(sale(str(n)))) for n in range(3)]
            calls.append(asyncio.ensure_future(client.call(sale("unary"))))
            await asyncio.sleep(0.6)
            with FakeEngine(unused_port) as engine:
                await asyncio.gather(*calls)
                assert len(engine.booked) == 4

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["silent", "swallow_answers", "cut"])
def test_a_wire_that_fails_under_a_stream(engine: FakeEngine, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A black hole is found by keepalive, a cut without; and the commands go over a new connection."""
    if fault == "cut":
        without = [option for option in _retry.CHANNEL_OPTIONS if "keepalive" not in option[0]]
        monkeypatch.setattr(_retry, "CHANNEL_OPTIONS", without)

    async def main() -> None:
        async with TcpProxy(engine.port) as wire, AsyncClient(wire.target, timeout_s=2 * HANG_S) as client:
            await client.submit(sale("before"))
            started_s = time.monotonic()
            getattr(wire, fault)()
            answers = await asyncio.gather(*[client.submit(sale(str(n))) for n in range(5)], client.call(sale("unary")))
            assert [a.receipt.customer_id for a in answers] == [*"01234", "unary"]
            assert time.monotonic() - started_s < HANG_S, "not found before the deadline"
            assert wire.connections >= 2

    asyncio.run(main())
    assert len(engine.booked) == 7
    assert engine.booked_twice == []
    assert len(engine.received) > 7 or fault != "swallow_answers", "the fault did not strike"


def test_control_new_ids_over_a_failed_wire_book_twice(engine: FakeEngine, careless: None) -> None:
    async def main() -> None:
        async with TcpProxy(engine.port) as wire, AsyncClient(wire.target, timeout_s=HANG_S) as client:
            await client.submit(sale("before"))
            wire.swallow_answers()
            await asyncio.gather(*[client.submit(sale(str(n))) for n in range(5)])

    asyncio.run(main())
    assert len(engine.booked_twice) == 5


# Draining and stopping


def test_draining_moves_the_rest_to_the_next_engine(engine: FakeEngine) -> None:
    with FakeEngine() as following:
        target = f"ipv4:127.0.0.1:{engine.port},127.0.0.1:{following.port}"

        async def work(client: AsyncClient) -> None:
            await client.submit(sale("first"))
            engine.drain.set()
            await client.submit(sale("told"))
            stopper = threading.Thread(target=engine.stop, args=(2,))
            stopper.start()
            for n in range(2000):  # some may still find the old engine; none may fail
                assert (await client.submit(sale(str(n)))).receipt.customer_id == str(n)
                if following.booked:
                    break
                await asyncio.sleep(0.02)
            stopper.join()

        run(target, work)
        both = engine.booked + following.booked
        assert following.booked
        assert set(both.values()) == {1}, "booked twice over the two engines"


def test_nothing_is_sent_on_a_stream_that_drains(engine: FakeEngine) -> None:
    engine.drain.set()  # each stream is told after its first batch

    async def work(client: AsyncClient) -> None:
        assert client._opened is not None
        pump = client._opened[1]
        for n in range(3):
            assert (await client.submit(sale(str(n)))).receipt.number == n + 1
            await holds(lambda: pump._stream is None)  # that it drains is said after the answer

    run(engine.target, work)
    assert engine.batch_sizes == [1, 1, 1]
    assert engine.streams == 3


def test_close_waits_for_what_was_submitted(engine: FakeEngine) -> None:
    async def main() -> None:
        async with AsyncClient(engine.target) as client:
            calls = [asyncio.ensure_future(client.submit(sale(str(n)))) for n in range(20)]
            await asyncio.sleep(0)
        assert len([c.result() for c in calls]) == 20
        with pytest.raises(RuntimeError, match="expected an open client"):
            await client.submit(sale("late"))

    asyncio.run(main())
    assert len(engine.booked) == 20


def test_an_error_in_the_with_block_does_not_wait(engine: FakeEngine, held: threading.Event) -> None:
    async def main() -> None:
        engine.before = [until(held)]
        with contextlib.suppress(ZeroDivisionError):
            async with AsyncClient(engine.target, timeout_s=2 * HANG_S) as client:
                call = asyncio.ensure_future(client.submit(sale("Ann")))
                await holds(lambda: engine.batch_sizes == [1])
                raise ZeroDivisionError
        with pytest.raises(NoAnswer, match="a closed client") as caught:
            await call
        assert caught.value.may_have_happened

    started_s = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started_s < HANG_S, "it waited for the answer, until the deadline"


# The plain client


def test_the_plain_client_s_threads_share_batches_and_books_once(engine: FakeEngine) -> None:
    engine.after = [abort(UNAVAILABLE)]
    numbers: list[int] = []

    def till(client: Client, name: str) -> None:
        for n in range(20):
            receipt = client.sell(till_id="T1", customer_id=f"{name}{n}", lines=[line("MILK")], tenders=[cash(500)])
            numbers.append(receipt.number)

    with Client(engine.target, timeout_s=HANG_S) as client:
        threads = [threading.Thread(target=till, args=(client, name)) for name in "abcdefgh"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(HANG_S)
        future = client.submit(sale("future"))
        assert future.result(HANG_S).receipt.customer_id == "future"
        with pytest.raises(TypeError, match="did you mean"):
            client.call(catalog_pb2.GetItemResponse())
    assert sorted(numbers) == list(range(1, 161))
    assert engine.booked_twice == []
    assert engine.streams == 2
    with pytest.raises(RuntimeError, match="found a closed one"):
        client.get_settings()


def test_plain_clients_leave_no_thread(engine: FakeEngine) -> None:
    first, second = Client(engine.target), Client(engine.target)
    first.get_item("MILK")
    first.close()
    assert second.get_item("MILK").item.item_id == "MILK"
    second.close()
    second.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "ringup"]
    with Client(engine.target) as third:
        third.get_item("MILK")


def test_both_clients_have_the_same_methods() -> None:
    def names(of: type) -> set[str]:
        return {name for name in dir(of) if not name.startswith("_")}  # also what a class before it has

    assert names(AsyncClient) - names(Client) == {"open", "submit_bytes"}
    assert names(Client) <= names(AsyncClient)


def test_rows_may_be_mappings_and_a_wrong_key_is_named(engine: FakeEngine) -> None:
    with Client(engine.target) as client:
        till = {"till_id": "T1", "lines": [{"item_id": "MILK", "qty_milli": 1000}]}
        assert client.sell(**till, tenders=[{"method": "TENDER_METHOD_CASH", "amount_minor": 500}]).number == 1
        with pytest.raises(ValueError, match="found 'itm_id'; did you mean 'item_id'"):
            client.sell(till_id="T1", lines=[{"itm_id": "MILK"}], tenders=[])
        with pytest.raises(TypeError, match="put it in a list"):
            client.sell(till_id="T1", lines=line("MILK"), tenders=[])
        with pytest.raises(TypeError, match="expected a BasketLine or a mapping"):
            client.sell(till_id="T1", lines=["MILK"], tenders=[])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="put it in a list"):
            client.get_availability("MILK")


def test_bytes_go_through_as_they_are(engine: FakeEngine) -> None:
    async def work(client: AsyncClient) -> None:
        request = sale("Ann")
        request.command_id = b"i" * 16
        unary = await client.call_bytes("/ringup.v1.SaleService/Sell", request.SerializeToString())
        reply = await client.submit_bytes(session_pb2.Command(sell=request).SerializeToString())
        assert session_pb2.CommandReply.FromString(reply).sell == sale_pb2.SellResponse.FromString(unary)

    run(engine.target, work)
    assert engine.booked == {b"Ann": 1}
