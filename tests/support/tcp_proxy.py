"""A wire between client and engine that can be cut, or go silent, while it carries bytes."""

from __future__ import annotations

import asyncio
import contextlib


class TcpProxy:
    """Forwards connections to a port of loopback.

    `swallow_answers` drops what the engine sends, `silent` drops both ways and tells nobody: a black
    hole.  Both hold for the connections there are; new ones work.  `cut` closes all.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._links: list[_Link] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        return len(self._links)

    async def __aenter__(self) -> TcpProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def swallow_answers(self) -> None:
        for link in self._links:
            link.down = False

    def silent(self) -> None:
        for link in self._links:
            link.up = link.down = False

    def cut(self) -> None:
        for link in self._links:
            for writer in link.writers:
                writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            engine_reader, engine_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link([writer, engine_writer])
        self._links.append(link)
        for source, sink, is_up in ((reader, engine_writer, True), (engine_reader, writer, False)):
            task = asyncio.create_task(self._carry(link, source, sink, is_up))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, is_up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if link.up if is_up else link.down:
                    link.bytes_up += len(data) if is_up else 0
                    sink.write(data)
                    await sink.drain()
        sink.transport.abort()


class _Link:
    def __init__(self, writers: list[asyncio.StreamWriter]) -> None:
        self.writers = writers
        self.up = self.down = True
        self.bytes_up = 0
