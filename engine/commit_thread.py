"""The thread that makes batches durable.

A hand-over costs two wake-ups and nothing else: with an executor, its futures, locks and callbacks would
come to each commit, which is to each sale of an engine that is not busy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

Work = TypeVar("Work")


class CommitThread(Generic[Work]):
    """Does one piece of work after the other, each as soon as it is handed over."""

    def __init__(self, do: Callable[[Work], int], ended: Callable[[Work, BaseException | None, int], None]) -> None:
        """`ended` is called in the thread, with what `do` raised or returned."""
        self._do, self._ended = do, ended
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    def hand_over(self, work: Work) -> None:
        """Have it done."""
        self._work.put(work)

    def stop(self) -> None:
        """Wait until all is done that was handed over."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                result = self._do(work)
            except BaseException as error:  # whatever it is, the one who waits must hear of it
                self._ended(work, error, 0)
            else:
                self._ended(work, None, result)
