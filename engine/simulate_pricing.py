"""Prices a case of pricing's case format through the engine's pricing kernel.

`price_case` answers the keys that the case's `expect` asks for; `differences` says which do not
agree.  Readings of the format that a case can rest on are listed in docs and in the tests.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, ClassVar

from ringup.engine import simulate_extras as extras
from ringup.engine.simulate_request import Case, Clock, Unfit, near, request_of, scaled
from ringup.native.money import allocate_shares, first_share
from ringup.native.pricing_simulate import Pricer
from ringup.v1 import promotion_pb2 as pb
from ringup.v1 import result_pb2

REASONS = {
    pb.PROMOTION_OUTCOME_UNKNOWN: "unknown",
    pb.PROMOTION_OUTCOME_EXPIRED: "expired",
    pb.PROMOTION_OUTCOME_NOT_STARTED: "not_started",
    pb.PROMOTION_OUTCOME_SCHEDULE: "schedule",
    pb.PROMOTION_OUTCOME_WRONG_CHANNEL: "wrong_channel",
    pb.PROMOTION_OUTCOME_USAGE_LIMIT: "usage_limit",
    pb.PROMOTION_OUTCOME_CUSTOMER_LIMIT: "customer_limit",
    pb.PROMOTION_OUTCOME_BUDGET: "budget",
}
UNITS_SHOWN_MAX = 100_000
# Nothing refused these: nobody presented the code, another was better, or there was nothing to make cheaper.
NOT_REFUSED = (
    pb.PROMOTION_OUTCOME_COUPON_MISSING,
    pb.PROMOTION_OUTCOME_NOTHING_TO_GIVE,
    pb.PROMOTION_OUTCOME_SET_INCOMPLETE,
    pb.PROMOTION_OUTCOME_EXCLUDED,
    pb.PROMOTION_OUTCOME_BEATEN,
)


def reason_of(outcome: int) -> str:
    """The format's word for an outcome: what is neither time, place nor limit is not_eligible."""
    return REASONS.get(outcome, "not_eligible")  # type: ignore[call-overload, no-any-return]  # enums are numbers


Prices = tuple[int | None, int | None]


def book_price(found: pb.BookPrice) -> Prices:
    return (found.price_minor, found.list_price_minor) if found.found else (None, None)


