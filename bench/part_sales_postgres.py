"""session_sales_vs_postgres: priced 10-line sales through Session, beside PostgreSQL taking 10 items' stock.

The peer's statement takes the stock of ten items and nothing else: no price, no tax, no receipt, no id.
Its load generator is pgbench with prepared statements and the client count that suits it best.
"""

from __future__ import annotations

from bench import session_load
from bench.measure import Bench, Chart, interleaved
from bench.peer_reserve import POSTGRES_SALE, best_clients
from bench.peers import postgres
from bench.shop import Ids, is_ok, sales
from bench.shop_server import booked, counters, shop_engine
from bench.unary_load import Load

TITLE = "10-line sales beside PostgreSQL taking ten items' stock in one statement"
CALLERS = 512
POSTGRES_CLIENTS = (8, 32, 64, 128)


def run(bench: Bench) -> None:
    """Measure in turn."""
    items, seconds, ids = bench.size(100_000, 500), bench.seconds(2), Ids(60)
    requests = sales(items, ids)
    with postgres(bench.work) as server, shop_engine(bench.work / "data", items, ids) as engine:
        server.make_stock(items)
        script = POSTGRES_SALE.format(items=items)
        best, tried = best_clients(server, script, seconds, POSTGRES_CLIENTS[: bench.size(4, 1)])
        for clients, per_s in tried.items():
            bench.put(f"sales_postgres_{clients}_clients_per_s", per_s)
        loads: list[Load] = []

        def sell() -> float:
            loads.append(
                session_load.closed_loop(engine.target, requests.command, is_ok, callers=CALLERS, seconds=seconds)
            )
            return loads[-1].per_s

        before = counters(engine.target)
        measures = {"ringup": sell, "postgres": lambda: server.pgbench(script, best, seconds).per_s}
        interleaved(1, measures)  # a round that is not counted: pages, caches and connections are warm in all others
        found = interleaved(bench.rounds(5), measures)
        booked(engine.target, before, answered=sum(load.answered for load in loads))
    bench.put("sales_postgres_clients", best)
    bench.put("sales_postgres_per_s", found["postgres"])
    bench.put("sales_ringup_per_s", found["ringup"])
    bench.put("session_sales_vs_postgres", found["ringup"] / found["postgres"])
    bench.chart(
        Chart("sales_postgres", "10-line sales, 512 callers", "", "a second", {"": list(found.items())}, bars=True)
    )
