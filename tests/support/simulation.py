"""A whole engine in one thread, by seed: production core, sequencer and recovery; fake clock, disk and network.

Everything that could differ between two runs comes from one `random.Random(seed)`: when a commit
ends, whether it fails, when the process dies, which answers are lost on their way, what the
machine's clock says.  A failing seed replays exactly.
"""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from ringup.engine.journal import AppendUnknown
from ringup.engine.record import decode
from ringup.engine.recovery import recover
from ringup.engine.sequencer import (
    CLOSED_BYTES,
    COMMITTING_MAX,
    WAKE_NS_MAX,
    WAKE_NS_MIN,
    Batch,
    Sequencer,
    Stopped,
    write_batches,
)
from ringup.native.core import Core
from ringup.v1 import pricing_pb2, sale_pb2, session_pb2, stock_pb2
from support.core import command_of, small_shop

ITEMS = ("milk", "bread", "lamp")
OPENING_PIECES = 100


class FakeDisk:
    """A journal whose records survive a crash once they are synced, and sometimes when they are not."""

    engine_id = ""
    ancestors = ()

    def __init__(self, rng: random.Random, *, sync: bool = True) -> None:
        self._rng = rng
        self._sync = sync
        self.durable: list[bytes] = []
        self._cached: list[bytes] = []  # written, not synced: lost in a crash
        self.fail_next = False

    def acquire(self) -> int:
        return 1

    def append(self, sequence: int, *records: bytes | bytearray) -> None:
        assert sequence == len(self.durable) + len(self._cached) + 1
        if self.fail_next:
            self.fail_next = False
            if self._rng.random() < 0.5:  # a failed sync may have written all the same
                self.durable += map(bytes, records)
            raise AppendUnknown(f"batch {sequence}: the commit failed")
        if self._sync:
            self.durable += map(bytes, records)
        else:
            self._cached += map(bytes, records)

    def crash(self) -> None:
        """Power cut: what is not synced is gone."""
        self._cached.clear()

    def last_sequence(self) -> int:
        return len(self.durable) + len(self._cached)

    def get(self, sequence: int) -> bytes | None:
        return (self.durable + self._cached)[sequence - 1]

    def read(self, from_sequence: int) -> Iterator[tuple[int, bytes]]:
        yield from list(enumerate(self.durable + self._cached, 1))[max(from_sequence - 1, 0) :]

    def trim(self, before_sequence: int) -> int:
        raise NotImplementedError("a simulated journal is never trimmed")

    def close(self) -> None:
        pass


class FakeCheckpoints:
    """The checkpoint store: pages of the last complete checkpoint survive."""

    def __init__(self) -> None:
        self._meta: dict[str, Any] | None = None
        self._pages: dict[tuple[int, int], bytes] = {}

    def meta(self) -> dict[str, Any] | None:
        return self._meta

    def write(self, meta: dict[str, Any], pages: Any, *, fresh: bool) -> None:
        if fresh:
            self._pages.clear()
        self._pages.update({(table, page): bytes(data) for table, page, data in pages})
        self._meta = meta

    def pages(self) -> Iterator[tuple[int, int, memoryview]]:
        for (table, page), data in sorted(self._pages.items()):
            yield table, page, memoryview(data)


@dataclass(slots=True)
class Sent:
    """One command of a client, and what it has heard of it."""

    request: Message
    answers: list[bytes] = field(default_factory=list)

    def frame(self, fresh_id: bytes | None = None) -> bytes:
        if fresh_id is not None:
            self.request.command_id = fresh_id  # type: ignore[attr-defined]
        return session_pb2.SessionRequest(commands=[command_of(self.request)]).SerializeToString()


