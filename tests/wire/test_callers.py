"""Callers and their roles: who is let in, and what the tables of states refuse to whom, over a real engine."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ringup.clients import AsyncClient, Client, NoAnswer, Refused, new_id, stock_line
from ringup.engine.callers import CallersError, add_caller, allowed_by_command, caller_of, read_callers
from ringup.native.envelope import insert_replies, without_kinds
from ringup.native.stock_states import actions, hold_actions
from ringup.v1 import event_pb2, result_pb2, session_pb2, stock_pb2
from support.engine_process import DidNotStart, EngineProcess

OK, DENIED = result_pb2.RESULT_CODE_OK, result_pb2.RESULT_CODE_ROLE_NOT_ALLOWED
ROLES_OF = {
    "web": ["shop"],
    "high-street": ["store"],
    "depot": ["warehouse"],
    "till-1": ["till"],
    "reports": [],
    "office": ["shop", "store", "warehouse", "till"],
}
REQUESTS = {
    field.name: getattr(stock_pb2, field.message_type.name)
    for field in session_pb2.Command.DESCRIPTOR.fields
    if field.name in allowed_by_command()
}


class Shop:
    """An engine with callers, and a client for each."""

    def __init__(self, engine: EngineProcess, secrets: dict[str, str]) -> None:
        self.engine, self.secrets = engine, secrets
        self.clients = {name: Client(engine.target, secret=secret) for name, secret in secrets.items()}

    def close(self) -> None:
        for client in self.clients.values():
            client.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("callers")
    secrets = {name: add_caller(folder / "callers.toml", name, roles) for name, roles in ROLES_OF.items()}
    with EngineProcess(folder / "data", args=["--callers-file", str(folder / "callers.toml")]) as engine:
        shop = Shop(engine, secrets)
        try:
            office = shop.clients["office"]
            office.put_settings(currency="EUR")
            office.put_locations([{"location_id": "S1", "name": "High Street"}, {"location_id": "S2", "name": "Depot"}])
            office.put_items([{"item_id": "milk", "name": "Milk"}])
            office.receive_stock(location_id="S1", lines=[stock_line("milk", 100)])
            office.call(
                stock_pb2.PutChannelsRequest(channels=[stock_pb2.Channel(channel_id="web", location_ids=["S1"])])
            )
            yield shop
        finally:
            shop.close()
        assert engine.stop() == 0


def _line(pieces: int) -> stock_pb2.StockLine:
    return stock_pb2.StockLine(item_id="milk", qty_milli=pieces * 1000)


def test_every_action_of_the_tables_has_its_command() -> None:
    who = {who for _, who in [*actions(), *hold_actions()]} - {"clock"}
    assert set(allowed_by_command().values()) == who
    by_people = [action for action, roles in [*actions(), *hold_actions()] if roles != "clock"]
    assert len(allowed_by_command()) == len(by_people) - 1  # "order" turns a hold into an order: PlaceOrder does it
    assert dict(hold_actions())["order"] == allowed_by_command()["place_order"]


@pytest.mark.parametrize("command", list(REQUESTS))
def test_a_command_of_the_tables_needs_its_role(shop: Shop, command: str) -> None:
    """All commands beside all callers; one that is let through meets the core, which knows no such order or hold."""
    allowed = allowed_by_command()[command]
    for name, client in shop.clients.items():
        may = bool(set(allowed.split(" or ")) & set(ROLES_OF[name]))
        for answer in (client.call(REQUESTS[command]()), client.submit(REQUESTS[command]()).result(10)):
            assert (answer.code != DENIED) == may, (name, answer)
            assert answer.code != OK
            if not may:
                said = f"{name} ({', '.join(ROLES_OF[name]) or 'no role'})"
                problem = answer.problem
                assert (problem.field, problem.subject, problem.allowed) == ("role", said, allowed)


def test_an_order_goes_its_way_through_the_hands_of_its_roles(shop: Shop) -> None:
    web, store, till = (shop.clients[name] for name in ("web", "high-street", "till-1"))
    place = stock_pb2.PlaceOrderRequest(order_id="o1", lines=[_line(3)], location_id="S1")
    with pytest.raises(Refused) as refused:
        till._result(till._async_client._do(place, None))
    assert refused.value.code_name == "ROLE_NOT_ALLOWED"
    for part in ("expected a caller with a role that may do this (shop)", "found 'till-1 (till)'", "give this one the"):
        assert part in str(refused.value)
    assert web.call(place).code == OK
    assert web.call(stock_pb2.PickOrderRequest(order_id="o1", location_id="S1")).code == DENIED
    steps: list[Any] = [
        stock_pb2.PickOrderRequest(order_id="o1", location_id="S1", lines=[_line(3)]),
        stock_pb2.PackOrderRequest(order_id="o1"),
        stock_pb2.ReadyOrderRequest(order_id="o1", pickup_code="1234", ttl_ms=60_000),
    ]
    for step in steps:
        assert store.call(step).code == OK, step
    assert store.call(stock_pb2.CancelOrderRequest(order_id="o1")).code == DENIED
    assert web.call(stock_pb2.GetOrderRequest(order_id="o1")).order.state == stock_pb2.ORDER_STATE_READY
    hand_over = stock_pb2.HandOverOrderRequest(order_id="o1", pickup_code="1234")
    assert [shop.clients[name].call(hand_over).code for name in ("depot", "till-1")] == [DENIED, DENIED]
    assert store.call(hand_over).code == OK


def test_a_batch_is_refused_in_part_and_answered_in_order(shop: Shop) -> None:
    """Two commands of a batch are the store's, the rest are the web shop's; some are not even commands."""
    hold = [new_id() for _ in range(3)]

    def held(number: int) -> session_pb2.Command:
        return session_pb2.Command(
            hold_stock=stock_pb2.HoldStockRequest(
                command_id=hold[number], location_id="S1", lines=[_line(1)], ttl_ms=60_000
            )
        )

    pick = session_pb2.Command(pick_order=stock_pb2.PickOrderRequest(command_id=new_id(), order_id="o1"))
    commands = [pick, held(0), session_pb2.Command(), held(1), pick, held(2)]
    stub_path = "/ringup.v1.SessionService/Session"
    request = session_pb2.SessionRequest(commands=commands).SerializeToString()
    with shop.engine.channel() as channel:
        call = channel.stream_stream(stub_path)
        metadata = [("authorization", f"Bearer {shop.secrets['web']}")]
        only_denied = session_pb2.SessionRequest(commands=[pick]).SerializeToString()
        answers = list(call(iter([request, only_denied, request]), timeout=60, metadata=metadata))
    first, second, third = (session_pb2.SessionResponse.FromString(answer).replies for answer in answers)
    kinds = [reply.WhichOneof("body") for reply in first]
    assert kinds == ["pick_order", "hold_stock", "rejected", "hold_stock", "pick_order", "hold_stock"]
    assert [reply.pick_order.code for reply in (first[0], first[4], second[0])] == [DENIED] * 3
    assert [first[at].hold_stock.hold_id for at in (1, 3, 5)] == hold
    assert len(second) == 1
    assert list(third) == list(first), "a resend of the batch is answered the same"


def test_what_a_denied_command_asked_for_did_not_happen_and_its_id_is_free(shop: Shop) -> None:
    request = stock_pb2.HoldStockRequest(command_id=new_id(), location_id="S1", lines=[_line(2)], ttl_ms=60_000)
    before = shop.clients["web"].get_availability(["milk"], location_id="S1")[0].free_milli
    for _ in range(2):
        assert shop.clients["depot"].submit(request).result(10).code == DENIED
    assert shop.clients["web"].get_availability(["milk"], location_id="S1")[0].free_milli == before
    assert shop.clients["web"].submit(request).result(10).code == OK
    assert shop.clients["web"].get_availability(["milk"], location_id="S1")[0].free_milli == before - 2000


def test_without_a_secret_nothing_but_the_health_is_answered(shop: Shop) -> None:
    with shop.engine.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
    for secret, found in (("", "found none"), ("0" * 64, "found one that nobody has")):
        with Client(shop.engine.target, secret=secret) as stranger:
            for ask in (stock_pb2.GetOrderRequest(order_id="o1"), stock_pb2.ReleaseHoldRequest()):
                with pytest.raises(NoAnswer, match="UNAUTHENTICATED") as refused:
                    stranger.call(ask)
                assert found in str(refused.value)
                assert not refused.value.may_have_happened
            # A stream that ends while it is written to may look broken at first: then the client is not that sure.
            with pytest.raises(NoAnswer, match="UNAUTHENTICATED"):
                stranger.submit(stock_pb2.ReleaseHoldRequest()).result(10)

        async def read(secret: str) -> None:
            async with AsyncClient(shop.engine.target, secret=secret) as stranger:
                for stream in (stranger.follow_events(), stranger.watch_availability(["milk"], channel_id="web")):
                    await anext(stream)

        with pytest.raises(grpc.RpcError) as ended:
            asyncio.run(read(secret))
        assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_streams_of_events_and_availability_are_read_with_any_secret(shop: Shop) -> None:
    async def read() -> None:
        async with AsyncClient(shop.engine.target, secret=shop.secrets["reports"]) as client:
            assert (await anext(client.follow_events())).first_sequence == 1
            assert (await anext(client.watch_availability(["milk"], channel_id="web"))).item_id == "milk"

    asyncio.run(asyncio.wait_for(read(), 60))
    assert shop.clients["reports"].call(event_pb2.ListEventCursorsRequest()).code == OK


def _ringup(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ringup", *args], capture_output=True, text=True, env={**os.environ, **variables}
    )


def test_the_command_line_makes_secrets_and_calls_with_them(shop: Shop, tmp_path: Path) -> None:
    file, secret = tmp_path / "callers.toml", tmp_path / "secret"
    made = _ringup("caller", "web.shop", "--role", "shop", "--role", "till", "--callers-file", str(file))
    assert made.returncode == 0
    caller = read_callers(file).find(f"Bearer {made.stdout.strip()}")
    assert (caller.name, caller.roles) == ("web.shop", ("shop", "till"))
    assert made.stdout.strip() not in file.read_text()
    again = _ringup("caller", "web.shop", RINGUP_CALLERS_FILE=str(file))
    assert (again.returncode, "found it there" in again.stderr) == (78, True)
    wrong = _ringup("caller", "x", "--role", "shopp", "--callers-file", str(file))
    assert (wrong.returncode, "did you mean shop?" in wrong.stderr) == (78, True)
    assert _ringup("caller", "x").returncode == 2

    secret.write_text(shop.secrets["reports"] + "\n")
    stat = _ringup("stat", "--from", shop.engine.target, "--json", RINGUP_SECRET_FILE=str(secret))
    assert json.loads(stat.stdout)["event_sequence"] > 0
    events = _ringup("events", "--engine", shop.engine.target, "--json", RINGUP_SECRET_FILE=str(secret))
    assert (events.returncode, events.stdout[:1]) == (0, "{"), events.stderr
    listed = _ringup("webhook", "list", "--engine", shop.engine.target, RINGUP_SECRET_FILE=str(secret))
    assert listed.returncode == 0, listed.stderr
    for args in (["stat", "--from"], ["events", "--engine"], ["webhook", "list", "--engine"]):
        refused = _ringup(*args, shop.engine.target)
        assert refused.returncode in (69, 70)
        assert "RINGUP_SECRET_FILE" in refused.stderr, refused.stderr


WRONG_FILES = {
    "": "expected at least one caller, found none",
    "x = 1": "[x]: expected a table for each caller",
    "[a": "expected TOML",
    "[a]\nroles = []": "secret_sha256: expected 64 hexadecimal digits",
    f"[a]\nroles = []\nsecret_sha256 = '{'A' * 64}'": "in lower case",
    f"[a]\nsecret_sha256 = '{'0' * 64}'": "roles: expected a list",
    f"[a]\nroles = ['store', 'warehose']\nsecret_sha256 = '{'0' * 64}'": "did you mean warehouse?",
    f"[a]\nroles = []\nsecret = '{'0' * 64}'": "did you mean secret_sha256?",
    f"['a b']\nroles = []\nsecret_sha256 = '{'0' * 64}'": "expected a name",
    "".join(f"[{name}]\nroles = []\nsecret_sha256 = '{'0' * 64}'\n" for name in "ab"): "found that of [a]",
}


@pytest.mark.parametrize("text", list(WRONG_FILES), ids=range(len(WRONG_FILES)))
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str) -> None:
    file = tmp_path / "callers.toml"
    file.write_text(text)
    with pytest.raises(CallersError) as wrong:
        read_callers(file)
    assert WRONG_FILES[text] in str(wrong.value)
    assert str(file) in str(wrong.value)


def test_an_engine_does_not_start_with_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DidNotStart, match="expected a file of callers") as ended:
        EngineProcess(tmp_path / "data", args=["--callers-file", str(tmp_path / "none.toml")])
    assert ended.value.code == 78


def test_two_secrets_while_one_is_changed(tmp_path: Path) -> None:
    old, new = (add_caller(tmp_path / name, "web", ["shop"]) for name in ("old.toml", "new.toml"))
    digests = [(tmp_path / name).read_text().split('"')[1] for name in ("old.toml", "new.toml")]
    (tmp_path / "both.toml").write_text(f"[web]\nroles = ['shop']\nsecret_sha256 = {digests}\n")
    callers = read_callers(tmp_path / "both.toml")
    assert callers.find(f"Bearer {old}") is callers.find(f"Bearer {new}")


def test_a_request_without_some_kinds_keeps_the_bytes_of_the_rest() -> None:
    """Every mix of five commands: what is left is what protobuf makes of it, and the answers find their places."""
    pick = session_pb2.Command(pick_order=stock_pb2.PickOrderRequest(command_id=b"p" * 16))
    sell = session_pb2.Command.FromString(b"\x6a\x02\x0a\x00")  # bytes that protobuf itself would not write
    denied = caller_of("till", ["till"]).denied
    for mix in itertools.product((pick, sell, session_pb2.Command()), repeat=5):
        request = session_pb2.SessionRequest(commands=mix).SerializeToString()
        rest, found = without_kinds(request, denied)
        assert found == [(at, 57) for at, one in enumerate(mix) if one is pick]
        assert rest == session_pb2.SessionRequest(commands=[one for one in mix if one is not pick]).SerializeToString()
        left = [at for at in range(5) if mix[at] is not pick]
        answers = session_pb2.SessionResponse(
            replies=[session_pb2.CommandReply(rejected=session_pb2.Rejected(message=str(at))) for at in left]
        ).SerializeToString()
        refused = session_pb2.CommandReply(pick_order=stock_pb2.PickOrderResponse(code=DENIED)).SerializeToString()
        whole = session_pb2.SessionResponse.FromString(insert_replies(answers, {at: refused for at, _ in found}))
        assert [reply.rejected.message or "-" for reply in whole.replies] == [
            str(at) if at in left else "-" for at in range(5)
        ]
    for broken in (b"\xff\xff", request + b"\x0a\x09x", b"\x12\x00" + request):
        assert without_kinds(broken, denied) == (broken, [])


def _soon(change: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not change():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_engine_without_a_file_of_callers_has_nothing_to_read_again(tmp_path: Path) -> None:
    """SIGHUP once ended it: that is what the signal does to a process that does not wait for it."""
    with EngineProcess(tmp_path / "data") as engine:
        engine.process.send_signal(signal.SIGHUP)
        with Client(engine.target) as client:
            code = client.call(stock_pb2.GetHoldRequest(hold_id=b"h" * 16)).code
        assert code == result_pb2.RESULT_CODE_HOLD_UNKNOWN
        engine.process.terminate()
        assert engine.process.wait(20) == 0
        assert engine.stderr().count("nothing to read again") == 1


def test_a_changed_file_is_taken_over_on_open_streams_too(tmp_path: Path) -> None:
    file, others = tmp_path / "callers.toml", tmp_path / "others.toml"
    web, till = (add_caller(file, name, ["shop", "till"]) for name in ("web", "till-1"))
    till_table = file.read_text().partition("[till-1]")[2]
    late = add_caller(others, "late", ["shop"])
    release = stock_pb2.ReleaseHoldRequest(hold_id=b"h" * 16)
    ended: list[grpc.StatusCode] = []

    async def watch(client: AsyncClient, begun: threading.Event) -> None:
        try:
            async for _ in client.watch_availability(["milk"], channel_id="web"):
                begun.set()
        except grpc.aio.AioRpcError as error:
            ended.append(error.code())

    async def watch_as_web(target: str, begun: threading.Event) -> None:
        async with AsyncClient(target, secret=web) as client:
            await watch(client, begun)

    with EngineProcess(tmp_path / "data", args=["--callers-file", str(file)]) as engine:
        with (
            Client(engine.target, secret=web) as shop,
            Client(engine.target, secret=till) as desk,
            Client(engine.target, secret=late, timeout_s=2) as newcomer,
        ):
            shop.put_settings(currency="EUR")
            shop.put_locations([{"location_id": "S1"}])
            shop.put_items([{"item_id": "milk", "name": "Milk"}])
            shop.put_channels([{"channel_id": "web", "location_ids": ["S1"]}])
            begun = threading.Event()
            watcher = threading.Thread(target=lambda: asyncio.run(watch_as_web(engine.target, begun)), daemon=True)
            watcher.start()
            assert begun.wait(20)
            assert desk.submit(release).result(10).code == result_pb2.RESULT_CODE_HOLD_UNKNOWN

            right = file.read_text()
            file.write_text("[web")  # caught in the middle of being written
            engine.process.send_signal(signal.SIGHUP)
            time.sleep(0.3)
            assert desk.submit(release).result(10).code == result_pb2.RESULT_CODE_HOLD_UNKNOWN
            assert shop.call(stock_pb2.GetHoldRequest(hold_id=b"h" * 16)).code == result_pb2.RESULT_CODE_HOLD_UNKNOWN

            kept = till_table.replace('["shop", "till"]', '["store"]')
            assert kept != till_table
            assert right.endswith(till_table)
            file.write_text(f"[till-1]{kept}{others.read_text()}")
            engine.process.send_signal(signal.SIGHUP)
            # The stream of the desk was open before: its roles are those of now.
            _soon(lambda: bool(desk.submit(release).result(10).code == DENIED))
            with pytest.raises(NoAnswer, match="UNAUTHENTICATED"):
                shop.submit(release).result(10)
            watcher.join(20)
            assert ended == [grpc.StatusCode.UNAUTHENTICATED]
            assert newcomer.submit(release).result(10).code == result_pb2.RESULT_CODE_HOLD_UNKNOWN
        engine.process.terminate()
        assert engine.process.wait(20) == 0
        said = engine.stderr()
    assert "the callers are those of before" in said
    assert "expected TOML" in said
    assert "the file of callers was read again" in said
