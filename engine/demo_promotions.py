"""The price cuts of the real weeks as promotions of the engine.

- The card's price: a fixed price for card holders of one store is one promotion.  It targets the item, holds
  for the store's card group, and has the week as its window.  "3 for 5.00" is a set for its price and a
  single price for what is over.
- Fuel rewards: a card's cut at the pump is so many cents a gallon, for the households that have the reward.
- Coupon matches (demo_coupons): the store doubles manufacturers' coupons, and each is presented.

What no such promotion gives to the cent (goods priced by their label, cuts that no rule explains) stays a
discount by hand.  In a basket sold with the card every line is priced by the card's promotions; where one of
them would price a line otherwise than the shop did (a price not given), either that promotion is left out
or the basket comes without the card, whichever leaves more cuts to promotions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ringup.engine import journey
from ringup.engine.demo_coupons import CouponPlan, plan_coupons
from ringup.engine.journey_campaigns import LoyaltyPrice, loyalty_prices
from ringup.v1 import promotion_pb2

PIECE_MILLI = 1000
CARD_PRIORITY = 10  # the card's price comes first, coupons on what it leaves
FUEL_CENTS = range(2, 101)  # a gallon; one cent marks a card and may be no money


@dataclass(frozen=True, slots=True)
class PromotionPlan:
    """Promotions to publish, and what each basket shows of them instead of discounts by hand."""

    promotions: tuple[promotion_pb2.Promotion, ...]
    given: frozenset[tuple[int, int, str]]  # (basket_id, item_id, reason) of the discounts that promotions give
    groups: dict[int, tuple[str, ...]]  # by basket
    coupons: dict[int, tuple[str, ...]]  # by basket
    cuts: Counter[str] = field(default_factory=Counter)  # card cuts by how they are given
    matches: CouponPlan = field(default_factory=CouponPlan)

    @property
    def cuts_by_hand(self) -> int:
        """Card cuts that stay discounts by hand."""
        return self.cuts["by_hand"]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of a card holder's basket on which a card price stands."""

    key: tuple[int, int]  # item and store
    item_id: int
    is_given: bool  # the promotion makes exactly what was paid
    is_cut: bool


def card_group(location_id: int) -> str:
    """The group of a store's card holders."""
    return f"card-{location_id}"


def _cut_minor(line: journey.Line, reason: str) -> int:
    return sum(amount for given, amount in line.discounts if given == reason)


def _single_minor(price: LoyaltyPrice) -> int | None:
    """What one piece costs at the card's price; None where rounding would undercut the set."""
    pieces = price.base_qty_milli // PIECE_MILLI
    single = (2 * price.price_minor + pieces) // (2 * pieces)
    return single if single * pieces >= price.price_minor else None


def _is_given(line: journey.Line, price: LoyaltyPrice) -> bool:
    """Whether the promotion takes exactly the line's cut: whole pieces, no price of its own, nothing dearer."""
    if line.override_unit is not None or line.qty_milli % PIECE_MILLI or price.base_qty_milli % PIECE_MILLI:
        return False
    pieces, of = line.qty_milli // PIECE_MILLI, price.base_qty_milli // PIECE_MILLI
    gross_minor = line.expected_minor + sum(amount for _, amount in line.discounts)
    single = _single_minor(price)
    sets, rest = divmod(pieces, of)
    if single is None and rest:
        return False
    due_minor = sets * price.price_minor + rest * (single or 0)
    is_cheaper = gross_minor // pieces >= (single or 0) and (of == 1 or gross_minor * of > price.price_minor * pieces)
    after_card = line.expected_minor + _cut_minor(line, journey.REASON_COUPON_MATCH)
    return is_cheaper and after_card == due_minor


def _entries(
    basket: journey.Basket, prices: dict[tuple[int, int], list[LoyaltyPrice]], matches: CouponPlan
) -> list[tuple[_Entry, LoyaltyPrice]]:
    """The lines on which a card price stands."""
    found = []
    for line in basket.lines:
        own = prices.get((line.item_id, basket.location_id))
        stands = own if own is not None else prices.get((line.item_id, journey.ALL_LOCATIONS), [])
        for price in stands:
            if price.from_ns <= basket.sold_at_ns < price.to_ns:
                key = (line.item_id, basket.location_id)
                is_cut = _cut_minor(line, journey.REASON_LOYALTY) > 0
                # A match by hand would come first, and the card's price take it back.
                by_hand = (basket.basket_id, line.item_id) not in matches.lines
                is_given = _is_given(line, price) and not (by_hand and _cut_minor(line, journey.REASON_COUPON_MATCH))
                found.append((_Entry(key, line.item_id, is_given, is_cut), price))
                break
    return found


def _left_out(baskets: Sequence[Sequence[_Entry]]) -> set[tuple[int, int]]:
    """The prices better not published: they spoil more cuts in whole baskets than they give."""
    out: set[tuple[int, int]] = set()
    by_key: dict[tuple[int, int], list[Sequence[_Entry]]] = {}
    spoilers: Counter[tuple[int, int]] = Counter()
    for entries in baskets:
        for entry in entries:
            by_key.setdefault(entry.key, []).append(entries)
            spoilers[entry.key] += not entry.is_given

    def given(entries: Sequence[_Entry]) -> int:
        if not all(entry.is_given or entry.key in out for entry in entries):
            return 0
        return sum(entry.is_given and entry.is_cut and entry.key not in out for entry in entries)

    for key, _ in sorted(spoilers.items(), key=lambda item: (-item[1], item[0])):
        if not spoilers[key]:
            break
        before = sum(given(entries) for entries in by_key[key])
        out.add(key)
        if sum(given(entries) for entries in by_key[key]) <= before:
            out.discard(key)
    return out


