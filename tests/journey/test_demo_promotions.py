"""The real week's price cuts as promotions: every basket is sold at the data's total, line by line, by the core."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("polars", reason="polars is not installed: pip install 'ringup[bench]'")
pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'ringup[bench]'")

from ringup.engine import journey, journey_data
from ringup.engine.demo_promotions import PromotionPlan, plan_promotions
from ringup.engine.demo_shop import sell_request
from ringup.engine.simulate_embedded import EmbeddedEngine
from ringup.v1 import catalog_pb2, pricing_pb2, promotion_pb2, result_pb2

try:
    journey_data.data_folder()
except journey.JourneyDataMissing as missing:
    pytest.skip(str(missing), allow_module_level=True)

WEEK = 51
BASKETS = 250
OK = result_pb2.RESULT_CODE_OK


@pytest.fixture(scope="module")
def week() -> tuple[list[journey.Basket], PromotionPlan]:
    baskets = [basket for basket in journey.load_baskets(WEEK, WEEK) if basket.lines]
    return baskets, plan_promotions(baskets, WEEK, WEEK)


def _put(engine: EmbeddedEngine, method: str, request: Any) -> None:
    request.command_id = engine.sequence.to_bytes(16, "big")
    answer = engine.call(method, request)
    assert answer.code == OK, answer


@pytest.fixture(scope="module")
def priced(week: tuple[list[journey.Basket], PromotionPlan]) -> tuple[EmbeddedEngine, list[journey.Basket]]:
    """A core with the items, prices and promotions of the baskets that show most kinds of promotions."""
    baskets, plan = week
    kinds = sorted(
        baskets, key=lambda b: -len(plan.coupons.get(b.basket_id, ())) - len(plan.groups.get(b.basket_id, ()))
    )
    some = kinds[:BASKETS]
    items = {line.item_id for basket in some for line in basket.lines}
    measured = {item.item_id for item in journey.load_items() if item.measured}
    engine = EmbeddedEngine()
    stores = {basket.location_id for basket in some}
    places = [catalog_pb2.Location(location_id=str(store), name="Store") for store in stores]
    _put(engine, "PutLocations", catalog_pb2.PutLocationsRequest(locations=places))
    goods = [
        catalog_pb2.Item(item_id=str(i), name=str(i), untracked=True, measured=i in measured) for i in sorted(items)
    ]
    _put(engine, "PutItems", catalog_pb2.PutItemsRequest(items=goods))
    rows = [
        catalog_pb2.PriceRow(
            item_id=str(row.item_id),
            location_id=str(row.location_id) if row.location_id else "",
            price_minor=row.price_minor,
            base_qty_milli=row.base_qty_milli,
            from_ns=row.from_ns,
            to_ns=row.to_ns,
        )
        for row in journey.build_price_rows(WEEK, WEEK)
        if row.item_id in items and row.location_id in {0, *stores}
    ]
    for start in range(0, len(rows), 5000):
        _put(engine, "PutPrices", catalog_pb2.PutPricesRequest(rows=rows[start : start + 5000]))
    for start in range(0, len(plan.promotions), 5000):
        part = promotion_pb2.PutPromotionsRequest(promotions=plan.promotions[start : start + 5000])
        _put(engine, "PutPromotions", part)
    return engine, some


def _quote(engine: EmbeddedEngine, basket: journey.Basket, plan: PromotionPlan, **changed: Any) -> Any:
    sale = sell_request(basket, "1", bytes(16), plan)
    fields = {"coupons": sale.coupons, "promotion_groups": sale.promotion_groups, **changed}
    quote = pricing_pb2.PriceBasketRequest(
        location_id=str(basket.location_id), at_ns=basket.sold_at_ns, lines=sale.lines, **fields
    )
    answer = engine.call("PriceBasket", quote)
    assert answer.code == OK, answer
    return answer.basket


def test_baskets_cost_what_the_shop_took(week: Any, priced: Any) -> None:
    (_, plan), (engine, baskets) = week, priced
    by_promotion = 0
    for basket in baskets:
        found = _quote(engine, basket, plan)
        assert [line.total_minor for line in found.lines] == [line.expected_minor for line in basket.lines], basket
        assert all(coupon.outcome == promotion_pb2.PROMOTION_OUTCOME_APPLIED for coupon in found.coupons), basket
        by_promotion += sum(promotion.discount_minor for promotion in found.promotions)
    assert by_promotion > 0
    # A coupon that is not handed in is not matched, and a customer without the card pays the shelf's price.
    with_coupon = baskets[0]
    assert _quote(engine, with_coupon, plan, coupons=[]).total_minor > with_coupon.expected_total_minor
    assert _quote(engine, with_coupon, plan, promotion_groups=[]).total_minor > with_coupon.expected_total_minor


def test_what_is_a_promotion_and_what_stays_by_hand_is_counted(week: Any) -> None:
    baskets, plan = week
    reasons = [reason for basket in baskets for line in basket.lines for reason, _ in line.discounts]
    cuts, matches = (reasons.count(reason) for reason in (journey.REASON_LOYALTY, journey.REASON_COUPON_MATCH))
    given = [reason for _, _, reason in plan.given]
    assert given.count(journey.REASON_LOYALTY) + plan.cuts_by_hand == cuts == plan.cuts.total()
    counts = plan.matches.counts
    assert len(plan.matches.lines) + counts["matches_by_hand"] == matches == counts["matches"]
    assert counts["coupons"] == sum(
        counts[kind] for kind in ("coupons_as_promotions", "coupons_not_doubled", "coupons_without_value")
    )
    # More than nine of ten card cuts and coupon matches of the week are promotions.
    assert given.count(journey.REASON_LOYALTY) > cuts * 0.9
    assert len(plan.matches.lines) > matches * 0.9


def test_campaigns_are_promotions_with_their_dates_products_and_households(week: Any) -> None:
    from ringup.engine.journey_campaigns import load_campaigns

    baskets, plan = week
    campaigns = {f"campaign-{campaign.campaign_id}": campaign for campaign in load_campaigns(WEEK, WEEK)}
    found = [promotion for promotion in plan.promotions if promotion.promotion_id.startswith("campaign-")]
    assert found
    for promotion in found:
        (group,) = promotion.customer_groups
        campaign = campaigns[group]
        (coupon,) = (coupon for coupon in campaign.coupons if coupon.code == promotion.coupon)
        assert (promotion.from_ns, promotion.to_ns) == (campaign.from_ns, campaign.to_ns)
        assert {int(item) for item in promotion.benefits[0].target.item_ids} <= set(coupon.item_ids)
    households = {basket.basket_id: basket.household_id for basket in baskets}
    for basket_id, groups in plan.groups.items():
        for group in set(groups) & set(campaigns):
            assert households[basket_id] in {r.household_id for r in campaigns[group].redemptions}


def test_drafts_are_tried_on_the_real_week(week: Any) -> None:
    """A draft that nobody can use changes nothing; a tenth off milk costs what the shelves and cards make of it."""
    from ringup.engine.journey_records import journey_records, weeks_of
    from ringup.engine.promotion_replay import Days, DraftReplay

    baskets, _ = week
    days = Days.parse("2017-12-13", journey.STORE_TIME_ZONE)
    sold = [basket for basket in baskets if days.from_ns <= basket.sold_at_ns < days.to_ns]
    tenth = promotion_pb2.Benefit(type=promotion_pb2.BENEFIT_TYPE_ITEM_PERCENT_OFF, rate_ppb=100_000_000)
    drafts = [
        promotion_pb2.Promotion(promotion_id="nobody", benefits=[tenth], customer_groups=["nobody"]),
        promotion_pb2.Promotion(promotion_id="once", benefits=[tenth], limits=promotion_pb2.Limits(max_uses=1)),
    ]
    assert weeks_of(days.from_ns, days.to_ns) == (WEEK, WEEK)
    last, records = journey_records(WEEK, WEEK)
    report = DraftReplay(drafts, days).run(records, last)
    assert report.not_repriced == {}
    assert (report.baskets, report.before_minor) == (len(sold), sum(basket.expected_total_minor for basket in sold))
    assert report.drafts["nobody"].baskets == 0
    assert (report.touched, report.changed, report.drafts["once"].baskets) == (1, 1, 1)
    assert report.cost_minor == report.discount_minor > 0
