"""Flash sale: one item, 1,000 pieces, 10,000 shoppers who all want one at once.

Exactly 1,000 are sold and 9,000 refused, on all three; how long it takes until all are sold, and how long a
refused shopper waits, both from when the doors opened (`_from_open`) and, beside it, from when the call was
sent.  The engine books whole sales with a receipt through the client library, all 10,000 in flight at once;
PostgreSQL and Redis lower a counter, with 50 and 512 connections, the next shopper sent when one is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from bench import load_loop, resp_load
from bench.measure import Bench, Chart, Skipped, latency_ms
from bench.peer_reserve import POSTGRES_ONE, REDIS_ONE
from bench.peers import postgres, redis_server
from bench.servers import Server, engine
from bench.shop import LOCATION, Ids, command, item_id, sale, session_request
from bench.shop_server import booked, counters, load_shop
from ringup.clients import AsyncClient
from ringup.v1 import result_pb2, sale_pb2, session_pb2, stock_pb2

TITLE = "Flash sale: 10,000 shoppers, 1,000 pieces, beside PostgreSQL and Redis"
SHOPPERS, PIECES = 10_000, 1000
POSTGRES_CLIENTS, REDIS_CLIENTS = 50, 512
HOT = 3
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Shopper:
    """One shopper's answer; times in s since the doors opened."""

    sold: bool
    sent_s: float
    answered_s: float


def run(bench: Bench) -> None:
    """The engine, then each peer that is there; several sales in turn, each on fresh servers, and the medians."""
    shoppers, pieces = bench.size(SHOPPERS, 250), bench.size(PIECES, 20)
    sells: dict[str, Callable[[Path, int, int], list[Shopper]]] = {
        "ringup": _engine, "postgres": _postgres, "redis": _redis,
    }  # fmt: skip
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sells}
    missing: dict[str, str] = {}
    for number in range(bench.rounds(ROUNDS)):
        for name, sell in sells.items():
            work = bench.work / f"{name}-{number}"
            work.mkdir()
            bench.work.chmod(0o711)  # the user that PostgreSQL runs as must get through
            bench.step(f"sale {number + 1}: {name}")
            try:
                found[name].append(outcome(name, sell(work, shoppers, pieces), shoppers, pieces))
            except Skipped as why:
                missing[name] = str(why)
    for name, reason in missing.items():
        bench.put(f"skipped_flash_{name}", reason)
        bench.note(f"A peer is missing: {reason}")
    for name in [name for name in sells if name not in missing]:
        key = "flash" if name == "ringup" else f"flash_{name}"
        bench.put_all(key, {one: statistics.median(sale[one] for sale in found[name]) for one in found[name][0]})
    bench.put("flash_ringup_per_s", bench.record.values["flash_per_s"])
    for chart, one, title in (
        ("flash_sold_out", "sold_out_s", "Flash sale: until all were sold"),
        ("flash_refusals", "refusal_from_open_p99_ms", "p99 of a refusal, from when the doors opened"),
    ):
        bars: list[tuple[float | str, float]] = [
            (name, statistics.median(sale[one] for sale in sales) * (1000 if one.endswith("_s") else 1))
            for name, sales in found.items()
            if sales
        ]
        bench.chart(Chart(chart, title, "", "ms", {"": bars}, bars=True))


def outcome(name: str, answers: list[Shopper], shoppers: int, pieces: int) -> dict[str, float]:
    """What one sale found; raises AssertionError where not exactly the pieces were sold."""
    sold = [one for one in answers if one.sold]
    refused = [one for one in answers if not one.sold]
    assert len(sold) == pieces, f"{name}: expected exactly {pieces} sold, found {len(sold)}"
    assert len(refused) == shoppers - pieces, f"{name}: {shoppers} shoppers, {len(sold)} sold, {len(refused)} refused"
    took_s = max(one.answered_s for one in answers)
    from_open = latency_ms(one.answered_s for one in refused)
    from_sent = latency_ms(one.answered_s - one.sent_s for one in refused)
    return {
        "sold": len(sold),
        "refused": len(refused),
        "sold_out_s": max(one.answered_s for one in sold),
        "all_answered_s": took_s,
        "per_s": shoppers / took_s,
        **{f"refusal_from_open_{key}": value for key, value in from_open.items()},
        **{f"refusal_{key}": value for key, value in from_sent.items()},
    }


