"""The disk is full: the engine stops with a clear message, and goes on when there is room again."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.callers import GONE, Caller, answers_again, exchange, open_shop, prove
from support.engine_entry import ENTRY
from support.engine_process import DidNotStart, EngineProcess

PIECES = 100
SMALL = ("--checkpoint-commands", "200")


def _fill(filler: Path) -> None:
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("ballast_mb", [0, 1])
def test_a_full_disk_stops_the_engine_and_loses_nothing(tmp_path: Path, mount: Any, ballast_mb: int) -> None:
    """Once because the journal grew, once because something else took the room."""
    folder: Path = mount("-t", "tmpfs", "-o", "size=3m", "tmpfs")
    directory, ballast, caller = folder / "data", folder / "ballast", Caller(1, streams=True)
    ballast.write_bytes(bytes(ballast_mb << 20))
    with EngineProcess(directory, entry=ENTRY, args=SMALL) as engine:
        with engine.channel() as channel:
            open_shop(channel, PIECES)
            stopped = False
            while not stopped:
                try:
                    exchange(channel, [caller.make() for _ in range(400)])
                except grpc.RpcError as error:
                    if error.code() not in GONE:  # type: ignore[attr-defined]
                        raise
                    stopped = True
                assert len(caller.sent) < 50_000, "the disk must fill up"
        assert engine.process.wait(60) == 74
        said = engine.stderr()
        assert "the commit failed: the engine stops" in said
        # LMDB calls a write that found room for its beginning alone an input/output error; then the room left says it.
        assert "No space left on device" in said or "; 0 bytes are free there" in said
    assert sum(bool(sent.answers) for sent in caller.sent) >= 200

    # Full to the last byte: a new directory is not begun there.
    filler = folder / "filler"
    _fill(filler)
    with pytest.raises(DidNotStart) as refused:
        EngineProcess(folder / "other", entry=ENTRY)
    assert refused.value.said.startswith("ringup: ")
    assert "No space left on device" in refused.value.said

    filler.unlink()
    ballast.unlink()
    mount("-o", "remount,size=32m", "tmpfs")
    with EngineProcess(directory, entry=ENTRY, args=SMALL) as engine:
        caller.resend(engine.target)
        answers_again(engine.target, [caller])
        assert engine.stop() == 0
    prove(directory, [caller], PIECES)
