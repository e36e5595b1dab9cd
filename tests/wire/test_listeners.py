"""Whatever takes the calls, and however many of it, a caller never sees which one serves it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from ringup.engine.edge import STREAMS_PER_CONNECTION_MAX
from ringup.engine.edge_listeners import LISTENERS, Listeners
from ringup.v1 import sale_pb2, sale_pb2_grpc
from support.callers import open_shop
from support.core import cash, line
from support.engine_process import EngineProcess

CONNECTIONS = (
    8 * LISTENERS
)  # dealt out by chance to grpcio's servers: that one of the servers gets none has a chance of 1 in 600
IDS = 1 << 64
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


def _sell(number: int) -> sale_pb2.SellRequest:
    return sale_pb2.SellRequest(
        command_id=(IDS + number).to_bytes(16, "big"), till_id="T1", lines=[line("milk")], tenders=[cash(1000)]
    )


def test_every_connection_finds_every_service(tmp_path: Path, grpc_server: str) -> None:
    async def call(target: str, number: int) -> tuple[int, bool, int]:
        async with grpc.aio.insecure_channel(target, options=OWN_CONNECTION) as channel:
            sales: Any = sale_pb2_grpc.SaleServiceStub(channel)
            health: Any = health_pb2_grpc.HealthStub(channel)
            reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
            sold = await sales.Sell(_sell(number), timeout=60)
            assert sold.code == 1, sold
            is_up = await health.Check(health_pb2.HealthCheckRequest(service="ringup.v1.SaleService"), timeout=60)
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            listed = [answer async for answer in reflection.ServerReflectionInfo(iter([asked]), timeout=60)]
            return sold.receipt.number, is_up.status == 1, len(listed[0].list_services_response.service)

    async def all_calls(target: str) -> list[tuple[int, bool, int]]:
        return await asyncio.gather(*(call(target, number) for number in range(1, CONNECTIONS + 1)))

    with EngineProcess(tmp_path, args=["--grpc-server", grpc_server]) as engine:
        with engine.channel() as channel:
            open_shop(channel, 10**6)
        found = asyncio.run(all_calls(engine.target))
        assert engine.stop() == 0
    assert sorted(number for number, _, _ in found) == list(range(1, CONNECTIONS + 1))
    assert all(is_up for _, is_up, _ in found)
    assert len({services for _, _, services in found}) == 1


def test_all_that_one_connection_may_have_in_flight_is_taken(tmp_path: Path, grpc_server: str) -> None:
    """What waits to be taken is limited for each of the servers: one caller's burst must fit."""

    async def burst(target: str, wave: int) -> list[int]:
        async with grpc.aio.insecure_channel(target, options=OWN_CONNECTION) as channel:
            sales: Any = sale_pb2_grpc.SaleServiceStub(channel)
            first = 1 + wave * STREAMS_PER_CONNECTION_MAX
            calls = [sales.Sell(_sell(first + n), timeout=60) for n in range(STREAMS_PER_CONNECTION_MAX)]
            return [(await one).code for one in calls]

    with EngineProcess(tmp_path, args=["--grpc-server", grpc_server]) as engine:
        with engine.channel() as channel:
            open_shop(channel, 10**6)
        for wave in range(5):
            assert asyncio.run(burst(engine.target, wave)) == [1] * STREAMS_PER_CONNECTION_MAX
        assert engine.stop() == 0


def test_who_takes_a_port_waits_for_whoever_is_taking_it() -> None:
    """Between a look whether anybody listens and listening, another engine could do the same."""

    async def run() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        listeners = Listeners([], lambda server: None)
        with socket.socket(socket.AF_UNIX) as turn:
            turn.bind(f"\0ringup takes port {port}")
            start = asyncio.ensure_future(listeners.start(f"127.0.0.1:{port}"))
            await asyncio.sleep(0.2)
            with socket.socket() as caller:
                assert not start.done()
                assert caller.connect_ex(("127.0.0.1", port)) != 0
        assert await start == port
        await listeners.stop(None)

    asyncio.run(run())
