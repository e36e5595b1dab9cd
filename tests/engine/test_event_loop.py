"""gRPC wakes the event loop once for all that it has, and nothing is left lying there."""

from __future__ import annotations

import asyncio
import functools
import socket
import sys
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from ringup.engine.event_loop import new_event_loop

pytest.importorskip("uvloop", reason="uvloop is not made for this system")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="grpcio wakes the loop otherwise elsewhere")
WAKE_UPS = 5


class PollerCompletionQueue:
    """What grpcio's does: read one byte, then take all events."""

    def __init__(self, file: socket.socket) -> None:
        self.calls, self._file = 0, file

    def _handle_events(self, context: object) -> None:
        self._file.recv(1)
        self.calls += 1


class SomebodyElse(PollerCompletionQueue):
    """A reader that needs each of its bytes."""

    def _handle_events(self, context: object) -> None:
        super()._handle_events(context)


@pytest.mark.parametrize(("owner", "calls"), [(PollerCompletionQueue, 1), (SomebodyElse, WAKE_UPS)])
def test_wake_ups_that_wait_are_one(owner: type[PollerCompletionQueue], calls: int) -> None:
    async def main() -> int:
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            queue = owner(near)
            for _ in range(WAKE_UPS):
                far.send(b"1")
            asyncio.get_running_loop().add_reader(near, functools.partial(queue._handle_events, None))
            while queue.calls < calls:  # noqa: ASYNC110  # what is counted is the loop's own passes
                await asyncio.sleep(0)
            for _ in range(10):
                await asyncio.sleep(0)  # a byte that is left calls again
            far.send(b"1")
            while queue.calls < calls + 1:  # noqa: ASYNC110  # the next one wakes as the first did
                await asyncio.sleep(0)
            asyncio.get_running_loop().remove_reader(near)
            return queue.calls

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(asyncio.wait_for(main(), 60)) == calls + 1


def test_the_loop_knows_grpcio_by_how_it_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a grpcio wakes the loop in another way, this says so; and 500 calls at once are all answered."""
    import uvloop

    watched: list[Any] = []
    add_reader = uvloop.Loop.add_reader

    class Watching(uvloop.Loop):  # type: ignore[misc]  # without stubs of its own
        def add_reader(self, file: Any, callback: Callable[..., object], *args: Any) -> Any:
            watched.append(file)
            return add_reader(self, file, callback, *args)

    monkeypatch.setattr(uvloop, "Loop", Watching)

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    async def main() -> list[bytes]:
        server = grpc.aio.server()
        handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_unary("/test.Echo/Echo")
            answers = await asyncio.gather(*[call(b"%d" % n, timeout=60) for n in range(500)])
        await server.stop(None)
        return answers

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        assert runner.run(main()) == [b"%d" % n for n in range(500)]
    assert [type(file).__name__ for file in watched if isinstance(file, socket.socket)] == ["_WakeUps"]
