"""Flash sale: one item, 1,000 pieces, 10,000 shoppers who all want one at once.

Exactly 1,000 are sold and 9,000 refused; how long it takes, and how long a refusal takes.  The engine
books whole sales with a receipt through the client library; PostgreSQL and Redis lower a counter, with
their own load generators.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import grpc
import uvloop

from bench.measure import Bench, Chart, Skipped, latency_ms
from bench.peer_reserve import POSTGRES_ONE, REDIS_ONE, redis_benchmark
from bench.peers import postgres, redis_server
from bench.servers import Server, engine
from bench.shop import LOCATION, Ids, command, item_id, sale, session_request
from bench.shop_server import load_shop
from ringup.clients import AsyncClient
from ringup.v1 import result_pb2, sale_pb2, session_pb2, stock_pb2

TITLE = "Flash sale: 10,000 shoppers, 1,000 pieces"
SHOPPERS, PIECES, CONNECTIONS = 10_000, 1000, 512
HOT = 3


def run(bench: Bench) -> None:
    """The engine, then each peer that is there."""
    shoppers, pieces = bench.size(SHOPPERS, 200), bench.size(PIECES, 20)
    rates: list[tuple[float | str, float]] = [("ringup", _engine(bench, shoppers, pieces))]
    for name, peer in (("postgres", _postgres), ("redis", _redis)):
        try:
            rates.append((name, peer(bench, shoppers, pieces)))
        except Skipped as why:
            bench.put(f"skipped_flash_{name}", str(why))
            bench.note(f"A peer is missing: {why}")
    bench.chart(Chart("flash", "Flash sale: shoppers answered", "", "a second", {"": rates}, bars=True))


def _put_pieces(server: Server, pieces: int, ids: Ids) -> None:
    request = stock_pb2.ReceiveStockRequest(
        location_id=LOCATION, lines=[stock_pb2.StockLine(item_id=item_id(HOT), qty_milli=pieces * 1000)]
    )
    with grpc.insecure_channel(server.target) as channel:
        session: Any = channel.stream_stream("/ringup.v1.SessionService/Session")
        answers = session(iter([session_request([command(request, ids)])]), timeout=30)
        reply = session_pb2.SessionResponse.FromString(next(iter(answers))).replies[0].receive_stock
    assert reply.positions[0].free_milli == pieces * 1000, f"the pieces were not received: {reply}"


def _engine(bench: Bench, shoppers: int, pieces: int) -> float:
    ids = Ids(100)
    with engine(bench.work / "data") as server:
        load_shop(server.target, 10, ids, stocked=False)
        _put_pieces(server, pieces, ids)
        commands = [command(sale([HOT], number), ids) for number in range(shoppers)]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            answers, took_s = runner.run(_shoppers(server.target, commands))
    sold, refused = [], []
    for reply, latency_s, at_s in answers:
        answer: sale_pb2.SellResponse = session_pb2.CommandReply.FromString(reply).sell
        if answer.code == result_pb2.RESULT_CODE_OK:
            sold.append((at_s, latency_s))
        else:
            assert answer.code == result_pb2.RESULT_CODE_STOCK_INSUFFICIENT, f"refused with {answer.code}"
            refused.append(latency_s)
    assert len(sold) == pieces, f"expected exactly {pieces} sold, found {len(sold)}"
    bench.put("flash_sold", len(sold))
    bench.put("flash_refused", len(refused))
    bench.put("flash_sold_out_s", max(at_s for at_s, _ in sold))
    bench.put("flash_all_answered_s", took_s)
    bench.put_all("flash_refusal", latency_ms(refused))
    bench.put("flash_ringup_per_s", shoppers / took_s)
    return shoppers / took_s


async def _shoppers(target: str, commands: list[bytes]) -> tuple[list[tuple[bytes, float, float]], float]:
    """(reply, latency, time since the start) of each shopper, and how long it took in all."""
    clock = time.perf_counter
    async with AsyncClient(target, timeout_s=60) as client:
        await client.get_stats()  # connected before the doors open

        async def shopper(one: bytes) -> tuple[bytes, float, float]:
            given_s = clock()
            reply = await client.submit_bytes(one)
            return reply, clock() - given_s, clock() - began_s

        began_s = clock()
        answers = await asyncio.gather(*[shopper(one) for one in commands])
        return answers, clock() - began_s


def _postgres(bench: Bench, shoppers: int, pieces: int) -> float:
    clients = min(64, shoppers // 4)
    with postgres(bench.work) as server:
        server.make_stock(10)
        with server.connect() as connection:
            connection.execute("UPDATE stock SET available = %s WHERE item_id = %s", (pieces, HOT))
        each = -(-shoppers // clients)
        found = server.pgbench(POSTGRES_ONE.format(first=HOT, last=HOT), clients, 0, transactions=each)
        with server.connect() as connection:
            left = connection.execute("SELECT available FROM stock WHERE item_id = %s", (HOT,)).fetchone()
    assert left == (0,), f"expected all {pieces} sold, found {left} left"
    bench.put("flash_postgres_per_s", found.per_s)
    return found.per_s


def _redis(bench: Bench, shoppers: int, pieces: int) -> float:
    with redis_server(bench.work) as server, contextlib.closing(server.connect()) as connection:
        script = str(connection.script_load(REDIS_ONE))
        connection.set("stock:hot", pieces)
        per_s = redis_benchmark(
            server, shoppers, "EVALSHA", script, "1", "stock:hot", clients=min(CONNECTIONS, shoppers // 4), keys=1
        )
        left = int(connection.get("stock:hot"))  # type: ignore[arg-type]  # bytes of a number
    assert left == 0, f"expected all {pieces} sold, found {left} left"
    bench.put("flash_redis_per_s", per_s)
    return per_s
