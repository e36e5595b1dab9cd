"""One engine without gRPC: how it ends, well and badly."""

from __future__ import annotations

import asyncio
import errno
import time
from pathlib import Path
from typing import Any

import pytest

from ringup.engine.engine import Engine, EngineFailed
from ringup.engine.journal import AppendUnknown
from ringup.v1 import pricing_pb2, sale_pb2, session_pb2
from support.core import command_of, small_shop
from support.data_directory import write_directory


def _engine(path: Path) -> Engine:
    write_directory(path, shop=small_shop())
    return Engine(path, checkpoint_bytes=1 << 30, checkpoint_commands=1 << 30)


def _sale(command_id: bytes = b"s" * 16) -> bytes:
    sell = sale_pb2.SellRequest(
        command_id=command_id,
        till_id="T1",
        lines=[pricing_pb2.BasketLine(item_id="milk", qty_milli=1000)],
        tenders=[sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_CARD, amount_minor=119)],
    )
    return session_pb2.SessionRequest(commands=[command_of(sell)]).SerializeToString()


def _break_disk(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def append(sequence: int, *records: bytes) -> None:
        raise AppendUnknown(f"batch {sequence}: the commit failed")

    monkeypatch.setattr(engine.journal, "append", append)


def _release(engine: Engine) -> None:
    """Let go of the directory, as the end of the process would."""
    engine.journal.close()
    engine._checkpoints.close()
    engine._lock.close()


def test_a_commit_that_fails_while_the_engine_stops_does_not_hang_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop waited for the last answer, which a failed commit never gives: the process hung until it was killed."""

    async def run() -> tuple[bool, Any]:
        engine = _engine(tmp_path)
        engine.start()
        _break_disk(engine, monkeypatch)
        answer = engine.submit(_sale())
        await asyncio.wait_for(engine.stop(), 60)
        with pytest.raises(EngineFailed):
            await answer
        return engine.is_failed, engine.checkpoint_count

    assert asyncio.run(run()) == (True, 0)


def test_a_failed_engine_shows_nothing_of_what_it_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed commit the memory is ahead of the disk: a receipt was waited for without end, and stock was
    shown without a sale that is in no journal."""

    async def run() -> None:
        engine = _engine(tmp_path)
        engine.start()
        _break_disk(engine, monkeypatch)
        with pytest.raises(EngineFailed):
            await engine.submit(_sale())
        receipt = sale_pb2.GetReceiptRequest(sale_id=b"s" * 16).SerializeToString()
        with pytest.raises(EngineFailed):
            await asyncio.wait_for(engine.receipt(receipt), 60)
        with pytest.raises(EngineFailed):
            engine.query("GetSettings", b"")
        _release(engine)

    asyncio.run(run())


def test_a_checkpoint_that_fails_costs_nothing_but_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk of the checkpoints is full, in mid-write, while sales go on; later it has room again.  The engine
    is stopped while one is being written."""

    async def run() -> tuple[bytes, int, list[bool]]:
        write_directory(tmp_path, shop=small_shop(shortfall_allowed=True))
        engine = Engine(tmp_path, checkpoint_bytes=1 << 30, checkpoint_commands=1)
        engine.start()
        write, fresh = engine._checkpoints.write, []

        def failing(meta: dict[str, Any], pages: Any, **options: Any) -> int:
            fresh.append(options["fresh"])
            if len(fresh) in (1, 3):
                next(iter(pages))
                raise OSError(errno.ENOSPC, "No space left on device")
            time.sleep(0.01)  # commands change pages that are being written
            return write(meta, pages, **options)

        monkeypatch.setattr(engine._checkpoints, "write", failing)
        for number in range(60):
            await engine.submit(_sale(number.to_bytes(16, "big")))
        await engine.stop()
        return engine.core.digest(), engine.checkpoint_sequence, fresh

    digest, checkpoint_sequence, fresh = asyncio.run(run())
    assert fresh[:3] == [True, True, False], "until one is written, each has all pages"
    assert len(fresh) > 3
    again = Engine(tmp_path, checkpoint_bytes=1 << 30, checkpoint_commands=1 << 30)
    assert (again.recovered.checkpoint_sequence, again.recovered.replayed) == (checkpoint_sequence, 0)
    assert again.core.digest() == digest
    _release(again)


def test_an_engine_starts_without_its_checkpoint(tmp_path: Path) -> None:
    """The file of the checkpoints was damaged at its beginning: the engine asked for a backup, though its journal,
    which has everything, was whole."""
    written = write_directory(tmp_path)
    path = tmp_path / "checkpoint" / "data.mdb"
    path.write_bytes(b"\xa5" * 8192 + path.read_bytes()[8192:])
    for replayed in (written.last_sequence, 0):

        async def run() -> None:
            engine = Engine(tmp_path, checkpoint_bytes=1 << 30, checkpoint_commands=1 << 30)
            engine.start()
            assert engine.recovered.replayed == replayed  # noqa: B023 - it runs in this turn of the loop
            assert bool(engine.recovered.note) == bool(replayed)  # noqa: B023
            assert engine.core.digest().hex() == written.digest
            await engine.stop()

        asyncio.run(run())
    assert (tmp_path / "checkpoint.damaged").is_dir()
