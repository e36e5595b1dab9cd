"""The other end of a client's Session stream, without gRPC and without threads: for a loop in virtual time.

It keeps the promise that clients build on (an id books once, the first answer comes back), does batches one after
the other, and takes for each exactly the time that the test says.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from ringup.clients._session import StreamFailure
from ringup.v1 import result_pb2, sale_pb2, session_pb2


class Broken(Exception):
    """What a stream raises that broke under a batch."""


class SessionEngine:
    """takes_s: the time for a batch, from its number (from 0, over all streams) and how many commands it has.

    breaks: numbers of batches that are booked, as is what was sent after them, and whose stream then ends without
    their answer.  loses: numbers of batches with which the stream ends before they, and what was sent after them, are
    booked.  drains: numbers of batches whose answers say that the engine is draining.
    """

    def __init__(
        self,
        takes_s: Callable[[int, int], float],
        breaks: frozenset[int] = frozenset(),
        loses: frozenset[int] = frozenset(),
        drains: frozenset[int] = frozenset(),
    ) -> None:
        self._takes_s = takes_s
        self._breaks = breaks
        self._loses = loses
        self._drains = drains
        self._free = asyncio.Lock()  # first come, first served, also beside what an ended stream left
        self._stored: dict[bytes, bytes] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self.batch_sizes: list[int] = []
        self.batch_streams: list[int] = []
        """The number of the stream, from 1, that each batch came over."""
        self.received: Counter[bytes] = Counter()
        """How often each id arrived."""
        self.booked: Counter[str] = Counter()
        """How often each customer stands in the books."""
        self.busy_s = 0.0
        self._streams = 0

    def open_stream(self) -> _Stream:
        self._streams += 1
        return _Stream(self, self._streams)

    async def ready(self) -> str:
        return ""

    @staticmethod
    def stream_failure(error: BaseException) -> StreamFailure | None:
        return StreamFailure("UNAVAILABLE", "the stream broke") if isinstance(error, Broken) else None

    def serve(self, data: bytes, stream: _Stream) -> None:
        """Take a batch; what is taken is done even if the client has ended its stream meanwhile."""
        task = asyncio.get_running_loop().create_task(self._serve(data, stream))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, data: bytes, stream: _Stream) -> None:
        commands = session_pb2.SessionRequest.FromString(data).commands
        async with self._free:
            number = len(self.batch_sizes)
            self.batch_sizes.append(len(commands))
            self.batch_streams.append(stream.number)
            if stream.lost or number in self._loses:
                stream.lost = True
                stream.answers.put_nowait(Broken())
                return
            took_s = self._takes_s(number, len(commands))
            await asyncio.sleep(took_s)
            self.busy_s += took_s
            response = session_pb2.SessionResponse(draining=number in self._drains)
            for command in commands:
                response.replies.add().sell.ParseFromString(self._book(command.sell))
        stream.answers.put_nowait(Broken() if number in self._breaks else response.SerializeToString())

    def _book(self, sell: sale_pb2.SellRequest) -> bytes:
        self.received[sell.command_id] += 1
        if sell.command_id not in self._stored:
            # What is sold is told by the customer, not by the id: that is what "twice" means.
            self.booked[sell.customer_id] += 1
            receipt = sale_pb2.Receipt(sale_id=sell.command_id, customer_id=sell.customer_id)
            response = sale_pb2.SellResponse(code=result_pb2.RESULT_CODE_OK, receipt=receipt)
            self._stored[sell.command_id] = response.SerializeToString()
        return self._stored[sell.command_id]


class _Stream:
    """A bidirectional call as `ringup.clients._session.Stream` has it."""

    def __init__(self, engine: SessionEngine, number: int) -> None:
        self._engine = engine
        self.number = number
        self._ended = False
        self.answers: asyncio.Queue[bytes | Broken | None] = asyncio.Queue()
        self.lost = False

    async def write(self, request: bytes) -> None:
        if self._ended:
            raise Broken
        self._engine.serve(request, self)

    async def read(self) -> bytes | None:
        found = await self.answers.get()
        if isinstance(found, Broken):
            self._ended = True
            raise found
        return found

    async def done_writing(self) -> None:
        self.answers.put_nowait(None)

    def cancel(self) -> bool:
        self._ended = True
        self.answers.put_nowait(Broken())
        return True
