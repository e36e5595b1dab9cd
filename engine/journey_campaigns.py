"""Campaigns, coupons and redemptions of the real year, and its price cuts as promotions.

Data for promotions, and plain data: what a promotion means is the engine's.  Two of the data's discounts
turn out to be rules that a book can hold:

- retail_disc, the loyalty card's cut, is nearly always a fixed price for card holders, the same in all
  stores of the chain for a week (loyalty_prices);
- coupon_match_disc doubles a manufacturer's coupon up to one dollar (coupon_match_minor).

What no rule explains stays a discount by hand and is named.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, Literal, NamedTuple

from .journey_data import (
    FIRST_WEEK,
    LAST_WEEK,
    STORE_TIME_ZONE,
    check_weeks,
    data_folder,
    measured_products,
    transactions,
    week_bounds_ns,
)
from .journey_prices import (
    ALL_LOCATIONS,
    PIECE_MILLI,
    labelled_products,
    line_amount_minor,
)

if TYPE_CHECKING:
    import polars as pl

DOUBLED_UP_TO_MINOR = 100

# measured: fuel's cut goes by the gallon and the household, and marks of one cent are among them (journey_prices).
# price_not_given: the price stands, and the card holder paid the shelf's all the same.
Reason = Literal["measured", "label_price", "open_price", "no_fixed_price", "price_not_given"]


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon of a campaign: what it is good for, and what it was seen to be worth.

    The data do not state a value.  value_minor is the most common coupon_disc over the lines that a
    redemption's household bought of the coupon's products on its day, seen value_seen times; None: never seen.
    """

    code: str
    item_ids: tuple[int, ...]
    value_minor: int | None
    value_seen: int


@dataclass(frozen=True, slots=True)
class Redemption:
    """A household handed a coupon in on a day, [from_ns, to_ns) in UTC: the data know no basket."""

    household_id: int
    coupon_code: str
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign, in force in [from_ns, to_ns), UTC ns: through the end of its last day in the stores' time zone."""

    campaign_id: int
    kind: str
    from_ns: int
    to_ns: int
    coupons: tuple[Coupon, ...]
    household_ids: tuple[int, ...]
    redemptions: tuple[Redemption, ...]


@dataclass(frozen=True, slots=True)
class LoyaltyPrice:
    """Card holders pay price_minor per base_qty_milli in [from_ns, to_ns), at one location or at all (0)."""

    item_id: int
    location_id: int
    price_minor: int
    base_qty_milli: int
    from_ns: int
    to_ns: int
    lines_explained: int


@dataclass(frozen=True, slots=True)
class LoyaltyLine:
    """A card holder's line that the loyalty prices do not give as it was: why, and the cut that it had (may be 0)."""

    basket_id: int
    product_id: int
    loyalty_minor: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class LoyaltyPrices:
    """The prices; which cut lines they give to the cent, and the lines that need a price or a discount by hand."""

    prices: tuple[LoyaltyPrice, ...]
    lines_cut: int  # lines with retail_disc
    lines_explained: int  # of those, given to the cent by the prices
    by_hand: tuple[LoyaltyLine, ...]


@dataclass(frozen=True, slots=True)
class CouponMatches:
    """Lines with coupon_match_disc: how many doubling explains, and (basket, product, coupon, match) of the rest."""

    lines: int
    lines_explained: int
    by_hand: tuple[tuple[int, int, int, int], ...]


