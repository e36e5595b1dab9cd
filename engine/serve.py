"""Run an engine until it is told to stop or fails."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from pathlib import Path

import structlog

from ringup.engine.callers import Callers, CallersError, read_callers
from ringup.engine.edge import CONNECTIONS_MAX, GRPCIO, OWN_FILES, Edge, chosen_server
from ringup.engine.engine import Engine, EngineFailed
from ringup.engine.event_loop import new_event_loop
from ringup.engine.freed_memory import keep_freed_memory
from ringup.engine.open_files import ask_for
from ringup.engine.receipt_series import begin_series, is_fresh
from ringup.engine.recovery import Progress
from ringup.engine.thread_turns import let_turns_end
from ringup.native.memory import keep_ready

log = structlog.get_logger()

EXIT_COMMIT_FAILED = 74  # EX_IOERR of sysexits.h
CHANGED_ANSWERS_LOGGED = 20
FAIL_SECONDS_MAX = 2.0  # for telling the callers that the engine has failed
# grpc.aio leaves three objects of each unary call to the collector.  Let it look after so many new ones that a look is
# short (with 50,000 it held up 16,000 calls' worth, and every sale, for 20 ms), seldom at what outlived a look, and
# never again at what the start has made.
GARBAGE_THRESHOLDS = (2_000, 1_000, 100)
# A thread that is runnable waits so long for the interpreter while another has work.  The commit thread needs it a few
# times for each commit, and gRPC's thread for each message: with Python's 5 ms those waits are the tail of a sale's
# latency.
SWITCH_SECONDS = 0.0005


def _read_again(callers: Callers | None, file: Path | None, edge: Edge) -> None:
    """Take a changed file of callers over; one that cannot be used, or none, changes nothing."""
    if callers is None or file is None:
        log.info("nothing to read again: this engine has no file of callers, and lets everybody call")
        return
    try:
        callers.become(read_callers(file))
    except CallersError as error:
        log.error("the callers are those of before: their file cannot be used", found=str(error))
        return
    edge.callers_changed()
    log.info("the file of callers was read again", file=str(file), callers=len(callers))


async def _serve(engine: Engine, listen: str, server: str, callers: Callers | None, callers_file: Path | None) -> int:
    engine.start()
    if is_fresh(engine):
        try:
            await begin_series(engine)
        except EngineFailed:
            return EXIT_COMMIT_FAILED
    edge = Edge(engine, callers, server)
    stop = asyncio.Event()
    engine.failed = stop.set
    port = await edge.start(listen)
    host = listen.rpartition(":")[0]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _read_again, callers, callers_file, edge)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)

    # The first line on standard output is for whoever started this process, who may stop it from now on.
    print(f"ringup: serving on {host}:{port}, data in {engine.directory}", flush=True)
    await stop.wait()
    if not engine.is_failed:
        log.info("stopping: taking no more, answering what was taken")
        await edge.stop()
        await engine.stop()
    if engine.is_failed:  # now, or while it stopped
        with contextlib.suppress(TimeoutError):  # whatever a client does, the process ends
            await asyncio.wait_for(edge.fail(), FAIL_SECONDS_MAX)
        return EXIT_COMMIT_FAILED
    return 0


def serve(
    directory: Path,
    listen: str,
    *,
    checkpoint_bytes: int,
    checkpoint_commands: int,
    memory_ready_mb: int,
    callers_file: Path | None = None,
    grpc_server: str = "auto",
    accept_changed_answers: bool = False,
    progress: Progress | None = None,
) -> int:
    """Serve `directory` on `listen` until SIGINT or SIGTERM; returns the exit code.

    `callers_file` says who may call, and is read again on SIGHUP; None lets everybody, and SIGHUP changes nothing.
    `grpc_server` is what takes the calls, as in Settings.
    """
    if sys.flags.optimize:
        raise SystemExit("ringup: expected assertions to be on, found python -O; start it without -O")
    callers = None if callers_file is None else read_callers(callers_file)
    keep_freed_memory()
    ask_for(CONNECTIONS_MAX + OWN_FILES)
    server = chosen_server(grpc_server)
    if server == GRPCIO:
        log.info("grpcio takes the calls, at about a third of the speed of nghttp2", grpc_server=grpc_server)
        let_turns_end()  # for gRPC's threads; without them the tail of a sale's latency is shorter without this
    engine = Engine(
        directory,
        checkpoint_bytes=checkpoint_bytes,
        checkpoint_commands=checkpoint_commands,
        progress=progress,
        accept_changed_answers=accept_changed_answers,
    )
    keep_ready(memory_ready_mb << 20)
    if engine.recovered.note:
        log.warning("the state was folded from the whole journal", reason=engine.recovered.note)
    for one in engine.recovered.answers.changed[:CHANGED_ANSWERS_LOGGED]:
        log.warning("an answer of an older version was accepted as changed", answer=str(one))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        code = runner.run(_serve(engine, listen, server, callers, callers_file))
        if code:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # nothing may be written any more, not even a checkpoint; and no task is waited for
    return code
