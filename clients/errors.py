"""What can go wrong with a call, in three kinds that are never mixed.

- `Refused`: the engine understood and said no.  Nothing was changed.
- `NoAnswer`: the engine gave no answer in time.  `may_have_happened` says whether to resend.  Its kind
  `Overloaded` comes at once, and for a command that was never sent.
- `RejectedCommand`: the engine could not read the bytes.  Nothing was changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ringup.v1 import result_pb2, stock_pb2

_PREFIX = "RESULT_CODE_"


class RingUpError(Exception):
    """The base of all that the clients raise about an answer, or the lack of one."""


# code: (what was expected, what to do next).  What was found comes from the answer's `problem`.
ADVICE: dict[str, tuple[str, str]] = {
    "UNSPECIFIED": ("an outcome", "report a defect of the engine: every answer must carry a code"),
    "OK": ("an outcome", "nothing: it is done, durably"),
    "ID_CONFLICT": (
        "the body that this command_id was first used with",
        "read what was booked under the id, and take a new id for a new command",
    ),
    "ROLE_NOT_ALLOWED": (
        "a caller with a role that may do this",
        "let such a caller send it, or give this one the role in the engine's file of callers",
    ),
    "FIELD_INVALID": ("every field present, within its length, and text in UTF-8", "correct the field and send again"),
    "TOO_MANY": ("no more rows or lines than one command may carry", "split it into several commands"),
    "LINES_EMPTY": ("at least one line", "add a line"),
    "QTY_INVALID": (
        "a quantity that the item can have: above zero, whole (a multiple of 1,000 milli) if it is sold by the piece, "
        "and within its policy's minimum, maximum and step",
        "correct the quantity, mark the item as measured, or change its policy",
    ),
    "QTY_TOO_LARGE": ("a quantity within the limit", "check the unit (qty_milli is thousandths) or split the line"),
    "AMOUNT_INVALID": ("a price or amount that is possible, not below zero", "correct the amount"),
    "AMOUNT_TOO_LARGE": (
        "a price, amount and total within the limit",
        "check the unit (minor units), or split the basket",
    ),
    "TIME_INVALID": ("a time, period or time to live within the limits", "check the unit (ns or ms) and the order"),
    "KIT_NESTED": ("a kit that is no part of itself, kits in kits up to the limit", "name plain parts instead"),
    "REASON_MISSING": ("a reason for a price override or a discount by hand", "ask for the reason and send it along"),
    "PROMOTION_NEVER": ("conditions that some basket can meet", "correct the two that exclude each other"),
    "FREE_ITEM_CIRCLE": ("free items that do not earn each other", "take one of them out of the circle"),
    "BARCODE_INVALID": ("a code whose check digit and value are right", "scan it again, or key the item in"),
    "TAX_UNKNOWN": ("`on` naming taxes of the same class", "correct the name, or add that tax to the class"),
    "TAX_CYCLIC": ("taxes that are not on each other in a circle", "take one of them out of `on`"),
    "CUSTOMER_UNKNOWN": ("a customer who has or had points", "check the code; points come with the first sale"),
    "ITEM_UNKNOWN": ("the code or barcode of a known item", "put the item first, or check the barcode"),
    "LOCATION_UNKNOWN": ("the code of a known location", "put the location first, or check its code"),
    "TILL_UNKNOWN": ("the code of a known till", "put the till first, or check its code"),
    "TAX_CLASS_UNKNOWN": ("the code of a known tax class", "put the tax class first, or check its code"),
    "HOLD_UNKNOWN": ("the id of a known hold", "check the id, or hold the units again"),
    "SALE_UNKNOWN": ("the id or receipt number of a booked sale", "check till and number on the receipt"),
    "BARCODE_TAKEN": ("a barcode that belongs to no other item", "take it off the other item first"),
    "LINE_UNKNOWN": ("the number of a line of the sale, from 0", "read the receipt and count its lines from 0"),
    "POSITION_UNKNOWN": (
        "a position of the item at the location, of that lot if one is named",
        "receive stock there first",
    ),
    "ORDER_UNKNOWN": ("the id of a known order", "check the id, or place the order first"),
    "CHANNEL_UNKNOWN": ("the code of a known channel", "put the channel first, or check its code"),
    "PROMOTION_UNKNOWN": ("the code of a known promotion", "put the promotion first, or check its code"),
    "COUPON_TAKEN": ("a coupon code that no other promotion has", "choose another code, or end the other promotion"),
    "GIFT_CARD_UNKNOWN": ("the code of a known gift card", "check the code, or issue the card first"),
    "GIFT_CARD_TAKEN": ("a code that no gift card has yet", "take another code, or top the card up"),
    "LOCATION_DISABLED": ("a location that is open", "enable the location, or sell elsewhere"),
    "HOLD_EXPIRED": ("a hold before its deadline", "hold the units again: they went back to free stock"),
    "HOLD_COMMITTED": ("an open hold", "nothing: its units have left already"),
    "HOLD_RELEASED": ("an open hold", "hold the units again: they were given back"),
    "HOLD_EXCEEDED": ("holds that cover what is asked of them", "take what was held, or hold the rest first"),
    "HOLD_ELSEWHERE": ("a hold at the location of the sale", "sell at the hold's location, or hold here"),
    "HOLD_PAYING": ("a hold without a payment in flight", "wait for the payment's end, or release the hold"),
    "HOLD_ORDERED": ("an open hold", "go on with the order: the hold became its allocation"),
    "ORDER_EXISTS": ("an order id that is not in use", "add to the order, or take another id"),
    "ORDER_DONE": ("an order that is not over yet", "nothing: it was done or cancelled before"),
    "ORDER_EXCEEDED": (
        "no more units than the order has, and to pack none that are not picked",
        "read the order, then lower the quantity, or pick what is left or say that it is short",
    ),
    "ORDER_STATE": (
        "an order in a state that allows this step, and to be ready all of it at one place",
        "read the order and take the step before first, or bring it to one place (ReallocateOrder)",
    ),
    "ITEM_IS_KIT": ("an item with stock of its own", "name the parts of the kit"),
    "PICKUP_CODE_WRONG": ("the pickup code of the order", "ask the customer for the code again"),
    "GIFT_CARD_BLOCKED": ("a gift card that is not blocked", "take another tender, or unblock the card"),
    "PRICE_MISSING": ("a price for this item, quantity, place and time", "put a price row, or override the price"),
    "DISCOUNT_TOO_LARGE": ("a discount no larger than its line", "lower the discount"),
    "TOTAL_DIFFERS": ("the total that the engine computes", "show the customer the new total and ask again"),
    "CURRENCY_IN_USE": (
        "the currency of the prices in the book",
        "take the price rows out first: amounts are not converted",
    ),
    "CURRENCY_DIFFERS": (
        "amounts in the basket's currency only",
        "sell it in the engine's currency, or pay in another way",
    ),
    "PROMOTION_ENDED": ("a promotion that is not over", "put it again: that starts it again"),
    "COUPONS_NOT_ASKED": (
        "a promotion with unique_coupons or a coupon, which codes open",
        "put it again with unique_coupons first",
    ),
    "STOCK_INSUFFICIENT": ("enough free units", "lower the quantity, receive stock, or take another location"),
    "STOCK_BELOW_LIMIT": ("an adjustment that leaves the counter at its limit or above", "count again, adjust less"),
    "STOCK_PROMISED": (
        "nothing there, and nothing promised, that would be lost",
        "ship, cancel or move it first, or force it",
    ),
    "TENDER_SHORT": ("tenders that cover what is due", "take the rest in another tender"),
    "TENDER_EXCEEDED": ("tenders without change that do not exceed what is due", "lower the card, coupon or account"),
    "RETURN_EXCEEDS": ("no more units than were sold and not yet returned", "lower the quantity that comes back"),
    "POINTS_SHORT": ("no more points than the customer has", "take fewer"),
    "CURSOR_UNKNOWN": ("the name of a cursor that was put", "put the cursor first, or read from a sequence"),
    "CURSOR_FOREIGN": (
        "events, a cursor or a token of this engine",
        "begin anew, with this engine's id; where it was restored from a backup, the limit is the last event that both "
        "engines have: undo or compare what was done after it, then go on from there",
    ),
    "EVENTS_TRIMMED": ("events that are still kept", "read from the limit on, and take the state from queries"),
    "EVENTS_NOT_YET": ("events that have happened", "read from the event after the limit"),
    "GIFT_CARD_SHORT": ("no more than the gift card's balance", "take the rest in another tender"),
}


def code_name(code: int) -> str:
    """Return a result code's name without its prefix: "TENDER_SHORT"."""
    try:
        return result_pb2.ResultCode.Name(code).removeprefix(_PREFIX)
    except ValueError:
        return f"CODE_{code}"


