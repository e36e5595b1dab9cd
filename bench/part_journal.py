"""journal_vs_lmdb: bytes journalled a second, beside raw LMDB appends of the same sizes with sync.

The engine's way of a batch to the disk (join, SHA-256 link, fenced append) without core and network, for
batches as they come: a few sales, 64 sales, 1,024 reservations.  The figure is that of 64 sales.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.floors import RawJournal
from bench.in_process import BareCore
from bench.measure import Bench, Chart, interleaved, rate
from bench.shop import Ids, holds, sales, session_request
from ringup.engine.lmdb_store import LmdbJournal
from ringup.engine.record import GENESIS, encode

TITLE = "The journal beside raw LMDB appends of the same sizes"
KEY_SIZE = "64_sales"


class _Journal:
    """Appends the same batch again and again, as record 1, 2, 3 ... of one chain."""

    def __init__(self, path: object, commands: bytes, replies: bytes) -> None:
        self._journal = LmdbJournal(path)  # type: ignore[arg-type]  # a Path
        self._journal.acquire()
        self._commands, self._replies = commands, replies
        self._digest, self._sequence = GENESIS, 0

    def step(self) -> int:
        """One batch; returns the record's bytes."""
        self._sequence += 1
        record, self._digest = encode(self._sequence, 1, "layout", [self._commands], [self._replies], self._digest)
        self._journal.append(self._sequence, record)
        return len(record)

    def close(self) -> None:
        """Check that all is there, and release it."""
        assert self._journal.last_sequence() == self._sequence
        self._journal.close()


def run(bench: Bench) -> None:
    """Measure each size in turn."""
    ids, seconds = Ids(70), bench.seconds(1.5)
    core = BareCore(2000, ids)
    selling, holding = sales(2000, ids), holds(lambda: 5, ids)
    sizes = {
        "4_sales": [selling.command() for _ in range(4)],
        KEY_SIZE: [selling.command() for _ in range(64)],
        "1024_holds": [holding.command() for _ in range(1024)],
    }
    shares: list[tuple[float | str, float]] = []
    for name, commands in sizes.items():
        request = session_request(commands)
        replies = core.apply(request)
        journal = _Journal(bench.work / name, request, replies)
        raw, record = RawJournal(bench.work / f"raw-{name}"), b"\x5a" * (len(request) + len(replies) + 100)

        def append(raw: RawJournal = raw, record: bytes = record) -> int:
            raw.append(record)
            return len(record)

        measures: dict[str, Callable[[], float]] = {
            "journal": lambda journal=journal: rate(journal.step, seconds),  # type: ignore[misc]  # bound now
            "raw": lambda append=append: rate(append, seconds),  # type: ignore[misc]
        }
        found = interleaved(bench.rounds(5), measures)
        journal.close()
        raw.close()
        bench.put(f"journal_{name}_bytes", len(record))
        bench.put(f"journal_{name}_mb_per_s", found["journal"] / 1e6)
        bench.put(f"journal_{name}_raw_mb_per_s", found["raw"] / 1e6)
        bench.put(f"journal_{name}_vs_lmdb", found["journal"] / found["raw"])
        shares.append((name, found["journal"] / found["raw"]))
        if name == KEY_SIZE:
            bench.put("journal_vs_lmdb", found["journal"] / found["raw"])
    bench.chart(Chart("journal", "Journal over raw LMDB", "batch", "ratio", {"": shares}, bars=True))
