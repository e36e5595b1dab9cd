"""TCP: network printers (port 9100), payment terminals (port 20007), serial servers."""

from __future__ import annotations

import os
import socket

from ringup.drivers.transport.base import TransportError, remaining_s
from ringup.drivers.transport.fd import FdTransport


class TcpTransport(FdTransport):
    """One TCP connection as client.  Keepalive on: a switched-off device shows within about 10 s."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"tcp://{host}:{port}")
        self.host = host
        self.port = port

    def _open_fd(self, deadline_ns: int) -> int:
        try:
            link = socket.create_connection((self.host, self.port), timeout=max(0.01, remaining_s(deadline_ns)))
        except OSError as error:
            failure = TransportError(
                f"{self.name}: expected a device to accept the connection, found: {error.strerror or error}; "
                "check address, port and power"
            )
            failure.errno = error.errno
            raise failure from error
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 4), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, option):
                link.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        return link.detach()

    def _close_fd(self) -> None:
        os.close(self._fd)
