"""The event loop of a gRPC server: one wake-up for all that gRPC has for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, TypeVarTuple

WAKE_UPS_MAX = 4096  # taken by one look
_Arguments = TypeVarTuple("_Arguments")
_READER_OF_GRPC = "PollerCompletionQueue._handle_events"


class _WakeUps(socket.socket):
    """The end of grpcio's pair of sockets that the loop watches: gRPC's thread puts a byte in for each event.

    grpcio reads one byte, then takes all events that are there.  The bytes of the others would wake the loop again,
    each for nothing: a pass of the loop and two calls of the system.  An event is there before its byte is, so that all
    whose bytes are read together are taken.
    """

    __slots__ = ()

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """All bytes that are there, whatever `size` says."""
        return super().recv(max(size, WAKE_UPS_MAX), flags)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's event loop with grpcio's wake-ups taken together; asyncio's own where there is no uvloop.

    A grpcio that wakes the loop otherwise gets uvloop's loop as it is.
    """
    try:
        import uvloop
    except ImportError:  # not made for this system; the engine is the same, only slower
        return asyncio.new_event_loop()

    class Loop(uvloop.Loop):
        def add_reader(self, fd: Any, callback: Callable[[*_Arguments], Any], *args: *_Arguments) -> None:
            reader = getattr(callback, "func", callback)  # grpcio's is a partial
            if type(fd) is socket.socket and getattr(reader, "__qualname__", "") == _READER_OF_GRPC:
                fd.__class__ = _WakeUps
            super().add_reader(fd, callback, *args)

    return Loop()
