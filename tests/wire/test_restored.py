"""An engine restored from an older backup is another one: readers of events are told, and miss or misread nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ringup.clients import AsyncClient, Client, Refused
from ringup.engine.backup import backup, restore
from ringup.engine.lmdb_store import FORMAT, LmdbJournal
from ringup.v1 import event_pb2, result_pb2, stock_pb2
from support.callers import open_shop
from support.core import CoreHarness
from support.engine_process import EngineProcess
from support.webhook_receiver import Sending, cursor, is_done_to, move, ran, receiving, until

OK, FOREIGN = result_pb2.RESULT_CODE_OK, result_pb2.RESULT_CODE_CURSOR_FOREIGN


def ask(engine: EngineProcess, request: Any) -> Any:
    with Client(engine.target, batching=False) as client:
        return client.call(request)


def read(engine: EngineProcess, **fields: Any) -> Any:
    return ask(engine, event_pb2.ReadEventsRequest(**fields))


def put(engine: EngineProcess, engine_id: str, sequence: int, name: str = "erp") -> Any:
    return ask(engine, event_pb2.PutEventCursorRequest(cursor_id=name, engine_id=engine_id, sequence=sequence))


def told_by(answer: Any) -> list[tuple[str, int]]:
    """(engine, sequence) of all events of an answer."""
    return [
        (batch.engine_id or answer.engine_id, batch.first_sequence + number)
        for batch in answer.batches
        for number in range(len(batch.events))
    ]


class BackedUp:
    """An engine that was backed up at `shared` events and went on to `last`."""

    def __init__(self, path: Path) -> None:
        with EngineProcess(path / "first") as engine:
            with engine.channel() as channel:
                open_shop(channel, 1000)
            self.shared = move(engine, 3)
            self.old_id = read(engine).engine_id
            assert put(engine, self.old_id, self.shared - 1).code == OK
            backup(path / "first", path / "backup")
            self.shared_batch = read(engine).batches[-1].batch + 1  # the cursor's, too
            self.last = move(engine, 10)
            self.events = told_by(read(engine))
            assert engine.stop() == 0


class Restored:
    """Folders of one test: the first engine's, its backup and a second engine restored from that."""

    def __init__(self, base: Path, backed_up: BackedUp, path: Path) -> None:
        self.path, self.shared, self.last = path, backed_up.shared, backed_up.last
        self.old_id, self.events, self.shared_batch = backed_up.old_id, backed_up.events, backed_up.shared_batch
        for name in ("first", "backup"):
            (path / name).symlink_to(base / name)
        restore(path / "backup", path / "second")

    @contextmanager
    def second(self, name: str = "second", port: int = 0) -> Iterator[EngineProcess]:
        with EngineProcess(self.path / name, port=port) as engine:
            yield engine
            assert engine.stop() == 0


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BackedUp]:
    base = tmp_path_factory.mktemp("restored")
    return base, BackedUp(base)


@pytest.fixture
def restored(backed_up: tuple[Path, BackedUp], tmp_path: Path) -> Restored:
    return Restored(*backed_up, tmp_path)


def test_events_are_named_by_engine_and_sequence_and_each_name_once(restored: Restored) -> None:
    with restored.second() as engine:
        last = move(engine, 12)
        answer = read(engine)
        names = told_by(answer)
        assert answer.engine_id != restored.old_id
        assert names[: restored.shared] == restored.events[: restored.shared]
        assert names[restored.shared :] == [(answer.engine_id, n) for n in range(restored.shared + 1, last + 1)]
        assert not set(names[restored.shared :]) & set(restored.events), "no two events have one name"
        assert told_by(read(engine, from_sequence=restored.shared)) == names[restored.shared - 1 :]


def test_a_reader_that_had_come_further_is_told_and_one_that_had_not_goes_on(restored: Restored) -> None:
    with restored.second() as engine:
        for moves in (0, 12):  # before and after the sequences of the lost events are taken again
            if moves:
                move(engine, moves)
            for begin in (1, restored.shared, restored.shared + 1):
                assert read(engine, engine_id=restored.old_id, from_sequence=begin).code == OK
            for begin in (restored.shared + 2, restored.last + 1):
                answer = read(engine, engine_id=restored.old_id, from_sequence=begin)
                assert answer.code == FOREIGN
                assert (answer.problem.found, answer.problem.limit) == (begin, restored.shared)
                assert not answer.batches
        assert read(engine, engine_id="f" * 32, from_sequence=1).code == FOREIGN


