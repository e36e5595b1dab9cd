"""How streams and calls end: a commit that fails, a draining engine, an error nobody foresaw."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ringup.engine.edge import STREAM_BATCHES_MAX, Edge
from ringup.engine.engine import Engine
from ringup.engine.journal import AppendUnknown
from ringup.v1 import admin_pb2, admin_pb2_grpc, pricing_pb2, sale_pb2, session_pb2, session_pb2_grpc
from support.core import command_of, small_shop
from support.data_directory import write_directory

Scene = Callable[[Engine, Edge, grpc.aio.Channel], Awaitable[None]]


def _play(path: Path, scene: Scene) -> list[str]:
    """Run `scene` against an engine with its edge in this process; returns what the event loop complained of."""
    complaints: list[str] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
        write_directory(path, shop=small_shop())
        engine = Engine(path, checkpoint_bytes=1 << 30, checkpoint_commands=1 << 30)
        engine.start()
        edge = Edge(engine)
        port = await edge.start("127.0.0.1:0")
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await asyncio.wait_for(scene(engine, edge, channel), 120)
        finally:
            await edge.fail()
            await engine.stop()
            del edge
            gc.collect()  # what nobody has looked at complains now
            await asyncio.sleep(0)

    asyncio.run(run())
    return complaints


def _sell(number: int) -> sale_pb2.SellRequest:
    return sale_pb2.SellRequest(
        command_id=number.to_bytes(16, "big"),
        till_id="T1",
        lines=[pricing_pb2.BasketLine(item_id="milk", qty_milli=1000)],
        tenders=[sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_CARD, amount_minor=119)],
    )


def _batch(*numbers: int) -> session_pb2.SessionRequest:
    return session_pb2.SessionRequest(commands=[command_of(_sell(number)) for number in numbers])


async def _status(call: Any) -> grpc.StatusCode:
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_when_a_commit_fails_everybody_hears_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health says NOT_SERVING, then calls and streams end with UNAVAILABLE.

    The server closed before who watches the health could hear of it, and each waiting batch of a stream left an
    exception that was never retrieved.
    """
    heard: dict[str, Any] = {}

    async def scene(engine: Engine, edge: Edge, channel: grpc.aio.Channel) -> None:
        failed = asyncio.Event()
        engine.failed = failed.set
        held = asyncio.Event()
        loop = asyncio.get_running_loop()

        def append(sequence: int, *records: bytes) -> None:
            asyncio.run_coroutine_threadsafe(held.wait(), loop).result(60)
            raise AppendUnknown(f"batch {sequence}: the commit failed")

        monkeypatch.setattr(engine.journal, "append", append)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        heard["before"] = (await watch.read()).status
        session = session_pb2_grpc.SessionServiceStub(channel).Session()
        for number in range(4):
            await session.write(_batch(number))
        idle = session_pb2_grpc.SessionServiceStub(channel).Session()
        await idle.wait_for_connection()
        call = channel.unary_unary("/ringup.v1.SaleService/Sell")(_sell(100).SerializeToString())
        for _ in range(6000):
            if engine.sequencer.counters.requests == 5:
                break
            await asyncio.sleep(0.01)
        held.set()
        await failed.wait()
        ended = asyncio.ensure_future(edge.fail())
        heard["after"] = (await watch.read()).status
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        heard["call"] = refused.value.code()
        heard["session"], heard["idle"] = await _status(session), await _status(idle)
        await ended

    complaints = _play(tmp_path, scene)
    assert heard == {
        "before": health_pb2.HealthCheckResponse.SERVING,
        "after": health_pb2.HealthCheckResponse.NOT_SERVING,
        "call": grpc.StatusCode.UNAVAILABLE,
        "session": grpc.StatusCode.UNAVAILABLE,
        "idle": grpc.StatusCode.UNAVAILABLE,
    }
    assert complaints == []


def test_an_error_that_nobody_foresaw_ends_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended only the task that reads: the client waited for an answer without end."""
    heard: list[grpc.StatusCode] = []

    async def scene(engine: Engine, edge: Edge, channel: grpc.aio.Channel) -> None:
        def submit(request: bytes) -> Any:
            raise RuntimeError("a defect")

        monkeypatch.setattr(engine, "submit", submit)
        session = session_pb2_grpc.SessionServiceStub(channel).Session()
        await session.write(_batch(1))
        heard.append(await asyncio.wait_for(_status(session), 60))

    _play(tmp_path, scene)
    assert heard == [grpc.StatusCode.UNKNOWN]


def test_a_message_over_the_limit_ends_the_stream_after_the_answers_before_it(tmp_path: Path) -> None:
    heard: list[Any] = []

    async def scene(engine: Engine, edge: Edge, channel: grpc.aio.Channel) -> None:
        session = session_pb2_grpc.SessionServiceStub(channel).Session()
        await session.write(_batch(1))
        heard.append((await session.read()).replies[0].sell.code)
        await session.write(session_pb2.SessionRequest(commands=[command_of(_sell(2))] * 120_000))
        heard.append(await asyncio.wait_for(_status(session), 60))

    complaints = _play(tmp_path, scene)
    assert heard == [1, grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert complaints == []


def test_a_draining_engine_says_so_once_on_every_stream(tmp_path: Path) -> None:
    """Also on a stream that opens late; answers still come, and no task is left behind."""
    drained: list[list[bool]] = []
    left: list[str] = []

    async def scene(engine: Engine, edge: Edge, channel: grpc.aio.Channel) -> None:
        stub = session_pb2_grpc.SessionServiceStub(channel)
        sessions = [stub.Session() for _ in range(3)]
        for number, session in enumerate(sessions):
            for at in range(STREAM_BATCHES_MAX + 2):
                await session.write(_batch(number * 100 + at))
        closing = asyncio.ensure_future(edge.stop())
        for session in sessions:
            seen: list[bool] = []
            while seen.count(False) < STREAM_BATCHES_MAX + 2 or True not in seen:
                seen.append((await session.read()).draining)
            drained.append(seen)
            await session.done_writing()
            assert await _status(session) == grpc.StatusCode.OK
        await closing
        left.extend(str(task) for task in asyncio.all_tasks() if "Edge._" in str(task))

    complaints = _play(tmp_path, scene)
    assert [seen.count(True) for seen in drained] == [1, 1, 1]
    assert left == []
    assert complaints == []


def test_streams_whose_clients_go_away_leave_nothing_behind(tmp_path: Path) -> None:
    left: list[str] = []

    async def scene(engine: Engine, edge: Edge, channel: grpc.aio.Channel) -> None:
        stub = session_pb2_grpc.SessionServiceStub(channel)
        for number in range(20):
            session = stub.Session()
            for at in range(4):
                await session.write(_batch(number * 100 + at))
            session.cancel()
        stats = admin_pb2_grpc.AdminServiceStub(channel)
        for _ in range(2000):
            await stats.GetStats(admin_pb2.GetStatsRequest())
            left[:] = [str(task) for task in asyncio.all_tasks() if "Edge._" in str(task)]
            if not left:
                break
            await asyncio.sleep(0.01)

    complaints = _play(tmp_path, scene)
    assert left == []
    assert complaints == []
