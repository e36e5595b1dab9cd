"""The clients against the real engine, also when it is killed or told to stop in mid-run."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringup.clients import (
    AsyncClient,
    Client,
    NoAnswer,
    Refused,
    RejectedCommand,
    card,
    cash,
    line,
    minor,
    new_id,
    percent,
    price,
    return_line,
    stock_line,
)
from ringup.v1 import admin_pb2, sale_pb2, session_pb2, stock_pb2
from support.engine_process import EngineProcess
from support.tcp_proxy import TcpProxy

README = Path(__file__).parents[2] / "clients" / "README.md"
STOCK_UNITS = 100_000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path / "data") as engine:
        yield engine


def small_shop(till: Client) -> None:
    till.put_settings(currency="EUR")
    till.put_locations([{"location_id": "STORE", "name": "High Street"}])
    till.put_tills([{"till_id": f"T{n}", "location_id": "STORE"} for n in range(4)])
    till.put_tax_classes(
        [{"tax_class_id": "VAT", "taxes": [{"name": "VAT", "rate_ppb": percent("19"), "inclusive": True}]}]
    )
    items = [
        {"item_id": "MILK", "name": "Milk 1 l", "barcodes": ["4006381333931"]},
        {"item_id": "APPLES", "name": "Apples", "measured": True, "tax_class_id": "VAT"},
    ]
    assert till.put_items(items) == 2
    till.put_prices([price("MILK", minor("1.19")), price("APPLES", minor("2.40"))])
    till.receive_stock(location_id="STORE", lines=[stock_line("MILK", STOCK_UNITS), stock_line("APPLES", "5.5")])


def test_the_snippet_of_the_readme_prints_what_it_says(engine: EngineProcess) -> None:
    text = README.read_text()
    snippet = re.search(r"```python\n(.*?)```", text, re.S)
    promised = re.search(r"It prints `(.*?)` and `(.*?)`", text)
    assert snippet
    assert promised
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(snippet[1].replace("127.0.0.1:7420", engine.target), {})
    assert printed.getvalue().splitlines() == [promised[1], promised[2]]


def test_the_plain_client_follows_events_and_leaves_a_loop_early(engine: EngineProcess) -> None:
    """A loop that is left ends its call on the engine at once, while the client goes on."""
    with Client(engine.target) as till:
        small_shop(till)
        for _ in range(150):  # more calls than one connection may have open
            for batch in till.follow_events(from_sequence=1):
                assert batch.first_sequence == 1
                assert batch.events
                break
        assert till.get_settings().currency == "EUR"


@pytest.mark.parametrize("batching", [True, False])
def test_every_method_on_a_small_shop(engine: EngineProcess, batching: bool) -> None:
    with Client(engine.target, batching=batching) as till:
        small_shop(till)
        assert till.get_settings().currency == "EUR"
        assert till.get_stats().rows["items"] == 2
        assert till.get_item("4006381333931").item.item_id == "MILK"
        assert [item.item_id for item in till.search_items("apple").items] == ["APPLES"]
        basket = [line("MILK", 2), line("APPLES", "1.250")]
        quote = till.price_basket(location_id="STORE", lines=basket)
        assert quote.total_minor == 2 * 119 + 300

        sold = till.sell(till_id="T1", lines=basket, tenders=[card(500, "0815"), cash(50)], expected_total_minor=538)
        assert sold.basket == quote
        assert (sold.number, sold.change_minor) == (1, 12)
        back = till.return_lines(till_id="T2", sale=("T1", 1), lines=[return_line(1, "0.5")], reason="bruised")
        assert back.basket.total_minor == 120
        assert till.get_receipt(sold.sale_id) == till.get_receipt(("T1", 1)) == sold

        held = till.hold_stock(location_id="STORE", lines=[stock_line("MILK", 3)], ttl_ms=60_000, owner="cart")
        assert till.extend_hold(held.hold_id, ttl_ms=120_000) > held.deadline_ns
        online = till.sell(
            till_id="T3", channel_id="web", lines=[line("MILK", 3)], tenders=[card(357)], hold_ids=[held.hold_id]
        )
        assert online.basket.total_minor == 357
        assert till.get_hold(held.hold_id).state == stock_pb2.HOLD_STATE_COMMITTED
        other, third = (till.hold_stock(location_id="STORE", lines=[stock_line("MILK")], ttl_ms=0) for _ in range(2))
        till.release_hold(other.hold_id)
        till.commit_hold(third.hold_id)
        till.adjust_stock(location_id="STORE", lines=[stock_line("MILK", -4)], reason="damaged")
        (milk,) = till.get_availability(["MILK"], location_id="STORE")
        assert milk.free_milli == milk.on_hand_milli == (STOCK_UNITS - 2 - 3 - 1 - 4) * 1000


def test_refusals_and_rejections_of_the_engine(engine: EngineProcess) -> None:
    with Client(engine.target) as till:
        small_shop(till)
        with pytest.raises(Refused, match="found 100 against 119") as caught:
            till.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(100)])
        assert caught.value.code_name == "TENDER_SHORT"
        with pytest.raises(Refused, match="found 'T9'"):
            till.sell(till_id="T9", lines=[line("MILK")], tenders=[cash(119)])
        once = new_id()
        receipt = till.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(119)], command_id=once)
        assert till.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(119)], command_id=once) == receipt
        with pytest.raises(Refused) as caught:
            till.sell(till_id="T2", lines=[line("MILK")], tenders=[cash(119)], command_id=once)
        assert caught.value.code_name == "ID_CONFLICT"
        for send in (till.call, lambda request: till.submit(request).result(5)):
            with pytest.raises(RejectedCommand, match="16"):
                send(admin_pb2.PutSettingsRequest(command_id=b"short"))
        with pytest.raises(RejectedCommand):
            till.call_bytes("/ringup.v1.SaleService/Sell", b"\xff\xff")
        assert till.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(119)]).number == 2


async def _sales_through_an_outage(target: str, strike: threading.Event, callers: int, each: int) -> list[int]:
    """Sell from many callers; after a quarter of the sales say so.  Return the numbers of T1's receipts."""
    numbers: list[int] = []

    async def caller(client: AsyncClient) -> None:
        for _ in range(each):
            receipt = await client.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(119)])
            numbers.append(receipt.number)
            if len(numbers) == callers * each // 4:
                strike.set()

    async with AsyncClient(target, timeout_s=120) as client:
        await asyncio.gather(*[caller(client) for _ in range(callers)])
    return numbers


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_an_engine_that_goes_away_between_batches_loses_and_doubles_nothing(tmp_path: Path, how: str) -> None:
    """SIGKILL leaves commands without an answer, SIGTERM drains; the callers notice neither."""
    callers, each = 100, 40
    engine = EngineProcess(tmp_path / "data")
    with contextlib.ExitStack() as stack:
        stack.enter_context(engine)
        with Client(engine.target) as till:
            small_shop(till)
        strike, numbers = threading.Event(), []

        def sell() -> None:
            numbers.extend(asyncio.run(_sales_through_an_outage(engine.target, strike, callers, each)))

        thread = threading.Thread(target=sell)
        thread.start()
        assert strike.wait(120)
        if how == "kill":
            engine.kill()
        else:
            assert engine.stop() == 0
        again = stack.enter_context(EngineProcess(tmp_path / "data", port=engine.port))
        thread.join(200)
        assert sorted(numbers) == list(range(1, callers * each + 1)), "an acknowledged sale is missing or double"
        with Client(again.target) as till:
            (milk,) = till.get_availability(["MILK"], location_id="STORE")
            assert milk.on_hand_milli == (STOCK_UNITS - callers * each) * 1000
            assert till.get_receipt(("T1", callers * each)).number == callers * each
            with pytest.raises(Refused):
                till.get_receipt(("T1", callers * each + 1))


