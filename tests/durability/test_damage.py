"""One bit flipped anywhere in a record: the start refuses and names the record; LMDB alone does not notice."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import grpc
import pytest

from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal
from ringup.engine.record import DamagedRecord
from ringup.engine.recovery import check, recover
from ringup.v1 import session_pb2, session_pb2_grpc
from support.callers import Caller, exchange, frame, open_shop
from support.engine_entry import ENTRY
from support.engine_process import DidNotStart, EngineProcess

FLIPS = 150


class Book:
    """A data directory on disk, and where each record's bytes are in the journal's file."""

    def __init__(self, directory: Path, caller: Caller) -> None:
        self.directory, self.caller = directory, caller
        self.file = directory / "journal" / "data.mdb"
        journal = LmdbJournal(directory / "journal", readonly=True)
        self.records = dict(journal.read(1))
        journal.close()
        self.offset = {number: self._offset_of(number) for number in self.records}

    def _offset_of(self, number: int) -> int:
        """Where a record is in the file: pages of before may hold it too, so see which copy is read."""
        record, data, at = self.records[number], self.file.read_bytes(), -1
        while (at := data.find(record, at + 1)) >= 0:
            self.offset = {number: at}
            self.flip(number, 0, 0)
            journal = LmdbJournal(self.directory / "journal", readonly=True)
            found = journal.get(number)
            journal.close()
            self.flip(number, 0, 0)
            if found != record:
                return at
        raise AssertionError(f"record {number} is not in the file in one piece")

    def flip(self, number: int, byte: int, bit: int) -> None:
        """Flip one bit of a record; a second time puts it back."""
        with self.file.open("r+b") as file:
            file.seek(self.offset[number] + byte)
            old = file.read(1)[0]
            file.seek(self.offset[number] + byte)
            file.write(bytes([old ^ 1 << bit]))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Caller]:
    """A shop that has traded in a few dozen batches, some holds ended in between; killed without a checkpoint."""
    directory, caller = tmp_path_factory.mktemp("book"), Caller(1, streams=True)
    with EngineProcess(directory, entry=ENTRY) as engine:
        with engine.channel() as channel:
            open_shop(channel, 100)
            for size in range(1, 25):
                exchange(channel, [caller.make() for _ in range(size)])
        engine.kill()
    return directory, caller


@pytest.fixture
def book(sound: tuple[Path, Caller], tmp_path: Path) -> Book:
    return Book(Path(shutil.copytree(sound[0], tmp_path / "data")), sound[1])


def test_a_flipped_bit_is_found_and_its_record_named(book: Book) -> None:
    rng = random.Random(1)
    unseen_by_lmdb = 0
    for _ in range(FLIPS):
        number = rng.choice(list(book.records))
        byte, bit = rng.randrange(len(book.records[number])), rng.randrange(8)
        book.flip(number, byte, bit)
        journal = LmdbJournal(book.directory / "journal", readonly=True)
        with pytest.raises(DamagedRecord, match=rf"^record {number} of the journal: .*ringup restore"):
            recover(journal, None)
        assert f"record {number} of the journal" in check(journal, None).damage[0]
        # The control: LMDB reads all of it as if nothing had been.
        unseen_by_lmdb += len(list(journal.read(1))) == len(book.records)
        journal.close()
        book.flip(number, byte, bit)
    assert unseen_by_lmdb == FLIPS
    journal = LmdbJournal(book.directory / "journal", readonly=True)
    assert recover(journal, None).replayed == len(book.records), "whole again after the last flip was undone"
    journal.close()


def test_an_engine_refuses_to_start_on_a_damaged_record(book: Book) -> None:
    book.flip(17, 100, 3)
    with pytest.raises(DidNotStart, match="record 17 of the journal: its checksum differs") as refused:
        EngineProcess(book.directory)
    assert refused.value.code != 0
    book.flip(17, 100, 3)
    with EngineProcess(book.directory) as engine:
        assert engine.stop() == 0


def test_a_damaged_checkpoint_is_folded_anew(book: Book) -> None:
    """The journal has everything: the engine says why it starts slowly, and starts."""
    with EngineProcess(book.directory, entry=ENTRY) as engine:
        assert engine.stop() == 0  # leaves a checkpoint
    checkpoints = CheckpointStore(book.directory / "checkpoint")
    page = bytes(next(iter(checkpoints.pages()))[2])
    checkpoints.close()
    file = book.directory / "checkpoint" / "data.mdb"
    data = bytearray(file.read_bytes())
    data[data.rindex(page) + 5] ^= 16
    file.write_bytes(data)
    with EngineProcess(book.directory, entry=ENTRY) as engine:
        with engine.channel() as channel:
            exchange(channel, book.caller.sent)
        assert engine.process.terminate() is None
        assert engine.process.wait(60) == 0
        assert "the state was folded from the whole journal" in engine.stderr()
    assert all(len(set(sent.answers)) == 1 for sent in book.caller.sent)


def test_a_resend_whose_answer_is_damaged_meanwhile_is_data_loss(book: Book) -> None:
    """Found while the engine runs: the caller hears what is wrong, and others are served as before."""
    size = 17  # so many commands are large enough for pages of their own
    batch = book.caller.sent[size * (size - 1) // 2 :][:size]
    number = min(number for number, record in book.records.items() if batch[0].request.command_id in record)  # type: ignore[attr-defined]  # every command has it
    assert len(book.records[number]) > 2100
    with EngineProcess(book.directory, entry=ENTRY) as engine:
        book.flip(number, 1000, 0)
        with engine.channel() as channel:
            session = session_pb2_grpc.SessionServiceStub(channel).Session
            with pytest.raises(grpc.RpcError) as lost:
                next(session(iter([frame(batch)]), timeout=60))
            assert lost.value.code() is grpc.StatusCode.DATA_LOSS  # type: ignore[attr-defined]
            assert f"record {number} of the journal" in lost.value.details()  # type: ignore[attr-defined]
            exchange(channel, [book.caller.make() for _ in range(3)])
            book.flip(number, 1000, 0)
            answer = next(session(iter([frame(batch)]), timeout=60))
            assert isinstance(answer, session_pb2.SessionResponse)
            assert len(answer.replies) == size
        assert engine.stop() == 0
    journal = LmdbJournal(book.directory / "journal", readonly=True)
    checkpoints = CheckpointStore(book.directory / "checkpoint", readonly=True)
    assert recover(journal, None).core.digest() == recover(journal, checkpoints).core.digest()
    checkpoints.close()
    journal.close()
