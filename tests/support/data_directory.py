"""A data directory with a small shop's history in it, written without an engine process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal
from ringup.engine.record import GENESIS, encode
from ringup.native.core import Core
from ringup.v1 import sale_pb2
from support.core import CoreHarness, cash, line, small_shop


@dataclass(frozen=True)
class Written:
    """What `write_directory` wrote."""

    path: Path
    last_sequence: int
    digest: str  # of the state, hexadecimal
    chain: bytes  # digest of the last record
    rows: dict[str, int]


def history(sales: int) -> CoreHarness:
    """The small shop after so many sales of one batch each, a second apart."""
    shop = small_shop(shortfall_allowed=True)
    for number in range(sales):
        shop.now_ns += 1_000_000_000
        answer = shop.send(
            sale_pb2.SellRequest(
                till_id="T1" if number % 3 else "T2", lines=[line("milk"), line("bread", 2)], tenders=[cash(10_00)]
            )
        )
        assert answer.code == 1, answer
    return shop


def write_directory(
    path: Path,
    sales: int = 20,
    *,
    checkpoint_at: int | None = None,
    shop: CoreHarness | None = None,
    layout: str = "",
    answered: Callable[[int, bytes], bytes] = lambda sequence, replies: replies,
) -> Written:
    """Write the history to `path`; its checkpoint stands for batch `checkpoint_at`, by default the middle one.

    `layout` says what version wrote it, this one by default, and `answered` what that one answered.
    """
    shop = shop or history(sales)
    last = len(shop.journal)
    checkpoint_at = last // 2 if checkpoint_at is None else checkpoint_at
    journal, store = LmdbJournal(path / "journal"), CheckpointStore(path / "checkpoint")
    journal.acquire()
    core, digest = Core(), GENESIS
    for sequence, now_ns, commands, replies in shop.journal:
        core.begin(sequence, now_ns)
        for data in commands:
            core.apply(data)
        replies = [answered(sequence, one) for one in replies]
        events = core.end()
        record, digest = encode(
            sequence, now_ns, layout or core.layout(), commands, replies, digest, events, core.event_sequence
        )
        journal.append(sequence, record)
        if sequence == checkpoint_at:
            meta = {
                "sequence": sequence,
                "digest": digest.hex(),
                "layout": layout or core.layout(),
                "counts": core.row_counts(),
            }
            pages = core.checkpoint()
            store.write(meta, pages, fresh=True)
            pages.done()
    journal.close()
    store.close()
    return Written(path, last, core.digest().hex(), digest, core.row_counts())