class Simulation:
    """One run.  `keep_ids=False` and `sync=False` are the controls: they must fail."""

    def __init__(self, seed: int, *, steps: int = 120, keep_ids: bool = True, sync: bool = True) -> None:
        self.rng = random.Random(seed)
        self.steps = steps
        self.keep_ids = keep_ids
        self.disk = FakeDisk(self.rng, sync=sync)
        self.checkpoints = FakeCheckpoints()
        self.clock_ns = 1_700_000_000 * 10**9
        self.elapsed_ns = 0
        self.sent: list[Sent] = []
        self.crashes = 0
        self.most_together = 0  # batches that became durable by one sync
        self._next_id = 0
        self._open_shop()
        self.start()

    def _open_shop(self) -> None:
        """Write the small shop's own commands as the first records of the journal."""
        shop = small_shop(pieces=OPENING_PIECES)
        previous = bytes(32)
        for sequence, now_ns, commands, replies in shop.journal:
            events, last = shop.events[sequence]
            batch = Batch(sequence, now_ns, commands, replies, events=events, last_event=last)
            previous = write_batches(self.disk, shop.core.layout(), [batch], previous)
        self.disk.durable += self.disk._cached
        self.disk._cached.clear()

    # The machine

    def start(self) -> None:
        recovered = recover(self.disk, self.checkpoints)  # type: ignore[arg-type]
        self.core = recovered.core
        self.digest = recovered.digest
        self.fresh = recovered.checkpoint_sequence == 0
        self.running: deque[Batch] = deque()  # handed over to the commit, in their order
        self.checkpoint_waits = False
        self.wake_at_ns: int | None = None
        self.sequencer = Sequencer(
            self.core,
            lambda sequence: decode(self.disk.get(sequence) or b"", sequence, None).replies,
            lambda sequence: decode(self.disk.get(sequence) or b"", sequence, None).commands,
            self._start_commit,
            clock_ns=lambda: self.clock_ns,
            checkpoint_due=self._checkpoint_is_due,
            wake_in=self._wake_in,
            closed_bytes=self.rng.choice((1, 1000, CLOSED_BYTES)),
        )
        self.sequencer.wake()

    def _checkpoint_is_due(self) -> bool:
        if self.checkpoint_waits or self.rng.random() >= 0.1:
            return False
        self.checkpoint_waits = True
        return True

    def _start_commit(self, batch: Batch) -> None:
        assert len(self.running) < COMMITTING_MAX
        self.running.append(batch)

    def _wake_in(self, delay_ns: int) -> None:
        assert WAKE_NS_MIN <= delay_ns <= WAKE_NS_MAX
        self.wake_at_ns = self.elapsed_ns + delay_ns

    def pass_time(self, ns: int) -> None:
        """Timers run by what has passed, whatever the machine's clock says."""
        self.elapsed_ns += ns
        if self.wake_at_ns is not None and self.wake_at_ns <= self.elapsed_ns:
            self.wake_at_ns = None
            self.sequencer.wake()

    def end_commit(self) -> None:
        """Let a commit end, well or badly: of the oldest batch and of some that wait behind it."""
        if not self.running:
            return
        together = self.rng.randint(1, len(self.running))
        batches = [self.running.popleft() for _ in range(together)]
        self.most_together = max(self.most_together, together)
        try:
            self.digest = write_batches(self.disk, self.core.layout(), batches, self.digest)
        except AppendUnknown:
            self.sequencer.failed()
            self.crash()
            return
        for batch in batches:
            self._write_checkpoint(batch)
        self.sequencer.committed(batches)

    def _write_checkpoint(self, batch: Batch) -> None:
        if batch.frozen is not None:
            self.checkpoint_waits = False
            if self.rng.random() < 0.7:
                meta = {
                    "sequence": batch.sequence,
                    "digest": batch.digest.hex(),
                    "layout": self.core.layout(),
                    "counts": batch.frozen.counts,
                }
                self.checkpoints.write(meta, batch.frozen.pages, fresh=self.fresh)
                self.fresh = False
                batch.frozen.pages.done()
            else:
                batch.frozen.pages.failed()

    def crash(self) -> None:
        """The process dies; everything in memory is gone; it starts again."""
        self.crashes += 1
        self.disk.crash()
        self.start()

    # The clients

    def send(self, sent: Sent) -> None:
        fresh = None if self.keep_ids else self._id()

        def answer(reply: bytes | None) -> None:
            if reply is not None and self.rng.random() < 0.8:  # else the answer is lost on its way
                sent.answers.append(reply)

        with contextlib.suppress(Stopped):  # then it is resent
            self.sequencer.submit(sent.frame(fresh), answer)

    def _id(self) -> bytes:
        self._next_id += 1
        return self._next_id.to_bytes(16, "little")

    def _request(self) -> Message:
        item, pieces = self.rng.choice(ITEMS), self.rng.randint(1, 4)
        kind = self.rng.random()
        if kind < 0.7 or not self.sent:
            return sale_pb2.SellRequest(
                command_id=self._id(),
                till_id=self.rng.choice(("T1", "T2")),
                lines=[pricing_pb2.BasketLine(item_id=item, qty_milli=pieces * 1000)],
                tenders=[sale_pb2.Tender(method=sale_pb2.TENDER_METHOD_CASH, amount_minor=10**6)],
            )
        if kind < 0.85:
            return stock_pb2.HoldStockRequest(
                command_id=self._id(),
                location_id="S1",
                lines=[stock_pb2.StockLine(item_id=item, qty_milli=pieces * 1000)],
                ttl_ms=self.rng.choice((0, 5, 50, 500)),
            )
        sale = self.rng.choice(self.sent).request
        return sale_pb2.ReturnLinesRequest(
            command_id=self._id(),
            till_id="T1",
            sale_id=sale.command_id,  # type: ignore[attr-defined]
            lines=[sale_pb2.ReturnLine(qty_milli=1000)],
            refund_policy=self.rng.choice((sale_pb2.REFUND_POLICY_PAID_PRICE, sale_pb2.REFUND_POLICY_REPRICE_KEPT)),
            original_sale=self.rng.choice((b"", b"some other sale")),
        )

    def run(self) -> None:
        for _ in range(self.steps):
            step_ns = self.rng.choice((0, 1, 10**6, 10**8, -(10**9)))
            self.clock_ns += step_ns
            self.pass_time(abs(step_ns))
            dice = self.rng.random()
            if dice < 0.5:
                self.sent.append(Sent(self._request()))
                self.send(self.sent[-1])
            elif dice < 0.6 and self.sent:
                self.send(self.rng.choice(self.sent[-10:]))  # impatient: resent before its answer
            elif dice < 0.94:
                self.end_commit()
            elif dice < 0.97:
                self.crash()
            else:
                self.disk.fail_next = True
        self.disk.fail_next = False
        for sent in self.sent:  # in the end every client hears of every command
            for _ in range(50):
                if sent.answers:
                    break
                self.send(sent)
                while self.running:
                    self.end_commit()
        while self.running:
            self.end_commit()
        self.clock_ns = max(self.clock_ns, self.core.now_ns)
        # Nobody calls any more: what is due ends by itself, a minute late at most after the clock was set.
        for _ in range(70):
            self.clock_ns += 10**9
            self.pass_time(10**9)
            self.end_commit()

    # The proof

    def check(self) -> None:
        """Every command has one answer, what was acknowledged is in the book once, and the state is the journal's."""
        journal_sales: dict[bytes, tuple[str, int]] = {}
        stock = dict.fromkeys(ITEMS, OPENING_PIECES * 1000)
        numbers: dict[str, list[int]] = {}
        by_line: dict[bytes, str] = {}
        for sent in self.sent:
            assert sent.answers, "no answer in the end"
            assert len(set(sent.answers)) == 1, "two answers to one command differ"
            reply = session_pb2.SessionResponse.FromString(sent.answers[0]).replies[0]
            body = getattr(reply, str(reply.WhichOneof("body")))
            if not hasattr(body, "receipt") or body.code != 1:
                continue
            receipt = body.receipt
            numbers.setdefault(receipt.till_id, []).append(receipt.number)
            for priced in receipt.basket.lines:
                back = bool(receipt.original_sale_id)
                stock[priced.item_id] += priced.qty_milli if back else -priced.qty_milli
                by_line[receipt.sale_id] = priced.item_id
            journal_sales[receipt.sale_id] = (receipt.till_id, receipt.number)
        counts = self.core.row_counts()
        assert counts["sales"] == len(journal_sales), "a sale is lost, or booked twice"
        for till, found in numbers.items():
            assert sorted(found) == list(range(1, len(found) + 1)), f"receipt numbers of {till} have gaps"
        positions = stock_pb2.GetAvailabilityResponse.FromString(
            self.core.query(
                "GetAvailability",
                stock_pb2.GetAvailabilityRequest(item_ids=ITEMS, location_id="S1").SerializeToString(),
                self.clock_ns,
            )
        ).positions
        for position in positions:
            assert position.on_hand_milli == stock[position.item_id]
            assert position.free_milli >= 0
        assert self.core.next_deadline_ns == 0, "a hold outlived its deadline in an idle engine"
        assert (len(self.running), self.wake_at_ns) == (0, None)
        assert self.core.receipt_gaps() == 0
        fresh: Core = recover(self.disk, None).core
        assert fresh.digest() == self.core.digest(), "the journal folds to another state"
