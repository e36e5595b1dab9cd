"""Many jobs over links that fail in every way a link can: each job ends once, and what is confirmed happened."""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pytest

from ringup.drivers.device.job import Job, JobState
from ringup.drivers.device.label import LabelPrinter
from ringup.drivers.device.printer import ReceiptPrinter
from ringup.drivers.protocol import zpl
from ringup.drivers.receipt.profile import printer_profile
from ringup.drivers.receipt.rows import BarcodeRow, TextRow
from ringup.drivers.simulator.base import Server
from ringup.drivers.simulator.label import LabelSimulator
from ringup.drivers.simulator.printer import PrinterSimulator
from ringup.drivers.transport.base import Backoff, TransportClosed
from ringup.drivers.transport.memory import MemoryWire

JOBS = int(os.environ.get("RINGUP_SOAK_JOBS", "10000"))


class FailingLink:
    """Splits writes, drops the link in the middle of one, loses answers; never says which."""

    def __init__(self, seed: int, wire: MemoryWire) -> None:
        self._random = random.Random(seed)
        self._wire = wire
        self.faults: Counter[str] = Counter()

    def __call__(self, direction: str, data: bytes) -> list[bytes] | None:
        roll = self._random.random()
        if roll < 0.0008:
            # The first half arrives, then the cable is out.
            self.faults["dropped in a write"] += 1
            other = self._wire.peer if direction == "to_peer" else self._wire.host
            with self._wire.changed:
                other._chunks.append(data[: len(data) // 2])
                self._wire.changed.notify_all()
            time.sleep(0.001)
            raise TransportClosed("the cable is out")
        if roll < 0.0012 and direction == "to_host":
            self.faults["answer lost"] += 1
            return []
        if roll < 0.0016 and direction == "to_host":
            self.faults["half an answer"] += 1
            return [data[: len(data) // 2]]
        if roll < 0.1:
            at = self._random.randrange(len(data) + 1)
            return [data[:at], data[at:]]
        return None


@pytest.mark.timeout(180)
def test_ten_thousand_mixed_jobs_over_failing_links_each_end_once() -> None:
    seed = int(os.environ.get("RINGUP_SOAK_SEED", "20250301"))
    rng = random.Random(seed)
    printer_wire, label_wire = MemoryWire("printer"), MemoryWire("label")
    links = [FailingLink(seed + 1, printer_wire), FailingLink(seed + 2, label_wire)]
    printer_wire.manipulate, label_wire.manipulate = links
    simulator, labels = PrinterSimulator(), LabelSimulator()
    ends: Counter[int] = Counter()
    jobs: list[tuple[str, int, Job[object]]] = []

    def ended(job: Job[object]) -> None:
        ends[id(job)] += 1

    with Server(simulator) as one, Server(labels) as two:
        one.attach(printer_wire.peer)
        two.attach(label_wire.peer)
        backoff = Backoff(0.001, 0.01)
        printer = ReceiptPrinter(
            "receipt",
            printer_wire.host,
            profile=printer_profile("simulator"),
            reply_timeout_s=0.1,
            poll_interval_s=0.01,
            job_timeout_s=150,
            backoff=backoff,
        )
        label = LabelPrinter("labels", label_wire.host, reply_timeout_s=0.1, job_timeout_s=150, backoff=backoff)
        with printer, label:
            for number in range(JOBS):
                kind = rng.choices(("print", "drawer", "label"), (70, 10, 20))[0]
                job: Job[object]
                if kind == "print":
                    rows = (TextRow(f"J{number:06} Ä€"), BarcodeRow("code128", f"{number:06}", show_text=False))
                    job = printer.print_rows(rows)  # type: ignore[assignment]  # Job is invariant, results differ
                elif kind == "drawer":
                    job = printer.open_drawer()  # type: ignore[assignment]  # as above
                else:
                    content = zpl.ShelfLabel(f"L{number:06}", "1.99")
                    job = label.print_shelf_label(content)  # type: ignore[assignment]  # as above
                job.when_done(ended)
                jobs.append((kind, number, job))
                if number % 2500 == 1000:
                    simulator.paper_lines_left = 7
                if simulator.paper == "out":
                    simulator.set_paper("ok")
            end_s = time.monotonic() + 150
            for _, _, job in jobs:
                while not job.wait(0.05).is_final and time.monotonic() < end_s:
                    if simulator.paper == "out":
                        simulator.set_paper("ok")
    states = Counter((kind, job.state) for kind, _, job in jobs)
    assert all(job.state in (JobState.CONFIRMED, JobState.FAILED) for _, _, job in jobs), states
    assert set(ends.values()) == {1}
    assert len(ends) == JOBS
    for link in links:
        assert link.faults["dropped in a write"] > 0  # the soak was one

    originals: Counter[int] = Counter()
    copies: Counter[int] = Counter()
    for text in simulator.texts:
        for line in text.splitlines():
            if line.startswith("J") and len(line) >= 9:
                (copies if "COPY" in text else originals)[int(line[1:7])] += 1
    assert max(originals.values()) == 1, "an original came out twice"
    printed = {number for kind, number, job in jobs if kind == "print" and job.state is JobState.CONFIRMED}
    assert printed <= originals.keys() | copies.keys(), "confirmed, but never printed"
    assert len(printed) > 0.98 * sum(kind == "print" for kind, _, _ in jobs)
    assert copies, "the links failed, yet no receipt was ever interrupted"

    on_shelf = Counter(one.texts[0] for one in labels.labels)
    assert max(on_shelf.values()) == 1
    confirmed = {f"L{number:06}" for kind, number, job in jobs if kind == "label" and job.state is JobState.CONFIRMED}
    assert confirmed <= on_shelf.keys()

    drawers = Counter(job.state for kind, _, job in jobs if kind == "drawer")
    assert drawers[JobState.CONFIRMED] <= len(simulator.pulses) <= drawers.total()
