"""Events and availability over the wire: read from any point, follow, resume, and what is refused."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from ringup.clients import AsyncClient, Refused
from ringup.engine.edge import Edge
from ringup.engine.engine import Engine
from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal
from ringup.engine.verify import verify
from ringup.v1 import catalog_pb2, catalog_pb2_grpc, event_pb2, event_pb2_grpc, result_pb2, stock_pb2, stock_pb2_grpc
from support.core import small_shop
from support.data_directory import write_directory
from support.event_fold import Fold
from support.tcp_proxy import TcpProxy

OK = result_pb2.RESULT_CODE_OK
_IDS = itertools.count(1)


def new_id() -> bytes:
    return b"events--" + next(_IDS).to_bytes(8, "big")


class Scene:
    """An engine with its edge in this process, and stubs to it."""

    def __init__(self, engine: Engine, edge: Edge, port: int, channel: grpc.aio.Channel) -> None:
        self.engine, self.edge, self.port, self.channel = engine, edge, port, channel
        self.events: Any = event_pb2_grpc.EventServiceStub(channel)
        self.stock: Any = stock_pb2_grpc.StockServiceStub(channel)

    async def move(self, pieces: int, item: str = "milk") -> int:
        """Goods come (or go); returns the sequence of the last event there is then."""
        line = stock_pb2.StockLine(item_id=item, qty_milli=abs(pieces) * 1000)
        if pieces > 0:
            request: Any = stock_pb2.ReceiveStockRequest(command_id=new_id(), location_id="S1", lines=[line])
            answer = await self.stock.ReceiveStock(request)
        else:
            request = stock_pb2.SellStockRequest(command_id=new_id(), location_id="S1", lines=[line])
            answer = await self.stock.SellStock(request)
        assert answer.code == OK, answer
        return self.engine.events.last

    async def channels(self) -> None:
        channel = stock_pb2.Channel(channel_id="web", location_ids=["S1", "S2"])
        request = stock_pb2.PutChannelsRequest(command_id=new_id(), channels=[channel])
        assert (await self.stock.PutChannels(request)).code == OK

    async def put_cursor(self, sequence: int, **fields: Any) -> Any:
        fields = {"cursor_id": "erp", "engine_id": self.engine.engine_id, **fields}
        return await self.events.PutEventCursor(
            event_pb2.PutEventCursorRequest(command_id=new_id(), sequence=sequence, **fields)
        )

    def watch(self, items: list[str], token: str = "", stub: Any = None) -> Any:
        request = event_pb2.WatchAvailabilityRequest(channel_id="web", item_ids=items, resume_token=token)
        return (stub or self.events).WatchAvailability(request)


def play(path: Path, *acts: Callable[[Scene], Awaitable[None]]) -> None:
    """Each act in an engine started anew on the same directory; in the end the journal is proved."""
    write_directory(path, shop=small_shop(pieces=50))

    async def run(act: Callable[[Scene], Awaitable[None]]) -> None:
        engine = Engine(path, checkpoint_bytes=1 << 30, checkpoint_commands=1 << 30)
        engine.start()
        edge = Edge(engine)
        port = await edge.start("127.0.0.1:0")
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await asyncio.wait_for(act(Scene(engine, edge, port, channel)), 120)
        finally:
            await edge.stop()
            await engine.stop()

    for act in acts:
        asyncio.run(run(act))
    journal, store = LmdbJournal(path / "journal", readonly=True), CheckpointStore(path / "checkpoint", readonly=True)
    report = verify(journal, store)
    assert report.is_well, report


def test_events_are_read_from_any_sequence_and_across_a_restart(tmp_path: Path) -> None:
    async def first(scene: Scene) -> None:
        for pieces in (5, -1, -2):
            await scene.move(pieces)

    async def second(scene: Scene) -> None:
        last = await scene.move(-3)
        fold, next_sequence = Fold(), 0
        while fold.next_sequence <= last:
            answer = await scene.events.ReadEvents(event_pb2.ReadEventsRequest(from_sequence=next_sequence))
            assert (answer.code, answer.engine_id, answer.last_sequence) == (OK, scene.engine.engine_id, last)
            fold.take(answer.batches)
            next_sequence = answer.next_sequence
        assert fold.positions["milk", "S1", "", False] == (49_000, 0, 0, 0)
        for sequence in range(1, last + 1):
            answer = await scene.events.ReadEvents(event_pb2.ReadEventsRequest(from_sequence=sequence))
            assert answer.batches[0].first_sequence == sequence
        answer = await scene.events.ReadEvents(event_pb2.ReadEventsRequest(from_sequence=last + 1))
        assert (answer.code, len(answer.batches), answer.next_sequence) == (OK, 0, last + 1)

    play(tmp_path, first, second)


def test_what_is_not_there_is_refused_and_says_what_is(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        last = await scene.move(1)
        for fields, code, limit in (
            ({"from_sequence": last + 2}, result_pb2.RESULT_CODE_EVENTS_NOT_YET, last),
            ({"from_sequence": 1, "engine_id": "another"}, result_pb2.RESULT_CODE_CURSOR_FOREIGN, 0),
            ({"cursor_id": "nobody"}, result_pb2.RESULT_CODE_CURSOR_UNKNOWN, 0),
        ):
            answer = await scene.events.ReadEvents(event_pb2.ReadEventsRequest(**fields))
            assert (answer.code, answer.problem.limit) == (code, limit)
            stream = scene.events.SubscribeEvents(event_pb2.SubscribeEventsRequest(**fields))
            told = [message async for message in stream]
            assert [(message.code, message.problem.limit) for message in told] == [(code, limit)]
        scene.engine.journal.trim(scene.engine.core.sequence)  # all but the last batch
        answer = await scene.events.ReadEvents(event_pb2.ReadEventsRequest(from_sequence=1))
        assert (answer.code, answer.problem.limit) == (result_pb2.RESULT_CODE_EVENTS_TRIMMED, last)
        answer = await scene.events.ReadEvents(event_pb2.ReadEventsRequest())
        assert answer.batches[0].first_sequence == last

    write_directory(tmp_path, shop=small_shop())

    async def run() -> None:
        engine = Engine(tmp_path, checkpoint_bytes=1 << 30, checkpoint_commands=1 << 30)
        engine.start()
        edge = Edge(engine)
        port = await edge.start("127.0.0.1:0")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await act(Scene(engine, edge, port, channel))
        await edge.stop()
        await engine.stop()

    asyncio.run(run())


def test_a_cursor_is_kept_by_the_engine_and_never_goes_back_by_itself(tmp_path: Path) -> None:
    async def first(scene: Scene) -> None:
        last = await scene.move(1)
        assert (await scene.put_cursor(2)).cursor.sequence == 2
        assert (await scene.put_cursor(1)).cursor.sequence == 2  # a late acknowledgement
        assert (await scene.put_cursor(1, rewind=True)).cursor.sequence == 1
        answer = await scene.put_cursor(last + 1)
        assert (answer.code, answer.problem.limit) == (result_pb2.RESULT_CODE_EVENTS_NOT_YET, last)
        answer = await scene.put_cursor(3, engine_id="another")
        assert (answer.code, answer.problem.subject) == (result_pb2.RESULT_CODE_CURSOR_FOREIGN, "another")
        for fields in ({"cursor_id": ""}, {"engine_id": ""}, {"note": "x" * 201}, {"cursor_id": "x" * 65}):
            assert (await scene.put_cursor(3, **fields)).code == result_pb2.RESULT_CODE_FIELD_INVALID
        assert (await scene.put_cursor(0, cursor_id="other", parked=True, note="why")).code == OK
        delete = event_pb2.DeleteEventCursorRequest(command_id=new_id(), cursor_id="nobody")
        assert (await scene.events.DeleteEventCursor(delete)).code == result_pb2.RESULT_CODE_CURSOR_UNKNOWN

    async def second(scene: Scene) -> None:
        cursors = (await scene.events.ListEventCursors(event_pb2.ListEventCursorsRequest())).cursors
        found = [(one.cursor_id, one.sequence, one.parked, one.note) for one in cursors]
        assert found == [("erp", 1, False, ""), ("other", 0, True, "why")]
        answer = await scene.events.ReadEvents(event_pb2.ReadEventsRequest(cursor_id="erp"))
        assert answer.batches[0].first_sequence == 2
        delete = event_pb2.DeleteEventCursorRequest(command_id=new_id(), cursor_id="erp")
        assert (await scene.events.DeleteEventCursor(delete)).code == OK
        cursors = (await scene.events.ListEventCursors(event_pb2.ListEventCursorsRequest())).cursors
        assert [one.cursor_id for one in cursors] == ["other"]

    play(tmp_path, first, second)


def test_a_subscriber_gets_each_event_once_in_order_and_hears_of_the_end(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        stream = scene.events.SubscribeEvents(event_pb2.SubscribeEventsRequest())
        hello = await stream.read()
        assert (hello.engine_id, hello.last_sequence) == (scene.engine.engine_id, scene.engine.events.last)
        fold = Fold()
        for pieces in (1, -2, 3, -4):
            last = await scene.move(pieces)
            while fold.next_sequence <= last:
                fold.take([(await stream.read()).batch])
        assert fold.positions["milk", "S1", "", False][0] == 48_000
        stop = asyncio.ensure_future(scene.edge.stop())
        assert (await stream.read()).draining
        assert await stream.read() is grpc.aio.EOF
        await stop

    play(tmp_path, act)


def test_a_reader_that_does_not_read_costs_no_memory_and_misses_nothing(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        slow = scene.events.SubscribeEvents(event_pb2.SubscribeEventsRequest())
        await slow.read()
        items = [f"x{number:03}" + "y" * 50 for number in range(200)]
        put = catalog_pb2.PutItemsRequest(
            command_id=new_id(), items=[catalog_pb2.Item(item_id=item, name="x") for item in items]
        )
        assert (await catalog_pb2_grpc.CatalogServiceStub(scene.channel).PutItems(put)).code == OK  # type: ignore[no-untyped-call]
        lines = [stock_pb2.StockLine(item_id=item, qty_milli=1000) for item in items]
        for _ in range(300):  # 60,000 events, 5 MB on the wire: more than flow control lets pass
            request = stock_pb2.ReceiveStockRequest(command_id=new_id(), location_id="S1", lines=lines)
            assert (await scene.stock.ReceiveStock(request)).code == OK
        kept = sum(len(packed.events) for packed in scene.engine.events._recent)
        assert kept <= 4 << 20
        fold, last = Fold(), scene.engine.events.last
        while fold.next_sequence <= last:
            fold.take([(await slow.read()).batch])
        assert fold.positions[items[7], "S1", "", False][0] == 300_000

    play(tmp_path, act)


def test_events_older_than_memory_come_from_the_journal(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("ringup.engine.event_log.RECENT_BYTES", 200)
    monkeypatch.setattr("ringup.engine.event_log.READ_BYTES", 150)

    async def act(scene: Scene) -> None:
        for number in range(60):
            last = await scene.move(1 if number % 3 else -1)
        for begin in (1, 2, 30, last - 1, last):
            stream = scene.events.SubscribeEvents(event_pb2.SubscribeEventsRequest(from_sequence=begin))
            await stream.read()
            fold = Fold(next_sequence=begin)
            numbers = []
            while not numbers or numbers[-1] < last:
                batch = (await stream.read()).batch
                numbers += [batch.first_sequence + n for n in range(len(batch.events))]
            assert numbers == list(range(begin, last + 1))
            stream.cancel()
            del fold

    play(tmp_path, act)


def test_availability_is_watched_latest_value_wins_and_survives_a_broken_link(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.channels()
        async with TcpProxy(scene.port) as proxy, grpc.aio.insecure_channel(proxy.target) as channel:
            far: Any = event_pb2_grpc.EventServiceStub(channel)  # type: ignore[no-untyped-call]
            stream = scene.watch(["milk", "bread", "wrap"], stub=far)
            message = await stream.read()
            told = {one.item_id: one.available_milli for one in message.items}
            assert told == {"milk": 50_000, "bread": 50_000, "wrap": 0}
            assert [one.unlimited for one in message.items] == [False, False, True]
            await scene.move(-1)
            message = await stream.read()
            (one,) = message.items
            assert (one.item_id, one.available_milli) == ("milk", 49_000)
            assert one.version == scene.engine.events.batch
            token = message.resume_token
            proxy.cut()
            for _ in range(5):
                await scene.move(-1, "bread")
        control = await scene.watch(["milk", "bread"]).read()
        message = await scene.watch(["milk", "bread", "wrap"], token).read()
        assert {one.item_id: one.available_milli for one in message.items} == {"bread": 45_000}
        assert len(control.items) == 2

    async def after_a_restart(scene: Scene) -> None:
        stream = scene.watch(["bread"], f"{scene.engine.engine_id}:1")
        (one,) = (await stream.read()).items
        assert (one.item_id, one.available_milli) == ("bread", 45_000)
        for token in ("another:1", f"{scene.engine.engine_id}:99999", f"{scene.engine.engine_id}:x", "-"):
            answer = await scene.watch(["bread"], token).read()
            assert answer.code == result_pb2.RESULT_CODE_CURSOR_FOREIGN, token
        assert (await scene.watch(["nothing"]).read()).code == result_pb2.RESULT_CODE_ITEM_UNKNOWN
        request = event_pb2.WatchAvailabilityRequest(channel_id="moon", item_ids=["milk"])
        answer = await scene.events.WatchAvailability(request).read()
        assert answer.code == result_pb2.RESULT_CODE_CHANNEL_UNKNOWN
        read = await scene.events.ReadAvailability(
            event_pb2.ReadAvailabilityRequest(channel_id="web", item_ids=["bread", "milk"])
        )
        assert [one.available_milli for one in read.items] == [45_000, 49_000]

    play(tmp_path, act, after_a_restart)


def test_a_watcher_that_is_slow_has_one_value_an_item_waiting(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.channels()
        request = event_pb2.WatchAvailabilityRequest(channel_id="web", item_ids=["milk", "bread"])
        watch, values = scene.engine.watches.open(request.SerializeToString())
        assert sorted(available for available, _ in values.values()) == [50_000, 50_000]
        versions = []
        for _ in range(30):
            await scene.move(-1)
            versions.append(scene.engine.events.batch)
        (value,) = watch.pending.values()
        assert value == (20_000, versions[-1])
        scene.engine.watches.close(watch)
        await scene.move(-1)
        assert len(watch.pending) == 1, "nobody tells a watcher that has gone"
        assert not scene.engine.watches._by_key

    play(tmp_path, act)


def test_places_and_policies_change_what_is_watched(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.channels()
        stream = scene.watch(["milk"])
        await stream.read()
        policy = stock_pb2.StockPolicy(item_id="milk", safety_milli=7000)
        request = stock_pb2.PutStockPoliciesRequest(command_id=new_id(), policies=[policy])
        assert (await scene.stock.PutStockPolicies(request)).code == OK
        assert (await stream.read()).items[0].available_milli == 43_000
        channel = stock_pb2.Channel(channel_id="web", location_ids=["S2"])
        put = stock_pb2.PutChannelsRequest(command_id=new_id(), channels=[channel])
        assert (await scene.stock.PutChannels(put)).code == OK
        assert (await stream.read()).items[0].available_milli == 0

    play(tmp_path, act)


def test_a_kit_is_watched_by_its_parts(tmp_path: Path) -> None:
    """A kit has no counters of its own and crosses no threshold; what can be promised of it follows its parts."""

    async def act(scene: Scene) -> None:
        await scene.channels()
        items: Any = catalog_pb2_grpc.CatalogServiceStub(scene.channel)  # type: ignore[no-untyped-call]
        item = catalog_pb2.Item(item_id="hamper", name="Hamper")
        assert (await items.PutItems(catalog_pb2.PutItemsRequest(command_id=new_id(), items=[item]))).code == OK
        parts = [stock_pb2.KitPart(item_id="milk", qty_milli=2000), stock_pb2.KitPart(item_id="bread", qty_milli=1000)]
        kits = [stock_pb2.Kit(item_id="hamper", parts=parts)]
        assert (await scene.stock.PutKits(stock_pb2.PutKitsRequest(command_id=new_id(), kits=kits))).code == OK
        stream = scene.watch(["hamper"])
        assert (await stream.read()).items[0].available_milli == 25_000
        await scene.move(-4)
        assert (await stream.read()).items[0].available_milli == 23_000

    play(tmp_path, act)


def test_the_client_goes_on_watching_after_a_broken_link(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.channels()
        async with TcpProxy(scene.port) as proxy, AsyncClient(proxy.target) as shop:
            (read,) = await shop.read_availability(["milk"], channel_id="web")
            assert read.available_milli == 50_000
            stream = shop.watch_availability(["milk", "bread"], channel_id="web")
            first = {(await anext(stream)).item_id for _ in range(2)}
            assert first == {"milk", "bread"}
            proxy.cut()
            await scene.move(-1, "bread")
            item = await asyncio.wait_for(anext(stream), 60)
            assert (item.item_id, item.available_milli) == ("bread", 49_000)
            refused = shop.watch_availability(["nothing"], channel_id="web")
            with pytest.raises(Refused):
                await anext(refused)

    play(tmp_path, act)
