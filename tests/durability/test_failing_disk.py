"""The disk fails one call at a time, at every position: the engine stops, and nothing acknowledged is lost.

RINGUP_SWEEP=1 tries every position of every call (default: every sync, and a third of the rest).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from ringup.engine.journal import JournalError
from ringup.engine.record import DamagedRecord
from support.callers import GONE, Caller, answers_again, exchange, open_shop, prove, unary_call
from support.engine_entry import ENTRY
from support.engine_process import DidNotStart, EngineProcess

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs Debian's strace")

PIECES = 100
EXIT_COMMIT_FAILED = 74
SMALL = ("--checkpoint-commands", "4")
WHOLE_SWEEP = os.environ.get("RINGUP_SWEEP") == "1"


@pytest.fixture(scope="module")
def shop_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the small shop in it; copy it."""
    directory = tmp_path_factory.mktemp("shop")
    with EngineProcess(directory, entry=ENTRY, args=SMALL) as engine:
        with engine.channel() as channel:
            open_shop(channel, PIECES)
        assert engine.stop() == 0
    return directory


@contextlib.contextmanager
def _failing(engine: EngineProcess, trace: Path, fault: str) -> Iterator[None]:
    """Let system calls of a running engine fail as `fault` says; strace counts them per thread."""
    pid = engine.process.pid
    call = fault.split(":")[0]
    command = ["strace", "-f", "-qq", "-o", str(trace), "-e", f"trace={call}", "-e", f"inject={fault}", "-p", str(pid)]
    strace = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        tasks = Path(f"/proc/{pid}/task")
        deadline = time.monotonic() + 60
        while any("TracerPid:\t0\n" in (task / "status").read_text() for task in tasks.iterdir()):
            if strace.poll() is not None:
                assert strace.stderr is not None
                pytest.skip(f"strace may not attach here: {strace.stderr.read().decode().strip()}")
            assert time.monotonic() < deadline, "strace does not attach"
            time.sleep(0.01)
        yield
    finally:
        strace.terminate()
        strace.wait(10)
        assert strace.stderr is not None
        strace.stderr.close()


def _work(target: str, caller: Caller) -> None:
    """A few commands one by one, then some batches that wait for one another."""
    with grpc.insecure_channel(target) as channel:
        try:
            for _ in range(3):
                sent = caller.make()
                sent.answers.append(unary_call(channel, sent.request, 20))
            for _ in range(4):
                exchange(channel, [caller.make() for _ in range(3)])
        except grpc.RpcError as error:
            if error.code() not in GONE:  # type: ignore[attr-defined]
                raise


def _one_fault(directory: Path, trace: Path, fault: str, *args: str) -> tuple[int, Caller, str]:
    """An engine whose disk fails once; its exit code, the caller, and what it wrote to standard error."""
    caller = Caller(1, streams=True)
    with EngineProcess(directory, entry=ENTRY, args=(*SMALL, *args)) as engine:
        with _failing(engine, trace, fault):
            _work(engine.target, caller)
            if all(sent.answers for sent in caller.sent):  # no fault, or one in a checkpoint: the engine goes on
                engine.process.terminate()
            code = engine.process.wait(60)
        return code, caller, engine.stderr()


def _goes_on(directory: Path, caller: Caller) -> None:
    """Start on a sound disk, resend, sell on; then the books must be right."""
    with EngineProcess(directory, entry=ENTRY, args=SMALL) as engine:
        caller.resend(engine.target)
        _work(engine.target, caller)
        answers_again(engine.target, [caller])
        assert engine.stop() == 0
    prove(directory, [caller], PIECES)


@pytest.mark.parametrize(
    ("call", "effect", "step"),
    [
        ("fdatasync", "error=EIO", 1),
        ("fdatasync", "error=ENOSPC", 4),
        ("fdatasync", "signal=KILL", 4),
        ("pwrite64", "error=EIO", 4),
        ("pwrite64", "error=ENOSPC", 6),
        ("writev", "error=EIO", 2),
    ],
)
def test_a_call_that_fails_at_any_position_loses_nothing(
    shop_directory: Path, tmp_path: Path, call: str, effect: str, step: int
) -> None:
    stopped = 0
    for position in itertools.count(1, 1 if WHOLE_SWEEP else step):
        directory, trace = tmp_path / str(position), tmp_path / f"{position}.strace"
        shutil.copytree(shop_directory, directory)
        code, caller, said = _one_fault(directory, trace, f"{call}:{effect}:when={position}")
        if "INJECTED" not in trace.read_text() and "KILL" not in trace.read_text():
            assert code == 0, said
            break
        if code == EXIT_COMMIT_FAILED:
            assert "the commit failed: the engine stops" in said
        elif "KILL" in effect:
            assert code == -9
        else:  # a checkpoint: the journal has everything, so the engine goes on
            assert code == 0, said
            assert "checkpoint could not be written" in said
        stopped += code != 0
        _goes_on(directory, caller)
    if call != "writev":  # runs of pages: only checkpoints write them here
        assert stopped >= 2, "the sweep must meet commits"


def test_an_engine_that_goes_on_after_a_failed_commit_loses_what_it_acknowledged(
    shop_directory: Path, tmp_path: Path
) -> None:
    """The control: the same fault in an engine that does not stop."""
    directory = tmp_path / "data"
    shutil.copytree(shop_directory, directory)
    code, caller, _ = _one_fault(directory, tmp_path / "strace", "fdatasync:error=EIO:when=2", "--deaf")
    assert code == 0
    with pytest.raises((AssertionError, JournalError, DamagedRecord)):
        prove(directory, [caller], PIECES)


def test_a_sync_that_fails_while_the_engine_starts_is_explained(shop_directory: Path, tmp_path: Path) -> None:
    """Also in a directory that is being made: the next start goes on where this one failed."""
    count = 0
    for position in itertools.count(1):
        directory, trace = tmp_path / str(position), tmp_path / f"{position}.strace"
        strace = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", str(trace), "-e", "trace=fdatasync"]
        inject = ["-e", f"inject=fdatasync:error=EIO:when={position}"]
        try:
            EngineProcess(directory, prefix=[*strace, *inject]).stop()
            said = None
        except DidNotStart as refused:
            said = refused.said
        if "INJECTED" not in trace.read_text():
            break
        if said is not None:
            assert said.startswith("ringup: ")
            assert "Input/output error" in said
            count += 1
        with EngineProcess(directory) as engine:
            assert engine.stop() == 0
    assert count >= 3
