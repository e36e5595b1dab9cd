"""Run an engine until it is told to stop or fails."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import structlog

from ringup.engine.edge import Edge
from ringup.engine.engine import Engine
from ringup.engine.recovery import Progress

log = structlog.get_logger()

EXIT_COMMIT_FAILED = 74  # EX_IOERR of sysexits.h


async def _serve(engine: Engine, listen: str) -> int:
    engine.start()
    edge = Edge(engine)
    port = await edge.start(listen)
    host = listen.rpartition(":")[0]
    stop, failed = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    def fail() -> None:
        failed.set()
        stop.set()

    engine.failed = fail
    # The first line on standard output is for whoever started this process, who may stop it from now on.
    print(f"ringup: serving on {host}:{port}, data in {engine.directory}", flush=True)
    await stop.wait()
    if failed.is_set():
        await edge.fail()
        return EXIT_COMMIT_FAILED
    log.info("stopping: taking no more, answering what was taken")
    await edge.stop()
    await engine.stop()
    return 0


def serve(
    directory: Path,
    listen: str,
    *,
    checkpoint_bytes: int,
    checkpoint_commands: int,
    progress: Progress | None = None,
) -> int:
    """Serve `directory` on `listen` until SIGINT or SIGTERM; returns the exit code."""
    if sys.flags.optimize:
        raise SystemExit("ringup: expected assertions to be on, found python -O; start it without -O")
    engine = Engine(
        directory, checkpoint_bytes=checkpoint_bytes, checkpoint_commands=checkpoint_commands, progress=progress
    )
    if engine.recovered.note:
        log.warning("the state was folded from the whole journal", reason=engine.recovered.note)
    try:
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    except ImportError:  # not made for this system; the engine is the same, only slower
        runner = asyncio.Runner()
    with runner:
        code = runner.run(_serve(engine, listen))
    if code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # nothing may be written any more, not even a checkpoint
    return code
