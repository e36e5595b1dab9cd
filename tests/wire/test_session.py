"""Streams, limits and the end of an engine: edge and engine in this process, so that a commit can be held up."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from ringup.engine import edge as edge_module
from ringup.engine.edge import STREAM_BATCHES_MAX, STREAM_BYTES_MAX, Edge
from ringup.engine.engine import Engine
from ringup.v1 import sale_pb2, sale_pb2_grpc, session_pb2, session_pb2_grpc
from support.callers import body_of, read_books
from support.core import cash, command_of, line, small_shop


class Stage:
    """An engine whose commits wait while `flowing` is cleared."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.engine = Engine(directory, checkpoint_bytes=1 << 40, checkpoint_commands=1 << 40)
        self.flowing = threading.Event()
        self.flowing.set()
        append = self.engine.journal.append

        def held_up(sequence: int, *records: bytes) -> None:
            self.flowing.wait(30)
            append(sequence, *records)

        self.engine.journal.append = held_up  # type: ignore[method-assign]
        self.engine.start()
        self.edge = Edge(self.engine)

    async def open(self) -> None:
        self.port = await self.edge.start("127.0.0.1:0")
        for _, _, batch, _ in small_shop(pieces=100_000).journal:
            for data in batch:
                await self.engine.submit(data)

    def channel(self, **options: Any) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", **options)

    @property
    def requests(self) -> int:
        """Batches taken so far."""
        return self.engine.sequencer.counters.requests

    async def until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not true():  # noqa: ASYNC110 - what is waited for is no event of ours
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        self.flowing.set()
        await self.edge.stop()
        await self.engine.stop()


@contextlib.asynccontextmanager
async def _stage(directory: Path) -> AsyncIterator[Stage]:
    stage = Stage(directory)
    await stage.open()
    try:
        yield stage
    finally:
        await stage.close()


def _run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(240):
            await test()

    asyncio.run(bounded())


def _sell(number: int) -> sale_pb2.SellRequest:
    return sale_pb2.SellRequest(
        command_id=b"wire" + number.to_bytes(12, "big"), till_id="T1", lines=[line("milk")], tenders=[cash(1000)]
    )


def _batch(*numbers: int) -> session_pb2.SessionRequest:
    return session_pb2.SessionRequest(commands=[command_of(_sell(number)) for number in numbers])


def _numbers(response: session_pb2.SessionResponse) -> list[int]:
    """The numbers of the sales that a batch answers."""
    return [int.from_bytes(body_of(reply).receipt.sale_id[4:], "big") for reply in response.replies]


def test_answers_come_in_order_and_at_most_eight_batches_are_taken(tmp_path: Path) -> None:
    async def test() -> None:
        async with _stage(tmp_path) as stage, stage.channel() as channel:
            stream = session_pb2_grpc.SessionServiceStub(channel).Session()
            before = stage.requests
            stage.flowing.clear()
            writer = asyncio.ensure_future(_write(stream, 40))
            await stage.until(lambda: stage.requests - before >= STREAM_BATCHES_MAX)
            await asyncio.sleep(0.2)
            assert stage.requests - before == STREAM_BATCHES_MAX, "the ninth is read when one is answered"
            stage.flowing.set()
            answered = [_numbers(await stream.read()) for _ in range(40)]
            assert answered == [[n, n + 1000] for n in range(40)]
            await writer
            await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF

    async def _write(stream: Any, count: int) -> None:
        for number in range(count):
            await stream.write(_batch(number, number + 1000))

    _run(test)


def test_long_batches_are_taken_by_their_bytes(tmp_path: Path) -> None:
    """Eight of them were kept with answers several times as long, for each stream of a caller that never reads."""

    async def test() -> None:
        options = [("grpc.max_receive_message_length", -1)]
        async with _stage(tmp_path) as stage, stage.channel(options=options) as channel:
            stream = session_pb2_grpc.SessionServiceStub(channel).Session()
            sell = _sell(7)  # the same one: its stored answer, as often
            sell.lines.extend([line("milk")] * 99)
            sell.tenders[0].amount_minor = 100_000
            batch = session_pb2.SessionRequest(commands=[command_of(sell)] * 1400)
            assert STREAM_BYTES_MAX / 3 < batch.ByteSize() < STREAM_BYTES_MAX / 2, "the third one fills it"
            before = stage.requests
            stage.flowing.clear()
            writer = asyncio.ensure_future(_write(stream, batch))
            await stage.until(lambda: stage.requests - before >= 3)
            await asyncio.sleep(0.2)
            assert stage.requests - before == 3
            stage.flowing.set()
            for _ in range(5):
                assert len((await stream.read()).replies) == 1400
            await writer
            await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF

    async def _write(stream: Any, batch: session_pb2.SessionRequest) -> None:
        for _ in range(5):
            await stream.write(batch)

    _run(test)


def test_a_slow_reader_of_answers_holds_only_itself_up(tmp_path: Path) -> None:
    """A caller that sends and never reads: what waits for it is bounded, and others are served."""

    async def test() -> None:
        async with _stage(tmp_path) as stage, stage.channel() as slow, stage.channel() as other:
            stream = session_pb2_grpc.SessionServiceStub(slow).Session()
            before = stage.requests

            async def write() -> None:
                for number in range(1500):
                    await stream.write(_batch(*range(number * 200, number * 200 + 200)))

            writer = asyncio.ensure_future(write())
            taken = -1
            while stage.requests != taken:  # until nothing more is taken from it
                taken = stage.requests
                await asyncio.sleep(1)
            assert taken - before < 750, "the engine must not read on while its answers are not taken"
            assert not writer.done()
            answer = await sale_pb2_grpc.SaleServiceStub(other).Sell(_sell(10**6), timeout=60)
            assert answer.code == 1
            writer.cancel()
            stream.cancel()

    _run(test)


