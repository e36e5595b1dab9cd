"""An empty echo: a gRPC server with the engine's own event loop, options and scheduling, and nothing behind it.

It is the floor of every figure that goes through gRPC: grpcio's, or that of the server on nghttp2 by which the
engine takes its calls.  It answers with bytes that an engine gave before, so that requests and answers have the
sizes of real ones.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import grpc

from bench.shop import SELL_PATH, field, varint
from ringup.engine.edge import GRPCIO, SERVER_OPTIONS, chosen_server, limits
from ringup.engine.edge_http2 import Server
from ringup.engine.edge_listeners import Listeners
from ringup.engine.event_loop import new_event_loop
from ringup.engine.thread_turns import let_turns_end


async def serve(command_bytes: int, reply: bytes, unary_reply: bytes, kind: str) -> None:
    """Serve until SIGTERM."""
    framed_bytes = len(varint(command_bytes)) + 1 + command_bytes
    framed_reply = field(1, reply)

    async def unary(request: bytes, context: Any) -> bytes:
        return unary_reply

    async def stream(requests: Any, context: Any) -> None:
        while isinstance(request := await context.read(), bytes):
            count, rest = divmod(len(request), framed_bytes)
            assert rest == 0, "a batch of other commands than the echo was made for"
            await context.write(framed_reply * count)

    handlers: dict[str, dict[str, Any]] = {
        "ringup.v1.SaleService": {"Sell": grpc.unary_unary_rpc_method_handler(unary)},
        "ringup.v1.SessionService": {"Session": grpc.stream_stream_rpc_method_handler(stream)},
    }
    generic = tuple(grpc.method_handlers_generic_handler(service, methods) for service, methods in handlers.items())
    listeners: Listeners | Server
    if kind == GRPCIO:
        listeners = Listeners(SERVER_OPTIONS, lambda server: server.add_generic_rpc_handlers(generic))
    else:
        listeners = Server(limits())
        listeners.add_generic_rpc_handlers(generic)
        listeners.add_direct_handler(SELL_PATH, lambda request, call: call.answer(unary_reply))
    port = await listeners.start("127.0.0.1:0")
    print(f"echo: serving on 127.0.0.1:{port}", flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await listeners.stop(None)


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    kind = chosen_server(sys.argv[3])
    if kind == GRPCIO:
        let_turns_end()
    replies = (folder / "echo.reply").read_bytes(), (folder / "echo.unary").read_bytes()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), *replies, kind))
