"""The card's price cuts of the real week as promotions of the engine.

A fixed price for card holders of one store is one promotion: it targets the item, holds for the
store's card group, and has the week as its window.  Cuts that no such promotion gives (goods by the
measure, prices below a cent) stay discounts by hand.  A basket with a line that the promotion would
price otherwise than the shop did (a coupon on top, a cut not given) comes without the card: all its
cuts are by hand, so that no line is cut twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ringup.engine import journey
from ringup.engine.journey_campaigns import LoyaltyPrice, loyalty_prices
from ringup.v1 import promotion_pb2

PIECE_MILLI = 1000


@dataclass(frozen=True, slots=True)
class CardPlan:
    """Promotions to publish, and the lines whose cut they give instead of a discount by hand."""

    promotions: tuple[promotion_pb2.Promotion, ...]
    baskets: frozenset[int]  # ids of baskets sold with the card
    lines: frozenset[tuple[int, int]]  # (basket_id, item_id) of cut lines that a promotion gives
    lines_by_hand: int  # all other cut lines


def card_group(location_id: int) -> str:
    """The group of a store's card holders."""
    return f"card-{location_id}"


def _fixed_price(prices: Sequence[LoyaltyPrice], at_ns: int) -> LoyaltyPrice | None:
    """The price that holds at an instant, where it is one for a single piece in whole cents."""
    for price in prices:
        if price.from_ns <= at_ns < price.to_ns:
            return price if price.base_qty_milli == PIECE_MILLI else None
    return None


def _is_given(line: journey.Line, price: LoyaltyPrice) -> bool:
    """Whether the promotion takes exactly the line's cut: whole pieces, whole cents, nothing on top."""
    gross_minor = line.expected_minor + sum(amount for _, amount in line.discounts)
    due_minor = line.qty_milli * price.price_minor // PIECE_MILLI
    return (
        line.override_unit is None
        and line.qty_milli % PIECE_MILLI == 0
        and gross_minor * PIECE_MILLI % line.qty_milli == 0
        and all(reason == journey.REASON_LOYALTY for reason, _ in line.discounts)
        and line.expected_minor == due_minor <= gross_minor
    )


def _cut(line: journey.Line) -> bool:
    return any(reason == journey.REASON_LOYALTY for reason, _ in line.discounts)


def plan_cards(baskets: Iterable[journey.Basket], first_week: int, last_week: int) -> CardPlan:
    """Choose the baskets whose card cuts are promotions, and make the promotions that they need."""
    by_place: dict[tuple[int, int], list[LoyaltyPrice]] = {}
    for card_price in loyalty_prices(first_week, last_week).prices:
        by_place.setdefault((card_price.item_id, card_price.location_id), []).append(card_price)

    def price_for(line: journey.Line, basket: journey.Basket) -> LoyaltyPrice | None:
        own = by_place.get((line.item_id, basket.location_id))
        chain = by_place.get((line.item_id, journey.ALL_LOCATIONS), [])
        return _fixed_price(own if own is not None else chain, basket.sold_at_ns)

    candidates = [basket for basket in baskets if any(_cut(line) for line in basket.lines)]
    promotions: dict[str, promotion_pb2.Promotion] = {}
    with_card: set[int] = set()
    lines: set[tuple[int, int]] = set()
    for basket in candidates:
        priced = [(line, price) for line in basket.lines if (price := price_for(line, basket)) is not None]
        if not all(_is_given(line, price) for line, price in priced):
            continue
        with_card.add(basket.basket_id)
        for line, price in priced:
            promotion = _promotion(price, basket.location_id)
            promotions.setdefault(promotion.promotion_id, promotion)
            if _cut(line):
                lines.add((basket.basket_id, line.item_id))
    cut_lines = sum(_cut(line) for basket in candidates for line in basket.lines)
    return CardPlan(tuple(promotions.values()), frozenset(with_card), frozenset(lines), cut_lines - len(lines))


def _promotion(price: LoyaltyPrice, location_id: int) -> promotion_pb2.Promotion:
    return promotion_pb2.Promotion(
        promotion_id=f"card-{price.item_id}-{location_id}-{price.from_ns // 10**9}",
        name="Card price",
        benefits=[
            promotion_pb2.Benefit(
                type=promotion_pb2.BENEFIT_TYPE_ITEM_FIXED_PRICE,
                amount_minor=price.price_minor,
                target=promotion_pb2.Target(item_ids=[str(price.item_id)]),
            )
        ],
        customer_groups=[card_group(location_id)],
        from_ns=price.from_ns,
        to_ns=price.to_ns,
    )