class Refused(RingUpError):
    """The engine said no: a business outcome.  Nothing was changed.

    `code` is the ResultCode and `code_name` its name, `problem` where and by how much, `response` the
    whole answer.
    """

    def __init__(self, call: str, response: Any) -> None:
        self.call = call
        self.code: int = response.code
        self.code_name = code_name(self.code)
        self.response = response
        has_problem = "problem" in response.DESCRIPTOR.fields_by_name
        self.problem: result_pb2.Problem = response.problem if has_problem else result_pb2.Problem()
        expected, next_step = ADVICE.get(
            self.code_name, ("an outcome that this client knows", "bring the client up to the engine's version")
        )
        if self.problem.allowed:
            expected = f"{expected} ({self.problem.allowed})"
        super().__init__(f"{call}: expected {expected}, found {self._found()}; {next_step} [{self.code_name}]")

    def _found(self) -> str:
        problem = self.problem
        parts = []
        if problem.subject:
            parts.append(repr(problem.subject))
        is_state = self.code == result_pb2.RESULT_CODE_ORDER_STATE and problem.found in stock_pb2.OrderState.values()
        if is_state:
            parts.append(f"that is {stock_pb2.OrderState.Name(problem.found).removeprefix('ORDER_STATE_')}")
        elif problem.found or problem.limit:
            parts.append(f"{problem.found:,} against {problem.limit:,}")
        if problem.field:
            parts.append(f"at {self._place()}")
        return " ".join(parts) or "otherwise"

    def _place(self) -> str:
        """The field of the request, with the index where there are several: "lines[2].qty_milli", "order_id"."""
        message = self.response.DESCRIPTOR.file.message_types_by_name.get(f"{self.call}Request")
        names = self.problem.field.split(".")
        for at, name in enumerate(names):
            field = message.fields_by_name.get(name) if message is not None else None
            if field is None:
                break
            if field.is_repeated:
                return ".".join((*names[:at], f"{name}[{self.problem.index}]", *names[at + 1 :]))
            message = field.message_type
        else:
            return self.problem.field
        return f"{self.problem.field}[{self.problem.index}]"  # of an engine that is newer than this client