def test_draining_is_said_before_the_end_and_what_was_taken_is_answered(tmp_path: Path) -> None:
    async def test() -> None:
        async with _stage(tmp_path) as stage, stage.channel() as channel:
            stream = session_pb2_grpc.SessionServiceStub(channel).Session()
            before = stage.requests
            stage.flowing.clear()
            for number in range(5):
                await stream.write(_batch(number))
            await stage.until(lambda: stage.requests - before == 5)
            unary = sale_pb2_grpc.SaleServiceStub(channel).Sell(_sell(99), timeout=60)
            await stage.until(lambda: stage.requests - before == 6)
            stopping = asyncio.ensure_future(stage.edge.stop())
            await stage.until(lambda: stage.edge._is_draining)
            stage.flowing.set()
            said = [await stream.read() for _ in range(6)]
            assert [_numbers(answer) for answer in said if not answer.draining] == [[n] for n in range(5)]
            assert sum(answer.draining for answer in said) == 1
            await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF
            assert (await unary).receipt.number == 6
            await stopping

    _run(test)
    core, _ = read_books(tmp_path)
    assert core.row_counts()["sales"] == 6


def test_a_failed_commit_answers_nobody_and_nothing_of_it_is_booked(tmp_path: Path) -> None:
    async def test() -> None:
        async with _stage(tmp_path) as stage, stage.channel() as channel:
            stub = sale_pb2_grpc.SaleServiceStub(channel)
            assert (await stub.Sell(_sell(1), timeout=60)).code == 1

            def broken(sequence: int, *records: bytes) -> None:
                raise OSError("the disk is gone")

            stage.engine.journal.append = broken  # type: ignore[method-assign]
            for number in (2, 3):
                with pytest.raises(grpc.aio.AioRpcError) as failed:
                    await stub.Sell(_sell(number), timeout=60)
                assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
            assert stage.engine.is_failed

    _run(test)
    core, _ = read_books(tmp_path)
    assert core.row_counts()["sales"] == 1


def test_more_calls_than_allowed_are_refused_at_once_and_then_it_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_module, "RPCS_MAX", 20)

    async def test() -> None:
        async with _stage(tmp_path) as stage, stage.channel() as channel:
            stub = sale_pb2_grpc.SaleServiceStub(channel)
            stage.flowing.clear()

            async def sell(number: int) -> Any:
                try:
                    return (await stub.Sell(_sell(number), timeout=60)).code
                except grpc.aio.AioRpcError as error:
                    return error.code()

            calls = [asyncio.ensure_future(sell(number)) for number in range(60)]
            await stage.until(lambda: sum(call.done() for call in calls) >= 40)
            assert {call.result() for call in calls if call.done()} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
            stage.flowing.set()
            results = await asyncio.gather(*calls)
            assert results.count(1) == 20
            assert await sell(100) == 1

    _run(test)


def test_more_bytes_than_may_wait_are_refused_at_once_and_then_it_recovers(tmp_path: Path) -> None:
    async def test() -> None:
        async with _stage(tmp_path) as stage, stage.channel() as channel:
            stub = session_pb2_grpc.SessionServiceStub(channel)
            # Commands that are refused and small in their answers, but large in themselves.
            large = session_pb2.SessionRequest(
                commands=[
                    command_of(
                        sale_pb2.SellRequest(
                            command_id=n.to_bytes(16, "big"), till_id="T1", lines=[line("milk")] * 100_000
                        )
                    )
                    for n in range(2**64, 2**64 + 3)
                ]
            )
            stage.flowing.clear()
            blocker = sale_pb2_grpc.SaleServiceStub(channel).Sell(_sell(1), timeout=60)
            before = stage.requests
            await stage.until(lambda: stage.requests > before)
            counters, taken = stage.engine.sequencer.counters, stage.requests
            streams = [stub.Session() for _ in range(8)]
            for stream in streams:
                await stream.write(large)
            await stage.until(lambda: stage.requests - taken + counters.refused_overload == 8)
            codes = [asyncio.ensure_future(stream.code()) for stream in streams]
            await stage.until(lambda: sum(code.done() for code in codes) == counters.refused_overload)
            refused = [stream for stream, code in zip(streams, codes, strict=True) if code.done()]
            assert refused
            for stream in refused:
                assert await stream.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert "nothing was executed" in await stream.details()
            stage.flowing.set()
            await blocker
            for stream in streams:
                if stream not in refused:
                    assert len((await stream.read()).replies) == 3
                    await stream.done_writing()
            assert (await sale_pb2_grpc.SaleServiceStub(channel).Sell(_sell(2), timeout=60)).code == 1

    _run(test)


def test_a_stream_that_its_caller_drops_leaves_its_commands_booked(tmp_path: Path) -> None:
    async def test() -> None:
        async with _stage(tmp_path) as stage, stage.channel() as channel:
            stream = session_pb2_grpc.SessionServiceStub(channel).Session()
            before = stage.requests
            stage.flowing.clear()
            await stream.write(_batch(1, 2, 3))
            await stage.until(lambda: stage.requests > before)
            stream.cancel()
            stage.flowing.set()
            answer = await sale_pb2_grpc.SaleServiceStub(channel).Sell(_sell(3), timeout=60)
            assert answer.receipt.number == 3, "the resend gets the first answer"

    _run(test)
    core, _ = read_books(tmp_path)
    assert core.row_counts()["sales"] == 3
