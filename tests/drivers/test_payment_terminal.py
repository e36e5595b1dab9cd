"""One card, one charge: the terminal device against a simulated ZVT terminal that fails on command.

The story behind it: a till gives up waiting after 60 seconds and sends the payment again; the customer pays twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from ringup.drivers.config import make_device, parse_config
from ringup.drivers.device.intents import IntentJournal, JournalError, PaymentConflict, new_intent
from ringup.drivers.device.job import JobFailed
from ringup.drivers.device.payment import Outcome, PaymentResult, PaymentTerminal
from ringup.drivers.device.terminal import ZvtTerminal
from ringup.drivers.protocol import zvt, zvt_commands
from ringup.drivers.simulator.base import Server
from ringup.drivers.simulator.terminal import CARD_NUMBER, TerminalSimulator
from ringup.drivers.transport.base import Backoff
from ringup.drivers.transport.factory import make_transport


def connect(port, journal, **options):
    quick = {"backoff": Backoff(0.02, 0.1), "reply_timeout_s": 0.5, "silence_timeout_s": 0.5}
    return ZvtTerminal("t", make_transport(port), journal, **{**quick, **options})


@contextlib.contextmanager
def till(simulator, journal, link="tcp", **options):
    """A terminal device that is ready, at a simulator over tcp or pty."""
    with Server(simulator) as server:
        port = f"tcp://127.0.0.1:{server.serve_tcp()}" if link == "tcp" else f"pty:{server.serve_pty()}"
        with connect(port, journal, **options) as terminal:
            assert terminal.wait_ready(60), terminal.health()
            yield terminal


def wait_for(is_so):
    end_s = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.005)


def is_charging(simulator):
    """The terminal has a payment that waits for the card."""
    return simulator._pending is not None


def given_up(simulator):
    """The terminal has a payment that waits, and the till has turned to something else."""
    return is_charging(simulator) and simulator.commands[-1] != zvt.AUTHORISATION


def book_when(simulator, is_so):
    """Put the card in once that holds."""
    wait_for(is_so)
    with simulator.lock:
        simulator._pending.due_ns = 0


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "payments.journal"


@pytest.mark.parametrize("link", ["tcp", "pty"])
def test_a_payment_a_refund_and_a_reversal(journal, link):
    simulator = TerminalSimulator()
    with till(simulator, journal, link) as terminal:
        assert isinstance(terminal, PaymentTerminal)
        shown = terminal.events()
        paid = terminal.pay("sale-1", 1999, timeout_s=60)
        assert (paid.outcome, paid.amount_minor, paid.receipt_number, paid.trace) == (Outcome.APPROVED, 1999, 1, 1)
        assert (paid.card_bin, paid.card_last_four, paid.card_name) == ("411111", "1111", "VISA")
        assert [slip.receipt for slip in paid.slips] == ["customer", None]
        assert terminal.refund("refund-1", 500, timeout_s=60).outcome is Outcome.APPROVED
        back = terminal.reverse("reversal-1", "sale-1", timeout_s=60)
        assert (back.outcome, back.kind) == (Outcome.APPROVED, "reversal")
        assert [one.amount_minor for one in simulator.ledger] == [1999, -500, -1999]
        kinds = [shown.get().kind for _ in range(shown.qsize())]
        assert "terminal" in kinds
        assert kinds.count("payment") == 3
        assert terminal.unresolved() == []


def test_the_rest_of_the_commands(journal):
    simulator = TerminalSimulator()
    with till(simulator, journal) as terminal:
        terminal.pay("a", 1999, timeout_s=60)
        assert terminal.diagnose() == "the terminal reaches its host"
        assert terminal.repeat_receipt()[0].lines == ("KOPIE",)
        assert terminal.enquire().terminal_status == 0
        day = terminal.end_of_day()
        assert (day.amount_minor, day.totals["visa"]) == (1999, (1, 1999))
        assert terminal.test() == "terminal 52001357 answers: ready"
        assert terminal.health().status == {"terminal_id": "52001357", "unresolved_count": 0}
        assert len(simulator.ledger) == 1


def test_a_declined_card_is_not_charged_and_may_try_again_under_a_new_id(journal):
    simulator = TerminalSimulator()
    with till(simulator, journal) as terminal:
        simulator.faults.set("decline", count=1)
        result = terminal.pay("a", 1999, timeout_s=60)
        assert (result.outcome, result.is_charged) == (Outcome.DECLINED, False)
        assert "code 51" in result.detail
        assert terminal.pay("a", 1999, timeout_s=60) == result
        assert terminal.pay("b", 1999, timeout_s=60).outcome is Outcome.APPROVED
        assert simulator.balance_minor == 1999


LOST = [
    "drop_after_authorisation",
    "silent_after_authorisation",
    "slow_authorisation",
    "no_status",
]


@pytest.mark.parametrize("link", ["tcp", "pty"])
@pytest.mark.parametrize("fault", LOST)
def test_the_till_times_out_and_the_card_is_charged_once(journal, fault, link):
    """The terminal books and the till never hears of it: it looks the payment up and does not charge again."""
    if (link, fault) == ("pty", "drop_after_authorisation"):
        pytest.skip("a dropped pty is gone for good; the serial link that comes back is tested below")
    simulator = TerminalSimulator()
    with till(simulator, journal, link) as terminal:
        terminal.pay("before", 100, timeout_s=60)
        simulator.faults.set(fault, count=1, value=3600.0)
        if fault == "slow_authorisation":
            threading.Thread(target=book_when, args=(simulator, lambda: given_up(simulator))).start()
        result = terminal.pay("sale", 1999, timeout_s=60)
        assert result.outcome is Outcome.APPROVED
        assert (result.detail, result.card_last_four) == ("found by enquiry", "1111")
        assert terminal.pay("sale", 1999, timeout_s=60) == result
        assert [one.amount_minor for one in simulator.ledger] == [100, 1999]
        assert simulator.commands.count(zvt.AUTHORISATION) == 2
        assert terminal.pay("next", 300, timeout_s=60).outcome is Outcome.APPROVED
        assert simulator.balance_minor == 2399


@pytest.mark.parametrize("fault", LOST)
def test_without_the_protection_the_card_is_charged_twice(fault):
    """The control: a till that takes silence for "not charged" and sends the payment again."""
    import socket

    simulator = TerminalSimulator()
    simulator.faults.set(fault, count=1, value=0.4)

    def naive_pay(port):
        with socket.create_connection(("127.0.0.1", port), timeout=0.6) as link:
            decoder = zvt.ApduDecoder()
            link.sendall(zvt_commands.encode_authorisation(1999))
            with contextlib.suppress(TimeoutError):
                while data := link.recv(4096):
                    for apdu in decoder.feed(data):
                        if apdu.control == zvt.STATUS_INFORMATION and fault != "slow_authorisation":
                            return True
                        if not apdu.is_ack and fault != "slow_authorisation":
                            link.sendall(zvt.encode_ack())
        return False

    with Server(simulator) as server:
        port = server.serve_tcp()
        if not naive_pay(port):
            time.sleep(0.1)
            naive_pay(port)
    assert [one.amount_minor for one in simulator.ledger] == [1999, 1999]


def test_a_serial_link_that_comes_back(journal, tmp_path):
    simulator = TerminalSimulator()
    path = str(tmp_path / "by-id")
    with Server(simulator) as server:
        server.serve_pty(path)
        with connect(f"pty:{path}", journal) as terminal:
            assert terminal.wait_ready(60)
            simulator.faults.set("drop_after_authorisation", count=1)
            assert terminal.pay("sale", 1999, timeout_s=60).outcome is Outcome.APPROVED
            assert [one.amount_minor for one in simulator.ledger] == [1999]


@pytest.mark.parametrize("link", ["tcp", "pty"])
def test_a_command_that_was_lost_charges_nothing_and_is_known_to(journal, link, tmp_path):
    simulator = TerminalSimulator()
    with till(simulator, journal, link) as terminal:
        terminal.pay("before", 1999, timeout_s=60)  # the same amount: the baseline tells the two apart
        simulator.faults.set("silent" if link == "pty" else "drop_before_authorisation", count=1)
        result = terminal.pay("sale", 1999, timeout_s=60)
        if link == "tcp":
            assert (result.outcome, result.detail) == (Outcome.DECLINED, "the terminal has booked nothing since")
            assert simulator.balance_minor == 1999
        else:  # one lost serial ACK: the terminal goes on and the till hears the end of it
            assert result.outcome is Outcome.APPROVED
            assert simulator.balance_minor == 3998


def test_spoilt_serial_blocks_are_sent_again(journal):
    simulator = TerminalSimulator()
    with till(simulator, journal, "pty") as terminal:
        for index, count in enumerate((1, 2, 3), 1):
            simulator.faults.set("wrong_checksum", count=count)
            assert terminal.pay(f"sale-{index}", 100 * index, timeout_s=60).outcome is Outcome.APPROVED
        assert [one.amount_minor for one in simulator.ledger] == [100, 200, 300]


@pytest.mark.parametrize("link", ["tcp", "pty"])
def test_a_late_abort_is_not_the_end_of_this_payment(journal, link):
    """Found where the disk was fast: an abort left over from the command before made "declined" of a booked payment."""
    simulator = TerminalSimulator()
    with till(simulator, journal, link) as terminal:
        terminal.pay("before", 500, timeout_s=60)
        simulator.faults.set("stale_abort", count=1)
        assert terminal.pay("sale", 1999, timeout_s=60).outcome is Outcome.APPROVED
        assert [one.amount_minor for one in simulator.ledger] == [500, 1999]


def test_half_a_frame_is_no_outcome(journal):
    simulator = TerminalSimulator()
    with till(simulator, journal) as terminal:
        terminal.pay("before", 50, timeout_s=60)
        for count in (1, 2):
            simulator.faults.set("half_frame", count=count)
            result = terminal.pay(f"sale-{count}", 1000 + count, timeout_s=60)
            assert result.outcome is Outcome.APPROVED
        assert simulator.balance_minor == 50 + 1001 + 1002


def test_authorised_and_then_aborted_is_looked_up(journal):
    simulator = TerminalSimulator()
    with till(simulator, journal) as terminal:
        terminal.pay("before", 50, timeout_s=60)
        simulator.faults.set("abort_after_authorisation", count=1)
        result = terminal.pay("sale", 1999, timeout_s=60)
        assert (result.outcome, simulator.balance_minor) == (Outcome.DECLINED, 50)
        assert "enquiry" in result.detail


def test_what_cannot_be_looked_up_stays_unknown_and_blocks_the_next_payment(journal):
    simulator = TerminalSimulator()
    with till(simulator, journal) as terminal:
        terminal.pay("before", 50, timeout_s=60)
        simulator.faults.set("silent_after_authorisation", count=1)
        simulator.faults.set("forgetful")
        result = terminal.pay("sale", 1999, timeout_s=3)
        assert (result.outcome, result.is_charged) == (Outcome.UNKNOWN, None)
        with pytest.raises(JobFailed, match="resolve or decide it first"):
            terminal.pay("next", 300, timeout_s=3)
        assert [one.payment_id for one in terminal.unresolved()] == ["sale"]
        assert simulator.commands.count(zvt.AUTHORISATION) == 2
        decided = terminal.decide("sale", is_charged=True, decided_by="M. Muster, read the terminal's journal")
        assert (decided.outcome, decided.decided_by[:9]) == (Outcome.APPROVED, "M. Muster")
        with pytest.raises(JobFailed, match="unknown outcome"):
            terminal.decide("sale", is_charged=False, decided_by="X")
        simulator.faults.clear()
        assert terminal.pay("next", 300, timeout_s=60).outcome is Outcome.APPROVED
        assert simulator.balance_minor == 2349


def test_a_declined_payment_is_no_baseline(journal):
    """Found by the soak: the terminal repeats the payment before the declined one, and the next stayed unknown."""
    simulator = TerminalSimulator()
    with till(simulator, journal) as terminal:
        terminal.pay("before", 500, timeout_s=60)
        simulator.faults.set("decline", count=1)
        assert terminal.pay("declined", 500, timeout_s=60).outcome is Outcome.DECLINED
        simulator.faults.set("drop_before_authorisation", count=1)
        result = terminal.pay("sale", 1999, timeout_s=60)
        assert (result.outcome, result.detail) == (Outcome.DECLINED, "the terminal has booked nothing since")


def test_another_tills_payment_is_not_taken_for_ours(journal):
    simulator = TerminalSimulator()
    with till(simulator, journal) as terminal:
        terminal.pay("before", 50, timeout_s=60)
        simulator.faults.set("drop_before_authorisation", count=1)
        with simulator.lock:
            job = threading.Thread(target=terminal.pay, args=("sale", 1999), kwargs={"timeout_s": 3})
            job.start()
            wait_for(lambda: terminal.journal.result("sale") is not None)  # it is about to be sent
            simulator._book("payment", 777, None)  # somebody types a payment into the terminal itself
        job.join(60)
        assert terminal.journal.result("sale").outcome is Outcome.UNKNOWN
        wait_for(lambda: "last transaction is of 777" in terminal.resolve("sale", timeout_s=1).detail)
        assert terminal.journal.result("sale").outcome is Outcome.UNKNOWN


def test_a_busy_terminal_is_not_asked_for_money(journal):
    simulator = TerminalSimulator()
    with till(simulator, journal) as terminal:
        terminal.pay("before", 50, timeout_s=60)
        simulator.faults.set("busy", count=1)
        result = terminal.pay("sale", 1999, timeout_s=60)
        assert (result.outcome, simulator.balance_minor) == (Outcome.DECLINED, 50)
        assert "not ready" in result.detail


def test_cancel_ends_a_payment_that_waits_for_the_card(journal):
    simulator = TerminalSimulator()
    with till(simulator, journal, reply_timeout_s=30.0, silence_timeout_s=90.0) as terminal:
        terminal.pay("before", 50, timeout_s=60)
        simulator.faults.set("slow_authorisation", count=1, value=3600.0)

        def cancel():
            wait_for(lambda: is_charging(simulator))
            terminal.cancel()

        threading.Thread(target=cancel).start()
        result = terminal.pay("sale", 1999, timeout_s=60)
        assert (result.outcome, result.detail) == (Outcome.DECLINED, "aborted by time-out or by key")
        assert simulator.balance_minor == 50


def test_a_payment_given_up_in_the_queue_never_begins(journal):
    """The till waits 0.3 s, the terminal works on another payment: the queued one must not charge later."""
    simulator = TerminalSimulator()
    with till(simulator, journal, reply_timeout_s=30.0, silence_timeout_s=90.0) as terminal:
        simulator.faults.set("slow_authorisation", count=1, value=3600.0)
        first = threading.Thread(target=terminal.pay, args=("one", 100), kwargs={"timeout_s": 60})
        first.start()
        wait_for(lambda: is_charging(simulator))
        with pytest.raises(JobFailed, match=r"could not begin in time|time is up"):
            terminal.pay("two", 200, timeout_s=0.3)
        book_when(simulator, lambda: True)
        first.join(60)
        time.sleep(0.3)
        assert [one.amount_minor for one in simulator.ledger] == [100]
        assert terminal.journal.result("two") is None


def test_a_payment_given_up_while_the_terminal_is_asked_never_begins(journal):
    """The till gives up during the look-up that precedes a payment: the payment must not follow."""
    simulator = TerminalSimulator()
    with till(simulator, journal, reply_timeout_s=30.0) as terminal:
        simulator.faults.set("slow", count=1, value=0.8)
        with pytest.raises(JobFailed, match=r"could not begin in time|time is up"):
            terminal.pay("sale", 1999, timeout_s=0.3)
        time.sleep(1.2)
        assert simulator.commands.count(zvt.AUTHORISATION) == 0
        assert terminal.pay("sale", 1999, timeout_s=60).outcome is Outcome.APPROVED


def test_a_lost_serial_ack_does_not_send_the_payment_twice(journal, monkeypatch):
    """The block was taken and its ACK lost: other commands go out again, a payment does not."""
    import ringup.drivers.device.terminal as module

    monkeypatch.setattr(module, "SERIAL_ACK_S", 0.3)
    simulator = TerminalSimulator()
    with till(simulator, journal, "pty") as terminal:
        terminal.pay("before", 500, timeout_s=60)
        simulator.faults.set("silent", count=2)  # the ACK, and the acknowledgement
        simulator.faults.set("silent_after_authorisation", count=1)
        assert terminal.pay("sale", 1999, timeout_s=60).outcome is Outcome.APPROVED
        assert [one.amount_minor for one in simulator.ledger] == [500, 1999]
        simulator.faults.set("silent", count=2)
        assert terminal.diagnose(timeout_s=60)


def test_one_id_one_payment(journal):
    simulator = TerminalSimulator()
    with till(simulator, journal) as terminal:
        terminal.pay("sale", 1999, timeout_s=60)
        with pytest.raises(PaymentConflict, match="choose another id"):
            terminal.pay("sale", 2000, timeout_s=5)
        with pytest.raises(PaymentConflict):
            terminal.refund("sale", 1999, timeout_s=5)
        threads = [threading.Thread(target=terminal.pay, args=("twice", 5), kwargs={"timeout_s": 60}) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [one.amount_minor for one in simulator.ledger] == [1999, 5]
        with pytest.raises(JobFailed, match="give the money back by refund"):
            terminal.reverse("r", "no such sale")


def test_nothing_is_sent_when_the_intent_cannot_be_written(journal):
    """A full disk: the journal refuses, and no byte of the payment leaves."""
    simulator = TerminalSimulator()
    with till(simulator, journal) as terminal:
        terminal.pay("before", 50, timeout_s=60)
        fd = terminal.journal._fd
        terminal.journal._fd = os.open("/dev/full", os.O_WRONLY)
        try:
            with pytest.raises(JobFailed, match="no payment begins"):
                terminal.pay("sale", 1999, timeout_s=5)
        finally:
            os.close(terminal.journal._fd)
            terminal.journal._fd = fd
        assert simulator.commands.count(zvt.AUTHORISATION) == 1


def test_no_card_number_stays_anywhere(journal):
    simulator = TerminalSimulator()
    seen = []
    with till(simulator, journal) as terminal:
        terminal.monitor(lambda direction, data: seen.append((direction, data, terminal.decode(direction, data))))
        results = [terminal.pay("sale", 1999, timeout_s=60), terminal.refund("back", 5, timeout_s=60)]
        terminal.repeat_receipt()
    everything = repr(results) + repr(seen) + journal.read_text() + b"".join(data for _, data, _ in seen).hex()
    assert "1111" in everything
    for secret in (CARD_NUMBER, CARD_NUMBER.encode().hex(), CARD_NUMBER[6:], "4111 1111"):
        assert secret not in everything
    # The control: the terminal did send it.
    assert CARD_NUMBER in simulator._status(0, 1, 1, 1).hex()


# The journal.


def test_a_crash_between_intent_and_outcome_is_looked_up_at_the_next_start(journal):
    simulator = TerminalSimulator()
    with till(simulator, journal) as terminal:
        terminal.pay("before", 50, timeout_s=60)
        simulator.faults.set("silent_after_authorisation", count=1)
        simulator.faults.set("forgetful")
        assert terminal.pay("sale", 1999, timeout_s=1.5).outcome is Outcome.UNKNOWN
    simulator.faults.clear()
    with till(simulator, journal) as terminal:
        assert terminal.unresolved() == []
        result = terminal.pay("sale", 1999, timeout_s=60)
        assert (result.outcome, result.detail) == (Outcome.APPROVED, "found by enquiry")
        assert [one.amount_minor for one in simulator.ledger] == [50, 1999]


KILLED = """
import os, signal, sys
from ringup.drivers.device.terminal import ZvtTerminal
from ringup.drivers.transport.factory import make_transport

