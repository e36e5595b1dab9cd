"""What is worth a look before promotions are published: each finding with a basket that shows it.

Nothing here knows how promotions work: baskets are priced by the kernel, with a promotion alone, beside
others and in both orders, and the answers are compared.  The baskets come from a shelf: items that the
promotions are about, with their prices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ringup.native.pricing_simulate import Pricer
from ringup.v1 import promotion_pb2 as pb
from ringup.v1 import result_pb2

TIMES = (1, 2, 3, 4, 6, 12)  # how many of each item a basket has
TIMES_MAX = 10_000
DEMOS_MAX = 8
PARTNERS_MAX = 50  # of one promotion, the first ones that share a basket with it
PRICINGS_MAX = 50_000  # some seconds
LINE_PRICE_MAX = 10**11
AMOUNTS = {
    pb.BENEFIT_TYPE_ITEM_AMOUNT_OFF,
    pb.BENEFIT_TYPE_BUNDLE_AMOUNT_OFF,
    pb.BENEFIT_TYPE_ORDER_AMOUNT_OFF,
    pb.BENEFIT_TYPE_FIRST_THEN_AMOUNT,
}

Lines = tuple[pb.SimulatedLine, ...]


@dataclass(frozen=True)
class Shelf:
    """What promotions are tried on."""

    rules: pb.PricingRules
    published: Sequence[pb.Promotion]  # in force or waiting, without those that are to be replaced
    lines_of: Callable[[pb.Target], Sequence[pb.SimulatedLine]]  # one unit each of some items of a target
    at_ns: int


class OutOfWork(Exception):
    """The check has priced as many baskets as it may."""


@dataclass
class Trial:
    """Prices baskets under a few promotions and counts how often."""

    rules: pb.PricingRules
    pricer: Pricer = field(default_factory=Pricer)
    left: int = PRICINGS_MAX

    def price(self, promotions: Sequence[pb.Promotion], lines: Lines) -> pb.SimulateResponse:
        """The answer for a basket under these promotions, in this order."""
        self.left -= 1
        if self.left < 0:
            raise OutOfWork
        request = pb.SimulateRequest(promotions=promotions, rules=self.rules, lines=lines)
        return pb.SimulateResponse.FromString(self.pricer.simulate(request.SerializeToString()))

    def gives(self, promotion: pb.Promotion, lines: Lines) -> int:
        """What a promotion takes off a basket by itself."""
        answer = self.price([promotion], lines)
        return answer.discount_minor if answer.code == result_pb2.RESULT_CODE_OK else 0


def open_to_all(promotion: pb.Promotion) -> pb.Promotion:
    """The promotion without gates of time, place, person and number, which a trial need not pass."""
    found = pb.Promotion()
    found.CopyFrom(promotion)
    for name in ("from_ns", "to_ns", "schedule", "coupon", "unique_coupons", "channels", "customer_groups"):
        found.ClearField(name)
    for name in ("max_uses", "max_uses_per_customer", "budget_minor"):
        found.limits.ClearField(name)
    return found


def targets_of(promotion: pb.Promotion) -> list[pb.Target]:
    """Every target that the promotion names; a missing one means all."""
    found = [condition.target for condition in promotion.conditions if condition.HasField("target")]
    for benefit in promotion.benefits:
        single = (name for name in ("buy", "get", "for_each") if benefit.HasField(name))
        parts = [*benefit.components, *(getattr(benefit, name) for name in single)]
        found += [part.target for part in parts if part.HasField("target")]
        if benefit.HasField("target") or not parts:
            found.append(benefit.target if benefit.HasField("target") else pb.Target(all=True))
    return found


class Review:
    """Checks candidates against each other and against what is published."""

    def __init__(self, candidates: Sequence[pb.Promotion], shelf: Shelf) -> None:
        """Compiles all promotions together, for a request of promotions that the core would take."""
        self.shelf = shelf
        self.trial = Trial(shelf.rules)
        self.candidates = candidates
        self.checked = 0
        ids = {promotion.promotion_id for promotion in candidates}
        self.all = [*(p for p in shelf.published if p.promotion_id not in ids), *candidates]
        self.by_id = {promotion.promotion_id: promotion for promotion in self.all}
        self.opened = {promotion.promotion_id: open_to_all(promotion) for promotion in self.all}
        self.place = {promotion.promotion_id: number for number, promotion in enumerate(self.all)}
        self.together = Pricer()
        self.together.publish(
            pb.SimulateRequest(promotions=list(self.opened.values()), rules=shelf.rules).SerializeToString()
        )
        self._demos: dict[str, list[Lines]] = {}
        self._pairs: set[tuple[str, str]] = set()

    def findings(self) -> Iterator[pb.PromotionFinding]:
        """Every finding, in the order of the promotions; `checked` says how many were looked at."""
        try:
            for promotion in self.candidates:
                yield from self._never(promotion)
                yield from self._cut_short(promotion)
                for other in self._partners(promotion):
                    yield from self._shadowed(promotion, other)
                    yield from self._shadowed(other, promotion)
                    yield from self._order_open(promotion, other)
                self.checked += 1
        except OutOfWork:
            return

    # Baskets

    def demos(self, promotion: pb.Promotion) -> list[Lines]:
        """Baskets in which the promotion by itself gives something, small ones first."""
        known = self._demos.get(promotion.promotion_id)
        if known is not None:
            return known
        opened = self.opened[promotion.promotion_id]
        found: list[Lines] = []
        lines: dict[str, pb.SimulatedLine] = {}
        alone: list[pb.SimulatedLine] = []
        for target in targets_of(promotion):
            some = self.shelf.lines_of(target)
            lines.update((line.item_id, line) for line in some[:2])
            alone += some[:1]
        value = sum(line.price_minor for line in lines.values())
        asked = max((condition.amount_minor for condition in promotion.conditions), default=0)
        enough = min(-(-asked // value), TIMES_MAX) if value else 1
        for times in sorted({*TIMES, enough}):
            for some in ([*alone[-1:]], [*lines.values()]):
                basket = tuple(_times(line, times) for line in some)
                if len(found) < DEMOS_MAX and basket and basket not in found and self.trial.gives(opened, basket):
                    found.append(basket)
        self._demos[promotion.promotion_id] = found
        return found

    def _partners(self, promotion: pb.Promotion) -> list[pb.Promotion]:
        """Others that touch a basket of this one and can hold at the same time, in the order as put."""
        names: set[str] = set()
        for basket in self.demos(promotion):
            self.trial.left -= 1
            answer = pb.SimulateResponse.FromString(
                self.together.price(pb.SimulateRequest(lines=basket).SerializeToString())
            )
            names.update(touched.promotion_id for touched in answer.promotions)
        names.discard(promotion.promotion_id)
        others = [self.by_id[name] for name in sorted(names, key=self.place.__getitem__)]
        return [other for other in others if _meet(promotion, other)][:PARTNERS_MAX]

    # Findings

    def _never(self, promotion: pb.Promotion) -> Iterator[pb.PromotionFinding]:
        def finding(message: str) -> pb.PromotionFinding:
            return pb.PromotionFinding(
                kind=pb.FINDING_KIND_NEVER_APPLIES, promotion_id=promotion.promotion_id, message=message
            )

        limits = promotion.limits
        for name in ("max_uses", "max_uses_per_customer", "max_applications", "budget_minor"):
            if limits.HasField(name) and getattr(limits, name) == 0:
                yield finding(f"{name} is zero: nobody gets it")
        if promotion.to_ns and promotion.to_ns <= self.shelf.at_ns:
            yield finding("its dates are over already")
        for target in targets_of(promotion):
            if target.item_ids and not target.categories and not target.all and not self.shelf.lines_of(target):
                names = ", ".join(target.item_ids[:3]) + (", ..." if len(target.item_ids) > 3 else "")
                yield finding(f"none of the items {names} is on sale at a price that it takes")
                return

    def _cut_short(self, promotion: pb.Promotion) -> Iterator[pb.PromotionFinding]:
        """A floor, or zero, takes a part of what the definition promises."""
        opened = self.opened[promotion.promotion_id]
        wants_amount = all(
            b.type in AMOUNTS or (b.type == pb.BENEFIT_TYPE_QUANTITY_GROUP and not b.rate_ppb) for b in opened.benefits
        )
        for basket in self.demos(promotion):
            given = self.trial.gives(opened, basket)
            bare = tuple(_changed(line, floor_minor=0) for line in basket)
            full, what = self.trial.gives(opened, bare), "the floor"
            if full <= given and wants_amount:
                dear = tuple(_changed(line, price_minor=min(line.price_minor * 1000, LINE_PRICE_MAX)) for line in bare)
                unasked = pb.Promotion()
                unasked.CopyFrom(opened)
                del unasked.conditions[:]
                for target in targets_of(unasked):
                    target.ClearField("unit_price_max_minor")
                full, what = self.trial.gives(unasked, dear), "zero"
            if full > given:
                yield pb.PromotionFinding(
                    kind=pb.FINDING_KIND_CUT_SHORT,
                    promotion_id=promotion.promotion_id,
                    message=f"{what} cuts its discount short",
                    basket=_example(basket),
                    found=given,
                    limit=full,
                )
                return

    def _shadowed(self, later: pb.Promotion, earlier: pb.Promotion) -> Iterator[pb.PromotionFinding]:
        baskets = self.demos(later)
        if not baskets or not _covers(earlier, later) or not self._is_new("shadowed", later, earlier):
            return
        pair = self._in_order(later, earlier)
        name = later.promotion_id
        for basket in baskets:
            applied = _applied(self.trial.price(pair, basket))
            if name in applied or earlier.promotion_id not in applied:
                return
        yield pb.PromotionFinding(
            kind=pb.FINDING_KIND_SHADOWED,
            promotion_id=name,
            other_promotion_id=earlier.promotion_id,
            message=f"{earlier.promotion_id} keeps it from giving anything in every basket tried",
            basket=_example(baskets[0]),
        )

    def _order_open(self, one: pb.Promotion, other: pb.Promotion) -> Iterator[pb.PromotionFinding]:
        is_tie = (one.priority, _stage(one), one.exclusive) == (other.priority, _stage(other), other.exclusive)
        chosen = self.shelf.rules.selection not in (pb.SELECTION_MODE_UNSPECIFIED, pb.SELECTION_MODE_PRIORITY)
        if not is_tie or (chosen and _stage(one) != pb.STAGE_CATALOG) or not self._is_new("order", one, other):
            return
        pair = self._in_order(one, other)
        first, second = (promotion.promotion_id for promotion in pair)
        mine, theirs = self.demos(one), self.demos(other)
        merged = [tuple({line.item_id: line for line in (*a, *b)}.values()) for a, b in zip(mine, theirs, strict=False)]
        for basket in (*mine[:3], *theirs[:3], *merged[:3]):
            as_put, turned = (self.trial.price(order, basket).total_minor for order in (pair, pair[::-1]))
            if as_put != turned:
                yield pb.PromotionFinding(
                    kind=pb.FINDING_KIND_ORDER_OPEN,
                    promotion_id=one.promotion_id,
                    other_promotion_id=other.promotion_id,
                    message=f"both have priority {one.priority}, and the total depends on their order: {first} before "
                    f"{second} only because it was put first",
                    basket=_example(basket),
                    found=as_put,
                    limit=turned,
                )
                return

    def _is_new(self, what: str, one: pb.Promotion, other: pb.Promotion) -> bool:
        names = [one.promotion_id, other.promotion_id]
        key = (what, "\0".join(sorted(names) if what == "order" else names))
        is_new = key not in self._pairs
        self._pairs.add(key)
        return is_new

    def _in_order(self, one: pb.Promotion, other: pb.Promotion) -> list[pb.Promotion]:
        names = sorted((one.promotion_id, other.promotion_id), key=self.place.__getitem__)
        return [self.opened[name] for name in names]


def _stage(promotion: pb.Promotion) -> int:
    return promotion.stage or pb.STAGE_CART


def _times(line: pb.SimulatedLine, times: int) -> pb.SimulatedLine:
    return _changed(line, qty_milli=line.qty_milli * times)


def _changed(line: pb.SimulatedLine, **fields: int) -> pb.SimulatedLine:
    found = pb.SimulatedLine()
    found.CopyFrom(line)
    for name, value in fields.items():
        setattr(found, name, value)
    return found


def _example(basket: Lines) -> list[pb.ExampleLine]:
    return [pb.ExampleLine(item_id=line.item_id, qty_milli=line.qty_milli) for line in basket]


def _applied(answer: pb.SimulateResponse) -> set[str]:
    return {p.promotion_id for p in answer.promotions if p.outcome == pb.PROMOTION_OUTCOME_APPLIED}


def _apart(one: Sequence[object], other: Sequence[object]) -> bool:
    return bool(one) and bool(other) and set(one).isdisjoint(other)


def _meet(one: pb.Promotion, other: pb.Promotion) -> bool:
    """Whether both can hold for one basket."""
    return not (
        _apart(one.channels, other.channels)
        or _apart(one.customer_groups, other.customer_groups)
        or _apart(one.schedule.weekdays, other.schedule.weekdays)
        or (one.to_ns and one.to_ns <= other.from_ns)
        or (other.to_ns and other.to_ns <= one.from_ns)
    )


def _covers(earlier: pb.Promotion, later: pb.Promotion) -> bool:
    """Whether one holds wherever and whenever the other does, and never runs out."""
    limits = earlier.limits
    return not (
        (earlier.coupon and earlier.coupon != later.coupon)
        or earlier.unique_coupons
        or (earlier.channels and not (later.channels and set(later.channels) <= set(earlier.channels)))
        or (
            earlier.customer_groups
            and not (later.customer_groups and set(later.customer_groups) <= set(earlier.customer_groups))
        )
        or earlier.from_ns > later.from_ns
        or (earlier.to_ns and not 0 < later.to_ns <= earlier.to_ns)
        or (earlier.HasField("schedule") and earlier.schedule != later.schedule)
        or any(limits.HasField(name) for name in ("max_uses", "max_uses_per_customer", "budget_minor"))
    )
