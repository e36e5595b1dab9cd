"""A job: one thing that a device was asked to do, and how far it came.

    queued -> sent -> confirmed        a reply of the device proves it
                   -> failed           with the reason, or
                   -> unproved         only for devices that cannot answer at all (a pole display)
    queued -> failed                   it never left this machine

A job ends once.  What ended stays ended, whatever arrives later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Generic, TypeVar

Result = TypeVar("Result")


class JobState(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    CONFIRMED = "confirmed"
    UNPROVED = "unproved"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        return self in (JobState.CONFIRMED, JobState.UNPROVED, JobState.FAILED)


class JobFailed(Exception):
    """The device could not do it; the message says what was expected, found, and what to do."""


class JobRetry(Exception):
    """Try the job again when the device is ready: it takes no further part in this attempt.

    Raised by a device whose job may safely run again (a receipt, then marked as a copy).  With
    `is_link_lost` the link is opened anew first.
    """

    def __init__(self, reason: str, *, is_link_lost: bool = False) -> None:
        super().__init__(reason)
        self.is_link_lost = is_link_lost


class Job(Generic[Result]):
    """A handle that any thread may hold; only the device's owner thread moves it on.

    `run` is called on the owner thread, as often as `attempts` says.  `deadline_ns` is when the
    caller gives up; a job that has not ended by then fails.
    """

    def __init__(
        self,
        job_id: int,
        kind: str,
        run: Callable[[Job[Result]], Result],
        deadline_ns: int,
        *,
        needs_ready: bool = True,
    ) -> None:
        self.id = job_id
        self.kind = kind
        self.run = run
        self.deadline_ns = deadline_ns
        self.needs_ready = needs_ready
        self.attempts = 0
        self.error: str | None = None
        self._state = JobState.QUEUED
        self._result: Result | None = None
        self._done = threading.Event()
        self._on_done: list[Callable[[Job[Result]], None]] = []
        self._lock = threading.Lock()

    @property
    def state(self) -> JobState:
        return self._state

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def wait(self, timeout_s: float | None = None) -> JobState:
        """Wait for the end; returns the state, which is not final if the wait timed out."""
        self._done.wait(timeout_s)
        return self._state

    def result(self, timeout_s: float | None = None) -> Result:
        """The result of a confirmed or unproved job.  Raises JobFailed, or TimeoutError while it runs."""
        if not self._done.wait(timeout_s):
            raise TimeoutError(f"job {self.id} ({self.kind}) is still {self._state}; wait longer or look at the device")
        if self._state is JobState.FAILED:
            raise JobFailed(self.error or "failed")
        return self._result  # type: ignore[return-value]  # set before _done by finish()

    def when_done(self, callback: Callable[[Job[Result]], None]) -> None:
        """Call `callback(job)` once at the end, on the owner thread; at once if it has ended."""
        with self._lock:
            if not self._done.is_set():
                self._on_done.append(callback)
                return
        callback(self)

    # What follows is for the device alone.

    def mark_sent(self) -> None:
        if self._state is JobState.QUEUED:
            self._state = JobState.SENT

    def finish(self, state: JobState, result: Result | None = None, error: str | None = None) -> bool:
        """End the job; False if it had ended before (then nothing changes)."""
        assert state.is_final
        with self._lock:
            if self._state.is_final:
                return False
            self._result = result
            self.error = error
            self._state = state
            self._done.set()
            callbacks = tuple(self._on_done)
            self._on_done.clear()
        for callback in callbacks:
            callback(self)
        return True

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.kind} {self._state}{f': {self.error}' if self.error else ''}>"
