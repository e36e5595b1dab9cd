"""Draft promotions on recorded sales: what they would have cost and moved.

The journal is folded into a core of its own.  When the days begin, the drafts are published there, and
from then on every recorded sale is sold again in that core, in the recorded order: with the prices, stock
and promotions that held then, and with uses and budgets taken sale by sale.  What the sale was is in the
journal; what it would have been is the answer of that core.

The model is what was bought, and nothing else: nobody comes, buys more, or leaves out because of a draft.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ringup.engine.answers import Answers
from ringup.engine.record import Record
from ringup.engine.recovery import Progress, fold
from ringup.native.core import Core
from ringup.v1 import admin_pb2, pricing_pb2, promotion_pb2, result_pb2, sale_pb2, session_pb2

TOP_BASKETS = 10
SOLD_AHEAD_NS = 300_000_000_000  # a till's clock may run so far ahead of the engine's
COUPONS_MAX = 64
CASH_MINOR = 10**15  # the largest tender: more than any total
# Fields that a sale and a quote have in common, whatever their numbers.
QUOTED = sorted(
    set(sale_pb2.SellRequest.DESCRIPTOR.fields_by_name) & set(pricing_pb2.PriceBasketRequest.DESCRIPTOR.fields_by_name)
)
APPLIED = promotion_pb2.PROMOTION_OUTCOME_APPLIED
BEATEN = promotion_pb2.PROMOTION_OUTCOME_BEATEN
REACHED = {
    promotion_pb2.PROMOTION_OUTCOME_USAGE_LIMIT: "max_uses",
    promotion_pb2.PROMOTION_OUTCOME_CUSTOMER_LIMIT: "max_uses_per_customer",
    promotion_pb2.PROMOTION_OUTCOME_BUDGET: "budget_minor",
}


class DraftRefused(ValueError):
    """The core does not take the drafts, or they cannot hold on the days asked for."""


@dataclass(frozen=True, slots=True)
class Days:
    """Whole days of a store's calendar, first and last included."""

    first: date
    last: date
    zone: tzinfo

    @classmethod
    def parse(cls, text: str, zone: str | None = None) -> Days:
        """Read "2026-11-20..2026-11-22" or one day; raises ValueError that says what was expected."""
        first_text, _, last_text = text.partition("..")
        try:
            first, last = date.fromisoformat(first_text), date.fromisoformat(last_text or first_text)
        except ValueError:
            raise ValueError(
                f"expected days such as 2026-11-20..2026-11-22, or one day such as 2026-11-20, found {text!r}"
            ) from None
        if first > last:
            raise ValueError(f"expected the first day not to come after the last, found {text!r}")
        try:
            return cls(first, last, ZoneInfo(zone) if zone else UTC)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"expected a time zone such as Europe/Berlin, found {zone!r}") from None

    def _begin_ns(self, day: date) -> int:
        return int(datetime.combine(day, time(), self.zone).timestamp()) * 1_000_000_000

    @property
    def from_ns(self) -> int:
        """The first instant."""
        return self._begin_ns(self.first)

    @property
    def to_ns(self) -> int:
        """The first instant after the last day."""
        return self._begin_ns(self.last + timedelta(days=1))

    def day_of(self, at_ns: int) -> str:
        """The day of an instant, as ISO text."""
        return datetime.fromtimestamp(at_ns // 1_000_000_000, self.zone).date().isoformat()


@dataclass(slots=True)
class DayReport:
    """One day's sales with the drafts."""

    baskets: int = 0
    touched: int = 0  # some draft gave something
    discount_minor: int = 0  # what the drafts gave
    cost_minor: int = 0  # what shoppers would have paid less, all promotions counted


@dataclass(slots=True)
class DraftReport:
    """One draft over all days."""

    baskets: int = 0
    applications: int = 0
    units: int = 0  # units that it discounted; a measured line is one
    discount_minor: int = 0
    discount_before_minor: int = 0  # what the published promotion with this id gave on the same baskets
    not_applied: dict[str, int] = field(default_factory=dict)  # baskets that it touched, by why it gave nothing
    beaten_by: dict[str, int] = field(default_factory=dict)
    beaten_minor: int = 0  # by how much, over all baskets
    limits: dict[str, int] = field(default_factory=dict)  # limits that it has
    reached: dict[str, str] = field(default_factory=dict)  # limit: the sale that took the last, or was held off first


@dataclass(frozen=True, slots=True)
class ChangedBasket:
    """One basket as it was, and as it would have been."""

    sale_id: str
    till_id: str
    number: int
    sold_at: str
    before_minor: int
    after_minor: int
    promotions: tuple[str, ...]  # that would have applied


@dataclass(slots=True)
class ReplayReport:
    """What the drafts would have done."""

    currency: str = ""
    baskets: int = 0
    touched: int = 0
    changed: int = 0  # baskets with another total
    before_minor: int = 0  # totals as they were
    after_minor: int = 0  # totals as they would have been
    discount_minor: int = 0  # what the drafts gave
    cost_minor: int = 0  # before less after: less than the discount where drafts take the place of others
    refunds_less_minor: int = 0  # returns that would have refunded less, because less was paid
    touched_before_minor: int = 0  # turnover of the touched baskets as they were
    touched_qty_milli: int = 0  # all goods of the touched baskets, pieces and measures
    discounted_units: int = 0
    by_day: dict[str, DayReport] = field(default_factory=dict)
    drafts: dict[str, DraftReport] = field(default_factory=dict)
    others: dict[str, tuple[int, int]] = field(default_factory=dict)  # promotion: given before, given after
    top: list[ChangedBasket] = field(default_factory=list)
    not_repriced: dict[str, int] = field(default_factory=dict)  # sales that the core refused, by result code
    returns: int = 0
    other_version: bool = False  # the journal was written by another version of the engine


def _answer_of(reply: session_pb2.CommandReply) -> tuple[str, int]:
    kind = reply.WhichOneof("body") or ""
    return kind, getattr(getattr(reply, kind), "code", 0) if kind in ("sell", "return_lines") else 0


class DraftReplay:
    """Folds recorded batches with drafts in force; `report` grows as it goes."""

    def __init__(
        self,
        drafts: list[promotion_pb2.Promotion],
        days: Days,
        *,
        keep_windows: bool = False,
        present_coupons: bool = False,
    ) -> None:
        """`keep_windows` holds drafts to their own dates; `present_coupons` shows their codes with every basket."""
        self.days = days
        self.report = ReplayReport()
        self.core = Core()
        self._answers = Answers()
        self._from_ns, self._to_ns = days.from_ns, days.to_ns
        self._drafts = [self._in_force(draft, keep_windows, present_coupons) for draft in drafts]
        self._ids = {draft.promotion_id for draft in drafts}
        self._codes = [draft.coupon for draft in self._drafts if draft.coupon] if present_coupons else []
        self._published = False
        self._puts = 0
        self._first_batch = 0  # of those whose sales are sold again
        self._coded: set[bytes] = set()  # sales that codes were presented with
        self._used_before: dict[str, tuple[int, int]] = {}
        self._top: list[tuple[int, int, ChangedBasket]] = []
        self.report.drafts = {draft.promotion_id: DraftReport(limits=_limits_of(draft)) for draft in self._drafts}

    def _in_force(
        self, draft: promotion_pb2.Promotion, keep_window: bool, present_coupon: bool
    ) -> promotion_pb2.Promotion:
        found = promotion_pb2.Promotion()
        found.CopyFrom(draft)
        begins, ends = self._from_ns, self._to_ns
        if keep_window:
            begins = max(begins, draft.from_ns)
            ends = min(ends, draft.to_ns) if draft.to_ns else ends
            if begins >= ends:
                raise DraftRefused(
                    f"promotion {draft.promotion_id!r}: its own dates have none of the days asked for; "
                    "name other days, or leave --own-dates away"
                )
        found.from_ns, found.to_ns = begins, ends
        if present_coupon and draft.unique_coupons:
            found.unique_coupons = False  # every shopper has a code that nobody used: as if it needed none
        return found

    def run(self, records: Iterable[Record], last: int, progress: Progress | None = None) -> ReplayReport:
        """Fold records 1 to `last` in order, and report.

        Raises DraftRefused when the core does not take the drafts.
        """
        layout = self.core.layout()[:16]
        for record in records:
            # To the journal's end: a till that was offline books its sales of these days later.
            if record.now_ns < self._from_ns - SOLD_AHEAD_NS:
                fold(self.core, record, self._answers)
            else:
                self.report.other_version |= record.layout != layout
                self._batch(record)
            if progress is not None:
                progress(record.sequence, last)
        if not self._published:
            self.core.begin(self.core.sequence + 1, self.core.now_ns)
            self._publish()  # also with no sale on these days the drafts must be sound
        self._finish()
        return self.report

    # One batch

    def _batch(self, record: Record) -> None:
        self.core.begin(record.sequence, record.now_ns)
        self._first_batch = self._first_batch or record.sequence
        if not self._published:
            self._publish()
        commands = session_pb2.SessionRequest.FromString(record.commands).commands
        replies = session_pb2.SessionResponse.FromString(record.replies).replies
        for command, reply in zip(commands, replies, strict=True):
            kind, code = _answer_of(reply)
            if command.WhichOneof("body") == "sell":
                # A refused sale changed nothing, and one sent again is answered by the first.
                if kind == "sell" and code == result_pb2.RESULT_CODE_OK:
                    self._sell(command.sell, reply.sell.receipt)
                continue
            is_return = kind == "return_lines" and code == result_pb2.RESULT_CODE_OK
            if is_return:
                self._of_this_core(command.return_lines)
            answer = self._apply(command)
            if is_return:
                self._return(reply.return_lines, answer)
            elif command.WhichOneof("body") == "put_promotions" and self._ids.intersection(
                promotion.promotion_id for promotion in command.put_promotions.promotions
            ):
                self._publish()  # the draft stands in for whatever is published under its id

    def _apply(self, command: session_pb2.Command) -> session_pb2.CommandReply:
        request = session_pb2.SessionRequest(commands=[command])
        answered = self.core.apply(request.SerializeToString(), recorded=True)[0]
        return session_pb2.SessionResponse.FromString(answered).replies[0]

    def _publish(self) -> None:
        self._puts += 1
        put = promotion_pb2.PutPromotionsRequest(
            command_id=b"promotion draft" + bytes([self._puts % 256]), promotions=self._drafts
        )
        answer = self._apply(session_pb2.Command(put_promotions=put))
        body = answer.put_promotions
        if body.code not in (result_pb2.RESULT_CODE_OK, result_pb2.RESULT_CODE_ID_CONFLICT):
            problem = body.problem
            raise DraftRefused(
                f"{result_pb2.ResultCode.Name(body.code)} at {problem.field} of {problem.subject!r}: "
                f"found {problem.found:,}, limit {problem.limit:,}"
            )
        if not self._published:
            self._published = True
            self._used_before = self._usage()

    def _usage(self) -> dict[str, tuple[int, int]]:
        """Uses and spent budget of the drafts' ids: of published promotions that the drafts replace."""
        request = promotion_pb2.ListPromotionsRequest(promotion_ids=sorted(self._ids)[:1000])
        answer = promotion_pb2.ListPromotionsResponse.FromString(
            self.core.query("ListPromotions", request.SerializeToString(), 0)
        )
        return {
            found.promotion.promotion_id: (found.usage.used, found.usage.budget_spent_minor)
            for found in answer.promotions
        }

    def _sell(self, request: sale_pb2.SellRequest, was: sale_pb2.Receipt) -> None:
        at_ns = request.sold_at_ns or self.core.now_ns
        is_asked = self._from_ns <= at_ns < self._to_ns
        if is_asked and self._codes:
            self._coded.add(request.command_id)
        self._sold_again(request)
        if is_asked:
            quote = pricing_pb2.PriceBasketRequest(location_id=was.location_id, at_ns=at_ns)
            for name in QUOTED:
                value = getattr(request, name)
                if isinstance(value, str | int | bool | bytes):
                    setattr(quote, name, value)
                else:
                    getattr(quote, name).MergeFrom(value)
            answer = pricing_pb2.PriceBasketResponse.FromString(
                self.core.query("PriceBasket", quote.SerializeToString(), at_ns)
            )
        sold = self._apply(session_pb2.Command(sell=request)).sell
        if not is_asked:
            return
        if sold.code != result_pb2.RESULT_CODE_OK:
            _count(self.report.not_repriced, result_pb2.ResultCode.Name(sold.code))
            return
        self._compare(was, sold.receipt.basket, answer.basket.promotions, at_ns)

    def _sold_again(self, request: sale_pb2.SellRequest) -> None:
        """Make a recorded sale the one that is sold here."""
        # What was paid fits the old total: cash for any total stands in for it.
        request.expected_total_minor = 0
        del request.tenders[:]
        request.tenders.add(method=sale_pb2.TENDER_METHOD_CASH, amount_minor=CASH_MINOR)
        if request.command_id in self._coded:
            request.coupons.extend(self._codes[: COUPONS_MAX - len(request.coupons)])

    def _of_this_core(self, request: sale_pb2.ReturnLinesRequest) -> None:
        """A return that is priced again is of the sale as it was sold here, which the core compares."""
        if not request.original_sale:
            return
        sought = sale_pb2.GetReceiptRequest(
            sale_id=request.sale_id, till_id=request.receipt_till_id, number=request.receipt_number
        )
        _, sequence, _ = self.core.find_receipt(sought.SerializeToString())
        if sequence >= self._first_batch:
            sale = sale_pb2.SellRequest.FromString(request.original_sale)
            self._sold_again(sale)
            request.original_sale = sale.SerializeToString()

    def _return(self, was: sale_pb2.ReturnLinesResponse, answer: session_pb2.CommandReply) -> None:
        now = answer.return_lines
        if now.code == result_pb2.RESULT_CODE_OK:
            less = was.receipt.basket.total_minor - now.receipt.basket.total_minor
            self.report.returns += less != 0
            self.report.refunds_less_minor += less

    # The comparison

    def _compare(
        self,
        was: sale_pb2.Receipt,
        now: pricing_pb2.PricedBasket,
        explained: Iterable[promotion_pb2.ExplainedPromotion],
        at_ns: int,
    ) -> None:
        """`now` is the sale's own answer; `explained` is the quote's, which also says why the rest gave nothing."""
        report, before = self.report, was.basket
        day = report.by_day.setdefault(self.days.day_of(at_ns), DayReport())
        cost_minor = before.total_minor - now.total_minor
        report.baskets += 1
        day.baskets += 1
        report.before_minor += before.total_minor
        report.after_minor += now.total_minor
        report.cost_minor += cost_minor
        day.cost_minor += cost_minor
        for promotion in before.promotions:
            if promotion.outcome == APPLIED:
                self._given(promotion.promotion_id, promotion.discount_minor, 0)
        given_minor = 0
        touched = False
        for promotion in explained:
            if promotion.promotion_id not in self._ids:
                if promotion.outcome == APPLIED:
                    self._given(promotion.promotion_id, 0, promotion.discount_minor)
                continue
            self._draft(promotion, at_ns)
            if promotion.outcome == APPLIED:
                touched = True
                given_minor += promotion.discount_minor
        if touched:
            report.touched += 1
            day.touched += 1
            report.discount_minor += given_minor
            day.discount_minor += given_minor
            report.touched_before_minor += before.total_minor
            report.touched_qty_milli += sum(line.qty_milli for line in now.lines)
        if cost_minor:
            report.changed += 1
            if len(self._top) < TOP_BASKETS or abs(cost_minor) > self._top[0][0]:
                changed = ChangedBasket(
                    was.sale_id.hex(),
                    was.till_id,
                    was.number,
                    _iso(at_ns, self.days.zone),
                    before.total_minor,
                    now.total_minor,
                    tuple(p.promotion_id for p in now.promotions if p.outcome == APPLIED),
                )
                # Of equals the earlier one stays: a later basket has a lower second number.
                entry = (abs(cost_minor), -report.baskets, changed)
                (heapq.heappush if len(self._top) < TOP_BASKETS else heapq.heappushpop)(self._top, entry)

    def _given(self, promotion_id: str, before_minor: int, after_minor: int) -> None:
        if promotion_id in self._ids:
            self.report.drafts[promotion_id].discount_before_minor += before_minor
            return
        before, after = self.report.others.get(promotion_id, (0, 0))
        self.report.others[promotion_id] = (before + before_minor, after + after_minor)

    def _draft(self, promotion: promotion_pb2.ExplainedPromotion, at_ns: int) -> None:
        found = self.report.drafts[promotion.promotion_id]
        if promotion.outcome == APPLIED:
            units = sum(run.count for run in promotion.units)
            found.baskets += 1
            found.applications += promotion.applications
            found.units += units
            found.discount_minor += promotion.discount_minor
            self.report.discounted_units += units
            used, spent_minor = self._used_before.get(promotion.promotion_id, (0, 0))
            for name, gone in (
                ("max_uses", used + found.baskets),
                ("budget_minor", spent_minor + found.discount_minor),
            ):
                if gone >= found.limits.get(name, gone + 1):
                    found.reached.setdefault(name, _iso(at_ns, self.days.zone))
            return
        name = promotion_pb2.PromotionOutcome.Name(promotion.outcome).removeprefix("PROMOTION_OUTCOME_").lower()
        _count(found.not_applied, name)
        if promotion.outcome == BEATEN:
            _count(found.beaten_by, promotion.other_promotion_id or "a better mix")
            found.beaten_minor += max(promotion.found - promotion.needed, 0)
        elif promotion.outcome in REACHED:
            found.reached.setdefault(REACHED[promotion.outcome], _iso(at_ns, self.days.zone))

    def _finish(self) -> None:
        self.report.top = [entry for _, _, entry in sorted(self._top, key=lambda item: (-item[0], -item[1]))]
        settings = admin_pb2.GetSettingsResponse.FromString(self.core.query("GetSettings", b"", 0))
        self.report.currency = settings.settings.currency
        self.report.by_day = dict(sorted(self.report.by_day.items()))


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _limits_of(draft: promotion_pb2.Promotion) -> dict[str, int]:
    names = ("max_uses", "max_uses_per_customer", "max_applications", "budget_minor")
    return {name: getattr(draft.limits, name) for name in names if draft.limits.HasField(name)}


def _iso(at_ns: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(at_ns // 1_000_000_000, zone).isoformat()
