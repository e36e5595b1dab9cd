"""The real weeks' campaigns, coupons and doubled coupons as promotions of the engine.

The store doubles a manufacturer's coupon up to one dollar (journey_campaigns.coupon_match_minor).  So each
coupon that is worth something to a shopper is a promotion by its code:

- a campaign's coupon holds for the campaign's dates, on the coupon's products, for the households that the
  campaign was sent to; those who handed it in present it;
- any other manufacturer's coupon is known by its product and value alone, and holds for the weeks.

A coupon of a dollar or more is doubled by nothing, and one that nobody was seen to use has no known value:
both are counted and no promotion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ringup.engine import journey
from ringup.engine.journey_campaigns import DOUBLED_UP_TO_MINOR, Campaign, Coupon, load_campaigns
from ringup.v1 import promotion_pb2

ITEMS_PER_PROMOTION = 1200  # a definition has its limit of bytes


@dataclass(frozen=True, slots=True)
class CouponPlan:
    """Promotions of coupons, who presents which, and what stays by hand."""

    promotions: tuple[promotion_pb2.Promotion, ...] = ()
    lines: frozenset[tuple[int, int]] = frozenset()  # (basket_id, item_id) of the matches that promotions give
    groups: dict[int, tuple[str, ...]] = field(default_factory=dict)
    coupons: dict[int, tuple[str, ...]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def campaign_group(campaign_id: int) -> str:
    """The group of the households that a campaign was sent to."""
    return f"campaign-{campaign_id}"


def _doubled_minor(value_minor: int) -> int:
    return min(value_minor, max(DOUBLED_UP_TO_MINOR - value_minor, 0))


def _promotion(
    promotion_id: str, name: str, code: str, item_ids: Iterable[str], each_minor: int, count: int
) -> promotion_pb2.Promotion:
    return promotion_pb2.Promotion(
        promotion_id=promotion_id,
        name=name,
        coupon=code,
        benefits=[
            promotion_pb2.Benefit(
                type=promotion_pb2.BENEFIT_TYPE_ITEM_AMOUNT_OFF,
                amount_minor=each_minor,
                target=promotion_pb2.Target(item_ids=item_ids, max_units=count, pick=promotion_pb2.UNIT_PICK_AS_LISTED),
            )
        ],
    )


def _of_campaign(campaign: Campaign, coupon: Coupon) -> list[promotion_pb2.Promotion]:
    """A campaign's coupon: several promotions by one code where it has very many products."""
    assert coupon.value_minor is not None, "only a coupon that was seen has a value"
    found = []
    for part, start in enumerate(range(0, len(coupon.item_ids), ITEMS_PER_PROMOTION)):
        items = map(str, coupon.item_ids[start : start + ITEMS_PER_PROMOTION])
        name = f"Campaign {campaign.campaign_id}: coupon doubled"
        promotion_id = f"campaign-{campaign.campaign_id}-{coupon.code}-{part}"
        promotion = _promotion(promotion_id, name, coupon.code, items, _doubled_minor(coupon.value_minor), 1)
        promotion.customer_groups.append(campaign_group(campaign.campaign_id))
        promotion.from_ns, promotion.to_ns = campaign.from_ns, campaign.to_ns
        found.append(promotion)
    return found


def _values(first_week: int, last_week: int) -> dict[tuple[int, int], int]:
    """What the coupons on a line are worth together, by (basket, product)."""
    import polars as pl

    from ringup.engine.journey_data import transactions

    matched = transactions(first_week, last_week).filter(pl.col("match_minor") > 0)
    rows = matched.select("basket_id", "product_id", "coupon_minor").iter_rows()
    return {(basket_id, product_id): coupon_minor for basket_id, product_id, coupon_minor in rows}


def _split(coupon_minor: int, match_minor: int, pieces: int) -> tuple[int, int] | None:
    """(value of a coupon, how many) that doubling makes the match of; the fewest coupons."""
    for count in range(1, pieces + 1):
        value_minor, rest = divmod(coupon_minor, count)
        if not rest and value_minor and count * _doubled_minor(value_minor) == match_minor:
            return value_minor, count
    return None