def _day_bounds(days: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Return a day's first instant and the next day's, in UTC ns; a day with a change of clocks is 23 or 25 hours."""
    import polars as pl

    first, after = (
        day.dt.replace_time_zone(STORE_TIME_ZONE).cast(pl.Datetime("ns", STORE_TIME_ZONE)).cast(pl.Int64)
        for day in (days, days.dt.offset_by("1d"))
    )
    return first.alias("from_ns"), after.alias("to_ns")


def _read(name: str, *keep: str) -> pl.DataFrame:
    import polars as pl

    frame = pl.read_parquet(data_folder() / f"{name}.parquet")
    return frame.select(keep or pl.all()).unique().sort(pl.all())


def _coupon_values(redemptions: pl.DataFrame, coupons: pl.DataFrame) -> dict[int, tuple[int, int]]:
    """Return per coupon_upc its most common coupon_disc and how often it was seen; ties go to the lower value."""
    import polars as pl

    used = transactions(FIRST_WEEK, LAST_WEEK).filter(pl.col("coupon_minor") > 0)
    seen = (
        redemptions.join(coupons, on=["coupon_upc", "campaign_id"])
        .join(used, on=["household_id", "product_id"])
        .filter((pl.col("sold_at_ns") >= pl.col("from_ns")) & (pl.col("sold_at_ns") < pl.col("to_ns")))
        .select("coupon_upc", "coupon_minor", "basket_id", "product_id")
        .unique()
    )
    values: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for coupon_upc, coupon_minor, _, _ in seen.iter_rows():
        values[coupon_upc][coupon_minor] += 1
    return {
        coupon_upc: min(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        for coupon_upc, counts in values.items()
    }


def load_campaigns(first_week: int = FIRST_WEEK, last_week: int = LAST_WEEK) -> list[Campaign]:
    """Return the campaigns in force in the weeks, by id, with the redemptions of those weeks by day."""
    import polars as pl

    check_weeks(first_week, last_week)
    begin_ns, end_ns = week_bounds_ns(first_week)[0], week_bounds_ns(last_week)[1]
    coupons = _read("coupons", "campaign_id", "coupon_upc", "product_id")
    redemptions = _read("coupon_redemptions").with_columns(*_day_bounds(pl.col("redemption_date")))
    values = _coupon_values(redemptions, coupons)

    coupons_of: defaultdict[int, list[Coupon]] = defaultdict(list)
    grouped = coupons.group_by(["campaign_id", "coupon_upc"], maintain_order=True).agg("product_id")
    for campaign_id, coupon_upc, item_ids in grouped.iter_rows():
        value_minor, value_seen = values.get(coupon_upc, (None, 0))
        coupons_of[campaign_id].append(Coupon(str(coupon_upc), tuple(item_ids), value_minor, value_seen))
    households_of: defaultdict[int, list[int]] = defaultdict(list)
    for campaign_id, household_id in _read("campaigns", "campaign_id", "household_id").iter_rows():
        households_of[campaign_id].append(household_id)
    redemptions_of: defaultdict[int, list[Redemption]] = defaultdict(list)
    within = redemptions.filter((pl.col("from_ns") < end_ns) & (pl.col("to_ns") > begin_ns))
    columns = ("campaign_id", "household_id", "coupon_upc", "from_ns", "to_ns")
    for campaign_id, household_id, coupon_upc, from_ns, to_ns in (
        within.select(columns).sort("from_ns", "household_id", "coupon_upc").iter_rows()
    ):
        redemptions_of[campaign_id].append(Redemption(household_id, str(coupon_upc), from_ns, to_ns))

    first_ns, _ = _day_bounds(pl.col("start_date"))
    _, after_ns = _day_bounds(pl.col("end_date"))
    described = _read("campaign_descriptions").select("campaign_id", "campaign_type", first_ns, after_ns)
    return [
        Campaign(
            campaign_id,
            kind,
            from_ns,
            to_ns,
            tuple(coupons_of[campaign_id]),
            tuple(households_of[campaign_id]),
            tuple(redemptions_of[campaign_id]),
        )
        for campaign_id, kind, from_ns, to_ns in described.iter_rows()
        if from_ns < end_ns and to_ns > begin_ns
    ]


class CardLine(NamedTuple):
    """A line of a card holder's basket; net_minor is the shelf value less the card's cut."""

    product_id: int
    week: int
    store_id: int
    basket_id: int
    quantity: int
    net_minor: int
    loyalty_minor: int


Rate = tuple[int, int]  # price_minor per that many pieces


def _gives(rate: Rate | None, line: CardLine) -> bool:
    """Tell whether the line comes out right: at the rate, or uncut where there is none."""
    if rate is None:
        return line.loyalty_minor == 0
    return line_amount_minor(line.quantity, *rate) == line.net_minor


def _standing_rate(lines: Sequence[CardLine], without: Rate | None, lines_min: int) -> tuple[Rate | None, int]:
    """Return the rate that gives most lines, if it gives lines_min and more than without it; and how many it gives.

    Candidates are what the cut lines paid, in lowest terms; ties go to fewer pieces, then to the lower price.
    """
    alike = Counter((line.quantity, line.net_minor) for line in lines)
    candidates = set()
    for line in lines:
        if line.loyalty_minor:
            divisor = gcd(line.net_minor, line.quantity)
            candidates.add((line.net_minor // divisor, line.quantity // divisor))
    best: tuple[int, int, int] | None = None
    for price_minor, pieces in candidates:
        hits = sum(
            count
            for (quantity, net_minor), count in alike.items()
            if line_amount_minor(quantity, price_minor, pieces) == net_minor
        )
        best = min(best or (0, 0, 0), (-hits, pieces, price_minor))
    if best is None or -best[0] < max(lines_min, 1 + sum(_gives(without, line) for line in lines)):
        return None, 0
    return (best[2], best[1]), -best[0]


def _card_lines(first_week: int, last_week: int) -> tuple[list[CardLine], list[LoyaltyLine]]:
    """Return card holders' lines that could have a fixed price, and the cut lines that could not, with why."""
    import polars as pl

    carded = transactions(first_week, last_week).filter(pl.col("loyalty_minor").max().over("basket_id") > 0)
    lines = carded.with_columns(net_minor=pl.col("shelf_minor") - pl.col("loyalty_minor"))
    measured, labelled = measured_products(), labelled_products()
    fixed: list[CardLine] = []
    by_hand: list[LoyaltyLine] = []
    for line in map(CardLine._make, lines.select(CardLine._fields).iter_rows()):
        reason: Reason | None = None
        if line.product_id in measured:
            reason = "measured"
        elif line.quantity == 0:
            reason = "open_price"
        elif line.product_id in labelled:
            reason = "label_price"
        if reason is None:
            fixed.append(line)
        elif line.loyalty_minor:
            by_hand.append(LoyaltyLine(line.basket_id, line.product_id, line.loyalty_minor, reason))
    return fixed, by_hand


def _groups(lines: Iterable[CardLine], *key: str) -> dict[tuple[int, ...], list[CardLine]]:
    grouped: defaultdict[tuple[int, ...], list[CardLine]] = defaultdict(list)
    for line in lines:
        grouped[tuple(getattr(line, name) for name in key)].append(line)
    return grouped


def loyalty_prices(first_week: int, last_week: int, *, lines_min: int = 1) -> LoyaltyPrices:
    """Fit fixed prices for card holders: chain-wide for a week, and a store's own where its week differs.

    A card holder's basket is one with a retail_disc on any line.  In it every line of the item counts, the
    uncut ones too, so that a price which would cut what was not cut loses support.  A price stands where it
    gives at least lines_min lines, and more than come out right without it.  Goods by the measure or priced
    by label have no fixed price.  Coupon matches come on top and are not in the price.
    """
    check_weeks(first_week, last_week)
    if lines_min < 1:
        raise ValueError(f"expected lines_min of 1 or more, found {lines_min}")
    lines, by_hand = _card_lines(first_week, last_week)
    bounds = {week: week_bounds_ns(week) for week in range(first_week, last_week + 1)}
    prices: list[LoyaltyPrice] = []
    explained = 0
    for (item_id, week), chain_lines in sorted(_groups(lines, "product_id", "week").items()):
        if not any(line.loyalty_minor for line in chain_lines):
            continue
        chain_rate, _ = _standing_rate(chain_lines, None, lines_min)
        chain_given = 0
        for (store_id,), store_lines in sorted(_groups(chain_lines, "store_id").items()):
            own_rate, own_given = _standing_rate(store_lines, chain_rate, lines_min)
            if own_rate is not None:
                prices.append(_loyalty_price(item_id, store_id, own_rate, bounds[week], own_given))
            rate = own_rate or chain_rate
            for line in store_lines:
                given = _gives(rate, line)
                explained += given and line.loyalty_minor > 0
                chain_given += given and own_rate is None
                if not given:
                    reason: Reason = "no_fixed_price" if line.loyalty_minor else "price_not_given"
                    by_hand.append(LoyaltyLine(line.basket_id, item_id, line.loyalty_minor, reason))
        if chain_rate is not None:
            prices.append(_loyalty_price(item_id, ALL_LOCATIONS, chain_rate, bounds[week], chain_given))
    cut = explained + sum(line.loyalty_minor > 0 for line in by_hand)
    return LoyaltyPrices(tuple(prices), cut, explained, tuple(by_hand))


def _loyalty_price(item_id: int, location_id: int, rate: Rate, bounds: tuple[int, int], given: int) -> LoyaltyPrice:
    price_minor, pieces = rate
    return LoyaltyPrice(item_id, location_id, price_minor, pieces * PIECE_MILLI, *bounds, given)


def coupon_match_minor(coupon_minor: int, quantity: int) -> frozenset[int]:
    """Return the matches that doubling can give for coupons worth coupon_minor together on quantity pieces.

    Each coupon is matched by its own value, up to one dollar with it: 40 by 40, 75 by 25, 100 by nothing.  A
    line says what its coupons are worth together but not how many they are: one to quantity, alike.
    """
    return frozenset(
        count * min(coupon_minor // count, max(DOUBLED_UP_TO_MINOR - coupon_minor // count, 0))
        for count in range(1, quantity + 1)
        if coupon_minor % count == 0
    ) - {0}


def coupon_matches(first_week: int, last_week: int) -> CouponMatches:
    """Tell which coupon_match_disc are doubled coupons, and name the others."""
    import polars as pl

    matched = transactions(first_week, last_week).filter(pl.col("match_minor") > 0)
    columns = ("basket_id", "product_id", "coupon_minor", "match_minor", "quantity")
    by_hand = tuple(
        (basket_id, product_id, coupon_minor, match_minor)
        for basket_id, product_id, coupon_minor, match_minor, quantity in matched.select(columns).iter_rows()
        if match_minor not in coupon_match_minor(coupon_minor, quantity)
    )
    return CouponMatches(matched.height, matched.height - len(by_hand), by_hand)
