"""A flood of calls: what the engine does not take is refused at once and executed never.

nghttp2's server refuses in words, for next to nothing. Where grpcio takes the calls, words cost nearly what an answer
costs; where too many wait to be taken, gRPC's core drops some, and their callers see CANCELLED. With a queue without
bound all waited instead, and at twice the load hardly an answer came in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest

from ringup.engine.edge import GRPCIO, NGHTTP2, chosen_server
from ringup.v1 import sale_pb2, sale_pb2_grpc
from support.callers import open_shop
from support.core import cash, line
from support.engine_process import EngineProcess

CALLS = 1800
CONNECTIONS = 20
FEW_CALLS = "import ringup.engine.edge as edge; edge.RPCS_MAX = 20; from ringup.engine.cli import app; app()"


async def flood(target: str, ids: list[bytes]) -> dict[bytes, Any]:
    """All calls at once; the outcome of each: a result code, or a status and whether it tells what to do."""
    channels = [
        grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(CONNECTIONS)
    ]
    stubs: list[Any] = [sale_pb2_grpc.SaleServiceStub(channel) for channel in channels]  # type: ignore[no-untyped-call]  # generated

    async def sell(number: int, command_id: bytes) -> Any:
        request = sale_pb2.SellRequest(command_id=command_id, till_id="T1", lines=[line("milk")], tenders=[cash(1000)])
        try:
            answer = await stubs[number % CONNECTIONS].Sell(request, timeout=120)
            assert answer.code == 1, answer
            return answer.receipt.number
        except grpc.aio.AioRpcError as error:
            return error.code(), "send it again" in (error.details() or "")

    found = await asyncio.gather(*(sell(number, command_id) for number, command_id in enumerate(ids)))
    for channel in channels:
        await channel.close()
    return dict(zip(ids, found, strict=True))


def test_a_flood_is_refused_at_once_and_what_is_refused_was_not_executed(tmp_path: Path, grpc_server: str) -> None:
    refusals = {(grpc.StatusCode.RESOURCE_EXHAUSTED, True)}
    if grpc_server == GRPCIO:
        refusals.add((grpc.StatusCode.CANCELLED, False))
    args = ["--grpc-server", grpc_server]
    with EngineProcess(tmp_path / "data", entry=("-c", FEW_CALLS), args=args) as engine:
        with engine.channel() as channel:
            open_shop(channel, 10**6)
        receipts: set[int] = set()
        for _ in range(2):  # the second wave finds the same limit
            waiting, words = [os.urandom(16) for _ in range(CALLS)], 0
            for _ in range(100):
                found = asyncio.run(flood(engine.target, waiting))
                waiting = [command_id for command_id, outcome in found.items() if not isinstance(outcome, int)]
                assert {found[command_id] for command_id in waiting} <= refusals, Counter(found.values())
                words += sum(found[command_id][1] for command_id in waiting)
                receipts |= {outcome for outcome in found.values() if isinstance(outcome, int)}
                if not waiting:
                    break
            assert not waiting, "calls that were refused again and again"
            assert words, "no call was refused in words"
        # Each sale once, though most were sent several times: what was refused had not been booked.
        assert receipts == set(range(1, 2 * CALLS + 1))
        assert engine.stop() == 0


@pytest.mark.skipif(chosen_server() != NGHTTP2, reason="no libnghttp2 on this machine")
@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs util-linux")
@pytest.mark.parametrize("files", ["150:150", "150:1000"])
def test_whoever_holds_all_connections_leaves_one_for_a_till(tmp_path: Path, files: str) -> None:
    """Each was one of the files that the engine may open, and they were gone for ten minutes."""
    with EngineProcess(tmp_path / "data", prefix=["prlimit", f"--nofile={files}"]) as engine:
        with contextlib.ExitStack() as held, engine.channel() as till:
            get = till.unary_unary("/ringup.v1.AdminService/GetSettings")
            for _ in range(200):
                one = held.enter_context(socket.create_connection(("127.0.0.1", engine.port)))
                one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5))
                one.recv(1)  # it was taken
            assert get(b"", timeout=30)
        assert engine.stop() == 0
