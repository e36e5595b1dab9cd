"""A pty: the near end is a transport, the far end a path that any program opens like a serial port."""

from __future__ import annotations

import contextlib
import os
import pty
import tty

from ringup.drivers.transport.fd import FdTransport


class PtyTransport(FdTransport):
    """The controlling end of a new pty pair.

    `path` (after `open`) is what the other program opens.  The far end is kept open here as well, or
    the first program to leave would end the pty for everyone.
    """

    def __init__(self) -> None:
        super().__init__("pty:")
        self.path = ""
        self._far_fd = -1

    def _open_fd(self, deadline_ns: int) -> int:
        near_fd, self._far_fd = pty.openpty()
        tty.setraw(self._far_fd)
        self.path = os.ttyname(self._far_fd)
        self.name = f"pty:{self.path}"
        return near_fd

    def _close_fd(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._far_fd)
        os.close(self._fd)
