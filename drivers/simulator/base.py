"""A simulated device: bytes in, bytes out, served over TCP, a pty or an in-process wire.

printer = PrinterSimulator()
server = Server(printer)
port = server.serve_tcp()          # 127.0.0.1, any free port
path = server.serve_pty()          # /dev/pts/7
server.attach(wire.peer)           # in process
...
server.close()
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from difflib import get_close_matches
from typing import Literal

from ringup.drivers.simulator.faults import FaultPlan
from ringup.drivers.transport.base import Transport, TransportError, deadline_in
from ringup.drivers.transport.fd import FdTransport
from ringup.drivers.transport.pty import PtyTransport

SLICE_S = 0.25  # how soon a server notices that it is closed
SEND_TIMEOUT_S = 5.0


class Simulator(ABC):
    """One simulated device.  A subclass answers `on_bytes` with `reply`.

    One link at a time talks to the device, as with the real one.  `lock` is held while `on_bytes`,
    `on_connect` and `on_tick` run; controls (paper out, a weight put on) take it too.
    """

    kind = "device"
    fault_names: tuple[str, ...] = ()
    tick_interval_s = 0.0  # above 0: `on_tick` is called that often while linked

    def __init__(self) -> None:
        self.faults = FaultPlan(self.fault_names)
        self.lock = threading.RLock()
        self.received = bytearray()  # everything that arrived, for tests and `monitor`
        self.connect_count = 0
        self.on_traffic: Callable[[Literal["in", "out"], bytes], None] | None = None
        self._link: Transport | None = None

    @abstractmethod
    def on_bytes(self, data: bytes) -> None:
        """Bytes arrived, in any chunking."""

    def on_connect(self) -> None:
        """A link was opened: forget half-received frames."""
        return

    def on_tick(self) -> None:
        """`tick_interval_s` has passed: for devices that talk by themselves."""
        return

    def reply(self, data: bytes) -> None:
        """Send `data`, with whatever fault is on.  Without a link it is lost, as on a real wire."""
        link = self._link
        if link is None or not data:
            return
        if self.faults.take("silent"):
            return
        if self.faults.is_on("slow"):
            delay_s = self.faults.value("slow")
            self.faults.take("slow")
            time.sleep(delay_s)
        if self.faults.take("drop_link"):
            self.drop_link()
            return
        if self.faults.take("half_frame"):
            data = data[: len(data) // 2]
        if self.on_traffic is not None:
            self.on_traffic("out", data)
        with contextlib.suppress(TransportError):  # the other side left: nobody hears it
            link.write(data, deadline_in(SEND_TIMEOUT_S))

    def control(self, line: str) -> str:
        """Obey a trainer's line: `fault paper_out`, `fault slow=2`, `clear`, `drop`, or the device's own.

        A subclass adds a word by a method `control_WORD(argument)` that returns what it did.  Returns
        what happened; raises ValueError with the known words.
        """
        word, _, argument = line.strip().partition(" ")
        own = {name.removeprefix("control_") for name in dir(self) if name.startswith("control_")}
        if word not in own:
            near = get_close_matches(word, own, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"expected one of {', '.join(sorted(own))}, found {word!r}{hint}")
        did: str = getattr(self, f"control_{word}")(argument.strip())
        return did

    def control_fault(self, argument: str) -> str:
        self.faults.parse(argument)
        return f"fault {argument} is on"

    def control_clear(self, argument: str) -> str:
        self.faults.clear(argument or None)
        return f"fault {argument} is off" if argument else "all faults are off"

    def control_drop(self, argument: str) -> str:
        self.drop_link()
        return "the link is dropped"

    def drop_link(self) -> None:
        """Drop the link now, as a pulled cable does."""
        link, self._link = self._link, None
        if link is not None:
            link.close()
            link.wake()

    # For Server.

    def linked(self, link: Transport) -> bool:
        """Take a new link; False if the device refuses it."""
        with self.lock:
            if self.faults.take("refuse"):
                return False
            self._link = link
            self.connect_count += 1
            self.on_connect()
            return True

    def unlinked(self, link: Transport) -> None:
        with self.lock:
            if self._link is link:
                self._link = None

    def take_bytes(self, data: bytes) -> None:
        with self.lock:
            self.received += data
            if self.on_traffic is not None:
                self.on_traffic("in", data)
            self.on_bytes(data)

    def tick(self) -> None:
        with self.lock:
            self.on_tick()


class _AcceptedSocket(FdTransport):
    """The server's end of one TCP connection."""

    def __init__(self, link: socket.socket, name: str) -> None:
        super().__init__(name)
        self._socket_fd = link.detach()

    def _open_fd(self, deadline_ns: int) -> int:
        return self._socket_fd

    def _close_fd(self) -> None:
        # Shut down first: the other side learns of it even while a thread of ours still reads.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._fd)) as link:
            link.shutdown(socket.SHUT_RDWR)
        os.close(self._fd)


