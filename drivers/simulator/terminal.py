"""A ZVT terminal with a card always in it: it books what it is asked for, and keeps a ledger.

It speaks over TCP, and the serial framing as soon as it is spoken to in it. A card number is sent in full, as some
terminals do, so that a till that keeps it is found out.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from ringup.drivers.protocol import zvt, zvt_fields, zvt_terminal
from ringup.drivers.protocol.errors import ParseError
from ringup.drivers.protocol.zvt_serial import SerialBlock, SerialControl, SerialDecoder, encode_serial_block
from ringup.drivers.simulator.base import Simulator

CARD_NUMBER = "4111111111111111"
TERMINAL_ID = "52001357"


@dataclass(frozen=True, slots=True)
class Booking:
    """One entry of the terminal's own journal; a reversal and a refund have negative amounts."""

    kind: str
    amount_minor: int
    receipt_number: int
    trace: int
    time: str


@dataclass(slots=True)
class _Pending:
    kind: str
    amount_minor: int
    due_ns: int


class TerminalSimulator(Simulator):
    """`ledger` is what was booked: the truth a test compares with. `balance_minor` is its sum.

    Faults beside the common ones:
    decline            the host says no (result 51)
    busy               refuses each command with "not ready"
    drop_after_authorisation     books, then drops the link before it says so
    silent_after_authorisation   books, then says nothing more
    slow_authorisation           books after `value` seconds, link or no link; busy until then
    abort_after_authorisation    says authorised, takes it back, and aborts
    no_status                    books and completes without status information
    drop_before_authorisation    drops the link when the command arrives, and books nothing
    wrong_checksum               spoils the CRC of the next serial block
    forgetful                    refuses to repeat the last receipt
    stale_abort                  an abort of an earlier command arrives just before the payment is taken
    """

    kind = "terminal"
    fault_names = (
        "decline",
        "busy",
        "drop_after_authorisation",
        "silent_after_authorisation",
        "slow_authorisation",
        "abort_after_authorisation",
        "no_status",
        "drop_before_authorisation",
        "forgetful",
        "stale_abort",
    )
    tick_interval_s = 0.03

    def __init__(self, *, card_number: str = CARD_NUMBER) -> None:
        super().__init__()
        self.card_number = card_number
        self.ledger: list[Booking] = []
        self.commands: list[int] = []  # control fields received, without acknowledgements
        self.texts: list[str] = []  # for people who watch
        self._last_status: bytes | None = None
        self._trace = 0
        self._is_serial = False
        self._serial = SerialDecoder()
        self._apdus = zvt.ApduDecoder()
        self._script: deque[bytes] = deque()
        self._outbox: deque[bytes] = deque()  # serial blocks; the first one is on its way and not yet acknowledged
        self._pending: _Pending | None = None
        self._is_mute = False

    @property
    def balance_minor(self) -> int:
        """The sum of the ledger."""
        return sum(booking.amount_minor for booking in self.ledger)

    # For Simulator.

    def on_connect(self) -> None:
        self._serial.reset()
        self._apdus.reset()
        self._script.clear()
        self._outbox.clear()
        self._is_serial = self._is_mute = False

    def on_tick(self) -> None:
        self._work_off_pending()

    def on_bytes(self, data: bytes) -> None:
        if data[:1] == b"\x10" and not self._apdus.pending_size:
            self._is_serial = True
        if not self._is_serial:
            for apdu in self._apdus.feed(data):
                self._apdu(apdu)
            return
        for event in self._serial.feed(data):
            if isinstance(event, SerialBlock):
                try:
                    apdu = zvt.parse_apdu(event.data)
                except ParseError:
                    self.reply(b"\x15")
                    continue
                if not apdu.is_ack:
                    self._is_mute = False
                    self._outbox.clear()  # the till goes on: what was for the command before is void
                if not self._is_mute:
                    self.reply(b"\x06")
                self._apdu(apdu)
            elif isinstance(event, SerialControl):
                if event.is_ack and self._outbox:
                    self._outbox.popleft()
                if self._outbox:
                    self._send_block()
            else:
                self.reply(b"\x15")

    def _say(self, apdu: bytes) -> None:
        if self._is_mute:
            return
        if not self._is_serial:
            self.reply(apdu)
            return
        self._outbox.append(encode_serial_block(apdu))
        if len(self._outbox) == 1:
            self._send_block()

    def _send_block(self) -> None:
        block = self._outbox[0]
        if self.faults.take("wrong_checksum"):
            block = block[:-1] + bytes([block[-1] ^ 0xFF])
        self.reply(block)

    def _play(self, *apdus: bytes) -> None:
        """Send these, each after the till has acknowledged the one before."""
        self._script.extend(apdus[1:])
        self._say(apdus[0])

    # Commands.

    def _apdu(self, apdu: zvt.Apdu) -> None:
        if apdu.is_ack:
            if self._script:
                self._say(self._script.popleft())
            return
        if apdu.error == 0x9C and self._last_status is not None:
            self._say(self._last_status)
            return
        self.commands.append(apdu.control)
        self._is_mute = False
        if apdu.control == zvt.ABORT_REQUEST:
            self._abort()
            return
        self._work_off_pending()
        if self._pending is not None or self.faults.take("busy"):
            self._say(zvt.encode_nack(0xA0))
            return
        self._script.clear()
        handlers = {
            zvt.REGISTRATION: self._registration,
            zvt.AUTHORISATION: self._authorisation,
            zvt.REFUND: self._refund,
            zvt.REVERSAL: self._reversal,
            zvt.REPEAT_RECEIPT: self._repeat,
            zvt.END_OF_DAY: self._end_of_day,
            zvt.DIAGNOSIS: self._simple,
            zvt.INITIALISATION: self._simple,
            zvt.LOG_OFF: self._simple,
            zvt.STATUS_ENQUIRY: self._enquiry,
        }
        handler = handlers.get(apdu.control)
        if handler is None:
            self._say(zvt.encode_nack(0x83))
            return
        try:
            handler(apdu.data)
        except ParseError:
            self._say(zvt.encode_nack(0x9A))

    def _registration(self, data: bytes) -> None:
        self._play(zvt.encode_ack(), zvt_terminal.encode_completion(0, TERMINAL_ID))
        self._step_after_ack()

    def _simple(self, data: bytes) -> None:
        self._play(zvt.encode_ack(), zvt_terminal.encode_completion())
        self._step_after_ack()

    def _enquiry(self, data: bytes) -> None:
        self._play(zvt.encode_ack(), zvt_terminal.encode_enquiry_completion(0))
        self._step_after_ack()

    def _step_after_ack(self) -> None:
        """Our own acknowledgement is not acknowledged: go on at once."""
        if self._script:
            self._say(self._script.popleft())

    def _authorisation(self, data: bytes) -> None:
        self._money("payment", zvt_fields.parse_bcd(zvt_fields.parse_bitmaps(data)[0x04]))

    def _refund(self, data: bytes) -> None:
        self._money("refund", -zvt_fields.parse_bcd(zvt_fields.parse_bitmaps(data[3:])[0x04]))

    def _reversal(self, data: bytes) -> None:
        receipt = zvt_fields.parse_bcd(zvt_fields.parse_bitmaps(data[3:])[0x87])
        booked = [one for one in self.ledger if one.receipt_number == receipt]
        if not booked or any(one.kind == "reversal" for one in booked):
            self._play(zvt.encode_ack(), zvt_terminal.encode_abort(0xB4 if booked else 0xB5))
            self._step_after_ack()
            return
        self._money("reversal", -booked[0].amount_minor, receipt)

    def _money(self, kind: str, amount_minor: int, receipt: int | None = None) -> None:
        if self.faults.take("drop_before_authorisation"):
            self.drop_link()
            return
        if self.faults.take("stale_abort"):
            self._say(zvt_terminal.encode_abort(0x6C))
        if self.faults.is_on("slow_authorisation"):
            delay_s = self.faults.value("slow_authorisation")
            self.faults.take("slow_authorisation")
            self._say(zvt.encode_ack())
            self._say(zvt_terminal.encode_intermediate_status(0x0A))
            self._pending = _Pending(kind, amount_minor, time.monotonic_ns() + int(delay_s * 1e9))
            return
        self._say(zvt.encode_ack())
        if self.faults.take("decline"):
            self._trace += 1
            self._play(self._status(51, amount_minor, self._trace, receipt or 0), zvt_terminal.encode_abort(0x6C))
            return
        booking = self._book(kind, amount_minor, receipt)
        if self.faults.take("drop_after_authorisation"):
            self.drop_link()
            return
        if self.faults.take("silent_after_authorisation"):
            self._is_mute = True
            return
        if self.faults.take("no_status"):
            self._play(zvt_terminal.encode_completion())
            return
        if self.faults.take("abort_after_authorisation"):
            status = self._last_status or b""
            self.ledger.remove(booking)
            self._trace += 1
            self._last_status = self._status(0x6C, amount_minor, self._trace, booking.receipt_number)
            self._play(status, zvt_terminal.encode_abort(0x6C))
            return
        self._play(zvt_terminal.encode_intermediate_status(0x0A), *self._outcome(booking))

    def _outcome(self, booking: Booking) -> tuple[bytes, ...]:
        euros, cents = divmod(abs(booking.amount_minor), 100)
        lines = [booking.kind.upper(), f"EUR {euros},{cents:02d}", f"Karte {self.card_number}"]
        return (
            self._last_status or b"",
            zvt_terminal.encode_print_text_block(lines, "customer"),
            zvt_terminal.encode_print_line("Haendlerbeleg", is_last=True),
            zvt_terminal.encode_completion(),
        )

    def _book(self, kind: str, amount_minor: int, receipt: int | None) -> Booking:
        self._trace += 1
        receipt = len(self.ledger) + 1 if receipt is None else receipt
        booking = Booking(kind, amount_minor, receipt, self._trace, time.strftime("%m%d%H%M%S"))
        self.ledger.append(booking)
        self.texts.append(f"{kind} {amount_minor} receipt {receipt} trace {self._trace}")
        self._last_status = self._status(0, amount_minor, self._trace, receipt)
        return booking

    def _status(self, result: int, amount_minor: int, trace: int, receipt: int) -> bytes:
        return zvt_terminal.encode_status_information(
            result,
            abs(amount_minor),
            trace=trace,
            receipt_number=receipt,
            terminal_id=TERMINAL_ID,
            date=time.strftime("%m%d"),
            time=time.strftime("%H%M%S"),
            card_number=self.card_number,
            card_type=10,
            card_name="VISA",
        )

    def _work_off_pending(self) -> None:
        pending = self._pending
        if pending is None or time.monotonic_ns() < pending.due_ns:
            return
        self._pending = None
        booking = self._book(pending.kind, pending.amount_minor, None)
        self._play(*self._outcome(booking))

    def _abort(self) -> None:
        self._say(zvt.encode_ack())
        if self._pending is not None:
            self._pending = None
            self._play(zvt_terminal.encode_abort(0x6C))

    def _repeat(self, data: bytes) -> None:
        if self.faults.is_on("forgetful") or self._last_status is None:
            code = 0x83 if self._last_status is None else 0x66
            self._play(zvt.encode_ack(), zvt_terminal.encode_abort(code))
        else:
            block = zvt_terminal.encode_print_text_block(["KOPIE"], "customer")
            self._play(zvt.encode_ack(), self._last_status, block, zvt_terminal.encode_completion())
        self._step_after_ack()

    def _end_of_day(self, data: bytes) -> None:
        total = max(0, self.balance_minor)
        count = min(255, len(self.ledger))
        totals = [(0, 0)] * 5 + [(count, total)] + [(0, 0)] * 2  # all of it VISA
        status = zvt_terminal.encode_status_information(0, total, totals=totals)
        slip = zvt_terminal.encode_print_text_block(["KASSENSCHNITT"], "administration")
        self._play(zvt.encode_ack(), status, slip, zvt_terminal.encode_completion())
        self._step_after_ack()