class Answer:
    """A priced case: the kernel's response and what follows from it."""

    def __init__(
        self, case: Case, zone: str | None = None, pricer: Pricer | None = None, *, explains_prices: bool = False
    ) -> None:
        self.case, self.zone, self.explains_prices = case, zone, explains_prices
        self.clock = Clock(case.get("at"), zone)
        self.pricer = pricer or Pricer()
        self.response = self.ask(case)
        # (unit price, list price) by item: its own, or the price book's; None where the book has none.
        self.prices: list[Prices] = [(item.get("unit_price_minor"),) * 2 for item in case["items"]]
        self.book = {found.line: found for found in self.response.book_prices}
        for index, found in self.book.items():
            self.prices[index] = book_price(found)
        self.unpriced = self.response.code == result_pb2.RESULT_CODE_PRICE_MISSING
        if self.unpriced:
            self.response = pb.SimulateResponse()

    def of_book(self) -> Prices:
        """(unit price, list price) of the price book: the first item's, or what one of anything costs."""
        if self.prices:
            return self.prices[0]
        one = {key: self.case[key] for key in ("currency", "price_book", "at", "context", "rules") if key in self.case}
        found = self.ask(one | {"items": [{"sku": "-", "qty": 1}]}).book_prices
        return book_price(found[0])

    def ask(self, case: Case) -> pb.SimulateResponse:
        request = request_of(case, self.clock)
        request.explain_prices = self.explains_prices
        loyalty = case.get("loyalty")
        if loyalty:
            request.loyalty.CopyFrom(extras.program(loyalty))
            request.opening_points_micro = scaled(loyalty.get("opening_points") or 0, 10**6, "loyalty.opening_points")
            request.redeem = bool(loyalty.get("redeem")) and loyalty.get("opening_points") is not None
        response = pb.SimulateResponse.FromString(self.pricer.simulate(request.SerializeToString()))
        if response.code not in (result_pb2.RESULT_CODE_OK, result_pb2.RESULT_CODE_PRICE_MISSING):
            from ringup.clients.errors import Refused  # only here: what loads with it costs more than many cases

            raise Unfit(str(Refused("Simulate", response)))
        return response

    # ---- the keys of expect

    def get(self, key: str) -> Any:
        if key in self.ASKS and self.ASKS[key] not in self.case:
            return None
        method = getattr(self, f"key_{key}", None)
        if method is not None:
            return method()
        if key in self.PLAIN:
            return None if self.unpriced else getattr(self.response, self.PLAIN[key])
        if key in ("due_minor", "cash_rounding_minor", "change_minor", "gift_card_used_minor", "gift_card_left_minor"):
            return extras.settle(self.response.total_minor, self.case.get("tender", {}))[key]
        return None

    # What a case must have for the key to have an answer.
    ASKS: ClassVar = {
        "parts": "allocate",
        "refund_minor": "refund",
        "points_earned": "loyalty",
        "points_burned": "loyalty",
        "points_balance": "loyalty",
    }
    PLAIN: ClassVar = {
        "total_minor": "total_minor",
        "subtotal_minor": "subtotal_minor",
        "discount_minor": "discount_minor",
        "charges_minor": "charges_minor",
        "tax_minor": "tax_minor",
        "deposit_total_minor": "deposit_minor",
    }

    def expected(self, key: str) -> Any:
        return self.case.get("expect", {}).get(key)

    def key_net_minor(self) -> int:
        r = self.response
        return r.total_minor - r.tax_minor - r.deposit_minor

    def key_line_totals_minor(self) -> list[int]:
        return [line.total_minor for line in self.response.lines]

    def key_line_discounts_minor(self) -> list[int]:
        return [line.gross_minor - line.total_minor for line in self.response.lines]

    def key_unit_discounts_minor(self) -> list[list[int]]:
        if self.unpriced:
            return []
        units = sum(run.count for line in self.response.lines for run in line.units)
        if units > UNITS_SHOWN_MAX:
            raise Unfit(f"unit_discounts_minor: expected at most {UNITS_SHOWN_MAX:,} units to show, found {units:,}")
        return [
            [run.discount_minor for run in line.units for _ in range(run.count)]
            if extras.exact(item["qty"]) > 0 and price is not None and price >= 0
            else []
            for item, (price, _), line in zip(self.case["items"], self.prices, self.response.lines, strict=True)
        ]

    def key_tax_by_name_minor(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for tax in self.response.taxes:
            found[tax.name] = found.get(tax.name, 0) + tax.tax_minor
        return asked_only(found, self.expected("tax_by_name_minor"))

    def applied(self) -> list[pb.ExplainedPromotion]:
        gave = [p for p in self.response.promotions if p.outcome == pb.PROMOTION_OUTCOME_APPLIED]
        return sorted(gave, key=lambda p: p.turn)

    def key_applied(self) -> list[str]:
        return [p.promotion_id for p in self.applied()]

    def key_discount_by_promotion_minor(self) -> dict[str, int]:
        found = {p.promotion_id: p.discount_minor for p in self.applied()}
        return asked_only(found, self.expected("discount_by_promotion_minor"))

    def key_not_applied(self) -> list[dict[str, str]]:
        """Reasons of those that `expect` names, or of all that were refused when it names none."""
        outcomes = {
            p.promotion_id: p.outcome
            for p in self.response.promotions
            if p.outcome not in (pb.PROMOTION_OUTCOME_APPLIED, pb.PROMOTION_OUTCOME_UNSPECIFIED)
        }
        asked = [entry["id"] for entry in self.expected("not_applied") or ()]
        refused = [name for name, outcome in outcomes.items() if outcome not in NOT_REFUSED]
        names = [name for name in asked if name in outcomes] if asked else refused
        return [{"id": name, "reason": reason_of(outcomes[name])} for name in names]

    def coupons(self) -> list[pb.CouponOutcome]:
        """Each code once, however often it was presented."""
        seen: set[str] = set()
        once = []
        for coupon in self.response.coupons:
            folded = coupon.code.strip().casefold()
            if folded not in seen:
                seen.add(folded)
                once.append(coupon)
        return once

    def key_accepted_coupons(self) -> list[str]:
        return [c.code for c in self.coupons() if c.outcome == pb.PROMOTION_OUTCOME_APPLIED]

    def key_rejected_coupons(self) -> list[dict[str, str]]:
        return [
            {"code": c.code, "reason": reason_of(c.outcome)}
            for c in self.coupons()
            if c.outcome != pb.PROMOTION_OUTCOME_APPLIED
        ]

    def key_free_items(self) -> list[dict[str, Any]]:
        return [{"sku": free.item_id, "qty": free.qty} for free in self.response.free_items]

    def key_unit_price_minor(self) -> int | None:
        if not self.prices:
            return self.of_book()[0]
        if self.prices[0][0] is None or not self.response.lines:
            return self.prices[0][0]
        if "price_book" in self.case and not self.response.lines[0].units:
            return self.prices[0][0]
        first, qty = self.response.lines[0].units[0], abs(extras.exact(self.case["items"][0]["qty"]))
        if qty.denominator == 1:
            return first.price_minor
        if not first.discount_minor:
            return self.prices[0][0]
        # A measured line is one unit to the core: what one of its own units sells for follows from its value.
        return near(first.price_minor * qty.denominator / Decimal(qty.numerator), 1)

    def key_list_price_minor(self) -> int | None:
        return self.of_book()[1]

    def key_points_earned(self) -> int | str:
        return extras.points_text(self.response.points.earned_micro)

    def key_points_burned(self) -> int | str:
        return extras.points_text(self.response.points.burned_micro)

    def key_points_balance(self) -> int | str | None:
        if self.case["loyalty"].get("opening_points") is None:
            return None
        return extras.points_text(self.response.points.balance_micro)

    def key_refund_minor(self) -> int | None:
        if self.unpriced:
            return None
        came_back(self.case)
        if self.case["refund"].get("policy", "paid_price") == "reprice_kept":
            return max(0, self.response.total_minor - kept_total(self.case, self.zone, self.pricer))
        return refund_paid(self.case, self.response)

    def key_parts(self) -> list[int]:
        asked = self.case["allocate"]
        weights = [extras.exact(w) for w in asked["weights"]]
        scale = max((w.denominator for w in weights), default=1)
        return [int(part) for part in allocate_shares(asked["amount_minor"], [int(w * scale) for w in weights])]

    def key_converted(self) -> dict[str, Any]:
        wanted = self.expected("converted")
        ours, theirs, rate = self.case["currency"], wanted["currency"], wanted["rate"]
        unit = self.of_book()[0] if self.prices or "price_book" in self.case else None
        found = {
            "currency": theirs,
            "rate": rate,
            "unit_minor": extras.converted(unit or 0, rate, ours, theirs),
            "total_minor": extras.converted(self.response.total_minor, rate, ours, theirs),
        }
        return {key: None if asked is None else found[key] for key, asked in wanted.items()}

    def barcode(self) -> dict[str, str]:
        return extras.read_barcode(self.case["barcode"]) if "barcode" in self.case else {}

    def key_value(self) -> str | None:
        return self.barcode().get("value")

    def key_base_code(self) -> str | None:
        return self.barcode().get("base_code")

    def key_error(self) -> str | None:
        return self.barcode().get("error")


def asked_only(found: dict[str, int], asked: dict[str, Any] | None) -> dict[str, int]:
    """Only what is given is asserted: the names that `expect` has; all of them when it has none."""
    if not asked:
        return found
    return {name: found.get(name, 0) for name in asked}


def came_back(case: Case) -> None:
    """Raise Unfit when more comes back than was sold."""
    sold: dict[str, Fraction] = {}
    for item in case["items"]:
        sold[item["sku"]] = sold.get(item["sku"], Fraction(0)) + max(Fraction(0), extras.exact(item["qty"]))
    for number, line in enumerate(case["refund"]["lines"]):
        left = sold.get(line["sku"])
        if left is None:
            raise Unfit(f"refund.lines[{number}].sku: expected an item of the case, found {line['sku']!r}")
        sold[line["sku"]] = left - extras.exact(line["qty"])
        if sold[line["sku"]] < 0:
            most = extras.decimal_text(left)
            raise Unfit(f"refund.lines[{number}].qty: expected at most {most} of {line['sku']!r}, found {line['qty']}")


def refund_paid(case: Case, response: pb.SimulateResponse) -> int:
    """What was paid for the units that come back: each line's payment in equal shares, the first units first."""
    bought = {i: _milli(item["qty"]) for i, item in enumerate(case["items"]) if extras.exact(item["qty"]) > 0}
    left, amount = dict(bought), 0
    for back in case["refund"]["lines"]:
        wanted = _milli(back["qty"])
        for index, available in left.items():
            if case["items"][index]["sku"] != back["sku"] or wanted == 0:
                continue
            taken = min(wanted, available)
            line, whole = response.lines[index], bought[index]
            paid = line.total_minor + line.tax_added_minor + line.deposit_minor
            until = whole - available + taken
            amount += first_share(paid, until, whole) - first_share(paid, until - taken, whole)
            left[index] = available - taken
            wanted -= taken
    return amount


def _milli(qty: Any) -> int:
    return int(extras.exact(qty) * 1000)


def kept_total(case: Case, zone: str | None, pricer: Pricer) -> int:
    """What the basket costs without the units that come back; charges and coupons stay."""
    back: dict[str, Fraction] = {}
    for line in case["refund"]["lines"]:
        back[line["sku"]] = back.get(line["sku"], Fraction(0)) + extras.exact(line["qty"])
    kept = []
    for item in case["items"]:
        qty = extras.exact(item["qty"])
        gone = min(qty, back.get(item["sku"], Fraction(0))) if qty > 0 else Fraction(0)
        if gone:
            back[item["sku"]] -= gone
        if qty != gone:
            kept.append({**item, "qty": extras.decimal_text(qty - gone)})
    again = {key: value for key, value in case.items() if key != "refund"} | {"items": kept}
    return Answer(again, zone, pricer).response.total_minor


# ---- got against expect


def price_case(case: Case, zone: str | None = None) -> dict[str, Any]:
    """The answer to every key of the case's `expect`, numbers in the form in which it asks for them."""
    expect = case.get("expect", {})
    answer = Answer(case, zone)
    got: dict[str, Any] = {}
    for key, wanted in expect.items():
        if key == "lines_tolerance_minor":
            got[key] = wanted
            continue
        found = answer.get(key)
        got[key] = wanted if key in UNORDERED and same_things(wanted, found) else in_form_of(wanted, found)
    return got


# Lists whose order says nothing: gifts of one item may stand apart or together, codes as presented or as taken.
UNORDERED = ("free_items", "accepted_coupons", "rejected_coupons")


def same_things(wanted: Any, found: Any) -> bool:
    """Whether two lists name the same codes, or the same number of each gift, in any order."""

    def counted(entries: Any) -> Counter[str]:
        counts: Counter[str] = Counter()
        for entry in entries:
            if isinstance(entry, dict) and "qty" in entry:
                counts[entry["sku"]] += entry["qty"]
            else:
                counts[repr(entry if isinstance(entry, str) else sorted(entry.items()))] += 1
        return counts

    return isinstance(found, list) and counted(wanted) == counted(found)


def in_form_of(wanted: Any, found: Any) -> Any:
    """Equal numbers are shown as `expect` writes them ("1.50" for "1.5"); null in a list is not asserted."""
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [None if w is None else in_form_of(w, f) for w, f in zip(wanted, found, strict=True)]
    if isinstance(wanted, int | str | float) and isinstance(found, int | str) and wanted != found:
        try:
            return wanted if Decimal(str(wanted)) == Decimal(str(found)) else found
        except InvalidOperation:
            return found
    return found


def differences(expect: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """One text a key that does not agree: key, expected, found."""
    tolerance = expect.get("lines_tolerance_minor", 0)
    return [
        f"{key}: expected {wanted!r}, found {got.get(key)!r}"
        for key, wanted in expect.items()
        if key != "lines_tolerance_minor" and not agree(key, wanted, got.get(key), tolerance)
    ]


def agree(key: str, wanted: Any, found: Any, tolerance: int) -> bool:
    if key in ("line_totals_minor", "line_discounts_minor") and isinstance(found, list):
        if len(wanted) != len(found):
            return False
        pairs = [(w, f) for w, f in zip(wanted, found, strict=True) if w is not None]
        exact_sum = len(pairs) < len(wanted) or sum(wanted) == sum(found)
        return exact_sum and all(abs(w - f) <= tolerance for w, f in pairs)
    return bool(wanted == found)
