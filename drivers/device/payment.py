"""What every payment terminal offers a till, whatever it speaks.

A payment has an id that the till chooses, and is charged at most once for it. Its outcome is one of

    approved   the terminal said so
    declined   the terminal or the host said no; nothing was charged
    unknown    the bytes went out and no answer can be had; it is looked up, never charged again

`unknown` is not an error to retry: `resolve` asks the terminal for its last transaction, and as long as that gives no
answer the terminal takes no other payment. A person who has read the terminal's own journal may `decide`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """How a payment ended."""

    APPROVED = "approved"
    DECLINED = "declined"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """True if nothing needs to be looked up any more."""
        return self is not Outcome.UNKNOWN


@dataclass(frozen=True, slots=True)
class Slip:
    """A receipt that the terminal made: for the merchant, the customer or the administration."""

    receipt: str | None
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PaymentResult:
    """One payment, refund or reversal. `amount_minor` is what was booked, or asked for where nothing was.

    Of the card remain `card_bin` (six digits) and `card_last_four`. `terminal_time` is MMDDHHMMSS of its clock.
    """

    payment_id: str
    kind: str  # payment, refund or reversal
    outcome: Outcome
    amount_minor: int
    currency: str = "EUR"
    detail: str = ""
    receipt_number: int | None = None
    trace: int | None = None
    terminal_id: str | None = None
    card_name: str | None = None
    card_bin: str | None = None
    card_last_four: str | None = None
    terminal_time: str | None = None
    decided_by: str | None = None
    slips: tuple[Slip, ...] = field(default=(), compare=False)

    @property
    def is_charged(self) -> bool | None:
        """True, False, or None while nobody knows."""
        return None if self.outcome is Outcome.UNKNOWN else self.outcome is Outcome.APPROVED


@dataclass(frozen=True, slots=True)
class DayResult:
    """An end of day: by kind of card (count, amount in minor units), and the slip."""

    totals: dict[str, tuple[int, int]]
    amount_minor: int | None
    slips: tuple[Slip, ...] = ()


class PaymentTerminal(ABC):
    """The interface. Calls wait for the customer, so a till makes them on a thread of their own.

    An id that was used before returns what came of it; with another amount it raises PaymentConflict.
    """

    @abstractmethod
    def pay(self, payment_id: str, amount_minor: int, *, timeout_s: float = 180.0) -> PaymentResult:
        """Charge a card. Returns `unknown` rather than raising once a byte may have gone out.

        Raises JobFailed if nothing was sent: offline, busy, or another payment is unresolved.
        """

    @abstractmethod
    def refund(self, payment_id: str, amount_minor: int, *, timeout_s: float = 180.0) -> PaymentResult:
        """Give money back to a card; `payment_id` is the refund's own id."""

    @abstractmethod
    def reverse(self, payment_id: str, of_payment_id: str, *, timeout_s: float = 180.0) -> PaymentResult:
        """Undo an approved payment of this day; `payment_id` is the reversal's own id."""

    @abstractmethod
    def resolve(self, payment_id: str, *, timeout_s: float = 30.0) -> PaymentResult:
        """Look an unknown payment up at the terminal. Charges nothing, may be called again."""

    @abstractmethod
    def decide(self, payment_id: str, *, is_charged: bool, decided_by: str) -> PaymentResult:
        """Record what a person found out where no enquiry can; `decided_by` names them."""

    @abstractmethod
    def unresolved(self) -> list[PaymentResult]:
        """Payments whose outcome is unknown, oldest first."""

    @abstractmethod
    def cancel(self) -> None:
        """Ask the terminal to end the payment that runs; its outcome still comes from the terminal."""

    @abstractmethod
    def end_of_day(self, *, timeout_s: float = 180.0) -> DayResult:
        """Reconcile with the host."""

    @abstractmethod
    def repeat_receipt(self, *, timeout_s: float = 30.0) -> tuple[Slip, ...]:
        """The slips of the last transaction once more."""

    @abstractmethod
    def diagnose(self, *, timeout_s: float = 60.0) -> str:
        """Test the terminal's connection to its host; returns what it said."""
