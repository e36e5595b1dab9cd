"""An in-process wire with a hook that may change, delay, split or lose the bytes, both ways.

    wire = MemoryWire(manipulate=lambda direction, data: [data[:3]])   # half a frame
    device = Device("printer", wire.host)
    simulator.attach(wire.peer)

The hook gets each write once and returns the chunks the other side will read, one chunk a read:
`[]` loses the write, `[b"\\x1b", b"@"]` splits it, `None` passes it unchanged.  Raising
TransportClosed from the hook drops the link under both ends.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal

from ringup.drivers.transport.base import Transport, TransportClosed, TransportError, TransportTimeout, remaining_s

Direction = Literal["to_peer", "to_host"]
Manipulate = Callable[[Direction, bytes], Iterable[bytes] | None]


class MemoryEnd(Transport):
    """One end of a MemoryWire.  `size_max` bytes unread at the other end make `write` wait."""

    def __init__(self, wire: MemoryWire, name: str, direction: Direction) -> None:
        self.name = name
        self._wire = wire
        self._direction = direction
        self._chunks: deque[bytes] = deque()  # to be read at this end
        self._size = 0
        self._open = False
        self._woken = False

    @property
    def is_open(self) -> bool:
        return self._open

    def open(self, deadline_ns: int) -> None:
        wire = self._wire
        with wire.changed:
            if not wire.is_plugged:
                raise TransportError(f"{self.name}: expected a device on the wire, found it unplugged; plug it in")
            # As with TCP, the device listens first; what is written before it does would be lost.
            while self is wire.host and not wire.peer._open:
                wait_s = remaining_s(deadline_ns)
                if wait_s == 0:
                    raise TransportError(f"{self.name}: expected a device at the other end, found none; start it")
                wire.changed.wait(wait_s)
            self._chunks.clear()
            self._size = 0
            self._open = True
            self._wire.changed.notify_all()

    def close(self) -> None:
        if self._open:
            self._wire.drop()

    def wake(self) -> None:
        with self._wire.changed:
            self._woken = True
            self._wire.changed.notify_all()

    def _check_open(self) -> None:
        if not self._open:
            raise TransportClosed(f"{self.name}: the link is gone (unplugged or closed); open it again")

    def read(self, size_max: int, deadline_ns: int) -> bytes:
        wire = self._wire
        with wire.changed:
            while True:
                self._check_open()
                if self._chunks:
                    chunk = self._chunks.popleft()
                    if len(chunk) > size_max:
                        self._chunks.appendleft(chunk[size_max:])
                        chunk = chunk[:size_max]
                    self._size -= len(chunk)
                    wire.changed.notify_all()
                    return chunk
                if self._woken:
                    self._woken = False
                    return b""
                wait_s = remaining_s(deadline_ns)
                if wait_s == 0:
                    return b""
                wire.changed.wait(wait_s)

    def write(self, data: bytes, deadline_ns: int) -> None:
        self._check_open()
        if not data:
            return
        try:
            chunks = None if self._wire.manipulate is None else self._wire.manipulate(self._direction, data)
        except TransportClosed:
            self._wire.drop()
            raise
        other = self._wire.peer if self is self._wire.host else self._wire.host
        with self._wire.changed:
            for chunk in (data,) if chunks is None else chunks:
                while self._open and other._size >= self._wire.size_max:
                    wait_s = remaining_s(deadline_ns)
                    if wait_s == 0:
                        raise TransportTimeout(f"{self.name}: expected the other end to read, found it stopped")
                    self._wire.changed.wait(wait_s)
                self._check_open()
                if chunk and other._open:
                    other._chunks.append(chunk)
                    other._size += len(chunk)
                    self._wire.changed.notify_all()


class MemoryWire:
    """Two ends, `host` (the till) and `peer` (the device), and the hook between them."""

    def __init__(self, name: str = "wire", *, manipulate: Manipulate | None = None, size_max: int = 1 << 20) -> None:
        self.changed = threading.Condition()
        self.manipulate = manipulate
        self.size_max = size_max
        self.is_plugged = True
        self.host = MemoryEnd(self, f"memory:{name}", "to_peer")
        self.peer = MemoryEnd(self, f"memory:{name}#device", "to_host")

    def drop(self) -> None:
        """Break the link under both ends; both may open it again."""
        with self.changed:
            self.host._open = self.peer._open = False
            self.changed.notify_all()

    def unplug(self) -> None:
        """Break the link and refuse to open it until `plug`."""
        self.is_plugged = False
        self.drop()

    def plug(self) -> None:
        """Let the ends open the link again."""
        self.is_plugged = True


_WIRES: dict[str, MemoryWire] = {}


def named_wire(name: str) -> MemoryWire:
    """The wire of that name, made at first use: `port = "memory:till-1"` in a device file."""
    return _WIRES.setdefault(name, MemoryWire(name))
