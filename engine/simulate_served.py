"""An engine on loopback with a clock to set, for stock cases whose steps are sent at the same time.

    with ServedEngine() as engine:
        answers = engine.batch([("PlaceOrder", first), ("PlaceOrder", second)])  # two callers at once

It is the served engine, its edge, sequencer and journal (in a temporary directory), on a thread of its own; every
request goes over gRPC.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from ringup.engine.contract import FILES, methods
from ringup.engine.edge import Edge
from ringup.engine.engine import Engine
from ringup.engine.simulate_embedded import START_NS

CALL_SECONDS_MAX = 60.0
START_SECONDS_MAX = 60.0
CALLERS_MAX = 64
SENT_AGAIN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}  # with its id, so it counts once
TRIES_MAX = 100
PAUSE_SECONDS = 0.02
CHECKPOINT_NEVER = 1 << 40  # a case is over before one is due


class ServedEngine:
    """An engine that serves on loopback until it is closed; `advance` moves its clock."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self._folder = tempfile.TemporaryDirectory(prefix="ringup-simulate-")
        self._started = threading.Event()
        self._pause = threading.Event()  # never set
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="simulated engine", daemon=True)
        self._thread.start()
        if not self._started.wait(START_SECONDS_MAX) or self._failure is not None:
            raise RuntimeError(f"expected an engine on loopback, found {self._failure or 'none after a minute'}")
        self._channel = grpc.insecure_channel(f"127.0.0.1:{self._port}")
        self._paths = {method.name: method.path for method in methods()}
        self._answers = {
            method.name: GetMessageClass(method.output_type)
            for file in FILES
            for service in file.services_by_name.values()
            for method in service.methods
        }

    def __enter__(self) -> Self:
        """Ready to answer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving and remove the journal."""
        self._channel.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CALL_SECONDS_MAX)
        self._folder.cleanup()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # told to whoever waits for the start
            self._failure = failure
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._engine = Engine(
            Path(self._folder.name), checkpoint_bytes=CHECKPOINT_NEVER, checkpoint_commands=CHECKPOINT_NEVER
        )
        self._engine.start(clock_ns=lambda: self.now_ns)
        edge = Edge(self._engine)
        self._port = await edge.start("127.0.0.1:0")
        self._started.set()
        await self._stop.wait()
        await edge.stop()
        await self._engine.stop()

    def advance(self, millis: int) -> None:
        """Let time pass, in ms; what is due expires."""
        self.now_ns += millis * 1_000_000

        async def open_batch() -> None:
            await self._engine.submit(b"")

        asyncio.run_coroutine_threadsafe(open_batch(), self._loop).result(CALL_SECONDS_MAX)

    def call(self, method: str, request: Message) -> Any:
        """Answer one RPC by its name."""
        answer = self._answers[method]
        unary: Any = self._channel.unary_unary(
            self._paths[method],
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        for left in reversed(range(TRIES_MAX)):
            try:
                return unary(request, timeout=CALL_SECONDS_MAX, wait_for_ready=True)
            except grpc.RpcError as failure:  # many callers at once: a stream may be refused before it is read
                if failure.code() not in SENT_AGAIN or not left:
                    raise
                self._pause.wait(PAUSE_SECONDS)

    def batch(self, requests: Sequence[tuple[str, Message]]) -> list[Any]:
        """Send requests at the same time, each from a caller of its own; their answers, in the order given."""
        if not requests:
            return []
        callers = min(len(requests), CALLERS_MAX)
        ready = threading.Barrier(callers)

        def send(number: int, method: str, request: Message) -> Any:
            if number < callers:
                ready.wait(CALL_SECONDS_MAX)  # nobody starts before all are there
            return self.call(method, request)

        with ThreadPoolExecutor(callers) as pool:
            waiting = [pool.submit(send, number, *request) for number, request in enumerate(requests)]
            return [one.result(CALL_SECONDS_MAX) for one in waiting]