def plan_coupons(baskets: list[journey.Basket], first_week: int, last_week: int) -> CouponPlan:
    """Make the campaigns' coupons promotions, and give the matches of the weeks by them or by doubling."""
    promotions: dict[str, promotion_pb2.Promotion] = {}
    counts: Counter[str] = Counter()
    handed_in: dict[int, list[tuple[Campaign, Coupon, int, int]]] = {}  # by household, with its day
    for campaign in load_campaigns(first_week, last_week):
        counts["campaigns"] += 1
        by_code = {coupon.code: coupon for coupon in campaign.coupons}
        for coupon in campaign.coupons:
            counts["coupons"] += 1
            if coupon.value_minor is None:
                counts["coupons_without_value"] += 1
            elif not _doubled_minor(coupon.value_minor):
                counts["coupons_not_doubled"] += 1
            else:
                promotions.update((p.promotion_id, p) for p in _of_campaign(campaign, coupon))
                counts["coupons_as_promotions"] += 1
        for redemption in campaign.redemptions:
            entry = (campaign, by_code[redemption.coupon_code], redemption.from_ns, redemption.to_ns)
            handed_in.setdefault(redemption.household_id, []).append(entry)

    values = _values(first_week, last_week)
    lines: set[tuple[int, int]] = set()
    groups: dict[int, list[str]] = {}
    codes: dict[int, list[str]] = {}
    for basket in baskets:
        for line in basket.lines:
            match_minor = sum(amount for reason, amount in line.discounts if reason == journey.REASON_COUPON_MATCH)
            if not match_minor:
                continue
            counts["matches"] += 1
            shown = codes.setdefault(basket.basket_id, [])
            coupon_minor = values[basket.basket_id, line.product_id]
            split = _split(coupon_minor, match_minor, line.qty_milli // 1000)
            if split is None or (line.expected_minor + match_minor) * 1000 // line.qty_milli < match_minor // split[1]:
                counts["matches_by_hand"] += 1
                continue
            known = _campaign_of(basket, line, split, handed_in.get(basket.household_id, []))
            if known is not None and known[1].code not in shown:
                campaign, coupon = known
                shown.append(coupon.code)
                group = campaign_group(campaign.campaign_id)
                if group not in groups.setdefault(basket.basket_id, []):
                    groups[basket.basket_id].append(group)
                counts["matches_by_campaign"] += 1
            else:
                value_minor, count = split
                code = f"mc-{line.item_id}-{value_minor}x{count}"
                if code in shown:
                    counts["matches_by_hand"] += 1
                    continue
                name = "Manufacturer's coupon doubled"
                promotion = _promotion(
                    f"double-{line.item_id}-{value_minor}x{count}",
                    name,
                    code,
                    [str(line.item_id)],
                    _doubled_minor(value_minor),
                    count,
                )
                promotions.setdefault(promotion.promotion_id, promotion)
                shown.append(code)
                counts["matches_by_doubling"] += 1
            lines.add((basket.basket_id, line.item_id))
    return CouponPlan(
        promotions=tuple(promotions.values()),
        lines=frozenset(lines),
        groups={basket_id: tuple(names) for basket_id, names in groups.items() if names},
        coupons={basket_id: tuple(shown) for basket_id, shown in codes.items() if shown},
        counts=counts,
    )


def _campaign_of(
    basket: journey.Basket,
    line: journey.Line,
    split: tuple[int, int],
    handed_in: list[tuple[Campaign, Coupon, int, int]],
) -> tuple[Campaign, Coupon] | None:
    """The campaign's coupon that the household handed in that day and that is this match and no other line's."""
    value_minor, count = split
    for campaign, coupon, from_ns, to_ns in handed_in:
        if not (from_ns <= basket.sold_at_ns < to_ns and campaign.from_ns <= basket.sold_at_ns < campaign.to_ns):
            continue
        items = set(coupon.item_ids)
        meant = [other for other in basket.lines if other.item_id in items]
        if meant == [line] and coupon.value_minor == value_minor and count == 1:
            return campaign, coupon
    return None