def test_a_client_that_follows_over_a_restore(restored: Restored) -> None:
    """One has read all that the backup has and goes on; one has read more and is refused with the last shared event."""

    async def follow(target: str, begin: int, count: int) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        async with AsyncClient(target) as client:
            async for batch in client.follow_events(from_sequence=begin, engine_id=restored.old_id):
                found += [(batch.engine_id, batch.first_sequence + n) for n in range(len(batch.events))]
                if len(found) >= count:
                    break
        return found

    with restored.second() as engine:
        last = move(engine, 3)
        found = asyncio.run(follow(engine.target, restored.shared, last - restored.shared + 1))
        new_id = read(engine).engine_id
        assert found == [
            (restored.old_id, restored.shared),
            *((new_id, n) for n in range(restored.shared + 1, last + 1)),
        ]
        with pytest.raises(Refused) as refused:
            asyncio.run(follow(engine.target, restored.last + 1, 1))
        assert refused.value.code_name == "CURSOR_FOREIGN"
        assert refused.value.problem.limit == restored.shared
        assert "undo or compare what was done after it" in str(refused.value)


def test_a_cursor_kept_in_the_engine_has_to_be_put_again(restored: Restored) -> None:
    with restored.second() as engine:
        new_id = read(engine).engine_id
        for engine_id in ("", restored.old_id):
            answer = read(engine, cursor_id="erp", engine_id=engine_id)
            assert (answer.code, answer.problem.field, answer.problem.limit) == (FOREIGN, "cursor_id", restored.shared)
        assert told_by(read(engine, cursor_id="erp", engine_id=new_id))[0] == (restored.old_id, restored.shared)
        assert put(engine, restored.old_id, restored.shared).code == FOREIGN
        assert put(engine, new_id, restored.shared).code == OK
        move(engine)
        assert told_by(read(engine, cursor_id="erp"))[0] == (new_id, restored.shared + 1)


def test_the_state_is_proved_across_a_change_of_identity(restored: Restored) -> None:
    """Cursors put under either id fold to the answers that were given; from the checkpoint and from the first batch."""
    for _ in range(2):
        with restored.second() as engine:
            new_id = read(engine).engine_id
            assert [put(engine, one, 2).code for one in (new_id, restored.old_id)] == [OK, FOREIGN]
        assert ran("verify", restored.path / "second")[0] == 0
    journal = LmdbJournal(restored.path / "second" / "journal", readonly=True)
    try:
        assert journal.engine_id == new_id
        (ancestor,) = journal.ancestors
        assert (ancestor.engine_id, ancestor.last_event) == (restored.old_id, restored.shared)
        with journal._env.begin(db=journal._meta) as txn:
            assert txn.get(b"format") == str(FORMAT).encode(), "an older engine would not know whose its batches are"
    finally:
        journal.close()


def test_a_backup_of_a_restored_engine_knows_both_ancestors(restored: Restored) -> None:
    with restored.second() as engine:
        second_id, second_last = read(engine).engine_id, move(engine, 2)
    backup(restored.path / "second", restored.path / "again")
    restore(restored.path / "again", restored.path / "third")
    with restored.second("third") as engine:
        move(engine)
        names = told_by(read(engine))
        assert [name for name, _ in names] == [
            *([restored.old_id] * restored.shared),
            *([second_id] * (second_last - restored.shared)),
            read(engine).engine_id,
        ]
        for engine_id, last in ((restored.old_id, restored.shared), (second_id, second_last)):
            assert read(engine, engine_id=engine_id, from_sequence=last + 1).code == OK
            assert read(engine, engine_id=engine_id, from_sequence=last + 2).problem.limit == last


def test_a_clone_beside_the_engine_is_another_engine(restored: Restored) -> None:
    with restored.second("first") as first, restored.second() as clone:
        assert read(first).engine_id == restored.old_id
        assert read(clone, engine_id=restored.old_id, from_sequence=restored.last + 1).code == FOREIGN
        new_id = read(clone).engine_id
        assert read(first, engine_id=new_id, from_sequence=1).code == FOREIGN


def test_watchers_resume_where_the_backup_has_what_they_saw(restored: Restored) -> None:
    def first(engine: EngineProcess, token: str) -> Any:
        request = event_pb2.WatchAvailabilityRequest(channel_id="web", item_ids=["milk"], resume_token=token)
        with engine.channel() as channel:
            stream = channel.unary_stream(
                "/ringup.v1.EventService/WatchAvailability",
                request_serializer=event_pb2.WatchAvailabilityRequest.SerializeToString,
                response_deserializer=event_pb2.WatchAvailabilityResponse.FromString,
            )(request, timeout=60)
            try:
                return next(stream)
            finally:
                stream.cancel()

    with restored.second() as engine:
        channels = [stock_pb2.Channel(channel_id="web", location_ids=["S1"])]
        assert ask(engine, stock_pb2.PutChannelsRequest(channels=channels)).code == OK
        assert first(engine, f"{restored.old_id}:{restored.shared_batch}").code == OK
        move(engine, 5)
        assert first(engine, f"{restored.old_id}:{restored.shared_batch + 1}").code == FOREIGN


