"""Concurrent callers of a real engine, and the proof that what it acknowledged is in the book once."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from ringup.engine.lmdb_store import CheckpointStore, LmdbJournal
from ringup.engine.recovery import check, recover
from ringup.native.core import Core
from ringup.v1 import (
    pricing_pb2,
    sale_pb2,
    sale_pb2_grpc,
    session_pb2,
    session_pb2_grpc,
    stock_pb2,
    stock_pb2_grpc,
)
from support.core import command_of, small_shop

ITEMS = ("milk", "bread", "lamp")
OK = 1
DEADLINE_S = 20.0
GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)


def body_of(reply: session_pb2.CommandReply) -> Any:
    """The response message in a reply."""
    return getattr(reply, str(reply.WhichOneof("body")))


def open_shop(channel: grpc.Channel, pieces: int) -> None:
    """Put the small shop into an empty engine."""
    stub = session_pb2_grpc.SessionServiceStub(channel)
    requests = [
        session_pb2.SessionRequest.FromString(data)
        for _, _, batch, _ in small_shop(pieces=pieces).journal
        for data in batch
    ]
    for response in stub.Session(iter(requests), timeout=DEADLINE_S, wait_for_ready=True):
        assert all(body_of(reply).code == OK for reply in response.replies), response


def unary_call(channel: grpc.Channel, request: Message, timeout_s: float) -> bytes:
    """Send one command by its own RPC; the answer as the bytes of its response message."""
    if isinstance(request, sale_pb2.SellRequest):
        method: Any = sale_pb2_grpc.SaleServiceStub(channel).Sell
    elif isinstance(request, sale_pb2.ReturnLinesRequest):
        method = sale_pb2_grpc.SaleServiceStub(channel).ReturnLines
    elif isinstance(request, stock_pb2.HoldStockRequest):
        method = stock_pb2_grpc.StockServiceStub(channel).HoldStock
    else:
        assert isinstance(request, stock_pb2.CommitHoldRequest), request
        method = stock_pb2_grpc.StockServiceStub(channel).CommitHold
    answer: bytes = method(request, timeout=timeout_s).SerializeToString()
    return answer


@dataclass(slots=True, eq=False)
class Sent:
    """One command of a caller and every answer that it got, as the bytes of its response."""

    request: Message
    answers: list[bytes] = field(default_factory=list)


class Caller:
    """One caller: makes commands, sends them by unary calls or a Session, keeps what is unanswered."""

    def __init__(self, seed: int, *, streams: bool) -> None:
        self._rng = random.Random(seed)
        self._streams = streams
        self.sent: list[Sent] = []

    def _id(self) -> bytes:
        return self._rng.randbytes(16)

    def make(self) -> Sent:
        """The next command, not sent yet."""
        rng, dice = self._rng, self._rng.random()
        line = {"item_id": rng.choice(ITEMS), "qty_milli": rng.randint(1, 4) * 1000}
        done = [sent for sent in self.sent[-20:] if sent.answers]
        request: Message
        if dice < 0.65 or not done:
            request = sale_pb2.SellRequest(
                command_id=self._id(),
                till_id=rng.choice(("T1", "T2")),
                lines=[pricing_pb2.BasketLine(**line)],  # type: ignore[arg-type]
                tenders=[sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_CASH, amount_minor=10**6)],
            )
        elif dice < 0.8:
            request = stock_pb2.HoldStockRequest(
                command_id=self._id(),
                location_id="S1",
                lines=[stock_pb2.StockLine(**line)],  # type: ignore[arg-type]
                ttl_ms=rng.choice((0, 20, 60_000)),
            )
        else:
            earlier = rng.choice(done).request
            if isinstance(earlier, stock_pb2.HoldStockRequest):
                request = stock_pb2.CommitHoldRequest(command_id=self._id(), hold_id=earlier.command_id)
            else:
                request = sale_pb2.ReturnLinesRequest(
                    command_id=self._id(),
                    till_id="T1",
                    sale_id=earlier.command_id,  # type: ignore[attr-defined]
                    lines=[sale_pb2.ReturnLine(qty_milli=1000)],
                )
        self.sent.append(Sent(request))
        return self.sent[-1]

    def run(self, target: str, until: threading.Event) -> None:
        """Send until told to stop or the engine is gone."""
        with grpc.insecure_channel(target) as channel:
            try:
                (self._run_stream if self._streams else self._run_unary)(channel, until)
            except grpc.RpcError as error:
                if error.code() not in GONE:  # type: ignore[attr-defined]
                    raise

    def _run_unary(self, channel: grpc.Channel, until: threading.Event) -> None:
        while not until.is_set():
            sent = self.make()
            # Now and then a caller gives up at once: the answer is lost although the command may have happened.
            impatient = self._rng.random() < 0.05
            try:
                sent.answers.append(unary_call(channel, sent.request, 0.002 if impatient else DEADLINE_S))
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:  # type: ignore[attr-defined]
                    raise

    def _run_stream(self, channel: grpc.Channel, until: threading.Event) -> None:
        """Two batches in flight."""
        waiting: queue.SimpleQueue[session_pb2.SessionRequest | None] = queue.SimpleQueue()
        batches: list[list[Sent]] = []

        def send() -> None:
            batches.append([self.make() for _ in range(self._rng.randint(1, 12))])
            waiting.put(frame(batches[-1]))

        send()
        send()
        stream = session_pb2_grpc.SessionServiceStub(channel).Session(iter(waiting.get, None), timeout=DEADLINE_S)
        try:
            for response in stream:
                if response.draining:
                    break
                take(batches.pop(0), response)
                if until.is_set():
                    break
                send()
        finally:
            waiting.put(None)
            stream.cancel()

    def resend(self, target: str, *, keep_ids: bool = True) -> None:
        """Send what is unanswered again, until it is answered."""
        with grpc.insecure_channel(target) as channel:
            open_ones = [sent for sent in self.sent if not sent.answers]
            if not keep_ids:
                for sent in open_ones:
                    sent.request.command_id = self._id()  # type: ignore[attr-defined]
            if self._streams:
                exchange(channel, open_ones)
                return
            for sent in open_ones:
                sent.answers.append(unary_call(channel, sent.request, DEADLINE_S))


def frame(batch: list[Sent]) -> session_pb2.SessionRequest:
    """A batch as a message of a Session."""
    return session_pb2.SessionRequest(commands=[command_of(sent.request) for sent in batch])


def take(batch: list[Sent], response: session_pb2.SessionResponse) -> None:
    """Give each command of a batch its answer."""
    assert len(response.replies) == len(batch), "one answer a command"
    for sent, reply in zip(batch, response.replies, strict=True):
        sent.answers.append(body_of(reply).SerializeToString())


def exchange(channel: grpc.Channel, sents: list[Sent]) -> None:
    """Send commands through one Session, 200 a batch, and take their answers."""
    batches = [sents[at : at + 200] for at in range(0, len(sents), 200)]
    stream = session_pb2_grpc.SessionServiceStub(channel).Session(
        (frame(batch) for batch in batches), timeout=60, wait_for_ready=True
    )
    for batch, response in zip(batches, stream, strict=True):
        take(batch, response)


def trade(target: str, callers: list[Caller], seconds: float, fault: Any) -> None:
    """Let all callers send for some seconds, do `fault()`, and wait until every caller has stopped."""
    until = threading.Event()
    failures: list[BaseException] = []

    def run(caller: Caller) -> None:
        try:
            caller.run(target, until)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    fault()
    until.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a caller hangs"
    if failures:
        raise failures[0]


def answers_again(target: str, callers: list[Caller]) -> None:
    """Every acknowledged command, sent once more, has the answer it had: asks the engine for all of them."""
    sents = [sent for caller in callers for sent in caller.sent]
    with grpc.insecure_channel(target) as channel:
        exchange(channel, sents)


def read_books(directory: Path) -> tuple[Core, int]:
    """The state of a stopped engine and how many records it has; proves the chain and the fold on the way."""
    journal, checkpoints = LmdbJournal(directory / "journal", readonly=True), CheckpointStore(directory / "checkpoint")
    try:
        report = check(journal, checkpoints)
        assert not report.damage, report.damage
        core = recover(journal, checkpoints).core
        assert recover(journal, None).core.digest() == core.digest(), "the journal folds to another state"
        return core, report.records
    finally:
        checkpoints.close()
        journal.close()


def receipts(sents: Iterator[Sent] | list[Sent]) -> Iterator[sale_pb2.Receipt]:
    """The receipts of all sales and returns that were booked."""
    for sent in sents:
        if isinstance(sent.request, sale_pb2.SellRequest | sale_pb2.ReturnLinesRequest):
            response = sale_pb2.SellResponse if isinstance(sent.request, sale_pb2.SellRequest) else None
            answer: Any = (response or sale_pb2.ReturnLinesResponse).FromString(sent.answers[0])
            if answer.code == OK:
                yield answer.receipt


def prove(directory: Path, callers: list[Caller], pieces: int) -> None:
    """Every command is in the book of a stopped engine exactly as its caller heard, and nothing else is."""
    sents = [sent for caller in callers for sent in caller.sent]
    for sent in sents:
        assert sent.answers, "a command without an answer"
        assert len(set(sent.answers)) == 1, "two answers to one command differ"
    core, _ = read_books(directory)
    booked = list(receipts(sents))
    numbers: dict[str, list[int]] = {}
    stock = dict.fromkeys(ITEMS, pieces * 1000)
    for receipt in booked:
        numbers.setdefault(receipt.till_id, []).append(receipt.number)
        for line in receipt.basket.lines:
            stock[line.item_id] += line.qty_milli if receipt.original_sale_id else -line.qty_milli
    holds = {sent.request.command_id: sent.request for sent in sents if hasattr(sent.request, "ttl_ms")}  # type: ignore[attr-defined]
    for sent in sents:
        if (
            isinstance(sent.request, stock_pb2.CommitHoldRequest)
            and stock_pb2.CommitHoldResponse.FromString(sent.answers[0]).code == OK
        ):
            for held in holds[sent.request.hold_id].lines:  # type: ignore[attr-defined]
                stock[held.item_id] -= held.qty_milli
    assert core.row_counts()["sales"] == len(booked), "a sale is lost, or booked twice"
    for till, found in numbers.items():
        assert sorted(found) == list(range(1, len(found) + 1)), f"receipt numbers of {till} have gaps"
    assert core.receipt_gaps() == 0
    request = stock_pb2.GetAvailabilityRequest(item_ids=ITEMS, location_id="S1")
    raw = core.query("GetAvailability", request.SerializeToString(), time.time_ns())
    for position in stock_pb2.GetAvailabilityResponse.FromString(raw).positions:
        assert position.on_hand_milli == stock[position.item_id], position
        assert position.free_milli >= 0, position
