"""`ringup serve` with what only a test may change; run as a script.

--checkpoint-commands makes checkpoints frequent, so that faults meet them.  The other two are the
controls that show what a protection is for: --no-sync opens LMDB without its syncs, and
--deaf goes on after a failed commit as if nothing had been.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from pathlib import Path

import lmdb
import structlog

from ringup.engine import lmdb_store
from ringup.engine.journal import JournalError
from ringup.engine.record import DamagedRecord
from ringup.engine.serve import serve

ENTRY = (str(Path(__file__).resolve()),)


def main() -> int:
    """Serve until told to stop; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--checkpoint-commands", type=int, default=100_000)
    parser.add_argument("--no-sync", action="store_true")
    parser.add_argument("--deaf", action="store_true")
    args = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    if args.no_sync:
        lmdb_store.lmdb.open = functools.partial(lmdb.open, sync=False)  # type: ignore[assignment]
        lmdb_store.LmdbJournal.settle = lambda self: None  # type: ignore[method-assign]
    if args.deaf:
        honest = lmdb_store.LmdbJournal.append

        def append(self: lmdb_store.LmdbJournal, sequence: int, *records: bytes | bytearray) -> None:
            with contextlib.suppress(JournalError):
                honest(self, sequence, *records)

        lmdb_store.LmdbJournal.append = append  # type: ignore[method-assign]
    try:
        return serve(
            args.data_dir,
            args.listen,
            checkpoint_bytes=64 << 20,
            checkpoint_commands=args.checkpoint_commands,
            memory_ready_mb=0,
        )
    except (JournalError, DamagedRecord, OSError) as error:
        print(f"ringup: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
