"""The sale that a return is priced by is the journal's: whoever sends one along, by whatever way, changes no refund.

Once a caller could: the core knew the sale by an unkeyed hash, for which another basket is written down at once.
"""

from __future__ import annotations

import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from ringup.engine.callers import add_caller
from ringup.native.core import MalformedRequest
from ringup.native.envelope import nth_requests
from ringup.native.originals import FILLED_BYTES_MAX, with_originals
from ringup.v1 import pricing_pb2, result_pb2, sale_pb2, sale_pb2_grpc, session_pb2, session_pb2_grpc
from support.body_hash import body_hash, second_body
from support.core import CoreHarness, card, command_of, line, small_shop
from support.engine_process import EngineProcess
from support.till import fill

KEPT = sale_pb2.REFUND_POLICY_REPRICE_KEPT
SELL = session_pb2.Command.DESCRIPTOR.fields_by_name["sell"].number


def _code(answer: Any) -> str:
    return result_pb2.ResultCode.Name(answer.code).removeprefix("RESULT_CODE_")


def sell(command_id: bytes, *lines: pricing_pb2.BasketLine, paid: int = 750, till: str = "T1") -> sale_pb2.SellRequest:
    return sale_pb2.SellRequest(command_id=command_id, till_id=till, lines=lines, tenders=[card(paid)])


def back(sale_id: bytes, original: bytes = b"", **fields: Any) -> sale_pb2.ReturnLinesRequest:
    """One piece of the first line, priced again."""
    return sale_pb2.ReturnLinesRequest(
        **{"till_id": "T1", "sale_id": sale_id, "refund_policy": KEPT, "original_sale": original}
        | {"lines": [sale_pb2.ReturnLine(line=0, qty_milli=1000)]}
        | fields
    )


def almost_free(sale: bytes, item_id: str = "bread") -> bytes:
    """A basket with the hash of `sale`, in which what is kept costs next to nothing: so nearly all comes back."""
    override = pricing_pb2.PriceOverride(price_minor=1, reason="x")
    basket = sale_pb2.SellRequest(till_id="T1", lines=[line(item_id, 3, price_override=override)])
    forged = second_body(sale, basket.SerializeToString())
    assert forged != sale
    assert body_hash(SELL, forged) == body_hash(SELL, sale)
    return forged


