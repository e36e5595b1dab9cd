"""The same reservation on each peer: take one piece of an item where one is available, in the peer's best form.

A peer only lowers a counter; the engine also keeps the hold with its deadline, its id and its answer.
"""

from __future__ import annotations

import random
import re
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from bench.peers import SQLITE_SETTINGS, Postgres, Redis

PLENTY = 1_000_000_000
# Set-based: 1,024 ids drawn in the server, so that its client costs nothing at all.  Of several clients each takes a
# range of its own, so that none waits for another's rows.
POSTGRES_BATCH = """
UPDATE stock s SET available = available - w.n
FROM (
  SELECT 1 + ({items} / {clients}) * :client_id + floor(random() * ({items} / {clients}))::int AS item_id, count(*) AS n
  FROM generate_series(1, {count}) GROUP BY 1
) w
WHERE s.item_id = w.item_id AND s.available >= w.n;
"""
POSTGRES_ONE = """
\\set item random({first}, {last})
UPDATE stock SET available = available - 1 WHERE item_id = :item AND available >= 1;
"""
# Ranks by Zipf's law (1.001 is the least exponent that pgbench takes), spread over the table by a permutation.
POSTGRES_ZIPF = """
\\set rank random_zipfian(1, {last}, {exponent})
\\set item permute(:rank - 1, {last}) + 1
UPDATE stock SET available = available - 1 WHERE item_id = :item AND available >= 1;
"""
POSTGRES_SALE = (
    "".join(f"\\set i{n} random(1, {{items}})\n" for n in range(10))
    + "UPDATE stock SET available = available - 1 WHERE item_id IN ("
    + ", ".join(f":i{n}" for n in range(10))
    + ") AND available >= 1;\n"
)
REDIS_ONE = """
local left = redis.call('DECRBY', KEYS[1], 1)
if left >= 0 then return left end
redis.call('INCRBY', KEYS[1], 1)
return -1
"""
REDIS_BATCH = """
local taken = 0
for _, key in ipairs(KEYS) do
  if redis.call('DECRBY', key, 1) >= 0 then taken = taken + 1 else redis.call('INCRBY', key, 1) end
end
return taken
"""


def redis_stock(server: Redis, items: int) -> None:
    """stock:000000000000 and so on, as redis-benchmark writes its random numbers; plenty of each."""
    with server.connect() as connection:
        for start in range(0, items, 10_000):
            with connection.pipeline(transaction=False) as pipe:
                for index in range(start, min(items, start + 10_000)):
                    pipe.set(f"stock:{index:012}", PLENTY)
                pipe.execute()


def redis_taken(server: Redis, items: int) -> int:
    """Pieces taken so far."""
    with server.connect() as connection:
        values: Any = connection.mget([f"stock:{index:012}" for index in range(items)])
    return sum(PLENTY - int(value) for value in values)


def redis_benchmark(server: Redis, requests: int, *arguments: str, clients: int, pipeline: int = 1, keys: int) -> float:
    """Commands a second by Redis' own load generator; `__rand_int__` in an argument is a random key.

    It counts whole milliseconds: a run of less than one has the rate inf.
    """
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(server.port), "-c", str(clients), "-n", str(requests)]
    command += ["-P", str(pipeline), "-r", str(keys), "--csv", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    rows = [line for line in done.stdout.splitlines() if line.startswith('"') and not line.startswith('"test"')]
    found = re.match(r'"[^"]*","([\d.]+|inf)"', rows[-1]) if rows else None
    if done.returncode or not found:
        raise RuntimeError(f"redis-benchmark: expected its table, found: {done.stdout[-300:]} {done.stderr[-300:]}")
    return float(found[1])


class RedisBatches:
    """One script call takes `count` pieces; with appendfsync always it is one append and one sync."""

    def __init__(self, server: Redis, items: int, count: int) -> None:
        self._connection = server.connect()
        self._script: Any = self._connection.script_load(REDIS_BATCH)
        choose = random.Random(7)
        self._batches = [[f"stock:{choose.randrange(items):012}" for _ in range(count)] for _ in range(50)]
        self._count = count
        self._next = 0

    def step(self) -> int:
        """One batch; every piece must have been taken."""
        self._next += 1
        batch = self._batches[self._next % len(self._batches)]
        taken: Any = self._connection.evalsha(self._script, self._count, *batch)
        assert taken == self._count, f"expected {self._count} pieces, found {taken}"
        return self._count

    def close(self) -> None:
        """Release it."""
        self._connection.close()


class SqliteStock:
    """SQLite in process: WAL, synchronous FULL, `count` updates a transaction."""

    def __init__(self, path: Path, items: int, count: int) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for name, value in SQLITE_SETTINGS.items():
            self._connection.execute(f"PRAGMA {name} = {value}")
        self._connection.execute("CREATE TABLE stock (item_id INTEGER PRIMARY KEY, available INTEGER NOT NULL)")
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT INTO stock VALUES (?, ?)", ((n, PLENTY) for n in range(items)))
        self._connection.execute("COMMIT")
        choose = random.Random(8)
        # In order within a batch: neighbours share a page.
        self._batches = [sorted((choose.randrange(items),) for _ in range(count)) for _ in range(50)]
        self._next = 0

    def step(self) -> int:
        """One transaction; every piece must have been taken."""
        self._next += 1
        batch = self._batches[self._next % len(self._batches)]
        self._connection.execute("BEGIN IMMEDIATE")
        done = self._connection.executemany(
            "UPDATE stock SET available = available - 1 WHERE item_id = ? AND available >= 1", batch
        )
        self._connection.execute("COMMIT")
        assert done.rowcount == len(batch), f"expected {len(batch)} updates, found {done.rowcount}"
        return len(batch)

    def close(self) -> None:
        """Release it."""
        self._connection.close()


def best_clients(
    server: Postgres, script: str, seconds: float, counts: tuple[int, ...]
) -> tuple[int, dict[int, float]]:
    """(the client count with which PostgreSQL does most, what it did with each)."""
    found = {clients: server.pgbench(script, clients, seconds).per_s for clients in counts}
    return max(found, key=lambda clients: found[clients]), found
