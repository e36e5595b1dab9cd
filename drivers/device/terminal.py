"""The payment terminal over ZVT: one card, one charge.

What is written before what: the intent is on disk before the first byte leaves, the outcome after the terminal has
said it. If it says nothing (time-out, dropped link, power cut here or there), the outcome is `unknown`, and the only
question ever asked again is "what was your last transaction?" (06 20, which charges nobody), compared with what the
last transaction was before the intent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ringup.drivers.config import Key
from ringup.drivers.device.base import Device, NotAnswering, Result
from ringup.drivers.device.intents import Intent, IntentJournal, JournalError, new_intent
from ringup.drivers.device.job import Job, JobFailed, JobState
from ringup.drivers.device.payment import DayResult, Outcome, PaymentResult, PaymentTerminal, Slip
from ringup.drivers.protocol import zvt, zvt_commands, zvt_fields, zvt_reports
from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.zvt_redact import redact_apdu
from ringup.drivers.protocol.zvt_serial import SerialBlock, SerialControl, SerialDecoder, encode_serial_block
from ringup.drivers.protocol.zvt_texts import result_text
from ringup.drivers.transport.base import Transport, TransportError, deadline_in

log = logging.getLogger("ringup.drivers")

SERIAL_TRIES_MAX = 3
SERIAL_ACK_S = 5.0  # PA00P016: T3
CLOCK_SKEW_S = 600  # a terminal's clock may be wrong by this much
BUSY_CODES = (0x9C, 0xA0)
RESOLVE_PAUSE_S = 0.5


@dataclass(slots=True)
class _Dialogue:
    """What the terminal said in answer to one command."""

    status: zvt_reports.StatusInformation | None = None
    completion: zvt_reports.Completion | None = None
    abort: zvt_reports.AbortNotice | None = None
    slips: list[Slip] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def all_slips(self) -> tuple[Slip, ...]:
        return (*self.slips, *([Slip(None, tuple(self.lines))] if self.lines else []))


class _Refused(JobFailed):
    """The terminal did not take the command (84 xx): nothing was begun."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class ZvtTerminal(Device, PaymentTerminal):
    """A ZVT terminal on TCP (port 20007) or a serial line (9600 8N2).

    `framing` auto takes the serial framing for serial ports and ptys. `silence_timeout_s` is how long a running
    payment may be silent (the terminal sends intermediate status while the customer types). Emits "terminal" with
    each intermediate status, for the cashier's display, and "payment" with each PaymentResult.
    """

    kind = "payment_terminal"

    def __init__(
        self,
        name: str,
        transport: Transport,
        journal: IntentJournal | str | Path,
        *,
        password: str = "000000",
        currency: str = "EUR",
        config: int = zvt_commands.CONFIG_DEFAULT,
        framing: Literal["auto", "tcp", "serial"] = "auto",
        silence_timeout_s: float = 90.0,
        **options: Any,
    ) -> None:
        options.setdefault("poll_interval_s", 0.0)
        options.setdefault("reply_timeout_s", 5.0)
        options.setdefault("job_timeout_s", 180.0)
        super().__init__(name, transport, **options)
        zvt_commands.encode_registration(password, config, currency)  # raises on the caller's thread
        self._journal_source = journal
        self._journal: IntentJournal | None = journal if isinstance(journal, IntentJournal) else None
        self.password = password
        self.currency = currency
        self.config = config
        if framing == "auto":
            framing = "serial" if transport.name.partition(":")[0] in ("serial", "pty") else "tcp"
        self.framing = framing
        self.silence_timeout_s = silence_timeout_s
        self._serial = SerialDecoder()
        self._apdus = zvt.ApduDecoder()
        self._inbox: list[zvt.Apdu] = []
        self._serial_controls: list[bool] = []
        self._last: Mapping[str, int | None] | None = None  # the terminal's last transaction; None is not known
        self._cancelled = False
        self._abort_answers_due = 0
        self._terminal_id: str | None = None
        self._journal_lock = threading.Lock()
        self._begin_lock = threading.Lock()  # a payment begins, or is given up, never both

    # For a till.

    @property
    def journal(self) -> IntentJournal:
        """The intent journal, opened at first use. Raises JournalError."""
        with self._journal_lock:  # the till and the owner thread may both be the first
            if self._journal is None:
                assert not isinstance(self._journal_source, IntentJournal)
                self._journal = IntentJournal(self._journal_source)
            return self._journal

    def pay(self, payment_id: str, amount_minor: int, *, timeout_s: float = 180.0) -> PaymentResult:
        command = zvt_commands.encode_authorisation(amount_minor, self.currency)
        return self._money("payment", payment_id, amount_minor, command, timeout_s)

    def refund(self, payment_id: str, amount_minor: int, *, timeout_s: float = 180.0) -> PaymentResult:
        command = zvt_commands.encode_refund(amount_minor, self.password, self.currency)
        return self._money("refund", payment_id, amount_minor, command, timeout_s)

    def reverse(self, payment_id: str, of_payment_id: str, *, timeout_s: float = 180.0) -> PaymentResult:
        paid = self.journal.result(of_payment_id)
        if paid is None or paid.outcome is not Outcome.APPROVED or paid.receipt_number is None:
            raise JobFailed(
                f"{self.name}: expected an approved payment {of_payment_id} with a receipt number, found "
                f"{paid.outcome if paid else 'none'}; give the money back by refund"
            )
        command = zvt_commands.encode_reversal(paid.receipt_number, self.password)
        return self._money("reversal", payment_id, paid.amount_minor, command, timeout_s)

    def resolve(self, payment_id: str, *, timeout_s: float = 30.0) -> PaymentResult:
        deadline_ns = deadline_in(timeout_s)
        while True:
            known = self.journal.result(payment_id)
            if known is None:
                raise JobFailed(f"{self.name}: expected a payment that was begun, found no intent of {payment_id}")
            left_s = (deadline_ns - time.monotonic_ns()) / 1e9
            if known.outcome.is_final or left_s <= 0:
                return known
            try:
                self.submit("enquiry", lambda job: self._resolve_all(), timeout_s=left_s).wait(left_s)
            except JobFailed as error:  # stopped, or the queue is full
                return replace(known, detail=str(error))
            known = self.journal.result(payment_id)
            if known is not None and not known.outcome.is_final:
                time.sleep(max(0.0, min(RESOLVE_PAUSE_S, (deadline_ns - time.monotonic_ns()) / 1e9)))

    def decide(self, payment_id: str, *, is_charged: bool, decided_by: str) -> PaymentResult:
        known = self.journal.result(payment_id)
        if known is None or known.outcome.is_final:
            raise JobFailed(
                f"{self.name}: expected a payment of unknown outcome, found {payment_id} "
                f"{known.outcome if known else 'never begun'}"
            )
        if not decided_by.strip():
            raise JobFailed(f"{self.name}: expected the name of who decides on payment {payment_id}, found none")
        outcome = Outcome.APPROVED if is_charged else Outcome.DECLINED
        result = replace(known, outcome=outcome, decided_by=decided_by, detail="decided by a person")
        self.journal.finish(result)
        return result

    def unresolved(self) -> list[PaymentResult]:
        return self.journal.unresolved()

    def cancel(self) -> None:
        self._cancelled = True
        self.transport.wake()

    def end_of_day(self, *, timeout_s: float = 180.0) -> DayResult:
        def run(job: Job[DayResult]) -> DayResult:
            self._last = None  # the terminal empties its memory
            said = self._command(zvt_commands.encode_end_of_day(self.password))
            self._must_complete(said, "an end of day")
            status = said.status
            totals = status.totals if status is not None else {}
            return DayResult(totals, status.amount_minor if status is not None else None, said.all_slips())

        return self._wait_for(self.submit("end_of_day", run, timeout_s=timeout_s), timeout_s)

    def repeat_receipt(self, *, timeout_s: float = 30.0) -> tuple[Slip, ...]:
        def run(job: Job[tuple[Slip, ...]]) -> tuple[Slip, ...]:
            said = self._command(zvt_commands.encode_repeat_receipt(self.password))
            self._must_complete(said, "the last receipt")
            return said.all_slips()

        return self._wait_for(self.submit("repeat_receipt", run, timeout_s=timeout_s), timeout_s)

    def diagnose(self, *, timeout_s: float = 60.0) -> str:
        def run(job: Job[str]) -> str:
            said = self._command(zvt_commands.encode_diagnosis())
            self._must_complete(said, "a diagnosis")
            return "the terminal reaches its host"

        return self._wait_for(self.submit("diagnosis", run, timeout_s=timeout_s), timeout_s)

    def enquire(self, *, timeout_s: float = 10.0) -> zvt_reports.Completion:
        """Ask the terminal whether it is ready (05 01); `terminal_status` 0 is ready."""

        def run(job: Job[zvt_reports.Completion]) -> zvt_reports.Completion:
            said = self._command(zvt_commands.encode_status_enquiry(self.password), is_enquiry=True)
            self._must_complete(said, "a status")
            assert said.completion is not None
            return said.completion

        return self._wait_for(self.submit("enquiry", run, timeout_s=timeout_s), timeout_s)

    def test(self) -> str:
        """Ask for the status and say what the terminal said; charges nothing."""
        found = self.enquire()
        status = found.terminal_status
        ready = "ready" if not status else result_text(status)
        return f"terminal {self._terminal_id or ''} answers: {ready}".replace("  ", " ")

    # For Device.

    def stop(self, timeout_s: float = 5.0) -> None:
        super().stop(timeout_s)
        with self._journal_lock:
            if self._journal is not None and not isinstance(self._journal_source, IntentJournal):
                self._journal.close()
                self._journal = None

    def device_status(self) -> dict[str, Any]:
        unresolved = len(self._journal.unresolved()) if self._journal is not None else 0
        return {"terminal_id": self._terminal_id, "unresolved_count": unresolved}

    def on_open(self) -> None:
        self._forget()
        self._last = None
        try:
            journal = self.journal
        except JournalError as error:
            raise JobFailed(str(error)) from error
        try:
            said = self._command(
                zvt_commands.encode_registration(self.password, self.config, self.currency),
                timeout_s=self.reply_timeout_s * 2,
            )
        except _Refused as error:
            raise JobFailed(str(error)) from error
        if said.completion is not None:
            self._terminal_id = said.completion.terminal_id
            if said.completion.needs_initialisation:
                self._command(zvt_commands.encode_initialisation(self.password))
            if said.completion.needs_diagnosis:
                self._command(zvt_commands.encode_diagnosis())
        if journal.unresolved():
            self._resolve_all()

    def on_close(self) -> None:
        self._forget()

    def on_bytes(self, data: bytes) -> None:
        if self.framing == "tcp":
            self._inbox += self._apdus.feed(data)
            return
        for event in self._serial.feed(data):
            if isinstance(event, SerialBlock):
                self._quietly(b"\x06")
                try:
                    self._inbox.append(zvt.parse_apdu(event.data))
                except ParseError as error:
                    self.emit("noise", str(error))
            elif isinstance(event, SerialControl):
                self._serial_controls.append(event.is_ack)
            else:
                self._quietly(b"\x15")
                self.emit("noise", event.reason)

    def decode(self, direction: Literal["out", "in"], data: bytes) -> list[str]:
        """Bytes in words, for the monitor; card numbers are overwritten."""
        return [_describe(apdu) for apdu in self._decoded(data)] or [f"{len(data)} bytes"]

    def _decoded(self, data: bytes) -> list[zvt.Apdu]:
        if self.framing == "tcp":
            return zvt.ApduDecoder().feed(data)
        blocks = [event.data for event in SerialDecoder().feed(data) if isinstance(event, SerialBlock)]
        return [apdu for block in blocks for apdu in zvt.ApduDecoder().feed(block)]

    def _watch(self, direction: Literal["out", "in"], data: bytes) -> None:
        # A monitor gets bytes that hold no card number, or only how many there were.
        if direction == "in" and self._monitors:
            apdus = self._decoded(data)
            redacted = b"".join(zvt.encode_apdu(one.control, redact_apdu(one).data) for one in apdus)
            data = (
                redacted
                if self.framing == "tcp"
                else b"".join(encode_serial_block(zvt.encode_apdu(one.control, redact_apdu(one).data)) for one in apdus)
            )
            if not data:
                return
        super()._watch(direction, data)

    # The dialogue, on the owner thread.

    def _forget(self) -> None:
        self._serial.reset()
        self._apdus.reset()
        self._inbox.clear()
        self._serial_controls.clear()
        self._abort_answers_due = 0

    def _quietly(self, data: bytes) -> None:
        """Acknowledge: the last word is ours, and still the terminal has answered the command."""
        heard = self._heard_since_send
        self.send(data)
        self._heard_since_send = heard

    def _send_apdu(self, apdu: bytes, *, is_money: bool = False) -> None:
        if self.framing == "tcp":
            self.send(apdu)
            return
        for _ in range(SERIAL_TRIES_MAX):
            self._serial_controls.clear()
            self.send(encode_serial_block(apdu))
            try:
                self.receive(lambda: bool(self._serial_controls or self._inbox), SERIAL_ACK_S, what="an ACK")
            except NotAnswering:
                if is_money:
                    raise  # it may have been taken: a second copy could be a second charge
                continue
            if self._inbox or self._serial_controls[-1]:
                return
        raise NotAnswering(
            f"{self.name}: expected an ACK, found NAK or silence {SERIAL_TRIES_MAX} times; check the line"
        )

    def _acknowledge(self, apdu: bytes | None = None) -> None:
        answer = zvt.encode_ack() if apdu is None else apdu
        self._quietly(answer if self.framing == "tcp" else encode_serial_block(answer))

    def _next_apdu(self, timeout_s: float, what: str) -> zvt.Apdu:
        self.receive(lambda: bool(self._inbox) or self._cancelled, timeout_s, what=what)
        if self._inbox:
            return self._inbox.pop(0)
        self._cancelled = False
        self._abort_answers_due += 1
        self._quietly(
            zvt_commands.encode_abort_request()
            if self.framing == "tcp"
            else encode_serial_block(zvt_commands.encode_abort_request())
        )
        return self._next_apdu(timeout_s, what)

    def _command(
        self, apdu: bytes, *, timeout_s: float | None = None, is_money: bool = False, is_enquiry: bool = False
    ) -> _Dialogue:
        """Send a command and take part until its completion or abort.

        Raises _Refused for 84 xx, NotAnswering and TransportError where the end is not heard.
        """
        self.drain()
        self._forget()
        self._cancelled = False
        self._send_apdu(apdu, is_money=is_money)
        said = _Dialogue()
        silence_s = self.silence_timeout_s if timeout_s is None else timeout_s
        self._await_acknowledgement()
        asked_again = False
        while said.completion is None and said.abort is None:
            found = self._next_apdu(silence_s, "the end of the command")
            if found.is_ack or found.error is not None:
                self._abort_answers_due = max(0, self._abort_answers_due - 1)
                continue
            try:
                self._take(found, said, is_enquiry)
            except ParseError as error:
                self.emit("noise", str(error))
                if found.control == zvt.STATUS_INFORMATION and not asked_again:
                    asked_again = True
                    self._acknowledge(zvt.encode_nack(0x9C))  # repeat the status information
                    continue
                if found.control in (zvt.COMPLETION, zvt.ABORT):
                    self._acknowledge()
                    raise NotAnswering(f"{self.name}: expected how the command ended, found {error}") from error
            self._acknowledge()
        self._settle_abort()
        return said

    def _await_acknowledgement(self) -> None:
        """Wait until the terminal has taken the command. What it says before that belongs to an earlier one.

        A late abort taken for the end of this command would say "declined" of a payment that is being booked.
        """
        deadline_ns = deadline_in(self.reply_timeout_s)
        while True:
            left_s = max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)
            found = self._next_apdu(left_s, "an acknowledgement")
            if found.is_ack:
                return
            if found.error is not None:
                raise _Refused(
                    f"{self.name}: expected the terminal to take the command, found {result_text(found.error)}; "
                    "look at it",
                    found.error,
                )
            self.emit("noise", f"of an earlier command: {_describe(found)}")
            self._acknowledge()

    def _settle_abort(self) -> None:
        """See to it that no answer to our abort request is left for the next command to stumble over."""
        deadline_ns = deadline_in(self.reply_timeout_s)
        try:
            while self._abort_answers_due:
                found = self._next_apdu(max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9), "an answer to the abort")
                if found.is_ack or found.error is not None:
                    self._abort_answers_due -= 1
        except NotAnswering as error:
            self._lost(str(error))  # opened anew, and then nothing old can arrive

    def _take(self, apdu: zvt.Apdu, said: _Dialogue, is_enquiry: bool) -> None:
        if apdu.control == zvt.STATUS_INFORMATION:
            said.status = zvt_reports.parse_status_information(apdu.data)
        elif apdu.control == zvt.INTERMEDIATE_STATUS:
            self.emit("terminal", zvt_reports.parse_intermediate_status(apdu.data))
        elif apdu.control == zvt.PRINT_LINE:
            printed = zvt_reports.parse_print_line(apdu.data)
            said.lines += printed.lines
            if printed.is_last:
                said.slips.append(Slip(None, tuple(said.lines)))
                said.lines.clear()
        elif apdu.control == zvt.PRINT_TEXT_BLOCK:
            printed = zvt_reports.parse_print_text_block(apdu.data)
            said.slips.append(Slip(printed.receipt, printed.lines))
        elif apdu.control == zvt.COMPLETION:
            said.completion = zvt_reports.parse_completion(apdu.data, of_enquiry=is_enquiry)
        elif apdu.control == zvt.ABORT:
            said.abort = zvt_reports.parse_abort(apdu.data)

    def _must_complete(self, said: _Dialogue, what: str) -> None:
        if said.abort is not None:
            raise JobFailed(f"{self.name}: expected {what}, found: {said.abort.text}")

    def _wait_for(self, job: Job[Result], timeout_s: float) -> Result:
        return job.result(timeout_s + self.reply_timeout_s)

    # Money.

    def _money(self, kind: str, payment_id: str, amount_minor: int, command: bytes, timeout_s: float) -> PaymentResult:
        deadline_ns = deadline_in(timeout_s)
        self.journal.check(payment_id, kind, amount_minor)
        known = self.journal.result(payment_id)
        if known is not None and known.outcome.is_final:
            return known
        job = self.submit(
            kind, lambda job: self._charge(job, kind, payment_id, amount_minor, command), timeout_s=timeout_s
        )
        if job.wait(timeout_s) is JobState.CONFIRMED and (result := job.result(0)).outcome.is_final:
            return result
        known = self.journal.result(payment_id)
        if known is None and job.is_done:
            raise JobFailed(job.error or f"{self.name}: the {kind} was not begun")
        if known is None:
            with self._begin_lock:
                known = self.journal.result(payment_id)
                if known is None:
                    # It must not begin later, when the till has given it up.
                    job.finish(JobState.FAILED, error=f"{self.name}: the {kind} could not begin in time")
                    raise JobFailed(job.error or "the job had failed")
        left_s = (deadline_ns - time.monotonic_ns()) / 1e9
        if not known.outcome.is_final and job.is_done and left_s > 0:
            known = self.resolve(payment_id, timeout_s=left_s)
        return known

    def _charge(
        self, job: Job[PaymentResult], kind: str, payment_id: str, amount_minor: int, command: bytes
    ) -> PaymentResult:
        journal = self.journal
        known = journal.result(payment_id)
        if known is not None:  # the same id, queued twice
            self._resolve_all()
            return journal.result(payment_id) or known
        self._resolve_all()
        pending = journal.unresolved()
        if pending:
            raise JobFailed(
                f"{self.name}: expected no payment of unknown outcome, found {pending[0].payment_id} of "
                f"{pending[0].amount_minor}; resolve or decide it first"
            )
        if self._last is None:
            self._last = self._last_transaction()[0]
        intent = new_intent(payment_id, kind, amount_minor, self.currency, self._last)
        with self._begin_lock:
            if job.is_done:  # the till gave up while we looked
                raise JobFailed(f"{self.name}: the {kind} was given up before it began")
            journal.begin(intent)  # on disk before the first byte
        try:
            said = self._command(command, is_money=True)
        except _Refused as error:
            return self._finish(self._result(intent, Outcome.DECLINED, None, str(error)))
        except (TransportError, JobFailed) as error:
            self._last = None
            self._finish(self._result(intent, Outcome.UNKNOWN, None, str(error)))
            raise
        return self._finish(self._judge(intent, said))

    def _judge(self, intent: Intent, said: _Dialogue) -> PaymentResult:
        """What a dialogue that came to its end says about the money."""
        status, slips = said.status, said.all_slips()
        if status is not None and status.is_authorised and said.completion is not None:
            return self._result(intent, Outcome.APPROVED, status, "", slips)
        if status is not None and status.is_authorised:
            # Authorised and then aborted: booked or taken back? Only the terminal's journal knows.
            return self._result(intent, Outcome.UNKNOWN, status, "authorised, then aborted by the terminal", slips)
        if said.abort is not None:
            text = status.result_text if status is not None and status.result else said.abort.text
            return self._result(intent, Outcome.DECLINED, status, text, slips)
        if status is not None and status.result is not None:
            return self._result(intent, Outcome.DECLINED, status, status.result_text, slips)
        return self._result(intent, Outcome.UNKNOWN, status, "completed without saying how", slips)

    def _result(
        self,
        intent: Intent,
        outcome: Outcome,
        status: zvt_reports.StatusInformation | None,
        detail: str,
        slips: tuple[Slip, ...] = (),
    ) -> PaymentResult:
        result = PaymentResult(
            intent.payment_id, intent.kind, outcome, intent.amount_minor, intent.currency, detail, slips=slips
        )
        if status is None:
            return result
        booked = status.amount_minor if outcome is Outcome.APPROVED and status.amount_minor is not None else None
        if booked is not None and booked != intent.amount_minor:
            result = replace(result, detail=f"the terminal booked {booked} instead of {intent.amount_minor}")
        clock = f"{status.date or ''}{status.time or ''}"
        return replace(
            result,
            amount_minor=intent.amount_minor if booked is None else booked,
            receipt_number=status.receipt_number,
            trace=status.trace,
            terminal_id=status.terminal_id or self._terminal_id,
            card_name=status.card_name,
            card_bin=status.card_bin,
            card_last_four=status.card_last_four,
            terminal_time=clock or None,
        )

    def _finish(self, result: PaymentResult) -> PaymentResult:
        # Only what was booked is surely what an enquiry will show: some terminals repeat declined ones, some do not.
        is_booked = result.outcome is Outcome.APPROVED and result.trace is not None
        self._last = _key_of(result) if is_booked else None
        try:
            self.journal.finish(result)
        except JournalError as error:
            # The intent is on disk: after a restart the terminal is asked and says the same.
            log.error("%s: payment %s is %s, and %s", self.name, result.payment_id, result.outcome, error)
        self.emit("payment", result)
        return result

    # Enquiry.

    def _resolve_all(self) -> None:
        """Look every payment of unknown outcome up; charges nothing. What stays unknown stays unknown."""
        for known in self.journal.unresolved():
            intent = self.journal.intent(known.payment_id)
            assert intent is not None
            key, status = self._last_transaction()
            result = self._compare(intent, key, status)
            if result.outcome.is_final:
                self._finish(result)
            elif result.detail != known.detail:
                self.journal.finish(result)  # for the person who has to decide
            self._last = key

    def _last_transaction(self) -> tuple[Mapping[str, int | None] | None, zvt_reports.StatusInformation | None]:
        """The terminal's last transaction: ({}, None) if it has none, (None, None) if it does not say.

        Raises JobFailed while the terminal is busy: a payment may still be under way.
        """
        try:
            said = self._command(zvt_commands.encode_repeat_receipt(self.password), timeout_s=self.reply_timeout_s * 4)
        except _Refused as error:
            if error.code in BUSY_CODES:
                raise JobFailed(f"{self.name}: the terminal is busy; a payment may still be under way") from error
            return None, None
        status = said.status
        if status is None or status.trace is None:
            if said.abort is not None and said.abort.code in BUSY_CODES:
                raise JobFailed(f"{self.name}: the terminal is busy; a payment may still be under way")
            # 0x83 "function not possible": there is no transaction to repeat.
            return ({}, None) if said.abort is not None and said.abort.code == 0x83 else (None, None)
        return {"receipt": status.receipt_number, "trace": status.trace}, status

    def _compare(
        self, intent: Intent, key: Mapping[str, int | None] | None, status: zvt_reports.StatusInformation | None
    ) -> PaymentResult:
        """Judge an intent by the terminal's last transaction."""
        if key is None:
            return self._result(
                intent, Outcome.UNKNOWN, None, "the terminal does not say what its last transaction was"
            )
        baseline = intent.baseline
        if baseline is not None and dict(baseline) == dict(key):
            return self._result(intent, Outcome.DECLINED, None, "the terminal has booked nothing since")
        if status is None:
            return self._result(intent, Outcome.UNKNOWN, None, "the terminal's memory was emptied; look at its journal")
        if status.amount_minor != intent.amount_minor:
            return self._result(
                intent,
                Outcome.UNKNOWN,
                None,
                f"the terminal's last transaction is of {status.amount_minor}; look at its journal",
            )
        if baseline is None and not _is_since(status, intent.at_s):
            return self._result(
                intent, Outcome.UNKNOWN, None, "the terminal's last transaction is of another time; look at its journal"
            )
        outcome = Outcome.APPROVED if status.is_authorised else Outcome.DECLINED
        detail = "found by enquiry" if status.is_authorised else f"found by enquiry: {status.result_text}"
        return self._result(intent, outcome, status, detail)


