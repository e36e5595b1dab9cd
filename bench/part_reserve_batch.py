"""reserve_batch_vs_best: durable reservations in process, 1,024 a commit, beside three databases.

The engine's core and journal without a network (begin, apply, encode, one synced append; a batch executes while the
one or two before it commit), beside each peer in its own best batch form: PostgreSQL one set-based UPDATE
by one client or two, Redis a script call or a pipeline, SQLite one transaction in process.  One sync a batch for
all.  A round that is not counted comes first, for all; requests are made before the clock runs, for all that
need them.  Between rounds the engine's reservations expire, as a shop's do, outside the clock: peers, which
only lower a counter, have nothing to end.  Measures the engine room; says nothing about callers.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

from bench.costs import assert_done
from bench.floors import RawJournal
from bench.in_process import BareCore, DurableCore
from bench.measure import Bench, Chart, Skipped, interleaved, rate
from bench.peer_reserve import PLENTY, POSTGRES_BATCH, RedisBatches, SqliteStock, redis_benchmark, redis_stock
from bench.peers import postgres, redis_server
from bench.shop import Ids, Requests, holds, session_request
from bench.shop_server import READY_MB_MAX
from ringup.engine.freed_memory import keep_freed_memory
from ringup.native.memory import keep_ready

TITLE = "Reservations in batches of 1,024 a commit, beside PostgreSQL, Redis and SQLite"
BATCH = 1024
ROUNDS = 4
BATCHES_MAX = 1500  # of a round: more than any machine does in its seconds
ANSWER_BYTES_MAX = 80  # of a reservation
TTL_NS = 600_000_000_000  # of bench.shop.holds
Measures = dict[str, Callable[[], float]]


def run(bench: Bench) -> None:
    """Measure all in turn, after a round that warms all up."""
    items, count, seconds = bench.size(100_000, 500), bench.size(BATCH, 64), bench.seconds(1.5)
    keep_freed_memory()  # as the engine's process does
    keep_ready(bench.size(READY_MB_MAX, 16) << 20)  # as shop_server's engine does
    with contextlib.ExitStack() as stack:
        measures: Measures = {}
        bytes_each: dict[str, Callable[[], float]] = {}
        missing = []
        durable = DurableCore(bench.work / "journal", items, Ids(30))
        stack.callback(durable.close)
        engine = _Reserving(bench, durable, items, count, seconds)
        measures["ringup"], bytes_each["ringup"] = engine.measure, engine.bytes_each
        # The core alone, and appends of the same bytes alone: the slower of them is what the two can reach together.
        measures["floor_core"] = _Reserving(bench, BareCore(items, Ids(31)), items, count, seconds).measure
        raw = RawJournal(bench.work / "raw")
        stack.callback(raw.close)
        measures["floor_append"] = lambda: rate(
            partial(_append, raw, round(engine.bytes_each() * count), count), seconds
        )
        for peer in (_sqlite, _redis, _postgres):
            try:
                peer(bench, stack, items, count, seconds, measures, bytes_each)
            except Skipped as why:
                missing.append(str(why))
        interleaved(1, measures)
        engine.cpu_us.clear()
        found = interleaved(bench.rounds(ROUNDS), measures)
        for name, measure in bytes_each.items():
            bench.put(f"reserve_batch_{name}_bytes_each", measure())
    for name, per_s in found.items():
        bench.put(f"reserve_batch_{name}_per_s", per_s)
    # On a machine that others use, the processor time says what a quiet one would do.
    bench.put("reserve_batch_ringup_cpu_us", statistics.median(engine.cpu_us))
    bench.put("reserve_batch_ringup_begin_after_expiry_ms", engine.expiry_s * 1000)
    bench.chart(
        Chart(
            "reserve_batch", "Durable reservations, 1,024 a commit", "", "a second",
            {"": [(name, per_s) for name, per_s in found.items()]}, bars=True,
        )
    )  # fmt: skip
    for reason in missing:
        bench.note(f"A peer is missing: {reason}")
    peers = {name: per_s for name, per_s in found.items() if name != "ringup" and not name.startswith("floor")}
    if missing:
        bench.put("skipped_reserve_batch", "; ".join(missing))
    else:
        best = max(peers, key=lambda name: peers[name])
        bench.put("reserve_batch_best_is", best)
        bench.put("reserve_batch_best_per_s", peers[best])
        bench.put("reserve_batch_vs_best", found["ringup"] / peers[best])


class _Answers:
    """The answers of a round, to be checked after it, in memory that was touched before the clock ran.

    An engine sends an answer and has its memory back; to find fresh memory for each is no work of its own.
    """

    def __init__(self, size: int) -> None:
        self._bytes = memoryview(bytearray(b"-") * size)
        self._ends: list[int] = [0]

    def clear(self) -> None:
        self._ends = [0]

    def keep(self, answer: bytes) -> None:
        at = self._ends[-1]
        self._bytes[at : at + len(answer)] = answer
        self._ends.append(at + len(answer))

    def __iter__(self) -> Iterator[bytes]:
        return (bytes(self._bytes[at:end]) for at, end in pairwise(self._ends))


class _Reserving:
    """A core that reserves, with its journal or without, a round at a time."""

    def __init__(self, bench: Bench, core: BareCore, items: int, count: int, seconds: float) -> None:
        choose = random.Random(6)
        self._core, self._count, self._seconds = core, count, seconds
        self._requests = holds(
            lambda: choose.randrange(items), Ids(32 + isinstance(core, DurableCore)), different=20_000
        )
        self._batches = bench.size(BATCHES_MAX, 3)
        self._answers = _Answers(self._batches * count * ANSWER_BYTES_MAX)
        self._reserved = self._journalled_bytes = 0
        self.cpu_us: list[float] = []
        self.expiry_s = 0.0

    def measure(self) -> float:
        """Reservations a second of one round."""
        core, count = self._core, self._count
        began_s = time.perf_counter()
        core.expire(TTL_NS + 1)  # the round before: its rows are free again, as they are in a shop
        self.expiry_s = max(self.expiry_s, time.perf_counter() - began_s)
        batches = _made(self._requests, self._batches, count)
        answers = self._answers
        answers.clear()
        bytes_before = core.record_bytes
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        for batch in batches:
            answers.keep(core.apply(batch))
            if time.perf_counter() - began_s > self._seconds:
                break
        core.flush()
        took_s, took_cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        done = 0
        for answer in answers:
            assert_done(answer, count)
            done += count
        self._reserved += done
        self._journalled_bytes += core.record_bytes - bytes_before
        self.cpu_us.append(took_cpu_s / done * 1e6)
        return done / took_s

    def bytes_each(self) -> float:
        """Bytes journalled for a reservation."""
        return self._journalled_bytes / self._reserved


def _append(raw: RawJournal, record_bytes: int, count: int) -> int:
    raw.append(bytes(record_bytes))
    return count


def _made(requests: Requests, batches: int, count: int) -> list[bytes]:
    # Made before the clock runs: a client makes its own bytes.
    return [session_request([requests.command() for _ in range(count)]) for _ in range(batches)]


def _sqlite(
    bench: Bench, stack: contextlib.ExitStack, items: int, count: int, seconds: float, measures: Measures,
    bytes_each: Measures,
) -> None:  # fmt: skip
    stock = SqliteStock(bench.work / "sqlite.db", items, count)
    stack.callback(stock.close)
    measures["sqlite"] = lambda: rate(stock.step, seconds)

    def written() -> float:
        """By a batch of its own: this process writes nothing else then."""
        before = _written_bytes()
        done = sum(stock.step() for _ in range(20))
        return (_written_bytes() - before) / done

    bytes_each["sqlite"] = written


def _written_bytes() -> int:
    """Bytes that this process has given to write()."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def _redis(
    bench: Bench, stack: contextlib.ExitStack, items: int, count: int, seconds: float, measures: Measures,
    bytes_each: Measures,
) -> None:  # fmt: skip
    server = stack.enter_context(redis_server(bench.work))
    redis_stock(server, items)
    batches = RedisBatches(server, items, count)
    stack.callback(batches.close)

    def pipelined() -> float:
        """Plain DECR by redis-benchmark, a batch in each pipeline: the reply is the check, no Python in the way."""
        return redis_benchmark(
            server, bench.size(200_000, 20_000), "DECR", "stock:__rand_int__", clients=1, pipeline=count, keys=items
        )

    def appended(step: Callable[[], int]) -> float:
        with contextlib.closing(server.connect()) as connection:

            def size() -> int:
                return int(connection.info("persistence")["aof_current_size"])

            before, done = size(), step()
            return (size() - before) / done

    def one_pipeline() -> int:
        redis_benchmark(server, count, "DECR", "stock:__rand_int__", clients=1, pipeline=count, keys=items)
        return count

    measures["redis_script"], measures["redis_pipeline"] = lambda: rate(batches.step, seconds), pipelined
    bytes_each["redis_script"] = lambda: appended(batches.step)
    bytes_each["redis_pipeline"] = lambda: appended(one_pipeline)


def _postgres(
    bench: Bench, stack: contextlib.ExitStack, items: int, count: int, seconds: float, measures: Measures,
    bytes_each: Measures,
) -> None:  # fmt: skip
    server = stack.enter_context(postgres(bench.work))
    server.make_stock(items)

    def taken() -> int:
        with server.connect() as connection:
            row = connection.execute("SELECT sum(%s - available) FROM stock", (PLENTY,)).fetchone()
        assert row is not None
        return int(str(row[0]))

    def measure(clients: int) -> float:
        script, before = POSTGRES_BATCH.format(items=items, count=count, clients=clients), taken()
        found = server.pgbench(script, clients, seconds)
        done = taken() - before
        assert done == found.transactions * count, f"expected {found.transactions} x {count} pieces, found {done}"
        return found.per_s * count

    def wal_bytes() -> float:
        with server.connect() as connection:
            script = POSTGRES_BATCH.format(items=items, count=count, clients=1)
            before = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
            found = server.pgbench(script, 1, 0)
            row = connection.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", before).fetchone()
        assert row is not None
        return int(str(row[0])) / (found.transactions * count)

    measures["postgres"], measures["postgres_2_clients"] = lambda: measure(1), lambda: measure(2)
    bytes_each["postgres"] = wal_bytes