class Server:
    """Serves one simulated device; `close` ends every thread it started."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listeners: list[socket.socket] = []

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name=f"simulator-{self.simulator.kind}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def serve_tcp(self, port: int = 0, host: str = "127.0.0.1") -> int:
        """Listen; returns the port.  One connection is served at a time, the next one waits."""
        listener = socket.create_server((host, port), backlog=4)
        listener.settimeout(SLICE_S)
        self._listeners.append(listener)
        self._spawn(self._accept, listener)
        return int(listener.getsockname()[1])

    def serve_pty(self, link_path: str | None = None) -> str:
        """Make a pty; returns the path that the driver opens like a serial port.

        A dropped pty is gone, as a pulled USB adapter is.  With `link_path`, a symbolic link of that
        name is returned and always points to the newest pty, like the names in /dev/serial/by-id.
        """
        link = PtyTransport()
        link.open(deadline_in(1))
        path = link.path
        if link_path is not None:
            _point(link_path, path)
        self._spawn(self._serve_pty, link, link_path)
        return link_path or path

    def attach(self, end: Transport) -> None:
        """Serve on one end of a MemoryWire; it is opened again whenever the wire allows."""
        self._spawn(self._serve_reopening, end)

    def _accept(self, listener: socket.socket) -> None:
        while not self._closing.is_set():
            try:
                link, address = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return  # closed
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end = _AcceptedSocket(link, f"tcp://{address[0]}:{address[1]}")
            end.open(deadline_in(1))
            self._serve(end)
            end.close()

    def _serve_pty(self, link: PtyTransport, link_path: str | None) -> None:
        self._serve(link)
        while link_path is not None and not self._closing.is_set():
            link.open(deadline_in(1))
            _point(link_path, link.path)
            self._serve(link)
        if link_path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(link_path)

    def _serve_reopening(self, end: Transport) -> None:
        while not self._closing.is_set():
            try:
                end.open(deadline_in(1))
            except TransportError:
                self._closing.wait(0.01)
                continue
            self._serve(end)
        end.close()

    def _serve(self, link: Transport) -> None:
        """Serve one link until it is gone or the server closes."""
        simulator = self.simulator
        if not simulator.linked(link):
            link.close()
            return
        tick_ns = time.monotonic_ns()
        interval_ns = int(simulator.tick_interval_s * 1e9)
        try:
            while not self._closing.is_set() and link.is_open:
                deadline_ns = deadline_in(SLICE_S)
                if interval_ns:
                    deadline_ns = min(deadline_ns, tick_ns + interval_ns)
                if data := link.read(65536, deadline_ns):
                    simulator.take_bytes(data)
                if interval_ns and time.monotonic_ns() >= tick_ns + interval_ns:
                    tick_ns = time.monotonic_ns()
                    simulator.tick()
        except TransportError:
            return  # the other side left
        finally:
            simulator.unlinked(link)
            link.close()

    def close(self) -> None:
        """Close listeners and links and end the threads."""
        self._closing.set()
        for listener in self._listeners:
            listener.close()
        self.simulator.drop_link()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(5)


def _point(link_path: str, path: str) -> None:
    """Make `link_path` point to `path`, in one step for whoever opens it meanwhile."""
    os.symlink(path, f"{link_path}.new")
    os.replace(f"{link_path}.new", link_path)
