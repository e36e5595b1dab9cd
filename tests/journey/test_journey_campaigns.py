"""Campaigns, loyalty prices and doubled coupons of the real year, recomputed line by line from the sales."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

pytest.importorskip("polars", reason="polars is not installed: pip install 'ringup[bench]'")
pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'ringup[bench]'")

from ringup.engine import journey, journey_campaigns, journey_data

try:
    journey_data.data_folder()
except journey.JourneyDataMissing as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.fixture(scope="module")
def campaigns() -> list[journey_campaigns.Campaign]:
    return journey_campaigns.load_campaigns()


def test_campaigns_of_the_year(campaigns: list[journey_campaigns.Campaign]) -> None:
    assert [campaign.campaign_id for campaign in campaigns] == list(range(1, 28))
    assert sum(len(campaign.redemptions) for campaign in campaigns) == 2102
    assert sum(len(campaign.household_ids) for campaign in campaigns) == 6589
    assert len({coupon.code for campaign in campaigns for coupon in campaign.coupons}) == 981
    assert Counter(campaign.kind for campaign in campaigns) == {"Type A": 4, "Type B": 17, "Type C": 6}


def test_redemptions_are_inside_their_campaign(campaigns: list[journey_campaigns.Campaign]) -> None:
    """28 are on the campaign's last day: its end is the midnight after it."""
    on_the_last_day = 0
    for campaign in campaigns:
        assert campaign.from_ns < campaign.to_ns
        codes, households = {coupon.code for coupon in campaign.coupons}, set(campaign.household_ids)
        for redemption in campaign.redemptions:
            assert campaign.from_ns <= redemption.from_ns < redemption.to_ns <= campaign.to_ns
            assert redemption.coupon_code in codes
            assert redemption.household_id in households
            on_the_last_day += redemption.to_ns == campaign.to_ns
    assert on_the_last_day == 28


def test_days_are_the_stores_days(campaigns: list[journey_campaigns.Campaign]) -> None:
    """On 1,935 of 2,102 redemptions' days the household used a coupon; read as UTC days it would be 1,680."""
    used: dict[int, list[int]] = defaultdict(list)
    lines = journey_data.transactions(1, 53)
    for household_id, sold_at_ns, coupon_minor in lines.select(
        "household_id", "sold_at_ns", "coupon_minor"
    ).iter_rows():
        if coupon_minor:
            used[household_id].append(sold_at_ns)
    met = sum(
        any(redemption.from_ns <= sold_at_ns < redemption.to_ns for sold_at_ns in used[redemption.household_id])
        for campaign in campaigns
        for redemption in campaign.redemptions
    )
    assert met == 1935


def test_campaigns_of_a_range() -> None:
    found = journey_campaigns.load_campaigns(51, 51)
    assert [campaign.campaign_id for campaign in found] == [15, 18, 19, 20, 21, 22]
    begin_ns, end_ns = journey.week_bounds_ns(51)
    days = [redemption for campaign in found for redemption in campaign.redemptions]
    assert len(days) == 59
    assert all(begin_ns <= redemption.from_ns and redemption.to_ns <= end_ns for redemption in days)


def test_coupon_values_are_seen_or_unknown(campaigns: list[journey_campaigns.Campaign]) -> None:
    coupons = [coupon for campaign in campaigns for coupon in campaign.coupons]
    assert all((coupon.value_minor is None) == (coupon.value_seen == 0) for coupon in coupons)
    values = {coupon.code: coupon.value_minor for coupon in coupons}
    assert values["54180010033"] == 100  # 28 lines, all at 1.00
    assert values["52740022050"] == 50


@pytest.mark.parametrize("weeks", [(51, 51), (25, 27)])
def test_loyalty_prices_give_what_they_say(weeks: tuple[int, int]) -> None:
    """Every card holder's line is as the prices say, or named: recomputed from the sales alone."""
    found = journey_campaigns.loyalty_prices(*weeks)
    by_place = {(price.item_id, price.location_id, price.from_ns): price for price in found.prices}
    assert len(by_place) == len(found.prices)
    named = {(line.basket_id, line.product_id): line for line in found.by_hand}
    assert len(named) == len(found.by_hand)
    lines = list(journey_data.transactions(*weeks).iter_rows(named=True))
    carded = {line["basket_id"] for line in lines if line["loyalty_minor"]}
    cut = explained = 0
    given: Counter[journey_campaigns.LoyaltyPrice] = Counter()
    for line in lines:
        if line["basket_id"] not in carded:
            continue
        cut += line["loyalty_minor"] > 0
        hand = named.pop((line["basket_id"], line["product_id"]), None)
        if hand is not None:
            assert hand.loyalty_minor == line["loyalty_minor"]
            assert (hand.reason == "price_not_given") == (hand.loyalty_minor == 0)
            continue
        begin_ns, _ = journey.week_bounds_ns(line["week"])
        price = by_place.get((line["product_id"], line["store_id"], begin_ns)) or by_place.get(
            (line["product_id"], journey.ALL_LOCATIONS, begin_ns)
        )
        if price is None or line["quantity"] == 0:
            assert line["loyalty_minor"] == 0
            continue
        # Labelled and measured goods have no such price, so the quantity is in pieces.
        qty_milli = line["quantity"] * journey.PIECE_MILLI
        asked_minor = journey.line_amount_minor(qty_milli, price.price_minor, price.base_qty_milli)
        assert asked_minor == line["shelf_minor"] - line["loyalty_minor"]
        given[price] += 1
        explained += line["loyalty_minor"] > 0
    assert named == {}
    assert (cut, explained) == (found.lines_cut, found.lines_explained)
    assert given == {price: price.lines_explained for price in found.prices if price.lines_explained}


def test_loyalty_prices_of_week_51() -> None:
    found = journey_campaigns.loyalty_prices(51, 51)
    assert (found.lines_cut, found.lines_explained) == (14181, 13355)
    assert Counter(line.reason for line in found.by_hand) == {
        "label_price": 509,
        "measured": 248,
        "no_fixed_price": 69,
        "price_not_given": 54,
    }
    shared = journey_campaigns.loyalty_prices(51, 51, lines_min=2)
    assert 0 < shared.lines_explained < found.lines_explained
    with pytest.raises(ValueError, match="1 or more"):
        journey_campaigns.loyalty_prices(51, 51, lines_min=0)


@pytest.mark.parametrize(
    ("coupon_minor", "quantity", "matches"),
    [(40, 1, {40}), (75, 1, {25}), (50, 1, {50}), (100, 1, set()), (100, 2, {100}), (110, 2, {90}), (99, 1, {1})],
)
def test_a_coupon_is_doubled_up_to_a_dollar(coupon_minor: int, quantity: int, matches: set[int]) -> None:
    assert journey_campaigns.coupon_match_minor(coupon_minor, quantity) == matches


def test_doubling_explains_nearly_all_matches() -> None:
    found = journey_campaigns.coupon_matches(1, 53)
    assert (found.lines, found.lines_explained) == (10300, 10089)
    assert found.lines == found.lines_explained + len(found.by_hand)
