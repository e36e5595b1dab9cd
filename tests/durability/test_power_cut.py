"""Power cuts: the file system forgets, between two moments, all that was not synced.

A kill -9 cannot show this, because the kernel keeps what a dead process wrote.
RINGUP_POWER_ROUNDS sets how many cuts there are (default 4).
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.callers import Caller, answers_again, open_shop, prove, trade
from support.engine_entry import ENTRY
from support.engine_process import DidNotStart, EngineProcess

pytestmark = pytest.mark.skipif(
    shutil.which("xfs_io") is None or shutil.which("mkfs.xfs") is None, reason="needs Debian's xfsprogs"
)

PIECES = 3000
ROUNDS = int(os.environ.get("RINGUP_POWER_ROUNDS", "4"))


class Machine:
    """A loop-mounted XFS image whose power can be cut."""

    def __init__(self, image: Path, mount: Any) -> None:
        self._image, self._mount = image, mount
        with image.open("wb") as file:
            file.truncate(320 << 20)  # sparse; mkfs.xfs wants at least 300 MiB
        subprocess.run(["mkfs.xfs", "-q", str(image)], check=True, capture_output=True)
        self.folder: Path = mount("-o", "loop", str(image))
        # The data directory is as safe as its name: that is made once, by whoever installs the engine.
        (self.folder / "data").mkdir()
        os.sync()

    @property
    def directory(self) -> Path:
        """Where the engine keeps its data."""
        return self.folder / "data"

    def cut(self) -> None:
        """From now on nothing reaches the disk, and what had not is gone."""
        subprocess.run(["xfs_io", "-x", "-c", "shutdown", str(self.folder)], check=True, capture_output=True)

    def boot(self) -> None:
        """Bring the file system back as the cut left it."""
        subprocess.run(["umount", str(self.folder)], check=True, capture_output=True)
        self._mount("-o", "loop", str(self._image))


def _round(machine: Machine, callers: list[Caller], seconds: float, *args: str) -> None:
    """Start, resend, trade until the power is cut, boot."""
    with EngineProcess(machine.directory, entry=ENTRY, args=("--checkpoint-commands", "400", *args)) as engine:
        for caller in callers:
            caller.resend(engine.target)
        trade(engine.target, callers, seconds, machine.cut)
        if not args:
            assert engine.process.wait(60) == 74, "an engine whose disk is gone stops"
    machine.boot()


def _finish(machine: Machine, callers: list[Caller]) -> None:
    """Every command gets its answer, and the books are right."""
    with EngineProcess(machine.directory) as engine:
        for caller in callers:
            caller.resend(engine.target)
        answers_again(engine.target, callers)
        assert engine.stop() == 0
    prove(machine.directory, callers, PIECES)


def _callers() -> list[Caller]:
    return [Caller(number, streams=number % 2 == 1) for number in range(4)]


def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path: Path, mount: Any) -> None:
    machine, callers, rng = Machine(tmp_path / "disk", mount), _callers(), random.Random(1)
    with EngineProcess(machine.directory) as engine:
        with engine.channel() as channel:
            open_shop(channel, PIECES)
        machine.cut()
    machine.boot()
    for _ in range(ROUNDS):
        _round(machine, callers, rng.uniform(0.1, 0.5))
    _finish(machine, callers)


def test_without_syncs_a_power_cut_loses_what_was_acknowledged(tmp_path: Path, mount: Any) -> None:
    """The control."""
    machine, callers = Machine(tmp_path / "disk", mount), _callers()
    with EngineProcess(machine.directory) as engine:
        with engine.channel() as channel:
            open_shop(channel, PIECES)
        assert engine.stop() == 0
    os.sync()
    _round(machine, callers, 0.5, "--no-sync")
    acknowledged = sum(bool(sent.answers) for caller in callers for sent in caller.sent)
    assert acknowledged > 10
    with pytest.raises((AssertionError, DidNotStart, grpc.RpcError)):
        _finish(machine, callers)
