"""Cores that remember what they were given, and the fold of movements beside them."""

from __future__ import annotations

from typing import Any

from ringup.engine.movements import Movements
from ringup.engine.record import Record
from ringup.engine.simulate_embedded import EmbeddedEngine
from ringup.engine.verify_counters import compare
from ringup.native.core import Core


class RememberingCore(Core):
    """A core that keeps the batches which were not taken from it yet."""

    def __init__(self) -> None:
        self.open: Record | None = None
        self.done: list[Record] = []

    def begin(self, sequence: int, now_ns: int) -> None:
        super().begin(sequence, now_ns)
        self.take_open()
        self.open = Record(self.sequence, self.now_ns, "", b"", b"", b"")

    def apply(self, request: Any, *, recorded: bool = False) -> Any:
        answered = super().apply(request, recorded=recorded)
        assert self.open is not None
        if answered[1]:
            self.open = Record(
                self.open.sequence,
                self.open.now_ns,
                "",
                self.open.commands + bytes(request),
                self.open.replies + answered[0],
                b"",
            )
        return answered

    def take_open(self) -> None:
        if self.open is not None:
            self.done.append(self.open)
            self.open = None


class FoldedEngine(EmbeddedEngine):
    """An embedded engine whose every batch is also folded by movements alone."""

    def __init__(self) -> None:
        super().__init__()
        self.core: RememberingCore = RememberingCore()
        self.movements = Movements()

    def parted(self) -> list[str]:
        """Fold what has happened since the last call; what differs from the core's own counters then."""
        self.core.take_open()
        for record in self.core.done:
            self.movements.take(record)
        self.core.done.clear()
        return self.movements.problems + [str(one) for one in compare(self.core, self.movements)[1]]
