"""A flood of calls: what the engine does not take it refuses in words, at once, and it says so by the right status.

Callers once saw CANCELLED now and then: gRPC's core keeps calls that wait to be taken in a queue of its own, and
drops some by chance when there are more than a thousand. A caller cannot tell that from a call that it lost.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

import grpc

from ringup.v1 import sale_pb2, sale_pb2_grpc
from support.callers import open_shop
from support.core import cash, line
from support.engine_process import EngineProcess

CALLS = 1800
CONNECTIONS = 20
FEW_CALLS = "import ringup.engine.edge as edge; edge.RPCS_MAX = 20; from ringup.engine.cli import app; app()"


async def flood(target: str) -> Counter[Any]:
    channels = [
        grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(CONNECTIONS)
    ]
    stubs: list[Any] = [sale_pb2_grpc.SaleServiceStub(channel) for channel in channels]  # type: ignore[no-untyped-call]  # generated

    async def sell(number: int) -> Any:
        request = sale_pb2.SellRequest(
            command_id=os.urandom(16), till_id="T1", lines=[line("milk")], tenders=[cash(1000)]
        )
        try:
            return (await stubs[number % CONNECTIONS].Sell(request, timeout=30)).code
        except grpc.aio.AioRpcError as error:
            return error.code(), "send it again" in (error.details() or "")

    found = Counter(await asyncio.gather(*map(sell, range(CALLS))))
    for channel in channels:
        await channel.close()
    return found


def test_a_flood_is_refused_in_words_and_never_dropped(tmp_path: Path) -> None:
    with EngineProcess(tmp_path / "data", entry=("-c", FEW_CALLS)) as engine:
        with engine.channel() as channel:
            open_shop(channel, 10**6)
        for _ in range(2):  # the second wave finds the same limit
            found = asyncio.run(flood(engine.target))
            refused = (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
            assert set(found) == {1, refused}, found
            assert found[refused] > 100, found
        assert engine.stop() == 0
