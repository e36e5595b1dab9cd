"""Orders that wait for nothing, kept out of memory while all of a journal is folded.

What was shipped may come back years later, so every order is remembered for good: in memory a busy shop's orders of
a year would be gigabytes.  SQLite's own temporary database holds them: it is made with the first order that settles,
lives in a small cache as long as it can and in a nameless file of the folder for temporary files when it cannot, and
ends with the process, however it ends.
"""

from __future__ import annotations

import sqlite3

CACHE_KIB = 8192


class SettledOrders:
    """Bytes by order, each written again whenever its order settles again."""

    def __init__(self) -> None:
        self._database: sqlite3.Connection | None = None

    def put(self, order_id: str, packed: bytes) -> None:
        """Keep an order, instead of what was kept of it before."""
        if self._database is None:
            self._database = sqlite3.connect("", isolation_level=None)
            self._database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._database.execute("PRAGMA journal_mode = OFF")
            self._database.execute("CREATE TABLE orders (id TEXT PRIMARY KEY, packed BLOB) WITHOUT ROWID")
            self._database.execute("BEGIN")  # one transaction for good: there is nothing to go back to
        self._database.execute("INSERT OR REPLACE INTO orders VALUES (?, ?)", (order_id, packed))

    def get(self, order_id: str) -> bytes | None:
        """An order as it was kept, or None."""
        if self._database is None:
            return None
        found = self._database.execute("SELECT packed FROM orders WHERE id = ?", (order_id,)).fetchone()
        return None if found is None else bytes(found[0])
