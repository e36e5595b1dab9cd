"""Several gRPC servers on one address, so that calls are taken side by side.

A server of grpc.aio takes one call after the other: it asks gRPC for the next when the one before has come from gRPC's
threads to the event loop, two wake-ups later.  That is a queue of some 0.2 ms a call, whatever the machine has to
spare, and the whole backlog of a stall goes through it.  Servers that share an address take calls beside each other on
the same event loop; the system deals the connections out to them (SO_REUSEPORT, socket(7)).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Any

import grpc

LISTENERS = 8 if sys.platform == "linux" else 1
"""Servers on the address.  64 callers get 1.4 times an echo's answers of one server with 4, 2 times with 16.

Elsewhere sockets that share an address do not share its connections.
"""
TURN_SECONDS_MAX = 2.0


class Listeners:
    """gRPC servers with the same handlers on one address; like one to those who call it."""

    def __init__(self, options: list[tuple[str, Any]], prepare: Callable[[grpc.aio.Server], None]) -> None:
        """`prepare` gives each server its handlers; `options` are those of every server."""
        shared = [*options, ("grpc.so_reuseport", int(LISTENERS > 1))]
        self._servers = [grpc.aio.server(options=shared) for _ in range(LISTENERS)]
        for server in self._servers:
            prepare(server)

    async def start(self, listen: str) -> int:
        """Serve on `listen` ("host:port", port 0 for any free one); returns the port.

        Raises OSError where the address cannot be had, also where only somebody else's permission to share it is
        missing: two engines must never share a port.
        """
        host, _, port = listen.rpartition(":")
        with await _turn(int(port)):
            try:
                _try(host.strip("[]"), int(port))
                for server in self._servers:
                    port = str(server.add_insecure_port(f"{host}:{port}"))
            except (OSError, RuntimeError) as error:
                raise OSError(
                    f"{listen}: expected a free address to listen on, found: {error}; choose another with --listen"
                ) from error
        await asyncio.gather(*(server.start() for server in self._servers))
        return int(port)

    async def stop(self, grace_s: float | None) -> None:
        """Take no more calls; those that are served may take so long."""
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))


async def _turn(port: int) -> contextlib.AbstractContextManager[object]:
    """Wait until nobody else is between trying a port and taking it; at most TURN_SECONDS_MAX."""
    if port == 0 or LISTENERS == 1:
        return contextlib.nullcontext()
    turn = socket.socket(socket.AF_UNIX)
    for _ in range(int(TURN_SECONDS_MAX / 0.05)):
        with contextlib.suppress(OSError):
            turn.bind(f"\0ringup takes port {port}")  # a name that only one can have: unix(7), abstract sockets
            break
        await asyncio.sleep(0.05)
    return turn


def _try(host: str, port: int) -> None:
    """Raise OSError where somebody listens: sockets that may share an address refuse nobody, this one may not."""
    if port == 0 or LISTENERS == 1:
        return
    with contextlib.suppress(socket.gaierror):  # gRPC says it
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(address)
                trial.listen()  # two may have a port until one of them listens
