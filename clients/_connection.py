"""One gRPC channel: is the engine reachable, and what did a call's failure mean.

A call is handed to gRPC only while the channel is ready.  That is what lets a `NoAnswer` say for certain
that a command never left: nobody was there to take it.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from . import _retry
from ._session import StreamFailure

READY_WAIT_S_MAX = 1.0


def metadata_of(secret: str) -> tuple[tuple[str, str], ...] | None:
    """The gRPC metadata that shows a caller's secret; none for an engine that asks nobody."""
    return (("authorization", f"Bearer {secret}"),) if secret else None


class Connection:
    """A channel to the engine, with each call's bytes passed through as they are."""

    def __init__(self, target: str, credentials: grpc.ChannelCredentials | None, secret: str = "") -> None:
        options = list(_retry.CHANNEL_OPTIONS)
        self._target = target
        self._metadata = metadata_of(secret)
        self._channel: grpc.aio.Channel = (
            grpc.aio.insecure_channel(target, options=options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options=options)
        )
        self._calls: dict[str, Any] = {}
        self._watcher: asyncio.Task[None] | None = None

    def unary(self, path: str) -> Any:
        """Return the callable for one path; it takes and gives bytes."""
        call = self._calls.get(path)
        if call is None:
            call = self._channel.unary_unary(path)
            if self._metadata is not None:
                call = functools.partial(call, metadata=self._metadata)
            self._calls[path] = call
        return call

    def stream(self, path: str) -> Any:
        """Open a bidirectional call that carries bytes."""
        return self._channel.stream_stream(path)(metadata=self._metadata)

    async def messages(self, path: str, request: Message, response_class: type[Any]) -> AsyncIterator[Any]:
        """Yield the messages that answer one request; raises grpc.aio.AioRpcError."""
        call = self._channel.unary_stream(
            path, request_serializer=type(request).SerializeToString, response_deserializer=response_class.FromString
        )(request, metadata=self._metadata)
        try:
            async for message in call:
                yield message
        finally:
            call.cancel()

    async def ready(self, wait_s: float = READY_WAIT_S_MAX) -> str:
        """Wait until the engine can be reached; return "" or, after wait_s, what was found instead."""
        if self._channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
            return ""
        if self._watcher is None or self._watcher.done():
            # One watch for all callers: gRPC cannot take a watch back, so they must not pile up.
            self._watcher = asyncio.create_task(self._until_ready(), name="ringup-ready")
        try:
            async with asyncio.timeout(wait_s):
                await asyncio.shield(self._watcher)
        except TimeoutError:
            state = self._channel.get_state().name
            return f"no engine at {self._target} (the connection is {state}); is `ringup serve` running there?"
        return ""

    async def _until_ready(self) -> None:
        while (state := self._channel.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.SHUTDOWN:
                return
            await self._channel.wait_for_state_change(state)

    async def close(self) -> None:
        """Close the channel; calls in it end as cancelled."""
        await self._channel.close()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
            if not self._watcher.cancelled():
                self._watcher.exception()  # a watch on a closed channel may end in an error: no news to anybody


def stream_failure(error: BaseException) -> StreamFailure | None:
    """Return what a call's exception says about the call, or None when it is not about the call."""
    if isinstance(error, grpc.aio.AioRpcError):
        return StreamFailure(error.code().name, error.details() or "no details")
    if isinstance(error, asyncio.CancelledError | asyncio.InvalidStateError | grpc.aio.UsageError):
        return StreamFailure("CANCELLED", "the call was ended")
    return None
