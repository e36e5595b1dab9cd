"""Many payments over a terminal that fails at random: what the till believes is what the terminal booked.

RINGUP_SOAK_PAYMENTS sets how many (40); the seed is printed and replays.
"""

from __future__ import annotations

import os
import random
import threading

import pytest

from ringup.drivers.device.intents import JournalError
from ringup.drivers.device.job import JobFailed
from ringup.drivers.device.payment import Outcome
from ringup.drivers.device.terminal import ZvtTerminal
from ringup.drivers.protocol import zvt
from ringup.drivers.simulator.base import Server
from ringup.drivers.simulator.terminal import TerminalSimulator
from ringup.drivers.transport.base import Backoff
from ringup.drivers.transport.factory import make_transport

COUNT = int(os.environ.get("RINGUP_SOAK_PAYMENTS", "40"))
FAULTS = (
    None,
    "decline",
    "drop_after_authorisation",
    "drop_before_authorisation",
    "silent_after_authorisation",
    "slow_authorisation",
    "abort_after_authorisation",
    "no_status",
    "half_frame",
    "drop_link",
    "silent",
    "busy",
    "refuse",
    "stale_abort",
)


def connect(port, journal):
    options = {"reply_timeout_s": 0.15, "silence_timeout_s": 0.2, "backoff": Backoff(0.01, 0.05)}
    return ZvtTerminal("t", make_transport(port), journal, **options)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_till_believes_what_the_terminal_booked(tmp_path, seed):
    rng = random.Random(seed)
    print("seed", seed)
    simulator = TerminalSimulator()
    believed = {}
    with Server(simulator) as server:
        port = f"tcp://127.0.0.1:{server.serve_tcp()}"
        terminal = connect(port, tmp_path / "journal")
        terminal.start()
        assert terminal.wait_ready(60)
        for index in range(COUNT // 2):
            name, amount = f"sale-{index}", rng.choice((500, 500, 1999))  # equal amounts are the hard ones
            fault = rng.choice(FAULTS)
            if fault is not None:
                simulator.faults.set(fault, count=rng.choice((1, 1, 2, 3)), value=rng.choice((0.1, 0.5)))
            result = None
            for _ in range(20):
                try:
                    result = terminal.pay(name, amount, timeout_s=rng.choice((0.05, 0.3, 3.0)))
                except JobFailed:
                    continue  # not begun: the till tries again
                if result.outcome.is_final:
                    break
                if rng.random() < 0.2:  # the till is switched off and on
                    terminal.stop()
                    terminal = connect(port, tmp_path / "journal")
                    terminal.start()
            if result is not None:
                believed[name] = result
            else:
                assert terminal.journal.result(name) is None
            if rng.random() < 0.5:
                simulator.faults.clear()
        simulator.faults.clear()
        for name, result in believed.items():
            if not result.outcome.is_final:
                believed[name] = terminal.resolve(name, timeout_s=60)
        terminal.stop()
    unknown = [(one.payment_id, one.amount_minor, one.detail) for one in believed.values() if not one.outcome.is_final]
    assert unknown == []
    charged = [(one.trace, one.amount_minor) for one in believed.values() if one.outcome is Outcome.APPROVED]
    assert sorted(charged) == sorted((one.trace, one.amount_minor) for one in simulator.ledger)
    assert len(charged) == len({trace for trace, _ in charged})
    assert simulator.commands.count(zvt.AUTHORISATION) <= len(believed)
    assert len(charged) > COUNT // 8  # the soak did charge something


def test_the_journal_is_opened_once_whoever_comes_first(tmp_path):
    """A till that had just been switched on asked for an old payment while the owner thread opened the
    same journal: the second opening found the first one's lock and called it another process."""
    for number in range(20):
        terminal = connect("tcp://127.0.0.1:9", tmp_path / f"journal-{number}")
        start = threading.Barrier(8)
        found = []

        def ask(terminal=terminal, start=start, found=found):
            start.wait()
            try:
                found.append(terminal.journal.result("sale-0"))
            except JournalError as error:
                found.append(error)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        terminal.stop()
        assert found == [None] * 8