def plan_promotions(baskets: Iterable[journey.Basket], first_week: int, last_week: int) -> PromotionPlan:
    """Choose what promotions give, and make the promotions that it needs."""
    sold = list(baskets)
    prices: dict[tuple[int, int], list[LoyaltyPrice]] = {}
    for card_price in loyalty_prices(first_week, last_week).prices:
        prices.setdefault((card_price.item_id, card_price.location_id), []).append(card_price)
    matches = plan_coupons(sold, first_week, last_week)
    promotions = {promotion.promotion_id: promotion for promotion in matches.promotions}
    given = {(basket_id, item_id, journey.REASON_COUPON_MATCH) for basket_id, item_id in matches.lines}
    groups = {basket_id: list(names) for basket_id, names in matches.groups.items()}
    cuts: Counter[str] = Counter()

    carded = {
        basket.basket_id: _entries(basket, prices, matches)
        for basket in sold
        if any(_cut_minor(line, journey.REASON_LOYALTY) for line in basket.lines)
    }
    out = _left_out([[entry for entry, _ in found] for found in carded.values()])
    for basket in sold:
        found = [(e, price) for e, price in carded.get(basket.basket_id, ()) if e.key not in out]
        if found and all(entry.is_given for entry, _ in found):
            groups.setdefault(basket.basket_id, []).append(card_group(basket.location_id))
            for entry, price in found:
                promotion = _card_promotion(price, basket.location_id)
                promotions.setdefault(promotion.promotion_id, promotion)
                if entry.is_cut:
                    given.add((basket.basket_id, entry.item_id, journey.REASON_LOYALTY))
                    cuts["card_price"] += 1
        _fuel(basket, given, groups, promotions, cuts)
    all_cuts = sum(_cut_minor(line, journey.REASON_LOYALTY) > 0 for basket in sold for line in basket.lines)
    cuts["by_hand"] = all_cuts - cuts.total()
    return PromotionPlan(
        promotions=tuple(promotions.values()),
        given=frozenset(given),
        groups={basket_id: tuple(names) for basket_id, names in groups.items()},
        coupons=matches.coupons,
        cuts=cuts,
        matches=matches,
    )


def _card_promotion(price: LoyaltyPrice, location_id: int) -> promotion_pb2.Promotion:
    target = promotion_pb2.Target(item_ids=[str(price.item_id)])
    pieces, single = price.base_qty_milli // PIECE_MILLI, _single_minor(price)
    benefits = []
    if pieces > 1:
        benefits.append(
            promotion_pb2.Benefit(
                type=promotion_pb2.BENEFIT_TYPE_BUNDLE_FIXED_PRICE,
                amount_minor=price.price_minor,
                qty=pieces,
                target=target,
            )
        )
    if single is not None:
        benefits.append(
            promotion_pb2.Benefit(type=promotion_pb2.BENEFIT_TYPE_ITEM_FIXED_PRICE, amount_minor=single, target=target)
        )
    return promotion_pb2.Promotion(
        promotion_id=f"card-{price.item_id}-{location_id}-{price.from_ns // 10**9}",
        name="Card price",
        benefits=benefits,
        priority=CARD_PRIORITY,
        customer_groups=[card_group(location_id)],
        from_ns=price.from_ns,
        to_ns=price.to_ns,
    )


def _fuel(
    basket: journey.Basket,
    given: set[tuple[int, int, str]],
    groups: dict[int, list[str]],
    promotions: dict[str, promotion_pb2.Promotion],
    cuts: Counter[str],
) -> None:
    """The basket's fuel reward: so many whole cents off each gallon, where just one number of cents gives the cut."""
    pumps = [line for line in basket.lines if line.representation is journey.Representation.MEASURED]
    if len(pumps) != 1 or not _cut_minor(pumps[0], journey.REASON_LOYALTY):
        return
    line, cut_minor = pumps[0], _cut_minor(pumps[0], journey.REASON_LOYALTY)
    fits = [
        cents for cents in FUEL_CENTS if (2 * line.qty_milli * cents + PIECE_MILLI) // (2 * PIECE_MILLI) == cut_minor
    ]
    if len(fits) != 1:
        return
    group = f"fuel-{fits[0]}"
    item_id = str(line.item_id)
    promotions.setdefault(
        f"{group}-{item_id}",
        promotion_pb2.Promotion(
            promotion_id=f"{group}-{item_id}",
            name=f"Fuel reward: {fits[0]} cents off a gallon",
            benefits=[
                promotion_pb2.Benefit(
                    type=promotion_pb2.BENEFIT_TYPE_ITEM_AMOUNT_OFF,
                    amount_minor=fits[0],
                    target=promotion_pb2.Target(item_ids=[item_id]),
                )
            ],
            priority=CARD_PRIORITY,
            customer_groups=[group],
        ),
    )
    groups.setdefault(basket.basket_id, []).append(group)
    given.add((basket.basket_id, line.item_id, journey.REASON_LOYALTY))
    cuts["fuel_reward"] += 1