terminal = ZvtTerminal("t", make_transport(sys.argv[1]), sys.argv[2], reply_timeout_s=2.0)
if sys.argv[3] == "before":
    send = terminal._send_apdu
    def die_first(apdu, **options):
        if apdu[:2] == b"\\x06\\x01":
            os.kill(os.getpid(), signal.SIGKILL)
        send(apdu, **options)
    terminal._send_apdu = die_first
else:
    take = terminal._take
    def die_then(apdu, said, is_enquiry):
        if apdu.control == 0x040F and terminal.journal.unresolved():
            os.kill(os.getpid(), signal.SIGKILL)
        take(apdu, said, is_enquiry)
    terminal._take = die_then
terminal.start()
terminal.wait_ready(60)
terminal.pay("sale", 1999, timeout_s=60)
print("not killed")
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_till_that_is_killed_in_mid_payment(journal, when):
    """kill -9 between the intent and the first byte, and between the booking and its record."""
    simulator = TerminalSimulator()
    with Server(simulator) as server:
        port = f"tcp://127.0.0.1:{server.serve_tcp()}"
        simulator._book("payment", 1999, None)  # a payment of the same amount just before
        died = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(KILLED), port, str(journal), when],
            capture_output=True,
            timeout=60,
        )
        assert died.returncode == -9, died
        with connect(port, journal) as terminal:
            assert terminal.wait_ready(60)
            result = terminal.resolve("sale", timeout_s=60)
            expected = Outcome.DECLINED if when == "before" else Outcome.APPROVED
            assert result.outcome is expected
            assert terminal.pay("sale", 1999, timeout_s=60).outcome is expected
    assert len(simulator.ledger) == (1 if when == "before" else 2)


