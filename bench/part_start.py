"""start_1m_s and memory_1m_mb: an engine with 1 M items, prices and stock positions.

From the start of the process (Python and its imports included) to the first answer to a query, with the
files in the page cache; resident memory after that.  The tail of the journal to replay is short, as
checkpoints keep it.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import grpc

from bench.measure import Bench
from bench.servers import Server, engine, resident_mb
from bench.shop import LOCATION, STOCK_MILLI, Ids, item_id
from bench.shop_server import load_shop
from ringup.v1 import stock_pb2

TITLE = "Start and memory with 1 M items and 1 M positions"


def run(bench: Bench) -> None:
    """Fill a data directory over the wire, stop, then start it several times."""
    items, directory = bench.size(1_000_000, 2000), bench.work / "data"
    began = time.perf_counter()
    with engine(directory) as server:
        load_shop(server.target, items, Ids(80))
        bench.put("load_1m_s", time.perf_counter() - began)
        bench.put("memory_1m_after_load_mb", resident_mb(server.pid))
    bench.put("directory_1m_mb", sum(file.stat().st_blocks * 512 for file in directory.rglob("*")) / 1e6)
    starts, memories = [], []
    for _ in range(bench.rounds(3)):
        began = time.perf_counter()
        with engine(directory) as server:
            _ask(server, items)
            starts.append(time.perf_counter() - began)
            memories.append(resident_mb(server.pid))
    bench.put("start_1m_s", statistics.median(starts))
    bench.put("memory_1m_mb", statistics.median(memories))
    began = time.perf_counter()
    with engine(bench.work / "empty") as server:
        bench.put("start_empty_s", time.perf_counter() - began)
        bench.put("memory_empty_mb", resident_mb(server.pid))


def _ask(server: Server, items: int) -> None:
    """The first answer: the stock of the last item must be there."""
    request = stock_pb2.GetAvailabilityRequest(item_ids=[item_id(items - 1)], location_id=LOCATION)
    with grpc.insecure_channel(server.target) as channel:
        call: Any = channel.unary_unary("/ringup.v1.StockService/GetAvailability")
        answer = call(request.SerializeToString(), timeout=30)
    found = stock_pb2.GetAvailabilityResponse.FromString(answer).positions[0].on_hand_milli
    assert found == STOCK_MILLI, f"expected {STOCK_MILLI} on hand, found {found}"
