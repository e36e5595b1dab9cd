"""What every transport promises, and the pause between two attempts to open one.

A transport carries bytes and nothing else.  Every wait has a deadline: a moment of
time.monotonic_ns(), so that one deadline covers a whole exchange however many reads it takes.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod


class TransportError(OSError):
    """The link failed.  The message says what was expected, what was found and what to do."""


class TransportClosed(TransportError):
    """The link is gone (closed here, dropped by the other side, cable pulled): open it again."""


class TransportTimeout(TransportError):
    """Not all bytes were accepted before the deadline; how many were is in `written_size`."""

    def __init__(self, message: str, written_size: int = 0) -> None:
        super().__init__(message)
        self.written_size = written_size


def deadline_in(timeout_s: float) -> int:
    """The moment `timeout_s` seconds from now, on the clock that deadlines use."""
    return time.monotonic_ns() + int(timeout_s * 1_000_000_000)


def remaining_s(deadline_ns: int) -> float:
    """Seconds until the deadline, never below zero."""
    return max(0.0, (deadline_ns - time.monotonic_ns()) / 1_000_000_000)


class Transport(ABC):
    """Bytes both ways.  One thread owns it; `wake` alone may be called from any thread.

    `name` is what a person would write in the device file (`tcp://10.0.0.7:9100`).
    """

    name: str

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """True between a successful `open` and `close` or the first TransportClosed."""

    @abstractmethod
    def open(self, deadline_ns: int) -> None:
        """Open the link and forget bytes of an earlier one.  Raises TransportError."""

    @abstractmethod
    def close(self) -> None:
        """Close the link; never raises, may be called twice."""

    @abstractmethod
    def read(self, size_max: int, deadline_ns: int) -> bytes:
        """Return what has arrived, at least one byte, or b"" at the deadline or when woken.

        Raises TransportClosed when the link is gone.
        """

    @abstractmethod
    def write(self, data: bytes, deadline_ns: int) -> None:
        """Hand over all of `data`.

        Returning proves nothing about the device: kernels take megabytes for a dead printer.
        Raises TransportTimeout (some bytes may have gone) or TransportClosed.
        """

    @abstractmethod
    def wake(self) -> None:
        """End a `read` that is waiting, or the next one, from any thread."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {'open' if self.is_open else 'closed'}>"


class Backoff:
    """Pauses between attempts: `first_s`, doubling up to `last_s`, back to the first after a success."""

    def __init__(self, first_s: float = 0.1, last_s: float = 5.0) -> None:
        if not 0 < first_s <= last_s:
            raise ValueError(f"expected 0 < first_s <= last_s, found {first_s} and {last_s}")
        self._first_s = first_s
        self._last_s = last_s
        self._next_s = first_s

    def pause_s(self) -> float:
        """The pause to make now; the next one is twice as long."""
        pause_s = self._next_s
        self._next_s = min(self._last_s, pause_s * 2)
        return pause_s

    def reset(self) -> None:
        """The link works: start from the short pause again."""
        self._next_s = self._first_s