def result_of(payment_id, outcome=Outcome.APPROVED):
    return PaymentResult(payment_id, "payment", outcome, 100, trace=7)


def test_a_torn_last_line_is_forgotten_and_damage_in_the_middle_is_not(journal):
    with IntentJournal(journal) as book:
        for name in "abc":
            book.begin(new_intent(name, "payment", 100, "EUR", {}))
            book.finish(result_of(name))
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in range(1, len(lines[-1])):
        journal.write_bytes(whole[:-cut])
        with IntentJournal(journal) as book:
            assert book.result("c").outcome is Outcome.UNKNOWN, cut
            assert book.result("b").outcome is Outcome.APPROVED
            book.finish(result_of("c"))
        with IntentJournal(journal) as book:
            assert book.unresolved() == []
    for place in range(0, len(b"".join(lines[:-1])), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        journal.write_bytes(damaged)
        with pytest.raises(JournalError, match="damage"):
            IntentJournal(journal)


def test_one_process_owns_the_journal(journal):
    with IntentJournal(journal), pytest.raises(JournalError, match="another process"):
        IntentJournal(journal)
    IntentJournal(journal).close()


def test_a_final_outcome_never_changes(journal):
    with IntentJournal(journal) as book:
        book.begin(new_intent("a", "payment", 100, "EUR", None))
        book.finish(result_of("a", Outcome.DECLINED))
        book.finish(result_of("a", Outcome.APPROVED))
        assert book.result("a").outcome is Outcome.DECLINED
    with IntentJournal(journal) as book:
        assert book.result("a").outcome is Outcome.DECLINED


def test_compaction_keeps_what_is_open(journal, monkeypatch):
    import ringup.drivers.device.intents as intents

    with IntentJournal(journal) as book:
        for index in range(60):
            book.begin(new_intent(f"p{index}", "payment", 100, "EUR", {"receipt": index, "trace": index}))
            if index != 3:
                book.finish(result_of(f"p{index}"))
    monkeypatch.setattr(intents, "COMPACT_AT_COUNT", 50)
    monkeypatch.setattr(intents, "KEPT_COUNT", 10)
    with IntentJournal(journal) as book:
        assert [one.payment_id for one in book.unresolved()] == ["p3"]
        assert book.result("p59").outcome is Outcome.APPROVED
        assert book.result("p10") is None
        book.begin(new_intent("new", "payment", 5, "EUR", {}))
    assert len(journal.read_text().splitlines()) < 30
    with IntentJournal(journal) as book:
        assert {one.payment_id for one in book.unresolved()} == {"p3", "new"}


def test_the_intent_is_synced_before_the_first_byte(journal, tmp_path):
    """strace sees write, fsync, and only then the authorisation on the socket."""
    if shutil.which("strace") is None:
        pytest.skip("strace is missing: apt-get install strace")
    simulator = TerminalSimulator()
    code = textwrap.dedent(
        """
        import sys
        from ringup.drivers.device.terminal import ZvtTerminal
        from ringup.drivers.transport.factory import make_transport
        with ZvtTerminal("t", make_transport(sys.argv[1]), sys.argv[2]) as terminal:
            assert terminal.wait_ready(30)
            assert terminal.pay("sale", 1999, timeout_s=30).is_charged
        """
    )
    trace = tmp_path / "trace"
    with Server(simulator) as server:
        port = f"tcp://127.0.0.1:{server.serve_tcp()}"
        command = [
            "strace",
            "-f",
            "-qq",
            "-xx",
            "-s",
            "200",
            "-e",
            "trace=write,fsync",
            "-o",
            str(trace),
            sys.executable,
        ]
        done = subprocess.run([*command, "-c", code, port, str(journal)], capture_output=True, timeout=120)
        if b"ptrace" in done.stderr or not trace.exists():
            pytest.skip("strace may not trace here")
        assert done.returncode == 0, done.stderr
    calls = [line.split(None, 1)[1] for line in trace.read_text().splitlines()]
    hexed = "".join(f"\\x{byte:02x}" for byte in b'{"intent"')
    intent = next(at for at, call in enumerate(calls) if call.startswith("write(") and hexed in call)
    paid = next(at for at, call in enumerate(calls) if call.startswith("write(") and "\\x06\\x01\\x0a\\x04" in call)
    synced = [at for at, call in enumerate(calls) if call.startswith("fsync(") and intent < at < paid]
    assert synced, calls


def test_the_device_file_makes_a_terminal(tmp_path):
    text = '[device.card]\nkind = "payment_terminal"\nport = "tcp://127.0.0.1:20007"\njournal = "pay.journal"\n'
    config = parse_config(text, folder=tmp_path)["card"]
    terminal = make_device(config)
    assert (terminal.framing, terminal.password) == ("tcp", "000000")
    assert not (tmp_path / "pay.journal").exists()  # nothing is made before it is needed
    assert Path(terminal._journal_source) == tmp_path / "pay.journal"
    assert terminal.journal.unresolved() == []
    terminal.journal.close()
    assert json.dumps(config.options["journal"])