class Shop:
    """A core, and the way of a request to it through `with_originals`, as a sequencer has it."""

    def __init__(self) -> None:
        self.shop: CoreHarness = small_shop()
        self.asked: list[tuple[int, int]] = []
        self.is_trimmed = False

    def requests_at(self, places: set[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        self.asked += sorted(places)
        if self.is_trimmed:
            return {}
        by_sequence = {sequence: b"".join(commands) for sequence, _, commands, _ in self.shop.journal}
        return {(at, index): nth_requests(by_sequence[at], {index})[index] for at, index in places}

    def filled(self, *requests: Any) -> bytes:
        for request in requests:
            if isinstance(request, session_pb2.Command):
                continue
            request.command_id = request.command_id or self.shop.id()
        commands = [r if isinstance(r, session_pb2.Command) else command_of(r) for r in requests]
        return self.fill(session_pb2.SessionRequest(commands=commands).SerializeToString())

    def fill(self, data: bytes) -> bytes:
        return with_originals(self.shop.core, data, self.requests_at)

    def send(self, *requests: Any) -> list[Any]:
        answers = self.shop.raw(self.filled(*requests)).replies
        return [getattr(reply, str(reply.WhichOneof("body"))) for reply in answers]

    def sold(self, *lines: pricing_pb2.BasketLine, paid: int = 750) -> tuple[bytes, bytes]:
        """The id and the request of a sale."""
        request = sell(self.shop.id(), *(lines or [line("bread", 3)]), paid=paid)
        answer = self.shop.send(request)
        assert _code(answer) == "OK", answer
        return request.command_id, request.SerializeToString()


def test_the_hash_is_no_proof_and_the_journal_is() -> None:
    """The control: what comes straight from a caller has its way with the core.  Then the same by the way that is."""
    shop = Shop()
    sale_id, sale = shop.sold()
    answer = shop.shop.send(back(sale_id, almost_free(sale)))
    assert (_code(answer), answer.receipt.basket.total_minor) == ("OK", 748), "for one loaf at 2.50"
    sale_id, sale = shop.sold()
    (answer,) = shop.send(back(sale_id, almost_free(sale)))
    assert (_code(answer), answer.receipt.basket.total_minor) == ("OK", 250)
    assert shop.shop.refold().digest() == shop.shop.core.digest()


def test_whatever_is_sent_along_the_journals_sale_is_priced() -> None:
    shop = Shop()
    sale_id, sale = shop.sold()
    _, other = shop.sold(line("milk", 2), paid=238)
    tag = b"\xb2\x01"  # of original_sale
    bare = back(sale_id, command_id=b"r" * 16).SerializeToString()
    whole = bare + tag + bytes([len(sale)]) + sale
    for sent in (b"", sale, other, almost_free(sale), sale[:-1], b"\xff"):
        field = tag + bytes([len(sent)]) + sent
        for body in (field + bare, bare + field, field + bare + field, bare[:18] + field + bare[18:]):
            command = session_pb2.SessionRequest(commands=[session_pb2.Command()]).SerializeToString()
            assert command == b"\x0a\x00"
            inner = b"\x72" + bytes([len(body) & 127 | 128, len(body) >> 7]) + body
            data = b"\x0a" + bytes([len(inner) & 127 | 128, len(inner) >> 7]) + inner
            assert session_pb2.SessionRequest.FromString(data).commands[0].return_lines.sale_id == sale_id
            found = session_pb2.SessionRequest.FromString(shop.fill(data)).commands[0].return_lines
            assert found == sale_pb2.ReturnLinesRequest.FromString(whole)
            assert found.SerializeToString() == whole, "the same command, whatever came with it"
            assert shop.fill(data) == shop.fill(shop.fill(data))


def test_by_the_receipts_number_too_and_of_another_till() -> None:
    shop = Shop()
    sale_id, sale = shop.sold()
    asked = back(b"", almost_free(sale), receipt_till_id="T1", receipt_number=1, till_id="T3")
    (answer,) = shop.send(asked)
    assert (_code(answer), answer.receipt.basket.total_minor) == ("OK", 250)
    assert answer.receipt.original_sale_id == sale_id


def test_other_requests_are_the_very_same() -> None:
    shop = Shop()
    sale_id, sale = shop.sold()
    forged = almost_free(sale)
    paid = session_pb2.SessionRequest(commands=[command_of(back(sale_id, forged, refund_policy=0))])
    for data in (
        session_pb2.SessionRequest(commands=[command_of(sell(b"s" * 16))] * 3).SerializeToString(),
        b"",
        b"\xff\xff",
        b"\x0a\x00",
    ):
        assert shop.fill(data) is data
    kept = session_pb2.SessionRequest(commands=[command_of(back(sale_id, forged, command_id=b"r" * 16))])
    for tail in (b"\xff", b"\x12\x00", b"\x0a\x05x"):  # no SessionRequest: the core executes nothing of it
        data = kept.SerializeToString() + tail
        assert shop.fill(data) is data
        with pytest.raises(MalformedRequest):
            shop.shop.core.apply(data)
    assert shop.fill(paid.SerializeToString()) == paid.SerializeToString(), "not looked at"
    assert not shop.asked


def test_a_sale_in_the_same_request_counts_where_nothing_else_has_its_id() -> None:
    """A till that was offline may send both at once."""
    shop = Shop()
    one = sell(b"1" * 16, line("bread", 3))
    forged = almost_free(one.SerializeToString())
    answers = shop.send(one, back(b"1" * 16, forged))
    assert [_code(answer) for answer in answers] == ["OK", "OK"]
    assert answers[1].receipt.basket.total_minor == 250
    # Before its sale, or where two could have been booked under the id, there is no telling.
    two = sell(b"2" * 16, line("bread", 3))
    answers = shop.send(back(b"2" * 16, two.SerializeToString()), two)
    assert [_code(answer) for answer in answers] == ["SALE_UNKNOWN", "OK"]
    three = sell(b"3" * 16, line("bread", 3))
    broken = session_pb2.Command(sell=three)
    broken.sell.tenders[0].MergeFromString(b"\x18\x01")  # no text: malformed, so its id is still free
    answers = shop.send(broken, three, back(b"3" * 16, three.SerializeToString()))
    assert _code(answers[1]) == "OK"
    assert (_code(answers[2]), answers[2].problem.field, answers[2].problem.found) == (
        "FIELD_INVALID",
        "original_sale",
        0,
    )
    assert shop.shop.refold().digest() == shop.shop.core.digest()


def test_a_resend_is_the_same_command_whatever_became_known_since() -> None:
    shop = Shop()
    sale = sell(b"s" * 16, line("bread", 3))
    forged = almost_free(sale.SerializeToString())
    asked = [back(b"s" * 16, command_id=b"a" * 16), back(b"s" * 16, forged, command_id=b"b" * 16)]
    assert [_code(answer) for answer in shop.send(*asked)] == ["SALE_UNKNOWN"] * 2
    assert _code(shop.send(sale)[0]) == "OK"

    def again(*requests: Any) -> list[str]:
        return [str(reply.WhichOneof("body")) for reply in shop.shop.raw(shop.filled(*requests)).replies]

    assert again(*asked) == ["reply_at"] * 2
    done = back(b"s" * 16, forged, command_id=b"c" * 16)
    assert shop.send(done)[0].receipt.basket.total_minor == 250
    for original in (b"", forged, sale.SerializeToString()):
        assert again(back(b"s" * 16, original, command_id=b"c" * 16)) == ["reply_at"]
    assert again(back(b"s" * 16, command_id=b"c" * 16, reason="other")) == ["return_lines"], "a conflict"
    assert shop.shop.refold().digest() == shop.shop.core.digest()


def test_what_the_journal_has_no_more_is_not_priced() -> None:
    shop = Shop()
    sale_id, sale = shop.sold()
    shop.is_trimmed = True
    (answer,) = shop.send(back(sale_id, sale))
    assert (_code(answer), answer.problem.field) == ("FIELD_INVALID", "original_sale")
    shop.is_trimmed = False
    assert _code(shop.send(back(sale_id))[0]) == "OK"
    assert len(shop.asked) == 2


def test_a_sale_of_more_lines_than_were_booked_is_refused_by_the_core() -> None:
    """Also where nobody filled in: the lines of a sale are counted before they are looked up by their numbers."""
    shop = Shop()
    sale_id, sale = shop.sold()
    for tail in (b"", b"\x0b"):
        basket = sale_pb2.SellRequest(till_id="T1", lines=[line("bread", 1)] * 4000).SerializeToString()
        answer = shop.shop.send(back(sale_id, second_body(sale, basket + tail)))
        assert (_code(answer), answer.problem.field) == ("FIELD_INVALID", "original_sale")


def test_a_short_batch_cannot_ask_for_gigabytes() -> None:
    shop = Shop()
    noted = line("bread", 3)
    large = sell(shop.shop.id(), noted)
    large.MergeFromString(b"\xfa\x7f" + b"\x80\x80\x40" + bytes(1 << 20))  # a field that nobody knows
    assert _code(shop.shop.send(large)) == "OK"
    count = FILLED_BYTES_MAX // (1 << 20)
    with pytest.raises(MalformedRequest, match="smaller batches"):
        shop.filled(*(back(large.command_id) for _ in range(count)))
    assert len(shop.filled(*(back(large.command_id) for _ in range(count - 1)))) > (count - 1) << 20


def test_no_mutation_of_a_request_gets_another_sale_in() -> None:
    """Batches of returns with bytes changed by chance: what comes back is what was paid, a gift wrap at 1.00 each."""
    rng = random.Random(1)
    shop = Shop()
    sales = [shop.sold(line("wrap", 100_000), paid=10_000_000) for _ in range(3)]
    refunds = 0
    for _ in range(1000):
        commands = []
        for sale_id, sale in rng.sample(sales, rng.randint(1, 3)):
            body = back(sale_id, rng.choice((b"", sale, almost_free(sale, "wrap"))), command_id=rng.randbytes(16))
            commands.append(command_of(body))
        data = bytearray(session_pb2.SessionRequest(commands=commands).SerializeToString())
        for _ in range(rng.randint(0, 2)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            answers = shop.shop.raw(shop.fill(bytes(data)))
        except MalformedRequest:
            shop.shop.core.end()
            shop.shop.journal.append((shop.shop.core.sequence, shop.shop.now_ns, [], []))
            continue
        for reply in answers.replies:
            basket = reply.return_lines.receipt.basket
            assert basket.total_minor * 10 == sum(one.qty_milli for one in basket.lines)
            refunds += basket.total_minor > 0
    assert refunds > 1000
    assert shop.shop.refold().digest() == shop.shop.core.digest()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EngineProcess, list[tuple[str, str]]]]:
    """An engine, and the secret of a till."""
    folder = tmp_path_factory.mktemp("original")
    secret = add_caller(folder / "callers.toml", "till-1", ["till"])
    with EngineProcess(folder / "data", args=["--callers-file", str(folder / "callers.toml")]) as process:
        yield process, [("authorization", f"Bearer {secret}")]
        assert process.stop() == 0
    verified = subprocess.run(
        [sys.executable, "-m", "ringup", "verify", str(folder / "data")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("way", ["unary", "session", "session, both at once"])
def test_a_till_changes_no_refund_over_the_wire(engine: tuple[EngineProcess, list[tuple[str, str]]], way: str) -> None:
    """By single calls, by a stream, and where the sale is not durable yet when its return comes."""
    process, metadata = engine
    with process.channel() as plain:
        channel = grpc.intercept_channel(plain, _WithMetadata(metadata))
        fill(channel)
        sales = sale_pb2_grpc.SaleServiceStub(channel)  # type: ignore[no-untyped-call]  # generated by grpcio
        stream = session_pb2_grpc.SessionServiceStub(channel)  # type: ignore[no-untyped-call]  # generated by grpcio

        def by_session(*batches: list[Any]) -> list[Any]:
            requests = (
                session_pb2.SessionRequest(commands=[command_of(request) for request in batch]) for batch in batches
            )
            replies = [reply for answer in stream.Session(requests, timeout=60) for reply in answer.replies]
            return [getattr(reply, str(reply.WhichOneof("body"))) for reply in replies]

        sale = sell(uuid.uuid4().bytes, line("A", 3), paid=3000, till="T")
        forged = almost_free(sale.SerializeToString(), "A")
        asked = [
            back(sale.command_id, original, command_id=uuid.uuid4().bytes, till_id="T")
            for original in (forged, b"", sale.SerializeToString())
        ]
        if way == "unary":
            sold, *answers = [sales.Sell(sale, timeout=60), *(sales.ReturnLines(one, timeout=60) for one in asked)]
            again = [sales.ReturnLines(one, timeout=60) for one in asked]
        elif way == "session":
            sold, *answers = [*by_session([sale]), *by_session(asked)]
            again = by_session(asked)
        else:
            sold, *answers = by_session([sale], *([one] for one in asked))
            again = by_session(asked)
        assert [_code(answer) for answer in (sold, *answers)] == ["OK"] * 4
        assert [answer.receipt.basket.total_minor for answer in answers] == [1000] * 3
        assert again == answers
        for one in asked:
            found = sales.GetReceipt(
                sale_pb2.GetReceiptRequest(sale_id=one.command_id, include_request=True), timeout=60
            )
            booked = sale_pb2.ReturnLinesRequest.FromString(found.request)
            assert booked.original_sale == sale.SerializeToString(), "what a fold will price"


class _WithMetadata(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):  # type: ignore[misc]  # grpcio has no types for these
    """Sends the secret of a caller with each call."""

    def __init__(self, metadata: list[tuple[str, str]]) -> None:
        self._metadata = metadata

    def intercept_unary_unary(self, call: Any, details: Any, request: Any) -> Any:
        return call(details._replace(metadata=self._metadata), request)

    def intercept_stream_stream(self, call: Any, details: Any, requests: Any) -> Any:
        return call(details._replace(metadata=self._metadata), requests)
