"""Keyboards that are scanners: hidraw reports and evdev events, taken from the desktop's focus."""

from __future__ import annotations

import os

from ringup.drivers.transport.base import TransportError
from ringup.drivers.transport.fd import DeviceFileTransport

EVIOCGRAB = 0x40044590  # linux/input.h: _IOW('E', 0x90, int)
EVENT_SIZE = 24  # struct input_event on 64-bit: two longs, two u16, one s32


class HidrawTransport(DeviceFileTransport):
    """Raw HID reports of /dev/hidrawN: one read returns one report."""

    def __init__(self, path: str) -> None:
        super().__init__(path, scheme="hidraw")


class EvdevTransport(DeviceFileTransport):
    """Input events of /dev/input/by-id/...-event-kbd, whole events of EVENT_SIZE bytes.

    The device is grabbed: what is scanned reaches this program alone, never the window that has
    the focus.
    """

    def __init__(self, path: str, *, grab: bool = True) -> None:
        super().__init__(path, scheme="evdev", read_only=True)
        self._grab = grab

    def _open_fd(self, deadline_ns: int) -> int:
        import fcntl

        fd = super()._open_fd(deadline_ns)
        if self._grab:
            try:
                fcntl.ioctl(fd, EVIOCGRAB, 1)
            except OSError as error:
                os.close(fd)
                raise TransportError(
                    f"{self.path}: expected to take the keyboard for this program alone, found: {error.strerror}; "
                    "stop the program that holds it, or name an event device of /dev/input/by-id"
                ) from error
        return fd

    def read(self, size_max: int, deadline_ns: int) -> bytes:
        # evdev returns EINVAL for less than one event, and only whole events.
        return super().read(max(EVENT_SIZE, size_max // EVENT_SIZE * EVENT_SIZE), deadline_ns)
