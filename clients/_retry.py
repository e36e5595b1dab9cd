"""When to send again, how long to wait, and what a failure leaves open.  No I/O, no clock.

Sending again is safe for a query, and for a command with the same id and the same bytes: the engine
answers it with the stored reply.  Nothing else is ever sent again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from . import _wire
from .errors import NoAnswer, Overloaded

TIMEOUT_S = 5.0
"""How long a call may take in all, its resends included."""

RESENT_STATUSES = frozenset({"UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL", "UNKNOWN"})
"""gRPC statuses after which another try may succeed.  CANCELLED is what a stopping server answers."""

NEVER_STARTED_STATUSES = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "OUT_OF_RANGE",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "UNIMPLEMENTED",
        "FAILED_PRECONDITION",
    }
)
"""gRPC statuses by which the engine says that it did not begin."""

TURNED_AWAY_STATUSES = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"})
"""gRPC statuses by which the engine says that it did not begin a stream: no batch of it was read."""

assert not RESENT_STATUSES & NEVER_STARTED_STATUSES
assert TURNED_AWAY_STATUSES < NEVER_STARTED_STATUSES

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    # A peer that is silently gone shows after 2 + 1.5 s at most, not at the end of a deadline.  The keepalive
    # timeout alone sees a network that no longer acknowledges, but not a peer whose kernel goes on
    # acknowledging (a hung proxy): that takes the ping's own timeout, which is a minute by default.
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 1_000),
    ("grpc.http2.ping_timeout_ms", 1_500),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_send_message_length", _wire.MESSAGE_BYTES_MAX),
    # Receipts are longer than the sales that they answer: one batch of 3 MiB may bring far more back.
    ("grpc.max_receive_message_length", 64 * 2**20),
    # An engine that starts again is found within a second; a connection attempt gives up after two.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    # Resends are decided here, where it is known what is safe.
    ("grpc.enable_retries", 0),
    # Each client has its own connection: a hundred tills in one process must not queue on one.
    ("grpc.use_local_subchannel_pool", 1),
)


class Backoff:
    """Waits that double from 20 ms to 1 s, each shortened by chance so that tills do not knock together."""

    def __init__(self, random_unit: Callable[[], float] = random.random) -> None:
        self._random_unit = random_unit
        self._next_s = 0.02

    def reset(self) -> None:
        """Start over: the engine has answered."""
        self._next_s = 0.02

    def next_s(self) -> float:
        """Return how long to wait before the next try: from half to all of the present step."""
        step_s = self._next_s
        self._next_s = min(1.0, step_s * 2)
        return step_s * (0.5 + 0.5 * self._random_unit())


def no_answer(kind: _wire.Kind | None, body: bytes, unsure: bool, found: str) -> NoAnswer:
    """Return the error of a call that got no answer; unsure says that bytes of it may have arrived."""
    is_command = kind is None or kind.is_command
    return NoAnswer(found, unsure and is_command, partial(_about, kind, body))


def no_answer_to_command(command: bytes, unsure: bool, found: str) -> NoAnswer:
    """As `no_answer`, for the bytes of a Command, which are read when somebody looks."""
    return NoAnswer(found, unsure, partial(_about_command, command))


def overloaded(command: bytes) -> Overloaded:
    """Return the error of a Command that was turned away unsent; as cheap as an object can be.

    What all of them have in common is their class's, so that none runs the constructor.
    """
    error = Overloaded.__new__(Overloaded)
    error._about = partial(_about_command, command)
    return error


def _about(kind: _wire.Kind | None, body: bytes) -> tuple[str, bytes, bytes]:
    if kind is not None and not kind.is_command:
        return kind.name, b"", b""
    return (
        kind.name if kind else "the command",
        _wire.command_id_in(body),
        _wire.as_command(kind, body) if kind else b"",
    )


def _about_command(command: bytes) -> tuple[str, bytes, bytes]:
    return _about(*_wire.opened(command))