def _sell_over_a_wire_that_loses_answers(engine: EngineProcess, same_id: bool) -> int:
    """Sell once where the answer is lost after booking, and once more as a caller would; return the units sold."""
    with Client(engine.target) as till:
        small_shop(till)

    async def main() -> None:
        async with TcpProxy(engine.port) as wire, AsyncClient(wire.target) as client:
            await client.get_settings()
            wire.swallow_answers()
            with pytest.raises(NoAnswer) as caught:
                await client.call(
                    sale_pb2.SellRequest(till_id="T1", lines=[line("MILK")], tenders=[cash(119)]), timeout_s=0.7
                )
            assert caught.value.may_have_happened
            wire.cut()
            if same_id:
                assert (await client.resend(caught.value)).receipt.number == 1
            else:
                await client.sell(till_id="T1", lines=[line("MILK")], tenders=[cash(119)])

    asyncio.run(main())
    with Client(engine.target) as till:
        (milk,) = till.get_availability(["MILK"], location_id="STORE")
    return STOCK_UNITS - milk.on_hand_milli // 1000


def test_a_lost_answer_is_fetched_with_the_same_id(engine: EngineProcess) -> None:
    assert _sell_over_a_wire_that_loses_answers(engine, same_id=True) == 1


def test_control_a_lost_answer_and_a_new_id_book_twice(engine: EngineProcess) -> None:
    assert _sell_over_a_wire_that_loses_answers(engine, same_id=False) == 2


def test_a_quiet_stream_stays_open(engine: EngineProcess) -> None:
    """The engine allows the keepalive's pings: or it would close a quiet till's connection after some of them."""

    async def main() -> None:
        async with TcpProxy(engine.port) as wire, AsyncClient(wire.target) as client:
            request = admin_pb2.PutSettingsRequest(settings={"currency": "EUR"})
            await client.submit(request)
            await asyncio.sleep(9)
            await client.submit(request)
            assert wire.connections == 1

    asyncio.run(main())


def test_a_whole_stream_of_bytes(engine: EngineProcess) -> None:
    async def main() -> None:
        async with AsyncClient(engine.target) as client:
            request = admin_pb2.PutSettingsRequest(command_id=new_id(), settings={"currency": "EUR"})
            reply = await client.submit_bytes(session_pb2.Command(put_settings=request).SerializeToString())
            assert session_pb2.CommandReply.FromString(reply).put_settings.code == 1
            rejected = session_pb2.CommandReply.FromString(await client.submit_bytes(b"\x0a\x05no"))
            assert rejected.WhichOneof("body") == "rejected"

    asyncio.run(main())


def test_clients_in_two_loops_and_no_warning(engine: EngineProcess) -> None:
    """A program with a loop of its own and a plain client beside it, warnings as errors, from another folder.

    Asyncio's word that a callback took long says how busy the machine is and nothing about the clients: left out.
    """
    program = f"""
import asyncio, logging
from ringup.clients import AsyncClient, Client
logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing "))
async def main():
    async with AsyncClient({engine.target!r}) as a:
        with Client({engine.target!r}) as b:
            for _ in range(50):
                one, two = await asyncio.gather(a.get_settings(), asyncio.to_thread(b.get_settings))
                assert one == two
asyncio.run(main())
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", program], cwd="/", capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