def _put_pieces(server: Server, pieces: int, ids: Ids) -> None:
    request = stock_pb2.ReceiveStockRequest(
        location_id=LOCATION, lines=[stock_pb2.StockLine(item_id=item_id(HOT), qty_milli=pieces * 1000)]
    )
    with grpc.insecure_channel(server.target) as channel:
        session: Any = channel.stream_stream("/ringup.v1.SessionService/Session")
        answers = session(iter([session_request([command(request, ids)])]), timeout=30)
        reply = session_pb2.SessionResponse.FromString(next(iter(answers))).replies[0].receive_stock
    assert reply.positions[0].free_milli == pieces * 1000, f"the pieces were not received: {reply}"


def _engine(work: Path, shoppers: int, pieces: int) -> list[Shopper]:
    ids = Ids(100)
    with engine(work / "data") as server:
        load_shop(server.target, 10, ids, stocked=False)
        _put_pieces(server, pieces, ids)
        commands = [command(sale([HOT], number), ids) for number in range(shoppers)]
        before = counters(server.target)
        answers = load_loop.run(_shoppers(server.target, commands))
        booked(server.target, before, answered=len(answers))
    found = []
    for reply, sent_s, answered_s in answers:
        answer: sale_pb2.SellResponse = session_pb2.CommandReply.FromString(reply).sell
        sold = answer.code == result_pb2.RESULT_CODE_OK
        assert sold or answer.code == result_pb2.RESULT_CODE_STOCK_INSUFFICIENT, f"refused with {answer.code}"
        found.append(Shopper(sold, sent_s, answered_s))
    return found


async def _shoppers(target: str, commands: list[bytes]) -> list[tuple[bytes, float, float]]:
    """(reply, sent, answered) of each shopper, in s since the doors opened."""
    clock = time.perf_counter
    async with AsyncClient(target, timeout_s=60) as client:
        await client.get_stats()  # connected before the doors open

        async def shopper(one: bytes) -> tuple[bytes, float, float]:
            sent_s = clock() - began_s
            reply = await client.submit_bytes(one)
            return reply, sent_s, clock() - began_s

        began_s = clock()
        return await asyncio.gather(*[shopper(one) for one in commands])


def _postgres(work: Path, shoppers: int, pieces: int) -> list[Shopper]:
    """By pgbench, whose log has the times of each call but not its answer.

    A refusal can only be answered after the last piece's sale is committed: the first so many answers are the sales.
    """
    assert shoppers % POSTGRES_CLIENTS == 0, "pgbench's clients all make the same number of calls"
    with postgres(work) as server:
        server.make_stock(10)
        with server.connect() as connection:
            connection.execute("UPDATE stock SET available = %s WHERE item_id = %s", (pieces, HOT))
        log = work / "flash"
        script = POSTGRES_ONE.format(first=HOT, last=HOT)
        server.pgbench(script, POSTGRES_CLIENTS, 0, transactions=shoppers // POSTGRES_CLIENTS, log=log)
        rows = _log_rows(log)
        with server.connect() as connection:
            left = connection.execute("SELECT available FROM stock WHERE item_id = %s", (HOT,)).fetchone()
    assert left == (0,), f"expected all {pieces} sold, found {left} left"
    return rows_to_shoppers(rows, pieces)


def _log_rows(log: Path) -> list[tuple[float, float]]:
    """(sent, answered) of each transaction in pgbench's log, in s since 1970, in the order of the answers."""
    rows = []
    for file in log.parent.glob(f"{log.name}.*"):
        for line in file.read_text().splitlines():
            _, _, took_us, _, epoch_s, epoch_us = line.split()[:6]
            answered_s = int(epoch_s) + int(epoch_us) / 1e6
            rows.append((answered_s - int(took_us) / 1e6, answered_s))
    return sorted(rows, key=lambda row: row[1])


def rows_to_shoppers(rows: list[tuple[float, float]], pieces: int) -> list[Shopper]:
    """The first `pieces` answers are sales; times count from the first call sent."""
    opened_s = min(sent_s for sent_s, _ in rows)
    return [
        Shopper(number < pieces, sent_s - opened_s, answered_s - opened_s)
        for number, (sent_s, answered_s) in enumerate(rows)
    ]


def _redis(work: Path, shoppers: int, pieces: int) -> list[Shopper]:
    with redis_server(work) as server, contextlib.closing(server.connect()) as connection:
        script = str(connection.script_load(REDIS_ONE))
        connection.set("stock:hot", pieces)
        one = resp_load.command("EVALSHA", script, "1", "stock:hot")
        answers = resp_load.shoppers(server.port, one, count=shoppers, connections=min(REDIS_CLIENTS, shoppers // 4))
        left = int(connection.get("stock:hot"))  # type: ignore[arg-type]  # bytes of a number
    assert left == 0, f"expected all {pieces} sold, found {left} left"
    return [Shopper(answer.value >= 0, answer.sent_s, answer.answered_s) for answer in answers]