class RejectedCommand(RingUpError):
    """The engine could not read the bytes of the request.  Nothing was changed or kept."""

    def __init__(self, message: str) -> None:
        super().__init__(message or "expected a command of ringup.v1, found other bytes; check the client's version")


class NoAnswer(RingUpError):
    """The engine gave no answer in time.

    `may_have_happened`: True when the command may have reached the engine; the only way to know, and
    to have it done once, is to send the same bytes with the same id again: `client.resend(error)`, or
    the same request with `command_id=error.command_id`.  False when it never left, or was turned away.

    `command_id` is the id the command went out with (empty for a query), `command` its Command bytes.
    """

    def __init__(self, found: str, may_have_happened: bool, about: Callable[[], tuple[str, bytes, bytes]]) -> None:
        """`about` gives the call's name, the command's id and its bytes, when they are asked for.

        Under overload thousands a second are made and few are read: names and sentences come with the reading.
        """
        super().__init__()
        self.found = found
        self.may_have_happened = may_have_happened
        self._about = about

    @property
    def call(self) -> str:
        """The name of the call, "Sell"."""
        return self._about()[0]

    @property
    def command_id(self) -> bytes:
        """The id that the command went out with; empty for a query."""
        return self._about()[1]

    @property
    def command(self) -> bytes:
        """The bytes of the Command; empty for a query."""
        return self._about()[2]

    def __str__(self) -> str:
        call, command_id, command = self._about()
        return f"{call}: expected an answer, found {self.found}; {self._next_step(command_id, command)}"

    def _next_step(self, command_id: bytes, command: bytes) -> str:
        if self.may_have_happened:
            return (
                "it may have happened: send it again with the same id, which takes effect once "
                f"(client.resend(error), or command_id {command_id.hex()})"
            )
        if command:
            return "it did not happen: send it again when the engine is back"
        return "nothing was changed: ask again when the engine is back"


class Overloaded(NoAnswer):
    """The client turned the command away: so much waits that it could not be answered before its deadline.

    Nothing was sent, `may_have_happened` is False, and sending it again with the same id is safe: later, over
    another client, or with a longer `timeout_s`.  Sending it again at once only adds to the load.
    """

    found = "more commands waiting than can be answered before its deadline"
    may_have_happened = False

    def _next_step(self, command_id: bytes, command: bytes) -> str:
        return (
            "it was not sent: send it again later, with the same id if you like "
            f"(client.resend(error), or command_id {command_id.hex()}), or call with a longer timeout_s"
        )
