"""The sequencer where a request goes wrong half-way: the journal must stay what the core did."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringup.engine.journal import JournalError
from ringup.engine.lmdb_store import LmdbJournal
from ringup.engine.recovery import recover
from ringup.engine.sequencer import COMMITTING_MAX, Batch, Sequencer, Stopped
from ringup.native.core import MalformedRequest
from ringup.v1 import sale_pb2, session_pb2, stock_pb2
from support.core import CoreHarness, cash, command_of, line, small_shop
from support.data_directory import write_directory


class Stage:
    """A sequencer over the small shop; a commit ends when the test says so."""

    def __init__(self, **options: int) -> None:
        self.shop: CoreHarness = small_shop()
        self.now_ns = self.shop.now_ns
        self.waiting: list[Batch] = []
        self.answers: list[bytes | None] = []
        self.wakes_ns: list[int] = []  # what the timer was set to, each time
        self.sequencer = Sequencer(
            self.shop.core,
            self._read_replies,
            self._read_commands,
            self.waiting.append,
            clock_ns=lambda: self.now_ns,
            soon=self._soon,
            wake_in=self.wakes_ns.append,
            **options,
        )
        self.later: list[object] = []
        self.is_readable = False
        self.reads = 0

    def _read_replies(self, sequence: int) -> bytes:
        self.reads += 1
        if not self.is_readable:
            raise JournalError(f"batch {sequence} cannot be read")
        return b"".join(self.shop.journal[sequence - 1][3])

    def _read_commands(self, sequence: int) -> bytes | None:
        self.reads += 1
        return b"".join(self.shop.journal[sequence - 1][2]) if self.is_readable else None

    def _soon(self, call: object) -> None:
        self.later.append(call)

    def settle(self) -> None:
        """Let the event loop turn and every commit end."""
        while self.later or self.waiting:
            while self.later:
                self.later.pop(0)()  # type: ignore[operator]
            while self.waiting:
                batch = self.waiting.pop(0)
                self.shop.journal.append((batch.sequence, batch.now_ns, batch.commands, batch.replies))
                self.sequencer.committed([batch])

    def turn(self) -> None:
        """Let the event loop turn."""
        while self.later:
            self.later.pop(0)()  # type: ignore[operator]

    def submit(self, *requests: object) -> None:
        commands = [command_of(request) for request in requests]  # type: ignore[arg-type]
        self.sequencer.submit(session_pb2.SessionRequest(commands=commands).SerializeToString(), self.answers.append)


def _hold(command_id: bytes, item_id: str = "milk", ttl_ms: int = 1000) -> stock_pb2.HoldStockRequest:
    return stock_pb2.HoldStockRequest(
        command_id=command_id,
        location_id="S1",
        lines=[stock_pb2.StockLine(item_id=item_id, qty_milli=1000)],
        ttl_ms=ttl_ms,
    )


def test_a_malformed_request_does_not_stop_the_clock_of_the_next() -> None:
    """The bytes of a malformed request opened a batch that nobody closed: an hour later a command joined it,
    with the clock of then, and a hold that had long ended was still open for it."""
    stage = Stage()
    stage.submit(_hold(b"h" * 16))
    stage.settle()
    with pytest.raises(MalformedRequest):
        stage.sequencer.submit(b"\xff\xff", stage.answers.append)
    stage.settle()
    stage.now_ns += 3600 * 10**9
    stage.submit(stock_pb2.CommitHoldRequest(command_id=b"c" * 16, hold_id=b"h" * 16))
    stage.settle()
    assert stage.answers[-1] is not None
    reply = session_pb2.SessionResponse.FromString(stage.answers[-1]).replies[0]
    assert reply.commit_hold.code == 46  # HOLD_EXPIRED
    assert stage.shop.core.now_ns == stage.now_ns


def test_a_first_answer_that_cannot_be_read_leaves_no_command_out_of_the_journal() -> None:
    """A batch with a resend whose first answer could not be read was executed and never written: the state
    was ahead of the journal for good."""
    stage = Stage()
    stage.submit(_hold(b"h" * 16))
    stage.settle()
    with pytest.raises(JournalError, match="cannot be read"):
        stage.submit(_hold(b"i" * 16, "bread"), _hold(b"h" * 16))
    stage.submit(_hold(b"j" * 16, "lamp"))
    stage.settle()
    assert len(stage.answers) == 2
    assert stage.shop.refold().digest() == stage.shop.core.digest()


def test_a_batch_of_many_requests_is_recovered_whole(tmp_path: Path) -> None:
    """The journal keeps the requests of a batch end to end; read back as one request, a busy second was over
    the limit of a request and the engine could not start again."""
    stage = Stage()
    for part in range(5):
        stage.submit(*(_hold(f"{part:02}{number:014}".encode()) for number in range(1000)))
        stage.submit(_hold(b"00" + b"0" * 14))  # a resend in every request
    stage.settle()
    assert [len(commands) for _, _, commands, _ in stage.shop.journal][-1] == 10, "one batch has all of them"
    write_directory(tmp_path, shop=stage.shop)
    journal = LmdbJournal(tmp_path / "journal")
    try:
        assert recover(journal, None).core.digest() == stage.shop.core.digest()
    finally:
        journal.close()


def test_a_resent_batch_costs_one_read_of_the_journal() -> None:
    """Every resent command read its batch anew and proved its checksum: 4,096 times megabytes, while all waited."""
    stage = Stage()
    stage.is_readable = True
    requests = [_hold(number.to_bytes(16, "big"), item) for number in range(90) for item in ("milk", "bread")][::2]
    stage.submit(*requests[:40])
    stage.submit(*requests[40:])
    stage.settle()
    first = [session_pb2.SessionResponse.FromString(answer or b"").replies for answer in stage.answers]
    stage.submit(*reversed(requests))
    stage.settle()
    again = session_pb2.SessionResponse.FromString(stage.answers[-1] or b"").replies
    assert list(reversed(again)) == [*first[0], *first[1]]
    assert stage.reads == 1


def test_a_resend_is_answered_from_the_request_where_it_was_first() -> None:
    """In the same request, in the open batch and in the batch that is being committed."""
    stage = Stage()
    ids = [bytes([65 + number]) * 16 for number in range(6)]
    stage.submit(_hold(ids[0]), _hold(ids[1], "bread"))
    while stage.later:
        stage.later.pop(0)()  # type: ignore[operator]
    assert stage.waiting, "the first batch is being committed"
    stage.submit(_hold(ids[2], "lamp"), _hold(ids[1], "bread"))
    stage.submit(_hold(ids[3]), _hold(ids[2], "lamp"), _hold(ids[3]), _hold(ids[1], "bread"))
    stage.settle()
    seen = [
        [reply.hold_stock.hold_id[:1] for reply in session_pb2.SessionResponse.FromString(answer or b"").replies]
        for answer in stage.answers
    ]
    assert seen == [[b"A", b"B"], [b"C", b"B"], [b"D", b"C", b"D", b"B"]]
    assert stage.reads == 0


def test_a_batch_that_is_worth_a_record_does_not_wait_for_the_commit_before_it() -> None:
    """Nor does it take more requests; a small one waits, and so does all beyond what may be on its way."""
    stage = Stage(closed_bytes=600)
    number = 0

    def hold(count: int) -> None:
        nonlocal number
        stage.submit(*(_hold((number + one + 1).to_bytes(16, "big")) for one in range(count)))
        number += count
        stage.turn()

    def waiting() -> list[int]:
        return [batch.command_count for batch in stage.waiting]

    hold(1)
    assert waiting() == [1], "an idle engine commits at once"
    hold(1)
    assert waiting() == [1], "a small batch waits for the commit before it"
    hold(8)
    assert waiting() == [1, 9], "and is closed with what makes it worth a record"
    for _ in range(COMMITTING_MAX):
        hold(8)
    assert waiting() == [1, 9, 8, 8], "no more than may be on its way"
    assert stage.answers == []
    assert stage.sequencer.closed == stage.waiting[-1].sequence
    assert stage.sequencer.pending(stage.waiting[1].sequence) is stage.waiting[1]
    together, stage.waiting[:] = stage.waiting[:2], stage.waiting[2:]
    for batch in together:
        stage.shop.journal.append((batch.sequence, batch.now_ns, batch.commands, batch.replies))
    stage.sequencer.committed(together)
    assert len(stage.answers) == 3, "what shared a sync is answered"
    assert waiting() == [8, 8, 16], "what waited for room is closed, all of it together"
    assert stage.sequencer.counters.commits == 1
    stage.settle()
    assert len(stage.answers) == 3 + COMMITTING_MAX
    assert stage.shop.refold().digest() == stage.shop.core.digest()


def test_a_failure_answers_nothing_that_waits_behind_it() -> None:
    stage = Stage(closed_bytes=1)
    for number in (1, 2, 3):
        stage.submit(_hold(number.to_bytes(16, "big")))
        stage.turn()
    assert len(stage.waiting) == 3
    stage.sequencer.failed()
    assert stage.answers == [None, None, None]
    with pytest.raises(Stopped):
        stage.submit(_hold(b"n" * 16))


def test_one_timer_for_the_next_deadline() -> None:
    """It is set anew for an earlier deadline only, and looks again when it ends too early or beside a batch."""
    second, stage = 10**9, Stage()
    stage.sequencer.wake()
    stage.submit(_hold(b"f" * 16, ttl_ms=0))
    stage.settle()
    assert stage.wakes_ns == [], "nothing has a deadline"
    for name, ttl_ms in ((b"a", 20_000), (b"b", 30_000), (b"c", 5_000)):
        stage.submit(_hold(name * 16, ttl_ms=ttl_ms))
        stage.settle()
    assert stage.wakes_ns == [20 * second, 5 * second]
    stage.submit(stock_pb2.ReleaseHoldRequest(command_id=b"r" * 16, hold_id=b"c" * 16))
    stage.settle()
    assert stage.wakes_ns == [20 * second, 5 * second], "the hold ended earlier: the timer may ring in vain"
    stage.now_ns += 5 * second
    stage.sequencer.wake()
    assert stage.wakes_ns[2:] == [15 * second]
    before = stage.shop.core.sequence
    stage.now_ns += 15 * second
    stage.sequencer.wake()
    assert [(batch.sequence, batch.commands) for batch in stage.waiting] == [(before + 1, [])]
    stage.sequencer.wake()
    assert len(stage.waiting) == 1, "a batch is under way"
    stage.settle()
    assert stage.wakes_ns[3:] == [10 * second]
    stage.now_ns -= 3600 * second  # the machine's clock is set back: a look each minute, and no batch
    stage.sequencer.wake()
    assert stage.wakes_ns[4:] == [60 * second]
    stage.now_ns += 7200 * second
    stage.sequencer.wake()
    stage.settle()
    assert stage.shop.core.sequence == before + 2
    assert stage.wakes_ns[5:] == []
    assert stage.shop.refold().digest() == stage.shop.core.digest()


def test_deadlines_that_come_one_after_the_other_share_batches() -> None:
    stage = Stage()
    stage.submit(*(_hold(number.to_bytes(16, "big"), ttl_ms=1000 + number) for number in range(1, 90)))
    stage.settle()
    before = stage.shop.core.sequence
    while stage.wakes_ns:
        stage.now_ns += stage.wakes_ns.pop()
        stage.sequencer.wake()
        stage.settle()
    assert stage.shop.core.next_deadline_ns == 0
    assert stage.shop.core.sequence - before <= 3


def test_a_stopping_engine_is_not_woken() -> None:
    stage = Stage()
    stage.submit(_hold(b"h" * 16))
    stage.settle()
    stage.sequencer.stop(lambda: None)
    stage.now_ns += 3600 * 10**9
    stage.sequencer.wake()
    assert (stage.waiting, len(stage.wakes_ns)) == ([], 1)


def test_a_return_has_its_sale_wherever_the_sale_stands() -> None:
    """In the batch that is open, in one that is being committed, in the journal, and where the journal is trimmed."""
    stage = Stage()
    forged = sale_pb2.SellRequest(till_id="T1").SerializeToString()

    def back(pieces: int) -> sale_pb2.ReturnLinesRequest:
        return sale_pb2.ReturnLinesRequest(
            command_id=stage.shop.id(),
            till_id="T1",
            sale_id=b"s" * 16,
            lines=[sale_pb2.ReturnLine(qty_milli=pieces * 1000)],
            refund_policy=sale_pb2.REFUND_POLICY_REPRICE_KEPT,
            original_sale=forged,
        )

    sell = sale_pb2.SellRequest(command_id=b"s" * 16, till_id="T1", lines=[line("bread", 10)], tenders=[cash(2500)])
    stage.submit(_hold(b"h" * 16))  # not the first of its batch
    stage.submit(_hold(b"i" * 16), sell)
    stage.submit(back(1))
    stage.turn()
    assert [batch.sequence for batch in stage.waiting] == [stage.shop.core.sequence]
    stage.submit(back(2))
    stage.settle()
    assert stage.reads == 0
    stage.submit(back(3))  # which the journal has no more
    stage.settle()
    stage.is_readable = True
    stage.submit(back(4))
    stage.settle()
    assert stage.reads == 2
    answers = [session_pb2.SessionResponse.FromString(answer or b"").replies[-1] for answer in stage.answers[2:]]
    assert [answer.return_lines.receipt.basket.total_minor for answer in answers] == [250, 500, 0, 1000]
    assert answers[2].return_lines.problem.field == "original_sale"
    booked = session_pb2.SessionRequest.FromString(stage.shop.journal[-1][2][0]).commands[0].return_lines
    assert booked.original_sale == sell.SerializeToString()
    assert stage.shop.refold().digest() == stage.shop.core.digest()
