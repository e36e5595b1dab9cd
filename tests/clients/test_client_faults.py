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

from ringup.clients import AsyncClient, Client, NoAnswer, Refused, RejectedCommand, _session, _wire, cash, line
from ringup.v1 import catalog_pb2, sale_pb2, session_pb2
from support.fake_engine import FakeEngine, abort
from support.tcp_proxy import TcpProxy

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine() as engine:
        yield engine


def sale(customer: str) -> sale_pb2.SellRequest:
    return sale_pb2.SellRequest(till_id="T1", customer_id=customer, lines=[line("MILK")], tenders=[cash(500)])


def run(
    target: str, work: Callable[[AsyncClient], Awaitable[object]], timeout_s: float = 5, batching: bool = True
) -> None:
    async def main() -> None:
        async with AsyncClient(target, timeout_s=timeout_s, batching=batching) as client:
            await work(client)

    asyncio.run(main())


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the protection off: what is sent again gets a new id."""
    requeue = _session.SessionPump._requeue

    def with_new_ids(self: _session.SessionPump, unsure: bool) -> None:
        requeue(self, unsure)
        for pending in self._queue:
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


def test_at_most_three_batches_are_in_flight(engine: FakeEngine) -> None:
    let_go = threading.Event()
    engine.before = [lambda _: let_go.wait(5) and None] * 4

    async def work(client: AsyncClient) -> None:
        calls = []
        for n in range(6):  # each in its own turn of the loop, so that it could be a batch of its own
            calls.append(asyncio.ensure_future(client.submit(sale(str(n)))))
            await asyncio.sleep(0.1)
        let_go.set()
        await asyncio.gather(*calls)

    run(engine.target, work)
    assert engine.batch_sizes == [1, 1, 1, 3]


def test_a_slow_engine_gets_two_batches_at_once(engine: FakeEngine) -> None:
    """What waits in the client can still be turned away, what is sent cannot."""
    let_go = threading.Event()
    engine.before = [lambda _: time.sleep(0.2) and None] + [lambda _: let_go.wait(5) and None] * 3

    async def work(client: AsyncClient) -> None:
        await client.submit(sale("slow"))
        calls = []
        for n in range(6):
            calls.append(asyncio.ensure_future(client.submit(sale(str(n)))))
            await asyncio.sleep(0.05)
        let_go.set()
        await asyncio.gather(*calls)

    run(engine.target, work)
    assert engine.batch_sizes == [1, 1, 1, 4]


def test_many_callers_go_in_three_thirds(engine: FakeEngine) -> None:
    """So that one is executed while one becomes durable and one is answered."""

    async def work(client: AsyncClient) -> None:
        async def caller(name: int) -> None:
            for turn in range(3):
                await client.submit(sale(f"{name}/{turn}"))

        await asyncio.gather(*[caller(name) for name in range(300)])

    run(engine.target, work)
    assert engine.batch_sizes[:3] == [100, 100, 100]
    assert sum(engine.batch_sizes) == 900
    assert max(engine.batch_sizes) == 100


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


def test_a_cancelled_caller_disturbs_nobody(engine: FakeEngine) -> None:
    async def work(client: AsyncClient) -> None:
        engine.before = [lambda _: time.sleep(0.2)]
        calls = [asyncio.ensure_future(client.submit(sale(str(n)))) for n in range(3)]
        await asyncio.sleep(0.05)
        calls[1].cancel()
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
def test_a_caller_can_resend_after_its_deadline(engine: FakeEngine, batching: bool) -> None:
    async def work(client: AsyncClient) -> None:
        engine.after = [lambda _: time.sleep(0.5)]
        with pytest.raises(NoAnswer) as caught:
            await client.sell(till_id="T1", customer_id="Ann", lines=[line("MILK")], tenders=[cash(500)], timeout_s=0.2)
        assert caught.value.may_have_happened
        assert len(engine.booked) == 1
        answer = await client.resend(caught.value)
        assert answer.receipt.sale_id == caught.value.command_id
        assert (await client.get_receipt(caught.value.command_id)).customer_id == "Ann"

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
                sell(request.SerializeToString(), timeout=5)
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
def test_a_deadline_ends_a_call_in_time(engine: FakeEngine, batching: bool) -> None:
    async def work(client: AsyncClient) -> None:
        await client.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(500)])
        engine.before = [lambda _: time.sleep(1)]
        started_s = time.monotonic()
        with pytest.raises(NoAnswer) as caught:
            await client.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(500)], timeout_s=0.3)
        assert 0.25 < time.monotonic() - started_s < 0.9
        assert caught.value.may_have_happened
        # The late answer to the first must not be taken for the answer to the second.
        receipt = await client.sell(till_id="T1", customer_id="Bob", lines=[line("MILK")], tenders=[cash(500)])
        assert receipt.customer_id == "Bob"

    run(engine.target, work, batching=batching)


def test_an_engine_that_keeps_a_batch_for_ever_does_not_block_what_follows(engine: FakeEngine) -> None:
    held = threading.Event()
    engine.before = [lambda _: held.wait(8) and None] * 2

    async def work(client: AsyncClient) -> None:
        for _ in range(2):
            with pytest.raises(NoAnswer):
                await client.submit(sale("stuck"))
        assert (await client.submit(sale("Ann"), timeout_s=3)).receipt.customer_id == "Ann"

    try:
        run(engine.target, work, timeout_s=0.4)
    finally:
        held.set()
    assert engine.streams > 1


@pytest.mark.parametrize("batching", [True, False])
def test_a_socket_that_accepts_and_never_answers(batching: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"

        async def work(client: AsyncClient) -> None:
            started_s = time.monotonic()
            with pytest.raises(NoAnswer, match=r"no engine at|within its deadline") as caught:
                await client.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(500)])
            assert 0.9 < time.monotonic() - started_s < 1.8
            assert not caught.value.may_have_happened, "nothing ever left"
            with pytest.raises(NoAnswer) as caught:
                await client.get_item("MILK")
            assert not caught.value.may_have_happened

        run(target, work, timeout_s=1, batching=batching)


def test_an_engine_that_comes_late_is_found(unused_port: int) -> None:
    async def main() -> None:
        async with AsyncClient(f"127.0.0.1:{unused_port}") as client:
            calls = [asyncio.ensure_future(client.submit(sale(str(n)))) for n in range(3)]
            calls.append(asyncio.ensure_future(client.call(sale("unary"))))
            await asyncio.sleep(0.6)
            with FakeEngine(unused_port) as engine:
                await asyncio.gather(*calls)
                assert len(engine.booked) == 4

    asyncio.run(main())


@pytest.mark.parametrize("fault", ["silent", "swallow_answers", "cut"])
def test_a_wire_that_fails_under_a_stream(engine: FakeEngine, fault: str) -> None:
    """A black hole is found by keepalive after 3 s and the commands go over a new connection."""

    async def main() -> None:
        async with TcpProxy(engine.port) as wire, AsyncClient(wire.target, timeout_s=9) as client:
            await client.submit(sale("before"))
            started_s = time.monotonic()
            getattr(wire, fault)()
            answers = await asyncio.gather(*[client.submit(sale(str(n))) for n in range(5)], client.call(sale("unary")))
            assert [a.receipt.customer_id for a in answers] == [*"01234", "unary"]
            assert time.monotonic() - started_s < (1.5 if fault == "cut" else 5)
            assert wire.connections == 2

    asyncio.run(main())
    assert len(engine.booked) == 7
    assert engine.booked_twice == []
    assert len(engine.received) > 7 or fault != "swallow_answers", "the fault did not strike"


def test_control_new_ids_over_a_failed_wire_book_twice(engine: FakeEngine, careless: None) -> None:
    async def main() -> None:
        async with TcpProxy(engine.port) as wire, AsyncClient(wire.target, timeout_s=9) as client:
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
            for n in range(200):  # some may still find the old engine; none may fail
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
        for n in range(3):
            assert (await client.submit(sale(str(n)))).receipt.number == n + 1
            await asyncio.sleep(0.1)  # that it drains is said after the answer

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


def test_an_error_in_the_with_block_does_not_wait(engine: FakeEngine) -> None:
    async def main() -> None:
        held = threading.Event()
        engine.before = [lambda _: held.wait(5) and None]
        with contextlib.suppress(ZeroDivisionError):
            async with AsyncClient(engine.target) as client:
                call = asyncio.ensure_future(client.submit(sale("Ann")))
                await asyncio.sleep(0.2)
                raise ZeroDivisionError
        with pytest.raises(NoAnswer, match="a closed client") as caught:
            await call
        assert caught.value.may_have_happened
        held.set()

    started_s = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started_s < 2


# The plain client


def test_the_plain_client_s_threads_share_batches_and_books_once(engine: FakeEngine) -> None:
    engine.after = [abort(UNAVAILABLE)]
    numbers: list[int] = []

    def till(client: Client, name: str) -> None:
        for n in range(20):
            receipt = client.sell(till_id="T1", customer_id=f"{name}{n}", lines=[line("MILK")], tenders=[cash(500)])
            numbers.append(receipt.number)

    with Client(engine.target) as client:
        threads = [threading.Thread(target=till, args=(client, name)) for name in "abcdefgh"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        future = client.submit(sale("future"))
        assert future.result(5).receipt.customer_id == "future"
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
