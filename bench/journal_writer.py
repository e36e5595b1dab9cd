"""A journal of a wanted size, full of sales: `python -m bench.journal_writer DATA_DIR BYTES ITEMS`.

A process of its own, so that its memory is not its reader's.  Prints the sales that it wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.costs import assert_done
from bench.in_process import DurableCore
from bench.shop import Ids, sales, session_request

SALES_PER_COMMIT = 512


def write(directory: Path, size_bytes: int, items: int) -> int:
    """Sell until the journal's commands and answers have so many bytes; returns the number of sales."""
    ids = Ids(140)
    core = DurableCore(directory, items, ids)
    requests, journal_bytes, sold = sales(items, ids), 0, 0
    while journal_bytes < size_bytes:
        request = session_request([requests.command() for _ in range(SALES_PER_COMMIT)])
        replies = core.apply(request)
        assert_done(replies, SALES_PER_COMMIT)
        journal_bytes += len(request) + len(replies)
        sold += SALES_PER_COMMIT
    core.close()
    assert core.core.row_counts()["sales"] == sold, "not all sales were booked"
    return sold


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
