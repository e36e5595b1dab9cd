"""Wake-ups at a fixed rate, exact to some 0.05 ms.

An event loop's own timers count in whole milliseconds, rounded up: calls that are due every 0.5 ms would go out in
bunches, late by up to 2 ms, and a server's latency would have the load's own lateness in it.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from types import TracebackType

_libc = ctypes.CDLL(None, use_errno=True)
_CLOCK_MONOTONIC = 1
TICKS_PER_S_MAX = 4000


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Interval(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("first", _Timespec))


class Ticks:
    """A timer of the system (timerfd_create(2)) on the running event loop; for an `async with` block.

    It ticks `per_s` times a second, but not more often than TICKS_PER_S_MAX: a tick costs the load, too.
    """

    def __init__(self, per_s: float) -> None:
        period_ns = max(1, round(1e9 / min(per_s, TICKS_PER_S_MAX)))
        self._period = _Timespec(*divmod(period_ns, 1_000_000_000))
        self._waiting: asyncio.Future[None] | None = None
        self._is_due = False

    async def __aenter__(self) -> Ticks:
        self._file = _libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0 or _libc.timerfd_settime(
            self._file, 0, ctypes.byref(_Interval(self._period, self._period)), None
        ):
            raise OSError(ctypes.get_errno(), "expected a timer of the system, found none")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._file, self._tick)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.remove_reader(self._file)
        os.close(self._file)

    def _tick(self) -> None:
        os.read(self._file, 8)  # how many: the caller knows better, by the clock
        self._is_due = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def next(self) -> None:
        """Wait for the next tick; ticks that nobody waited for are one."""
        if not self._is_due:
            self._waiting = self._loop.create_future()
            await self._waiting
        self._is_due = False