def _key_of(result: PaymentResult) -> Mapping[str, int | None]:
    return {"receipt": result.receipt_number, "trace": result.trace}


def _is_since(status: zvt_reports.StatusInformation, at_s: int) -> bool:
    """Whether the terminal's MMDD HHMMSS is not before the intent; False where it says no time."""
    if status.date is None or status.time is None:
        return False
    begun = time.localtime(at_s - CLOCK_SKEW_S)
    try:
        said = time.strptime(f"{begun.tm_year}{status.date}{status.time}", "%Y%m%d%H%M%S")
    except ValueError:
        return False
    at = time.mktime((*said[:8], -1))
    if at < at_s - 180 * 86400:  # the year has turned in between
        at = time.mktime((said[0] + 1, *said[1:8], -1))
    return at_s - CLOCK_SKEW_S <= at <= at_s + 86400


_NAMES: dict[int, str] = {
    value: name.lower()
    for name, value in vars(zvt).items()
    if name.isupper() and isinstance(value, int) and value > 0xFF
}


def _describe(apdu: zvt.Apdu) -> str:
    if apdu.is_ack:
        return "ack"
    if apdu.error is not None:
        return f"refused: {result_text(apdu.error)}"
    name = _NAMES.get(apdu.control, f"{apdu.control:04X}")
    details: Callable[[bytes], object] | None = {
        zvt.STATUS_INFORMATION: zvt_reports.parse_status_information,
        zvt.INTERMEDIATE_STATUS: zvt_reports.parse_intermediate_status,
        zvt.ABORT: zvt_reports.parse_abort,
        zvt.COMPLETION: zvt_reports.parse_completion,
        zvt.PRINT_LINE: zvt_reports.parse_print_line,
        zvt.PRINT_TEXT_BLOCK: zvt_reports.parse_print_text_block,
    }.get(apdu.control)
    try:
        return f"{name} {details(apdu.data)}" if details is not None else name
    except ParseError as error:
        return f"{name}: {error}"


TERMINAL_CONFIG = {
    "protocol": Key(str, "zvt", choices=("zvt",), help="what the terminal speaks"),
    "journal": Key(str, help="file of the payment journal, on a disk that survives a power cut"),
    "password": Key(str, "000000", help="the terminal's six-digit password for the till"),
    "currency": Key(str, "EUR", choices=tuple(zvt_fields.CURRENCIES), help="currency of all payments"),
    "framing": Key(str, "auto", choices=("auto", "tcp", "serial"), help="how APDUs are framed"),
    "silence_timeout_s": Key(float, 90.0, low=5, high=600, help="silence in a payment after which it is looked up"),
}


def terminal_from_config(name: str, transport: Transport, options: Mapping[str, Any]) -> ZvtTerminal:
    """A payment terminal of the device file; the journal is opened when the terminal is started."""
    rest = {key: value for key, value in options.items() if key != "protocol"}
    return ZvtTerminal(name, transport, rest.pop("journal"), **rest)
