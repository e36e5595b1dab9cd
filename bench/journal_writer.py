"""A journal that grows to a wanted size, full of sales: `python -m bench.journal_writer DATA_DIR BYTES ITEMS`.

A process of its own, so that its memory is not its reader's.  Goes on with the journal of a data directory where there
is one, as a start does.  Prints the sales that are in it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.costs import assert_done
from bench.in_process import DurableCore
from bench.shop import Ids, sales, session_request

SALES_PER_COMMIT = 2048


def write(directory: Path, size_bytes: int, items: int) -> int:
    """Sell until the journal's file has so many bytes; returns the number of sales in it."""
    core = DurableCore(directory / "journal", items, Ids(140), checkpoint=directory / "checkpoint")
    before = core.core.row_counts()["sales"]
    requests, sold = sales(items, Ids(141 + before)), 0
    while core.journal.health()["journal_used_bytes"] < size_bytes:
        request = session_request([requests.command() for _ in range(SALES_PER_COMMIT)])
        assert_done(core.apply(request), SALES_PER_COMMIT)
        sold += SALES_PER_COMMIT
    core.close()
    booked = core.core.row_counts()["sales"]
    assert booked == before + sold, "not all sales were booked"
    return booked


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
