"""start_1m_s and memory_1m_mb: an engine with 1 M items, prices and stock positions; the curve from 1 k on.

From the start of the process (Python and its imports included) to the first answer to a query, with the
files in the page cache; resident memory after that.  The tail of the journal to replay is short, as
checkpoints keep it; against the journal's size see `growth_journal`.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from bench.measure import Bench, Chart
from bench.servers import ask_stock, engine, resident_mb
from bench.shop import STOCK_MILLI, Ids
from bench.shop_server import load_shop

TITLE = "Start and memory with 1 M items and 1 M positions"
SIZES = {"1k": 1000, "10k": 10_000, "100k": 100_000, "1m": 1_000_000}
QUICK_SIZES = {"1k": 100, "1m": 2000}
Points = list[tuple[float | str, float]]


def run(bench: Bench) -> None:
    """Fill a data directory over the wire, stop, then start it several times; each size."""
    with engine(bench.work / "empty"):
        pass  # its files are in the page cache from here on
    starts_s, memories_mb = _starts(bench, bench.work / "empty", 0)
    bench.put("start_empty_s", starts_s)
    bench.put("memory_empty_mb", memories_mb)
    seconds: Points = []
    memory: Points = []
    for name, items in (SIZES if not bench.quick else QUICK_SIZES).items():
        directory = bench.work / f"data-{name}"
        began_s = time.perf_counter()
        with engine(directory) as server:
            load_shop(server.target, items, Ids(80))
            bench.put(f"load_{name}_s", time.perf_counter() - began_s)
            bench.put(f"memory_{name}_after_load_mb", resident_mb(server.pid))
        used = sum(file.stat().st_blocks * 512 for file in directory.rglob("*"))
        bench.put(f"directory_{name}_mb", used / 1e6)
        starts_s, memories_mb = _starts(bench, directory, items)
        bench.put(f"start_{name}_s", starts_s)
        bench.put(f"memory_{name}_mb", memories_mb)
        seconds.append((items, starts_s))
        memory.append((items, memories_mb))
    bench.growth("start_items", seconds)
    bench.growth("memory_items", memory)
    bench.chart(Chart("start", "Start to the first answer", "items and positions", "s", {"": seconds}, log_x=True))
    bench.chart(Chart("memory", "Resident memory after it", "items and positions", "MB", {"": memory}, log_x=True))


def _starts(bench: Bench, directory: Path, items: int) -> tuple[float, float]:
    """Median seconds to the first answer and MB after it; the stock of the last item must be there."""
    starts_s, memories_mb = [], []
    for _ in range(bench.rounds(3)):
        began_s = time.perf_counter()
        with engine(directory) as server:
            if items:
                found = ask_stock(server, items - 1)
                assert found == STOCK_MILLI, f"expected {STOCK_MILLI} on hand, found {found}"
            starts_s.append(time.perf_counter() - began_s)
            memories_mb.append(resident_mb(server.pid))
    return statistics.median(starts_s), statistics.median(memories_mb)
