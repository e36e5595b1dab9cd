"""Webhooks: a real sender, a real engine, and a receiver that fails in every way that receivers fail."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from ringup.clients import AsyncClient, Client
from ringup.engine.edge import Edge
from ringup.engine.engine import Engine
from ringup.engine.event_json import rows_of
from ringup.engine.webhook import Limits, Parked, Sender, wait_s
from ringup.engine.webhook_post import Failure, Poster, WebhookError, body_of, origin_of, read_secrets, retry_after_s
from ringup.v1 import event_pb2, stock_pb2
from support.callers import open_shop
from support.core import small_shop
from support.data_directory import write_directory
from support.engine_process import EngineProcess
from support.webhook_receiver import (
    SECRET,
    Sending,
    command,
    cursor,
    drip,
    ended,
    hang_up,
    is_done_to,
    move,
    ran,
    receiving,
    silence,
    slow,
    status,
    until,
)


def told_by_engine(engine: EngineProcess) -> list[dict[str, Any]]:
    """All events as another reader gets them."""
    rows: list[dict[str, Any]] = []
    with Client(engine.target, batching=False) as client:
        answer = client.call(event_pb2.ReadEventsRequest())
        while answer.batches:
            rows += [row for batch in answer.batches for row in rows_of(batch)]
            answer = client.call(event_pb2.ReadEventsRequest(from_sequence=answer.next_sequence))
    return rows


def test_every_event_comes_once_in_order_however_the_receiver_fails(engine: EngineProcess, tmp_path: Path) -> None:
    faults = [
        status(500), silence, hang_up, drip, status(429, Retry_After="1"), status(302, Location="http://127.0.0.1:1/"),
        status(404),
    ]  # fmt: skip
    with receiving() as receiver:
        receiver.script = list(faults)
        last = move(engine, 30)
        with Sending(engine, receiver.url, "faults", tmp_path, "--events-max", "7", "--timeout-s", "2.5") as sending:
            until(is_done_to(engine, "faults", last), "all delivered")
            told = sending.stop()
        assert not receiver.script
        assert receiver.sequences() == list(range(1, last + 1))
        assert receiver.events == told_by_engine(engine)
        for _, body, _ in receiver.got:
            assert len(body["events"]) <= 7
            assert (body["first_sequence"], body["last_sequence"]) == (
                body["events"][0]["sequence"], body["events"][-1]["sequence"],
            )  # fmt: skip
        assert len({body["engine_id"] for _, body, _ in receiver.got}) == 1
        refused = [when for when, _, is_acknowledged in receiver.got if not is_acknowledged]
        assert len(refused) == len(faults)
        assert refused[5] - refused[4] >= 0.95, "Retry-After is waited for"
        assert refused[1] - refused[0] < 30, "without it, it is soon tried again"
        bodies = [body for _, body, _ in receiver.got]
        assert all(body == bodies[0] for body in bodies[: len(faults) + 1]), "the same post, until it is taken"
        for found in ("HTTP 500", "no answer within 2.5 s", "RemoteProtocolError", "HTTP 429", "HTTP 302", "HTTP 404"):
            assert found in told


def test_a_restart_goes_on_at_the_cursor_and_a_new_name_gets_all(engine: EngineProcess, tmp_path: Path) -> None:
    with receiving() as receiver:
        first = move(engine, 3)
        with Sending(engine, receiver.url, "again", tmp_path) as sending:
            until(is_done_to(engine, "again", first), "delivered")
            sending.stop()
        last = move(engine, 4)
        with Sending(engine, receiver.url, "again", tmp_path) as sending:
            until(is_done_to(engine, "again", last), "delivered")
            live = move(engine)  # and what happens while it runs
            until(is_done_to(engine, "again", live), "delivered")
            sending.stop()
        assert receiver.sequences() == list(range(1, live + 1))
    with receiving() as control:
        with Sending(engine, control.url, "another", tmp_path) as sending:
            until(is_done_to(engine, "another", live), "delivered")
            sending.stop()
        assert control.sequences() == list(range(1, live + 1)), "without that cursor everything comes again"
        with Sending(engine, control.url, "late", tmp_path, "--from", live) as sending:
            until(is_done_to(engine, "late", live), "delivered")
            sending.stop()
        assert control.sequences()[live:] == [live]


def test_killed_before_the_answer_it_posts_again(engine: EngineProcess, tmp_path: Path) -> None:
    """At least once: what is not acknowledged to the engine is not done."""
    with receiving() as receiver:
        last = move(engine)
        receiver.script = [silence]
        with Sending(engine, receiver.url, "killed", tmp_path, "--timeout-s", "60") as sending:
            until(lambda: bool(receiver.got), "posted")
            sending.process.kill()
            sending.process.wait(60)
        found = cursor(engine, "killed")
        assert found is not None
        assert found.sequence == 0
        with Sending(engine, receiver.url, "killed", tmp_path) as sending:
            until(is_done_to(engine, "killed", last), "delivered")
            sending.stop()
        assert receiver.got[0][1]["events"] == receiver.got[1][1]["events"]
        assert receiver.sequences() == list(range(1, last + 1))


def test_told_to_stop_it_waits_for_the_answer_under_way_and_for_no_other(engine: EngineProcess, tmp_path: Path) -> None:
    with receiving() as receiver:
        last = move(engine)
        receiver.script = [slow]
        with Sending(engine, receiver.url, "stopped", tmp_path, "--timeout-s", "60", "--events-max", "1") as sending:
            until(lambda: bool(receiver.got), "posted")
            sending.stop()
        assert is_done_to(engine, "stopped", 1)()
        assert last > 1
        assert len(receiver.got) == 1
        receiver.script = [status(503, Retry_After="60")]
        with Sending(engine, receiver.url, "stopped", tmp_path) as sending:
            until(lambda: len(receiver.got) == 2, "posted")
            began = time.monotonic()
            sending.stop()
        assert time.monotonic() - began < 30, "a wait is not waited for"


def test_events_trimmed_before_they_were_posted_park_and_are_not_skipped(tmp_path: Path) -> None:
    write_directory(tmp_path, shop=small_shop(pieces=50))

    async def send() -> event_pb2.EventCursor:
        core = Engine(tmp_path, checkpoint_bytes=1 << 30, checkpoint_commands=1 << 30)
        core.start()
        edge = Edge(core)
        port = await edge.start("127.0.0.1:0")
        with receiving() as receiver:
            async with AsyncClient(f"127.0.0.1:{port}", batching=False) as client:
                put = event_pb2.PutEventCursorRequest(cursor_id="erp", engine_id=core.engine_id, sequence=0)
                assert (await client.call(put)).code == 1
                await client.receive_stock(
                    location_id="S1", lines=[stock_pb2.StockLine(item_id="milk", qty_milli=1000)]
                )
                core.journal.trim(core.core.sequence)  # all but the last batch
                async with Poster(receiver.url, [SECRET], 1.0) as poster:
                    with pytest.raises(Parked, match="events from 1 on are not kept any more"):
                        await Sender(client, poster, "erp").run_until(asyncio.Event())
                cursors = (await client.call(event_pb2.ListEventCursorsRequest())).cursors
            assert receiver.got == []
        await edge.stop()
        await core.stop()
        found: event_pb2.EventCursor = cursors[0]
        return found

    found = asyncio.run(asyncio.wait_for(send(), 60))
    assert (found.sequence, found.parked) == (0, True)


def test_a_receiver_that_is_down_is_waited_for(engine: EngineProcess, tmp_path: Path) -> None:
    with receiving() as receiver:
        port, last = receiver.port, move(engine)
        url = receiver.url
    with Sending(engine, url, "down", tmp_path, "--park-after", "1000") as sending:
        assert sending.process.stderr is not None
        assert any("ConnectError" in told for told in sending.process.stderr), "it ended, and tried nothing"
        with receiving(port) as receiver:
            until(is_done_to(engine, "down", last), "delivered")
            assert receiver.sequences() == list(range(1, last + 1))
            sending.stop()


def test_parked_shown_and_taken_up_again(engine: EngineProcess, tmp_path: Path) -> None:
    with receiving() as receiver:
        last = move(engine)
        receiver.script = [status(200), *[status(503)] * 3]
        arguments = ("--park-after", "3", "--events-max", "2")
        with Sending(engine, receiver.url, "parked", tmp_path, *arguments) as sending:
            told = sending.end(79)
        assert "ringup webhook retry parked" in told
        with Sending(engine, receiver.url, "parked", tmp_path, *arguments) as sending:
            sending.end(79)  # a start alone does not take it up
        assert len(receiver.got) == 4
        code, out, _ = ran("webhook", "list", "--engine", engine.target, "--json")
        (shown,) = [one for one in json.loads(out)["cursors"] if one["name"] == "parked"]
        assert (code, shown["sequence"], shown["behind_count"], shown["parked"]) == (0, 2, last - 2, True)
        assert shown["note"] == f"webhook to http://127.0.0.1:{receiver.port}: 3 failures at event 3: HTTP 503"
        code, out, _ = ran("webhook", "list", RINGUP_ENGINE=engine.target)
        (line,) = [line for line in out.splitlines() if " parked " in line and "HTTP 503" in line]
        assert f" {last - 2} " in line

        with Sending(engine, receiver.url, "parked", tmp_path, "--keep", *arguments) as sending:
            code, out, _ = ran("webhook", "retry", "parked", "--engine", engine.target)
            assert (code, out) == (0, "parked goes on from event 3\n")
            until(is_done_to(engine, "parked", last), "delivered")
            sending.stop()
        assert receiver.sequences() == list(range(3, last + 1)), "1 and 2 were acknowledged by the script"
        found = cursor(engine, "parked")
        assert found is not None
        assert (found.parked, found.note) == (False, f"webhook to http://127.0.0.1:{receiver.port}")

        retry = ran("webhook", "retry", "parked", "--engine", engine.target)
        assert retry[:2] == (0, "parked is not parked: nothing to do\n")
        assert ran("webhook", "retry", "parked", "--from", last, "--engine", engine.target)[0] == 0
        with Sending(engine, receiver.url, "parked", tmp_path) as sending:
            until(lambda: receiver.sequences()[-2:] == [last, last], "the last event again")
            sending.stop()
        code, _, err = ran("webhook", "retry", "nobody", "--engine", engine.target)
        assert code == 1
        assert "found 'nobody'" in err
        assert "parked" in err


def test_a_restart_of_the_engine_is_waited_for(tmp_path: Path) -> None:
    with receiving() as receiver, EngineProcess(tmp_path / "data") as engine:
        with engine.channel() as channel:
            open_shop(channel, 50)
        last = move(engine, 2)
        with Sending(engine, receiver.url, "shop", tmp_path) as sending:
            until(is_done_to(engine, "shop", last), "delivered")
            engine.kill()
            with EngineProcess(tmp_path / "data", port=engine.port) as again:
                last = move(again, 3)
                until(is_done_to(again, "shop", last), "delivered")
                sending.stop()
                assert receiver.sequences() == list(range(1, last + 1))
                assert again.stop() == 0


def test_people_read_and_follow_events(engine: EngineProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    last = move(engine, 25)
    with Client(engine.target, batching=False) as client:
        engine_id = client.call(event_pb2.ReadEventsRequest(from_sequence=last)).engine_id
    expected = [{**row, "engine_id": engine_id} for row in told_by_engine(engine)]
    code, out, err = ran("events", "--engine", engine.target, "--from", "1", "--json")
    assert (code, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == expected
    code, out, _ = ran("events", "--engine", engine.target)
    lines = out.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(last - 19, last + 1))
    assert "milk at S1  on hand " in lines[-1]
    assert lines[-1].endswith(" (+1)")
    following = command("events", "--engine", engine.target, "--from", last, "--follow")
    assert following.stdout is not None
    try:
        assert int(following.stdout.readline().split()[0]) == last
        more = move(engine)
        assert int(following.stdout.readline().split()[0]) == more
    finally:
        following.send_signal(signal.SIGINT)
    assert ended(following)[0] == 0
    code, _, err = ran("events", "--engine", engine.target, "--from", more + 2)
    assert code == 70
    assert "EVENTS_NOT_YET" in err
    monkeypatch.setattr("ringup.engine.commands_events.CALL_TIMEOUT_S", 0.3)
    assert ran("events", "--engine", "127.0.0.1:1")[0] == 69


def test_waits_double_are_bounded_and_honour_retry_after() -> None:
    limits = Limits(wait_s_min=1, wait_s_max=60)
    failure = Failure("HTTP 500")
    assert [wait_s(n, failure, limits, lambda: 1.0) for n in (1, 2, 3, 7, 1000)] == [1, 2, 4, 60, 60]
    assert [wait_s(n, failure, limits, lambda: 0.0) for n in (1, 2, 1000)] == [0.5, 1, 30]
    assert wait_s(1, Failure("HTTP 429", 90.0), limits, lambda: 0.0) == 90
    assert retry_after_s("120", 0) == 120
    assert retry_after_s(formatdate(1_000_030, usegmt=True), 1_000_000) == 30
    assert [retry_after_s(text, 1e9) for text in ("", "-1", "soon", formatdate(0, usegmt=True))] == [0, 0, 0, 0]
    assert retry_after_s("9" * 400, 0) == 3600


def test_what_cannot_be_used_is_refused_and_not_shown(tmp_path: Path) -> None:
    for url in ("ftp://shop", "shop.example/x", "http://user:word@shop/x", "http://shop:port/x", "https://"):
        with pytest.raises(WebhookError) as refused:
            origin_of(url)
        assert "word" not in str(refused.value).replace("password", "")
    assert origin_of("https://[::1]:8443/secret?token=x") == "https://[::1]:8443"
    file = tmp_path / "secrets"
    file.write_bytes(b"too short\n")
    with pytest.raises(WebhookError, match="at least 16 bytes"):
        read_secrets(file)
    file.write_bytes(b"a" * 16 + b"\r\n\n" + b"b" * 20)
    assert read_secrets(file) == [b"a" * 16, b"b" * 20]
    with pytest.raises(AssertionError, match="there is a gap"):
        body_of("engine", [{"sequence": 1}, {"sequence": 3}])
    code, _, err = ended(
        command("webhook", "run", "--url", "ftp://x", "--name", "x", "--secret-file", file, "--engine", "127.0.0.1:1")
    )
    assert code == 2
    assert "begins with https://" in err


def test_without_httpx_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "httpx.py").write_text("raise ImportError('not installed')\n")
    file = tmp_path / "secret"
    file.write_bytes(SECRET)
    code, _, err = ended(
        command("webhook", "run", "--url", "http://x", "--name", "x", "--secret-file", file, PYTHONPATH=str(tmp_path))
    )
    assert code == 2
    assert "pip install ringup[webhooks]" in err
