"""Sales at a fixed rate through the client library's Session stream: latency against load, up to saturation and past.

As `load_unary`, with `ringup.clients` as a shop uses it: commands that are due are handed to one client, which
batches by itself, and each is given up a second after it was due.  The client turns away what it cannot get
answered in time; the engine must not have booked any of that.
"""

from __future__ import annotations

from bench import session_load
from bench.measure import Bench
from bench.open_curve import curve, overload
from bench.shop import Ids, is_ok, sales
from bench.shop_server import booked, counters, shop_engine
from bench.unary_load import Load

TITLE = "Session sales at a fixed rate: latency against load, and twice the load that it can carry"
GUESS_CALLERS = 512


def run(bench: Bench) -> None:
    """A first guess, the curve, then twice the load and after it."""
    ids, items = Ids(95), bench.size(100_000, 200)
    requests = sales(items, ids)
    with shop_engine(bench.work / "data", items, ids) as engine:
        before = counters(engine.target)
        guess = session_load.closed_loop(
            engine.target, requests.command, is_ok, callers=bench.size(GUESS_CALLERS, 8), seconds=bench.seconds(2)
        )
        loads = [guess]

        def drive(per_s: float, seconds: float) -> Load:
            load = session_load.open_loop(engine.target, requests.command, is_ok, per_s=per_s, seconds=seconds)
            loads.append(load)
            return load

        bench.put("load_session_closed_loop_per_s", guess.per_s)
        found = curve(bench, "load_session", "Session sales", drive, guess.per_s)
        overload(bench, "overload_session", drive, found)
        booked(
            engine.target, before,
            answered=sum(one.answered for one in loads), unanswered=sum(one.unanswered for one in loads),
        )  # fmt: skip
