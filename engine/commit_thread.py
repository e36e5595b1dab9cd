"""The thread that makes batches durable.

A hand-over costs two wake-ups and nothing else: with an executor, its futures, locks and callbacks would
come to each commit, which is to each sale of an engine that is not busy.  What is handed over while it is at work
costs none: it is taken up without anybody being asked, all of it at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

Work = TypeVar("Work")


class CommitThread(Generic[Work]):
    """Does what is handed over, in its order, as soon as it can."""

    def __init__(
        self,
        do: Callable[[list[Work]], None],
        ended: Callable[[list[Work], BaseException | None], None],
        *,
        together_max: int = 1,
    ) -> None:
        """`do` is called in the thread with what waits, at most so many; `ended` is, with what it raised.

        After an error nothing more is done, and nothing told: what comes later builds on what failed.
        """
        self._do, self._ended, self._together_max = do, ended, together_max
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
        work = self._work
        # This thread alone takes out, so what is not empty stays so.
        while (first := work.get()) is not None:
            works = [first]
            is_last = False
            while len(works) < self._together_max and not work.empty():
                more = work.get()
                if more is None:
                    is_last = True
                    break
                works.append(more)
            try:
                self._do(works)
            except BaseException as error:  # whatever it is, the one who waits must hear of it
                self._ended(works, error)
                return
            self._ended(works, None)
            if is_last:
                return