def test_the_same_engine_may_be_restored_where_nothing_came_after(restored: Restored) -> None:
    """The control, too: where something did come after, a reader gets other events than it should, and is not told."""
    restore(restored.path / "backup", restored.path / "same", same_engine=True)
    with restored.second("same") as engine:
        move(engine, 12)
        answer = read(engine, engine_id=restored.old_id, from_sequence=restored.last + 1)
        assert answer.code == OK
        assert answer.batches


def test_the_command_line_says_whose_it_is(restored: Restored) -> None:
    third, same = restored.path / "third", restored.path / "same"
    code, out, err = ran("restore", restored.path / "backup", third, "--json")
    assert code == 0, err
    assert json.loads(out)["engine_id"] in err
    shown = json.loads(ran("stat", third, "--json")[1])
    assert shown["engine_id"] == json.loads(out)["engine_id"] != restored.old_id
    assert shown["restored_from"] == [f"{restored.old_id} up to batch {shown['last_sequence']:,}"]
    code, out, err = ran("restore", restored.path / "backup", same, "--same-engine", "--json")
    assert (code, json.loads(out)["engine_id"]) == (0, restored.old_id)
    with restored.second("third") as engine:
        move(engine)
        lines = ran("events", "--engine", engine.target, "--from", 1, "--json")[1].splitlines()
        owners = [json.loads(line)["engine_id"] for line in lines]
        assert owners == [restored.old_id] * restored.shared + [shown["engine_id"]]
    for folder in (third, same):
        assert ran("verify", folder)[0] == ran("check", folder)[0] == 0


@pytest.mark.parametrize("is_running", [True, False], ids=["sender at work", "sender started anew"])
def test_a_webhook_is_parked_until_a_person_has_seen_to_it(tmp_path: Path, is_running: bool) -> None:
    with receiving() as receiver, EngineProcess(tmp_path / "first") as first:
        with first.channel() as channel:
            open_shop(channel, 1000)
        sending = Sending(first, receiver.url, "shop", tmp_path)
        with sending:
            shared = move(first, 2)
            until(is_done_to(first, "shop", shared), "delivered")
            backup(tmp_path / "first", tmp_path / "backup")
            last = move(first, 5)
            until(is_done_to(first, "shop", last), "delivered")
            if not is_running:
                sending.stop()
            first.kill()
            restore(tmp_path / "backup", tmp_path / "second")
            with EngineProcess(tmp_path / "second", port=first.port) as second:
                if is_running:
                    told = sending.end(79)
                else:
                    with Sending(second, receiver.url, "shop", tmp_path) as again:
                        told = again.end(79)
                assert f"restored from a backup up to event {shared}" in told
                assert receiver.sequences() == list(range(1, last + 1)), "nothing was posted meanwhile"
                parked = cursor(second, "shop")
                assert parked is not None
                assert (parked.parked, parked.sequence) == (True, shared)
                assert ran("webhook", "retry", "shop", "--engine", second.target)[0] == 0
                with Sending(second, receiver.url, "shop", tmp_path) as again:
                    last_here = move(second, 6)
                    until(is_done_to(second, "shop", last_here), "delivered")
                    again.stop()
                assert second.stop() == 0
    named = [(body["engine_id"], event["sequence"]) for _, body, _ in receiver.got for event in body["events"]]
    assert len(set(named)) == len(named)
    new_id = named[-1][0]
    assert [name for name, _ in named].count(new_id) == last_here - shared
    assert named[-1][1] == last_here


def test_the_core_takes_each_batch_under_the_identity_of_its_time() -> None:
    """An ancestor without a batch of its own, which is restored before it did anything, never counts."""
    names = ("first", "nothing", "second", "third")
    shop = CoreHarness()
    shop.core.know("third", [("first", 2), ("nothing", 2), ("second", 4)])
    found = []
    for _ in range(6):
        requests = [event_pb2.PutEventCursorRequest(cursor_id="c", engine_id=name) for name in names]
        found.append([name for name, answer in zip(names, shop.batch(*requests), strict=True) if answer.code == OK])
    assert found == [["first"]] * 2 + [["second"]] * 2 + [["third"]] * 2
