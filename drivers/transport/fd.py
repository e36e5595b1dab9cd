"""Transports over a file descriptor: the wait, the partial write and the wake-up in one place."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import time
from abc import abstractmethod

from ringup.drivers.transport.base import Transport, TransportClosed, TransportError, TransportTimeout, remaining_s

# What the kernel says when a cable is pulled or the other end of a pty is gone.
GONE = frozenset({errno.EIO, errno.ENXIO, errno.ENODEV, errno.EPIPE, errno.ECONNRESET, errno.EBADF, errno.ENOTCONN})


EMPTY_PAUSE_S = 0.02


class WakePipe:
    """A pipe that makes poll() return: written by any thread, drained by the owner."""

    def __init__(self) -> None:
        self.read_fd, self._write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        os.set_blocking(self._write_fd, False)

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # full: one is on its way already; closed: nobody waits
            os.write(self._write_fd, b"\0")

    def drain(self) -> None:
        with contextlib.suppress(OSError):  # empty, as wanted
            while os.read(self.read_fd, 512):
                pass

    def close(self) -> None:
        os.close(self.read_fd)
        os.close(self._write_fd)


class FdTransport(Transport):
    """A transport whose link is one non-blocking file descriptor."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._fd = -1
        self._wake: WakePipe | None = None

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    @abstractmethod
    def _open_fd(self, deadline_ns: int) -> int:
        """Open and configure the link; return its descriptor.  Raises TransportError."""

    def _close_fd(self) -> None:
        os.close(self._fd)

    def open(self, deadline_ns: int) -> None:
        self.close()
        fd = self._open_fd(deadline_ns)
        os.set_blocking(fd, False)
        if self._wake is None:  # kept over reopening: `wake` may come while the link is down
            self._wake = WakePipe()
        self._fd = fd

    def close(self) -> None:
        if self._fd < 0:
            return
        with contextlib.suppress(OSError):  # the device may be gone already
            self._close_fd()
        self._fd = -1

    def wake(self) -> None:
        if (pipe := self._wake) is not None:
            pipe.wake()

    def __del__(self) -> None:
        self.close()
        if (pipe := self._wake) is not None:
            self._wake = None
            pipe.close()

    def _closed(self, reason: object) -> TransportClosed:
        self.close()
        return TransportClosed(f"{self.name}: the link is gone ({reason}); check cable and power, it is reopened")

    def _wait(self, events: int, deadline_ns: int) -> bool:
        """Wait until the descriptor is ready; False at the deadline or (when reading) when woken."""
        if self._fd < 0:
            raise TransportClosed(f"{self.name}: expected an open link, found a closed one; open it first")
        poll = select.poll()
        poll.register(self._fd, events)
        pipe = self._wake
        if pipe is not None and events & select.POLLIN:
            poll.register(pipe.read_fd, select.POLLIN)
        # Rounded up: rounding down would spin through the last millisecond.
        ready = poll.poll(int(remaining_s(deadline_ns) * 1000 + 0.999))
        fired = dict(ready)
        if pipe is not None and pipe.read_fd in fired:
            pipe.drain()
        return self._fd in fired

    def read(self, size_max: int, deadline_ns: int) -> bytes:
        if not self._wait(select.POLLIN, deadline_ns):
            return b""
        try:
            data = os.read(self._fd, size_max)
        except BlockingIOError:
            return b""
        except OSError as error:
            if error.errno in GONE:
                raise self._closed(error.strerror) from error
            raise
        return data or self._end_of_file()

    def _end_of_file(self) -> bytes:
        """What a read of nothing means: for a socket or a tty, that the other end is gone."""
        raise self._closed("end of file")

    def write(self, data: bytes, deadline_ns: int) -> None:
        view = memoryview(data)
        written_size = 0
        while written_size < len(view):
            if not self._wait(select.POLLOUT, deadline_ns):
                raise TransportTimeout(
                    f"{self.name}: expected {len(view)} bytes to be taken, found {written_size} taken in time; "
                    "the device is busy, switched off or holds the line",
                    written_size,
                )
            try:
                # One bounded write at a time, or a slow device hides how far it came.
                written_size += os.write(self._fd, view[written_size : written_size + 65536])
            except BlockingIOError:
                continue
            except OSError as error:
                if error.errno in GONE:
                    raise self._closed(error.strerror) from error
                raise


class DeviceFileTransport(FdTransport):
    """A character device that is opened as it is: a USB printer (/dev/usb/lp0), hidraw, evdev.

    `path` may be a stable link (/dev/usb/..., /dev/serial/by-id/...).  Regular files are refused: a
    printer that is "a file" has swallowed more receipts than any cable.
    """

    def __init__(self, path: str, *, scheme: str = "usb", read_only: bool = False) -> None:
        super().__init__(f"{scheme}:{path}")
        self.path = path
        self._read_only = read_only

    def _open_fd(self, deadline_ns: int) -> int:
        flags = (os.O_RDONLY if self._read_only else os.O_RDWR) | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            fd = os.open(self.path, flags)
        except OSError as error:
            raise open_error(self.path, error) from error
        if not stat.S_ISCHR(os.fstat(fd).st_mode):
            os.close(fd)
            raise TransportError(f"{self.path}: expected a character device, found a file; name the device's own node")
        return fd


class UsbPrinterTransport(DeviceFileTransport):
    """A printer's own device file (/dev/usb/lp0), which reads empty while the printer has nothing to say."""

    def __init__(self, path: str) -> None:
        super().__init__(path, scheme="usb")

    def _end_of_file(self) -> bytes:
        time.sleep(EMPTY_PAUSE_S)  # poll() keeps saying that there is something: do not spin on it
        return b""


def open_error(path: str, error: OSError) -> TransportError:
    """The reason a device node could not be opened, with what to do about it."""
    advice = {
        errno.ENOENT: "no such port: is the device plugged in and switched on? `ls /dev/serial/by-id` lists what is",
        errno.ENXIO: "nothing answers behind this node: is the device switched on?",
        errno.ENODEV: "nothing answers behind this node: is the device switched on?",
        errno.EBUSY: "busy: another program owns it; stop that program, a device has one owner",
        errno.EAGAIN: "busy: another program owns it; stop that program, a device has one owner",
        errno.EACCES: "permission denied: add this user to the group of the device (often dialout, lp or input)",
        errno.EPERM: "permission denied: add this user to the group of the device (often dialout, lp or input)",
    }.get(error.errno or 0, error.strerror or str(error))
    failure = TransportError(f"{path}: expected to open it, found: {advice}")
    failure.errno = error.errno
    return failure
